//! Judging records that were refused alone. One that is refused while others pass is dead; when record after record is refused alike, it is the configuration
//! that is wrong, and none of them may become a dead letter. So nobody is judged before it is known which of the two holds.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// So many refused alike in a row, none accepted between, and the configuration is to blame.
const ALIKE: usize = 20;
/// With so many undecided ones, refused alike or not, nothing was accepted for long enough to doubt the sink.
const UNDECIDED: usize = 100;
/// Where nothing else is there to send, no evidence will come: a lone bad record is judged after this long.
const WAIT: Duration = Duration::from_secs(5);

/// Counts calls of the sink, so that "a call that began after this record was refused" can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct CallNumber(pub u64);

/// What follows from a refusal.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement<T> {
    /// Others passed since it was refused first, and it is refused again: it is dead.
    Dead(T),
    /// Held until more is known.
    Held,
    /// The configuration is to blame; these were held (the last one included) and go back to the queue.
    Configuration(Vec<T>),
}

/// Records refused alone that are not decided yet.
#[derive(Debug)]
pub struct Streak<T> {
    held: Vec<Held<T>>,
    /// Refused alone since the last one was accepted, by the sink's code: those that were judged for lack of evidence count too.
    alike: HashMap<String, usize>,
    /// When the last call that the sink accepted a record in was begun.
    accepted: Option<CallNumber>,
    last_refused: Option<Instant>,
}

#[derive(Debug)]
struct Held<T> {
    record: T,
    refused: CallNumber,
}

impl<T> Default for Streak<T> {
    fn default() -> Streak<T> {
        Streak { held: Vec::new(), alike: HashMap::new(), accepted: None, last_refused: None }
    }
}

impl<T> Streak<T> {
    /// A record was refused alone with that code, when the last call begun was `call`. `before`: the same of its previous refusal, if it came back from one.
    pub fn refused(&mut self, record: T, code: &str, call: CallNumber, before: Option<CallNumber>, now: Instant) -> Judgement<T> {
        if before.is_some_and(|before| self.accepted_since(before)) {
            return Judgement::Dead(record);
        }
        let count = self.alike.entry(code.to_owned()).or_default();
        *count += 1;
        let alike = *count >= ALIKE;
        self.held.push(Held { record, refused: call });
        self.last_refused = Some(now);
        if alike || self.held.len() >= UNDECIDED {
            self.alike.clear();
            return Judgement::Configuration(self.release());
        }
        Judgement::Held
    }

    /// The sink accepted a record in a call that was begun as number `call`: those that were refused before that are dead.
    pub fn accepted(&mut self, call: CallNumber) -> Vec<T> {
        self.accepted = self.accepted.max(Some(call));
        let dead: Vec<T> = self.held.extract_if(.., |held| held.refused < call).map(|held| held.record).collect();
        if self.held.is_empty() {
            self.alike.clear();
        }
        dead
    }

    /// Whether a record was accepted in a call begun after that one.
    pub fn accepted_since(&self, call: CallNumber) -> bool {
        self.accepted.is_some_and(|accepted| accepted > call)
    }

    /// When the held ones are to be judged if nothing else is there to send; None where none is held.
    pub fn due(&self) -> Option<Instant> {
        self.last_refused.filter(|_| !self.held.is_empty()).map(|at| at + WAIT)
    }

    /// Takes out what is held and no longer wanted.
    pub fn extract(&mut self, unwanted: impl Fn(&T) -> bool) -> Vec<T> {
        self.held.extract_if(.., |held| unwanted(&held.record)).map(|held| held.record).collect()
    }

    /// Nothing came that would decide: all that is held, to be judged dead. They go on counting as refused alike.
    pub fn release(&mut self) -> Vec<T> {
        self.held.drain(..).map(|held| held.record).collect()
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refuse(streak: &mut Streak<u32>, record: u32, code: &str) -> Judgement<u32> {
        streak.refused(record, code, CallNumber(record.into()), None, Instant::now())
    }

    #[test]
    fn one_refused_record_is_dead_as_soon_as_another_passes() {
        let mut streak = Streak::default();
        assert_eq!(refuse(&mut streak, 1, "400"), Judgement::Held);
        assert_eq!(streak.accepted(CallNumber(0)), [0; 0], "a call from before says nothing");
        assert_eq!(streak.accepted(CallNumber(2)), [1]);
        assert_eq!(streak.due(), None);
    }

    #[test]
    fn twenty_refused_alike_blame_the_configuration_and_none_of_them_is_dead() {
        let mut streak = Streak::default();
        for record in 0..19 {
            assert_eq!(refuse(&mut streak, record, "400"), Judgement::Held);
        }
        assert_eq!(refuse(&mut streak, 19, "400"), Judgement::Configuration((0..20).collect()));
        assert_eq!(streak.held(), 0);
    }

    #[test]
    fn refusals_of_many_kinds_blame_the_configuration_too_in_the_end() {
        let mut streak = Streak::default();
        let verdicts: Vec<_> = (0..100).map(|record| refuse(&mut streak, record, &format!("{record}"))).collect();
        assert!(verdicts[..99].iter().all(|verdict| *verdict == Judgement::Held));
        assert_eq!(verdicts[99], Judgement::Configuration((0..100).collect()));
    }

    #[test]
    fn one_that_came_back_and_is_refused_again_while_others_passed_is_dead_at_once() {
        let mut streak = Streak::default();
        let (now, first) = (Instant::now(), Some(CallNumber(1)));
        streak.accepted(CallNumber(2));
        assert_eq!(streak.refused(7, "400", CallNumber(3), first, now), Judgement::Dead(7));
        assert_eq!(streak.refused(8, "400", CallNumber(4), Some(CallNumber(3)), now), Judgement::Held, "nothing passed since");
    }

    #[test]
    fn lone_refusals_judged_for_lack_of_evidence_still_count_as_alike() {
        let mut streak = Streak::default();
        for record in 0..19 {
            assert_eq!(refuse(&mut streak, record, "400"), Judgement::Held);
            assert!(streak.due().is_some());
            assert_eq!(streak.release(), [record]);
        }
        assert_eq!(refuse(&mut streak, 19, "400"), Judgement::Configuration(vec![19]));
    }

    proptest! {
        /// A record is decided once; and never dead unless a call begun after its refusal was accepted.
        #[test]
        fn every_record_is_decided_once_and_dead_only_with_evidence(steps in proptest::collection::vec((any::<bool>(), 0..3_u8), 0..300)) {
            let (mut streak, mut call, mut decided) = (Streak::default(), 0_u64, 0);
            let mut refusals = 0;
            for (accepted, code) in steps {
                call += 1;
                let dead = if accepted {
                    streak.accepted(CallNumber(call))
                } else {
                    refusals += 1;
                    match streak.refused(call, &code.to_string(), CallNumber(call), None, Instant::now()) {
                        Judgement::Configuration(back) => {
                            prop_assert!(back.len() >= ALIKE);
                            decided += back.len();
                            Vec::new()
                        }
                        Judgement::Dead(record) => vec![record],
                        Judgement::Held => Vec::new(),
                    }
                };
                prop_assert!(dead.is_empty() || accepted);
                prop_assert!(dead.iter().all(|refused| *refused < call));
                decided += dead.len();
                prop_assert_eq!(decided + streak.held(), refusals);
            }
        }
    }
}

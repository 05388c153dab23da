//! One consumer's circuit breaker: whether its sink may be called now. It says when and how (freely, or with a single probe), never what to send.

use std::time::Duration;

use tokio::time::Instant;

/// So many calls in a row that blame the sink open the breaker.
const FAILURES_TO_OPEN: u32 = 5;

/// Why nothing but probes may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The sink is down, slow or busy.
    Sink,
    /// The sink said that nobody would be served: wrong key, wrong path, missing table; or the queue holds what it cannot take.
    Configuration,
    /// Record after record was refused alike.
    Alike,
}

/// What may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Anything.
    Free,
    /// One call, to see whether the sink is back; `one_record` where its configuration is in doubt.
    Probe { one_record: bool },
    /// Nothing before that moment.
    NotBefore(Instant),
    /// Nothing before the probe that is out is answered.
    Probing,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { cause: Cause, why: String, pauses: u32, until: Instant, probing: bool, asked: bool },
}

#[derive(Debug)]
pub struct Breaker {
    state: State,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker { state: State::Closed { failures: 0 } }
    }
}

impl Breaker {
    pub fn pass(&self, now: Instant) -> Pass {
        match &self.state {
            State::Closed { .. } => Pass::Free,
            State::Open { probing: true, .. } => Pass::Probing,
            State::Open { until, .. } if *until > now => Pass::NotBefore(*until),
            State::Open { cause, .. } => Pass::Probe { one_record: *cause != Cause::Sink },
        }
    }

    /// Why it is open, in one line; None when it is closed.
    pub fn open(&self) -> Option<(&Cause, &str)> {
        match &self.state {
            State::Closed { .. } => None,
            State::Open { cause, why, .. } => Some((cause, why)),
        }
    }

    /// A probe goes out. Exactly one of `accepted`, `failed`, `paused` or `abandoned` follows, with `probe` set.
    pub fn probing(&mut self) {
        if let State::Open { probing, .. } = &mut self.state {
            *probing = true;
        }
    }

    /// The sink took a record, or judged one on its own: it works. While open only a probe's word counts: a call that began before may have been served under
    /// conditions that are gone.
    pub fn accepted(&mut self, probe: bool) {
        match &mut self.state {
            State::Closed { failures } => *failures = 0,
            State::Open { .. } if probe => self.state = State::Closed { failures: 0 },
            State::Open { .. } => {}
        }
    }

    /// A call failed through the sink's fault. `pause` gives the wait before the next probe for so many pauses in a row (from 1);
    /// `at_once` opens without counting: the sink asked to be left alone, or is not ready.
    pub fn failed(&mut self, now: Instant, probe: bool, at_once: bool, why: &str, pause: impl FnOnce(u32) -> Duration) {
        match &mut self.state {
            State::Closed { failures } => {
                *failures += 1;
                if *failures >= FAILURES_TO_OPEN || at_once {
                    self.open_until(Cause::Sink, why, 1, now + pause(1), probe, at_once);
                }
            }
            State::Open { cause, pauses, until, asked, .. } => {
                // The probe found the sink down: whether its configuration is right now, nobody knows.
                let (cause, next) = (cause.clone(), if probe { *pauses + 1 } else { *pauses });
                let later = if probe || at_once { now + pause(next) } else { *until };
                let asked = at_once || (*asked && !probe);
                self.open_until(cause, why, next, later, probe, asked);
            }
        }
    }

    /// Nobody would be served: pause at once, whatever was before.
    pub fn paused(&mut self, now: Instant, probe: bool, cause: Cause, why: &str, pause: impl FnOnce(u32) -> Duration) {
        match &self.state {
            State::Open { cause: before, pauses, until, .. } if *before != Cause::Sink => {
                let next = if probe { pauses + 1 } else { *pauses };
                let later = if probe { now + pause(next) } else { *until };
                self.open_until(cause, why, next, later, probe, false);
            }
            _ => self.open_until(cause, why, 1, now + pause(1), probe, false),
        }
    }

    /// The probe that is out says nothing about the sink (its records were taken away): another may go.
    pub fn abandoned(&mut self) {
        if let State::Open { probing, .. } = &mut self.state {
            *probing = false;
        }
    }

    /// Something came that may fare better than what failed: where it is open for the sink's sake the next probe may go at once,
    /// unless the sink asked to be left alone.
    pub fn probe_early(&mut self, now: Instant) {
        if let State::Open { cause: Cause::Sink, asked: false, until, .. } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// Something was mended: where it is open for its configuration's sake the next probe may go at once, and pauses grow from the start again.
    pub fn mended(&mut self, now: Instant) {
        if let State::Open { cause: Cause::Configuration | Cause::Alike, pauses, until, .. } = &mut self.state {
            *pauses = 1;
            *until = now;
        }
    }

    /// Opens, or stays open with news; a probe that is out stays out unless it is the one that came back.
    fn open_until(&mut self, cause: Cause, why: &str, pauses: u32, until: Instant, probe: bool, asked: bool) {
        let out = matches!(self.state, State::Open { probing: true, .. }) && !probe;
        self.state = State::Open { cause, why: why.to_owned(), pauses, until, probing: out, asked };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pause(pauses: u32) -> Duration {
        SECOND * pauses
    }

    fn fail(breaker: &mut Breaker, now: Instant, times: u32) {
        (0..times).for_each(|_| breaker.failed(now, false, false, "503", pause));
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_one_success_between_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        fail(&mut breaker, now, 4);
        breaker.accepted(false);
        fail(&mut breaker, now, 4);
        assert_eq!(breaker.pass(now), Pass::Free);
        fail(&mut breaker, now, 1);
        assert_eq!(breaker.pass(now), Pass::NotBefore(now + SECOND));
        assert_eq!(breaker.open(), Some((&Cause::Sink, "503")));
    }

    #[test]
    fn one_probe_at_a_time_and_pauses_grow_until_one_succeeds() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        fail(&mut breaker, now, 5);
        for pauses in 2..5 {
            let Pass::NotBefore(until) = breaker.pass(now) else { panic!("not paused") };
            now = until;
            assert_eq!(breaker.pass(now), Pass::Probe { one_record: false });
            breaker.probing();
            assert_eq!(breaker.pass(now), Pass::Probing);
            breaker.failed(now, true, false, "503", pause);
            assert_eq!(breaker.pass(now), Pass::NotBefore(now + SECOND * pauses));
        }
        now += SECOND * 4;
        breaker.probing();
        breaker.accepted(true);
        assert_eq!(breaker.pass(now), Pass::Free);
    }

    #[test]
    fn a_call_from_before_does_not_close_it() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.paused(now, false, Cause::Configuration, "401", pause);
        breaker.accepted(false);
        assert_eq!(breaker.open(), Some((&Cause::Configuration, "401")));
        assert_eq!(breaker.pass(now + SECOND), Pass::Probe { one_record: true });
    }

    #[test]
    fn a_sink_that_asks_to_be_left_alone_is_left_alone_at_once() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.failed(now, false, true, "429", |_| SECOND * 7);
        assert_eq!(breaker.pass(now), Pass::NotBefore(now + SECOND * 7));
    }

    #[test]
    fn what_was_mended_is_probed_at_once_but_a_sink_that_is_down_is_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.paused(now, false, Cause::Alike, "400", pause);
        breaker.mended(now);
        assert_eq!(breaker.pass(now), Pass::Probe { one_record: true });
        let mut down = Breaker::default();
        fail(&mut down, now, 5);
        down.mended(now);
        assert_eq!(down.pass(now), Pass::NotBefore(now + SECOND));
    }

    proptest! {
        /// Whatever answers come in whatever order: never two probes out, and a probe that succeeds always closes it.
        #[test]
        fn there_is_never_more_than_one_probe_out(answers in proptest::collection::vec((0..7_u8, 0..3_u64), 0..80)) {
            let (mut breaker, mut now, mut out) = (Breaker::default(), Instant::now(), false);
            for (answer, seconds) in answers {
                now += SECOND * seconds as u32;
                if let Pass::Probe { .. } = breaker.pass(now) {
                    prop_assert!(!out);
                    breaker.probing();
                    out = true;
                }
                match answer {
                    0 => breaker.failed(now, std::mem::take(&mut out), false, "503", pause),
                    1 => breaker.failed(now, false, true, "429", pause),
                    2 => breaker.paused(now, std::mem::take(&mut out), Cause::Configuration, "401", pause),
                    3 => breaker.accepted(false),
                    6 => breaker.paused(now, false, Cause::Alike, "400", pause),
                    4 if std::mem::take(&mut out) => {
                        breaker.accepted(true);
                        prop_assert_eq!(breaker.pass(now), Pass::Free);
                    }
                    5 if std::mem::take(&mut out) => breaker.abandoned(),
                    _ => {}
                }
                prop_assert_eq!(out && breaker.open().is_some(), breaker.pass(now) == Pass::Probing);
            }
        }
    }
}

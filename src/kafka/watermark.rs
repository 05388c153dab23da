//! The contiguous watermark of one partition: which offset may be committed when records are done in any order. Pure.

use std::collections::VecDeque;

/// Records taken in the order of their offsets (gaps are allowed: compaction and transaction markers make them) and done in any order.
#[derive(Debug, Default)]
pub(super) struct Watermark {
    /// Taken and not yet passed by the watermark, in order; true: done.
    window: VecDeque<(i64, bool)>,
    /// One past the last record that was taken; None before the first.
    next: Option<i64>,
    pending: usize,
}

impl Watermark {
    /// A partition whose records up to here (exclusive) are done.
    pub(super) fn at(position: Option<i64>) -> Watermark {
        Watermark { next: position, ..Watermark::default() }
    }

    /// A record was taken. Offsets must grow: one that does not is not counted and answers false.
    pub(super) fn take(&mut self, offset: i64) -> bool {
        if self.next.is_some_and(|next| offset < next) {
            return false;
        }
        self.window.push_back((offset, false));
        self.next = Some(offset + 1);
        self.pending += 1;
        true
    }

    /// A record is done. One that was never taken, or is done already, is ignored.
    pub(super) fn done(&mut self, offset: i64) {
        let Some(&(first, _)) = self.window.front() else { return };
        // Without gaps the index is the distance from the front; else it is looked for
        let guess = usize::try_from(offset - first).ok().filter(|&i| self.window.get(i).is_some_and(|entry| entry.0 == offset));
        let Some(index) = guess.or_else(|| self.window.binary_search_by_key(&offset, |entry| entry.0).ok()) else { return };
        let entry = &mut self.window[index];
        if entry.1 {
            return;
        }
        entry.1 = true;
        self.pending -= 1;
        while self.window.front().is_some_and(|entry| entry.1) {
            self.window.pop_front();
        }
    }

    /// The offset to commit: that of the first record that is not done. None where nothing was taken yet.
    pub(super) fn position(&self) -> Option<i64> {
        self.window.front().map(|entry| entry.0).or(self.next)
    }

    /// One past the last record that was taken.
    pub(super) fn next(&self) -> Option<i64> {
        self.next
    }

    /// Records that are taken and not done.
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Records that are taken and not behind the watermark, done or not: what comes again after a crash.
    pub(super) fn window(&self) -> usize {
        self.window.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Take { gap: i64 },
        Done { nth: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![(prop_oneof![Just(0i64), 0..4i64]).prop_map(|gap| Step::Take { gap }), (0..64usize).prop_map(|nth| Step::Done { nth }),]
    }

    proptest! {
        #[test]
        fn it_stands_at_the_first_record_that_is_not_done(start in 0..100i64, steps in prop::collection::vec(step(), 0..200)) {
            let mut watermark = Watermark::default();
            let mut model: BTreeMap<i64, bool> = BTreeMap::new();
            let mut next = start;
            for step in steps {
                match step {
                    Step::Take { gap } => {
                        next += gap;
                        prop_assert!(watermark.take(next));
                        model.insert(next, false);
                        next += 1;
                    }
                    Step::Done { nth } => {
                        if let Some((&offset, done)) = model.iter_mut().nth(nth) {
                            *done = true;
                            watermark.done(offset);
                        }
                    }
                }
                let first = model.iter().find(|(_, done)| !**done).map(|(offset, _)| *offset);
                let expected = first.or_else(|| (!model.is_empty()).then_some(next));
                prop_assert_eq!(watermark.position(), expected);
                prop_assert_eq!(watermark.pending(), model.values().filter(|done| !**done).count());
                prop_assert_eq!(watermark.window(), first.map_or(0, |first| model.range(first..).count()));
            }
        }
    }

    #[test]
    fn an_offset_that_goes_back_or_was_never_taken_changes_nothing() {
        let mut watermark = Watermark::at(Some(10));
        assert!(!watermark.take(9));
        assert_eq!(watermark.position(), Some(10));
        assert!(watermark.take(12));
        watermark.done(11);
        watermark.done(13);
        assert_eq!((watermark.position(), watermark.pending()), (Some(12), 1));
        watermark.done(12);
        watermark.done(12);
        assert_eq!((watermark.position(), watermark.pending(), watermark.next()), (Some(13), 0, Some(13)));
    }
}

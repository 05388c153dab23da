//! Finding the records at fault in a batch that was refused as a whole: halves, in order, until each culprit stands alone. Pure; the caller sends what is `head`.

use std::collections::{HashSet, VecDeque};

/// What is left of a batch, in order. Segments are sent one after the other: two of them may share a lane.
#[derive(Debug)]
pub struct Segments<T> {
    segments: VecDeque<Segment<T>>,
}

#[derive(Debug)]
struct Segment<T> {
    records: Vec<T>,
    /// The right half of a segment that was refused while its left half has not been judged: if that passes whole, the fault is in here.
    suspect: bool,
}

impl<T> Segments<T> {
    pub fn new(records: Vec<T>) -> Segments<T> {
        let segments = if records.is_empty() { VecDeque::new() } else { VecDeque::from([Segment { records, suspect: false }]) };
        Segments { segments }
    }

    /// What is to be sent next; empty when nothing is left.
    pub fn head(&self) -> &[T] {
        self.segments.front().map_or(&[], |segment| &segment.records)
    }

    /// The same, to note what became of it.
    pub fn head_mut(&mut self) -> &mut [T] {
        self.segments.front_mut().map_or(&mut [], |segment| &mut segment.records)
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Takes the head out: it was judged, each record for itself or all together. `passed`: all of it was taken by the sink.
    pub fn take_head(&mut self, passed: bool) -> Vec<T> {
        let Some(head) = self.segments.pop_front() else { return Vec::new() };
        match self.segments.front_mut() {
            // Its sibling was refused with it, so the fault is there: one call less for each level.
            Some(next) if next.suspect && passed => {
                next.suspect = false;
                self.split_head();
            }
            Some(next) => next.suspect = false,
            None => {}
        }
        head.records
    }

    /// The head was refused as a whole, for some record of it: two halves take its place. False where it is a single record: the culprit, still the head.
    pub fn split_head(&mut self) -> bool {
        let Some(mut left) = self.segments.pop_front_if(|head| head.records.len() > 1) else { return false };
        // The fault may be in this head alone: of what comes after it nothing is known any more.
        if let Some(next) = self.segments.front_mut() {
            next.suspect = false;
        }
        let right = left.records.split_off(left.records.len() / 2);
        self.segments.push_front(Segment { records: right, suspect: true });
        self.segments.push_front(Segment { suspect: false, ..left });
        true
    }

    /// Puts records before everything else, to be sent by themselves: what is left of the head after some of it was judged.
    pub fn push_head(&mut self, records: Vec<T>) {
        if !records.is_empty() {
            self.segments.push_front(Segment { records, suspect: false });
        }
    }

    /// Takes out what `unwanted` says, in order.
    pub fn extract(&mut self, unwanted: impl Fn(&T) -> bool) -> Vec<T> {
        let mut out = Vec::new();
        for segment in &mut self.segments {
            out.extend(segment.records.extract_if(.., |record| unwanted(record)));
        }
        self.segments.retain(|segment| !segment.records.is_empty());
        out
    }

    /// Everything that is left, in order.
    pub fn into_records(self) -> Vec<T> {
        self.segments.into_iter().flat_map(|segment| segment.records).collect()
    }
}

/// Divides a batch in two that share no lane, each in order, so that one may wait without holding up the other; its records again where it is all one lane.
pub fn split_lanes<T>(records: Vec<T>, lane: impl Fn(&T) -> u64) -> Result<(Vec<T>, Vec<T>), Vec<T>> {
    let mut seen = HashSet::new();
    let order: Vec<u64> = records.iter().map(&lane).filter(|lane| seen.insert(*lane)).collect();
    if order.len() < 2 {
        return Err(records);
    }
    let first: HashSet<u64> = order[..order.len() / 2].iter().copied().collect();
    Ok(records.into_iter().partition(|record| first.contains(&lane(record))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends a batch to a sink that refuses whatever holds a culprit: what was delivered in order, the culprits in order, and the number of calls.
    fn deliver(records: Vec<u32>, culprit: impl Fn(&u32) -> bool) -> (Vec<u32>, Vec<u32>, usize) {
        let (mut delivered, mut culprits, mut calls) = (Vec::new(), Vec::new(), 0);
        let mut segments = Segments::new(records);
        while !segments.is_empty() {
            calls += 1;
            if !segments.head().iter().any(&culprit) {
                delivered.extend(segments.take_head(true));
            } else if !segments.split_head() {
                culprits.extend(segments.take_head(false));
            }
        }
        (delivered, culprits, calls)
    }

    proptest! {
        #[test]
        fn exactly_the_culprits_are_found_and_the_rest_is_delivered_in_order(culprits in proptest::collection::vec(any::<bool>(), 0..200)) {
            let records: Vec<u32> = (0..culprits.len() as u32).collect();
            let (bad, good): (Vec<u32>, Vec<u32>) = records.iter().partition(|r| culprits[**r as usize]);
            let (delivered, found, calls) = deliver(records.clone(), |r| culprits[*r as usize]);
            prop_assert_eq!(&delivered, &good);
            prop_assert_eq!(&found, &bad);
            // A path of halves for each culprit, two calls a level, and never more than the whole tree.
            let levels = records.len().max(1).next_power_of_two().ilog2() as usize;
            prop_assert!(calls <= (1 + 2 * levels * bad.len()).min(2 * records.len()), "{calls} calls");
        }

        #[test]
        fn two_parts_share_no_lane_and_keep_their_order(lanes in proptest::collection::vec(0..5_u64, 0..40)) {
            let records: Vec<(usize, u64)> = lanes.iter().copied().enumerate().collect();
            match split_lanes(records.clone(), |r| r.1) {
                Err(same) => {
                    prop_assert_eq!(&same, &records);
                    prop_assert!(lanes.windows(2).all(|w| w[0] == w[1]));
                }
                Ok((a, b)) => {
                    prop_assert!(!a.is_empty() && !b.is_empty() && a.len() + b.len() == records.len());
                    prop_assert!(a.iter().all(|x| b.iter().all(|y| x.1 != y.1)));
                    prop_assert!(a.is_sorted() && b.is_sorted());
                }
            }
        }
    }

    #[test]
    fn one_culprit_of_a_hundred_takes_one_call_a_level_where_the_left_half_passes() {
        let (_, found, calls) = deliver((0..128).collect(), |r| *r == 127);
        // The whole, then at each of seven levels the left half; the right one is known to be at fault without asking, and asked only when alone.
        assert_eq!((found, calls), (vec![127], 9));
    }

    #[test]
    fn a_sink_that_changes_its_mind_loses_nothing() {
        let mut refuse = true;
        let mut segments = Segments::new((0..10).collect::<Vec<u32>>());
        let mut seen = Vec::new();
        while !segments.is_empty() {
            refuse = !refuse;
            if !refuse || !segments.split_head() {
                seen.extend(segments.take_head(!refuse));
            }
        }
        assert_eq!(seen, (0..10).collect::<Vec<u32>>());
    }

    #[test]
    fn records_that_are_taken_out_or_put_back_leave_the_order_of_the_rest() {
        let mut segments = Segments::new((0..6).collect::<Vec<u32>>());
        assert!(segments.split_head());
        assert_eq!(segments.extract(|r| r % 2 == 0), [0, 2, 4]);
        assert_eq!(segments.take_head(false), [1]);
        segments.push_head(vec![9]);
        assert_eq!(segments.head(), [9]);
        assert_eq!(segments.into_records(), [9, 3, 5]);
    }
}

//! Order per key through concurrency and retries, and batches out of what has gathered. Knows keys, targets and sizes; nothing of sinks or time.
//!
//! A lane is what shares a key. Its records leave in arrival order, and while one of them is out (in a call, waiting to be retried, held for judgement) no later
//! one of the lane leaves. A batch takes from all lanes in arrival order, may hold several records of one lane, and never mixes targets.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::pipeline::Target;

/// What lanes must know of a record.
pub trait Laned {
    /// Records of one lane keep their order. A hash will do: two keys of one hash are kept in order for nothing, which harms nobody.
    fn lane(&self) -> u64;
    fn target(&self) -> &Arc<Target>;
    fn bytes(&self) -> usize;
}

/// How large a batch may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_records: usize,
    /// Of payloads; a single record larger than this goes alone.
    pub max_bytes: usize,
}

/// Records that wait to be sent.
#[derive(Debug)]
pub struct Lanes<T> {
    lanes: HashMap<u64, Lane<T>>,
    /// The first record of each lane that has none out, by its place in the queue.
    ready: BTreeMap<u64, u64>,
    /// The same places by target, so that a batch of one target needs no search.
    ready_by_target: HashMap<Arc<Target>, BTreeSet<u64>>,
    next_place: u64,
    waiting: usize,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<Placed<T>>,
    /// Records taken and neither done nor put back.
    out: usize,
}

/// A record with its place in the queue: what puts a record that comes back before those that came after it.
#[derive(Debug)]
pub struct Placed<T> {
    place: u64,
    pub record: T,
}

impl<T> Placed<T> {
    /// Its place in the queue: no two records have the same.
    pub fn place(&self) -> u64 {
        self.place
    }
}

impl<T> Default for Lanes<T> {
    fn default() -> Lanes<T> {
        Lanes { lanes: HashMap::new(), ready: BTreeMap::new(), ready_by_target: HashMap::new(), next_place: 0, waiting: 0 }
    }
}

impl<T: Laned> Lanes<T> {
    /// Takes a record in, behind all others.
    pub fn push(&mut self, record: T) {
        let placed = Placed { place: self.next_place, record };
        self.next_place += 1;
        self.insert(placed);
    }

    /// Records that wait, whether they may leave or not.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The record that would leave first.
    pub fn first_ready(&self) -> Option<&T> {
        let (_, lane) = self.ready.first_key_value()?;
        self.lanes.get(lane)?.waiting.front().map(|placed| &placed.record)
    }

    /// Lanes whose first record may leave and is for that target: at least so many records would make the next batch of it.
    pub fn ready_for(&self, target: &Arc<Target>) -> usize {
        self.ready_by_target.get(target).map_or(0, BTreeSet::len)
    }

    /// The next batch: the first record that may leave, and what may leave with it, in queue order. Empty where nothing may leave.
    pub fn take(&mut self, limits: Limits) -> Vec<Placed<T>> {
        let mut batch: Vec<Placed<T>> = Vec::new();
        let Some(target) = self.first_ready().map(|first| Arc::clone(first.target())) else { return batch };
        let mut bytes = 0;
        // Next ones of lanes that are in the batch already: they may ride in the same call, behind their elders.
        let mut riders: BTreeMap<u64, u64> = BTreeMap::new();
        while batch.len() < limits.max_records.max(1) {
            let ready = self.ready_by_target.get(&target).and_then(|places| places.first().copied());
            let rider = riders.first_key_value().map(|(place, _)| *place);
            let Some(place) = ready.into_iter().chain(rider).min() else { break };
            let Some(lane) = riders.get(&place).or_else(|| self.ready.get(&place)).copied() else { break };
            let Some(first) = self.lanes.get(&lane).and_then(|lane| lane.waiting.front()) else { break };
            bytes += first.record.bytes();
            if !batch.is_empty() && bytes > limits.max_bytes {
                break;
            }
            riders.remove(&place);
            batch.extend(self.take_first(lane));
            if let Some(next) = self.lanes.get(&lane).and_then(|lane| lane.waiting.front()).filter(|next| *next.record.target() == target) {
                riders.insert(next.place, lane);
            }
        }
        batch
    }

    /// Takes the record that may leave first among those that `choose` wants; with none, the first of all. For probes.
    pub fn take_one(&mut self, choose: impl Fn(&T) -> bool) -> Option<Placed<T>> {
        let chosen =
            self.ready.values().find(|lane| self.lanes.get(lane).and_then(|l| l.waiting.front()).is_some_and(|p| choose(&p.record)));
        let lane = *chosen.or_else(|| self.ready.values().next())?;
        self.take_first(lane)
    }

    /// A record that was taken is done with: its lane goes on when none of it is out any more.
    pub fn done(&mut self, lane: u64) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        state.out -= 1;
        if state.out == 0 && state.waiting.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.make_ready(lane);
        }
    }

    /// Records that were taken go back to their places.
    pub fn put_back(&mut self, records: impl IntoIterator<Item = Placed<T>>) {
        for placed in records {
            let lane = placed.record.lane();
            self.insert(placed);
            self.done(lane);
        }
    }

    /// Takes all waiting records out, in queue order, to be pushed again when their lanes are chosen anew.
    pub fn drain(&mut self) -> Vec<T> {
        let mut all = self.empty();
        all.sort_by_key(|placed| placed.place);
        all.into_iter().map(|placed| placed.record).collect()
    }

    /// Lets go of waiting records that are not wanted any more; the others keep their places. Cheap where all are wanted.
    pub fn retain(&mut self, wanted: impl Fn(&T) -> bool) {
        if self.lanes.values().flat_map(|lane| &lane.waiting).all(|placed| wanted(&placed.record)) {
            return;
        }
        for placed in self.empty() {
            if wanted(&placed.record) {
                self.insert(placed);
            }
        }
    }

    fn empty(&mut self) -> Vec<Placed<T>> {
        let all = self.lanes.values_mut().flat_map(|lane| lane.waiting.drain(..)).collect();
        self.lanes.retain(|_, lane| lane.out > 0);
        self.ready.clear();
        self.ready_by_target.clear();
        self.waiting = 0;
        all
    }

    fn insert(&mut self, placed: Placed<T>) {
        let id = placed.record.lane();
        let lane = self.lanes.entry(id).or_insert_with(|| Lane { waiting: VecDeque::new(), out: 0 });
        let at = lane.waiting.partition_point(|waiting| waiting.place < placed.place);
        lane.waiting.insert(at, placed);
        self.waiting += 1;
        self.make_ready(id);
    }

    /// Enters the lane's first record where it may leave; nothing where it is entered already.
    fn make_ready(&mut self, id: u64) {
        let Some(lane) = self.lanes.get(&id).filter(|lane| lane.out == 0) else { return };
        let Some(first) = lane.waiting.front() else { return };
        self.ready.insert(first.place, id);
        match self.ready_by_target.get_mut(first.record.target()) {
            Some(places) => _ = places.insert(first.place),
            None => _ = self.ready_by_target.insert(Arc::clone(first.record.target()), BTreeSet::from([first.place])),
        }
    }

    fn remove_ready(&mut self, place: u64, target: &Arc<Target>) {
        self.ready.remove(&place);
        if let Some(places) = self.ready_by_target.get_mut(target) {
            places.remove(&place);
            if places.is_empty() {
                self.ready_by_target.remove(target);
            }
        }
    }

    fn take_first(&mut self, lane: u64) -> Option<Placed<T>> {
        let state = self.lanes.get_mut(&lane)?;
        let taken = state.waiting.pop_front()?;
        state.out += 1;
        self.waiting -= 1;
        self.remove_ready(taken.place, taken.record.target());
        Some(taken)
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;

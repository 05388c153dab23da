//! Lanes against a model: a plain list scanned from the front.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct Letter {
    number: usize,
    lane: u64,
    target: Arc<Target>,
    bytes: usize,
}

impl Laned for Letter {
    fn lane(&self) -> u64 {
        self.lane
    }
    fn target(&self) -> &Arc<Target> {
        &self.target
    }
    fn bytes(&self) -> usize {
        self.bytes
    }
}

fn target(name: u8) -> Arc<Target> {
    Arc::new(Target::Path(format!("t{name}")))
}

fn letter(number: usize, lane: u64, to: u8) -> Letter {
    Letter { number, lane, target: target(to), bytes: 10 }
}

const WIDE: Limits = Limits { max_records: 100, max_bytes: 1_000 };

fn numbers(batch: &[Placed<Letter>]) -> Vec<usize> {
    batch.iter().map(|placed| placed.record.number).collect()
}

#[test]
fn a_batch_is_what_has_gathered_in_queue_order_with_one_target() {
    let mut lanes = Lanes::default();
    for (number, (lane, to)) in [(1, 0), (2, 1), (1, 0), (3, 0), (3, 1), (1, 0), (3, 0)].into_iter().enumerate() {
        lanes.push(letter(number, lane, to));
    }
    assert_eq!(numbers(&lanes.take(WIDE)), [0, 2, 3, 5], "6 waits behind 4, which goes elsewhere");
    assert_eq!(numbers(&lanes.take(WIDE)), [1], "4 waits for 3");
    lanes.done(3);
    assert_eq!(numbers(&lanes.take(WIDE)), [4]);
    assert_eq!(lanes.waiting(), 1);
}

#[test]
fn a_lane_goes_on_when_all_it_has_out_is_done_and_what_is_put_back_goes_first() {
    let mut lanes = Lanes::default();
    (0..3).for_each(|number| lanes.push(letter(number, 7, 0)));
    let batch = lanes.take(Limits { max_records: 2, ..WIDE });
    assert_eq!(numbers(&batch), [0, 1]);
    lanes.done(7);
    assert!(lanes.take(WIDE).is_empty(), "one of two is still out");
    lanes.put_back(batch.into_iter().skip(1));
    assert_eq!(numbers(&lanes.take(WIDE)), [1, 2]);
}

#[test]
fn bytes_bound_a_batch_and_a_large_record_goes_alone() {
    let mut lanes = Lanes::default();
    for (number, bytes) in [40, 40, 40, 500, 1].into_iter().enumerate() {
        lanes.push(Letter { bytes, ..letter(number, number as u64, 0) });
    }
    let limits = Limits { max_records: 100, max_bytes: 100 };
    assert_eq!(numbers(&lanes.take(limits)), [0, 1]);
    assert_eq!(numbers(&lanes.take(limits)), [2]);
    assert_eq!(numbers(&lanes.take(limits)), [3]);
    assert_eq!(numbers(&lanes.take(limits)), [4]);
}

#[test]
fn a_probe_takes_the_first_that_is_wanted_and_else_the_first() {
    let mut lanes = Lanes::default();
    (0..3).for_each(|number| lanes.push(letter(number, number as u64, 0)));
    assert_eq!(lanes.take_one(|letter| letter.number == 2).unwrap().record.number, 2);
    assert_eq!(lanes.take_one(|letter| letter.number == 2).unwrap().record.number, 0);
    assert_eq!(numbers(&lanes.take(WIDE)), [1]);
}

#[test]
fn lanes_chosen_anew_keep_queue_order() {
    let mut lanes = Lanes::default();
    (0..4).for_each(|number| lanes.push(letter(number, number as u64 % 2, 0)));
    let out = lanes.take_one(|_| true).unwrap();
    for letter in lanes.drain() {
        lanes.push(Letter { lane: 9, ..letter });
    }
    lanes.done(out.record.lane);
    assert_eq!(numbers(&lanes.take(WIDE)), [1, 2, 3]);
}

/// What the model and the lanes are asked to do.
#[derive(Debug, Clone)]
enum Step {
    Push {
        lane: u64,
        to: u8,
        bytes: usize,
    },
    Take {
        max_records: usize,
        max_bytes: usize,
    },
    Probe,
    /// Which of the batches that are out comes back, and which of its records are done (by bit); the rest is put back.
    Back {
        batch: usize,
        done: u32,
    },
    /// What waits in this lane is not wanted any more.
    Drop {
        lane: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6_u64, 0..3_u8, 1..50_usize).prop_map(|(lane, to, bytes)| Step::Push { lane, to, bytes }),
        2 => (1..6_usize, 20..120_usize).prop_map(|(max_records, max_bytes)| Step::Take { max_records, max_bytes }),
        1 => Just(Step::Probe),
        2 => (any::<usize>(), any::<u32>()).prop_map(|(batch, done)| Step::Back { batch, done }),
        1 => (0..6_u64).prop_map(|lane| Step::Drop { lane }),
    ];
    proptest::collection::vec(step, 0..120)
}

/// The rule, as a list in queue order: take from the front whatever is not behind an elder of its lane.
fn model_take(waiting: &mut Vec<Letter>, out: &[Letter], limits: Limits) -> Vec<Letter> {
    let mut blocked: Vec<u64> = out.iter().map(|letter| letter.lane).collect();
    let mut batch: Vec<Letter> = Vec::new();
    let mut rest = Vec::new();
    let mut full = false;
    for letter in waiting.drain(..) {
        let free = !blocked.contains(&letter.lane);
        let same = batch.first().is_none_or(|first| first.target == letter.target);
        if !full && free && same {
            let bytes: usize = batch.iter().map(|l| l.bytes).sum();
            full = batch.len() >= limits.max_records || (!batch.is_empty() && bytes + letter.bytes > limits.max_bytes);
            if !full {
                batch.push(letter);
                continue;
            }
        }
        blocked.push(letter.lane);
        rest.push(letter);
    }
    *waiting = rest;
    batch
}

proptest! {
    #[test]
    fn lanes_do_what_a_scan_of_the_queue_would_do(steps in steps()) {
        let mut lanes = Lanes::default();
        let (mut waiting, mut batches): (Vec<Letter>, Vec<Vec<Placed<Letter>>>) = (Vec::new(), Vec::new());
        let mut pushed = 0;
        for step in steps {
            let out: Vec<Letter> = batches.iter().flatten().map(|placed| placed.record.clone()).collect();
            match step {
                Step::Push { lane, to, bytes } => {
                    let letter = Letter { number: pushed, lane, target: target(to), bytes };
                    pushed += 1;
                    waiting.push(letter.clone());
                    lanes.push(letter);
                }
                Step::Take { max_records, max_bytes } => {
                    let limits = Limits { max_records, max_bytes };
                    let expected = model_take(&mut waiting, &out, limits);
                    let taken = lanes.take(limits);
                    prop_assert_eq!(taken.iter().map(|p| p.record.clone()).collect::<Vec<_>>(), expected);
                    if !taken.is_empty() {
                        batches.push(taken);
                    }
                }
                Step::Probe => {
                    let expected = model_take(&mut waiting, &out, Limits { max_records: 1, max_bytes: 0 });
                    let taken: Vec<_> = lanes.take_one(|_| true).into_iter().collect();
                    prop_assert_eq!(taken.iter().map(|p| p.record.clone()).collect::<Vec<_>>(), expected);
                    if !taken.is_empty() {
                        batches.push(taken);
                    }
                }
                Step::Back { batch, done } if !batches.is_empty() => {
                    let at = batch % batches.len();
                    for (bit, placed) in batches.swap_remove(at).into_iter().enumerate() {
                        if done & (1 << (bit % 32)) != 0 {
                            lanes.done(placed.record.lane);
                        } else {
                            let place = waiting.partition_point(|w| w.number < placed.record.number);
                            waiting.insert(place, placed.record.clone());
                            lanes.put_back([placed]);
                        }
                    }
                }
                Step::Back { .. } => {}
                Step::Drop { lane } => {
                    waiting.retain(|letter| letter.lane != lane);
                    lanes.retain(|letter| letter.lane != lane);
                }
            }
            prop_assert_eq!(lanes.waiting(), waiting.len());
        }
    }
}

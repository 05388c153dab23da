//! Order per key, nothing lost, nothing twice: whatever the sink answers.

use std::collections::BTreeMap;
use std::time::Duration;

use analytica::config::{Delivery, Order};
use analytica::sinks::{Blame, Verdict};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::bench::*;

#[derive(Debug, Clone)]
struct World {
    seed: u64,
    records: u64,
    keys: u64,
    concurrency: usize,
    max_records: usize,
    /// Of a hundred calls, how many fail through the sink's fault; how many through the configuration's.
    failing: u8,
    misconfigured: u8,
    /// Of a hundred records, how many are refused whenever they are sent.
    bad: u8,
}

fn worlds() -> impl Strategy<Value = World> {
    (any::<u64>(), 1..150_u64, 1..12_u64, 1..6_usize, 1..20_usize, 0..40_u8, 0..5_u8, 0..20_u8).prop_map(
        |(seed, records, keys, concurrency, max_records, failing, misconfigured, bad)| World {
            seed,
            records,
            keys,
            concurrency,
            max_records,
            failing,
            misconfigured,
            bad,
        },
    )
}

fn is_bad(world: &World, record: u64) -> bool {
    ChaCha8Rng::seed_from_u64(world.seed ^ record).random_range(0..100) < world.bad
}

async fn live(world: World, order: Order) -> Bench {
    let delivery = Delivery { concurrency: world.concurrency, max_records: world.max_records, order, ..Delivery::default() };
    let bench = Bench::new(delivery);
    let w = world.clone();
    bench.sink.now_does(move |call| {
        let mut rng = ChaCha8Rng::seed_from_u64(w.seed.wrapping_mul(31).wrapping_add(call.index as u64));
        let took = Duration::from_millis(rng.random_range(0..50));
        let dice = rng.random_range(0..100_u8);
        let verdicts = if dice < w.failing {
            call.all(&refused(Blame::Sink, "503"))
        } else if dice < w.failing + w.misconfigured {
            call.all(&refused(Blame::Configuration, "401"))
        } else if call.records.iter().any(|record| is_bad(&w, *record)) {
            call.all(&refused(Blame::Record, "422"))
        } else {
            call.all(&Verdict::Delivered)
        };
        (took, verdicts)
    });
    let mut rng = ChaCha8Rng::seed_from_u64(world.seed);
    for record in 0..world.records {
        bench.feed(record, &format!("k{}", rng.random_range(0..world.keys)));
        if rng.random_bool(0.2) {
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..40))).await;
        }
    }
    bench.all_done(0..world.records).await;
    bench
}

fn check(world: &World, bench: &Bench, order: Order) {
    let accepted = bench.accepted();
    let mut once = accepted.clone();
    once.extend(bench.dead().iter().map(|(record, _)| *record));
    once.sort_unstable();
    assert_eq!(once, (0..world.records).collect::<Vec<_>>(), "each is delivered or dead, once");
    let dead = bench.dead();
    // A record may also run out of luck with a sink that fails so often.
    assert!(dead.iter().all(|(record, reason)| is_bad(world, *record) == (*reason == "refused")), "{dead:?}");
    assert_eq!(bench.counted("delivered") + bench.counted("dead"), world.records);
    if order == Order::Key {
        let seen = bench.seen.lock().unwrap();
        let mut keys = BTreeMap::new();
        for call in &seen.calls {
            keys.extend(call.records.iter().copied().zip(call.keys.iter().cloned()));
        }
        let mut last = BTreeMap::new();
        for record in accepted {
            let before = last.insert(keys[&record].clone(), record);
            assert!(before.is_none_or(|before| before < record), "{record} of {} after {before:?}", keys[&record]);
        }
    }
}

fn run(world: World, order: Order) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let bench = live(world.clone(), order).await;
        check(&world, &bench, order);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn whatever_the_sink_answers_keys_keep_their_order_and_nothing_is_lost_or_twice(world in worlds()) {
        run(world, Order::Key);
    }

    #[test]
    fn without_order_nothing_is_lost_or_twice_either(world in worlds()) {
        run(world, Order::None);
    }
}

#[tokio::test(start_paused = true)]
async fn order_none_lets_records_of_one_key_go_side_by_side() {
    for (order, at_once) in [(Order::None, 4), (Order::Key, 1)] {
        let bench = Bench::new(Delivery { order, max_records: 1, ..Delivery::default() });
        bench.sink.now_does(|call| (Duration::from_secs(1), call.all(&Verdict::Delivered)));
        (0..8).for_each(|record| bench.feed(record, "one"));
        bench.all_done(0..8).await;
        assert_eq!(bench.seen.lock().unwrap().most_at_once, at_once, "{order:?}");
    }
}

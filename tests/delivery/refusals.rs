//! Records and configurations that a sink blames: bisecting, dead letters, pauses as misconfigured.

use std::sync::Arc;
use std::time::Duration;

use analytica::config::Delivery;
use analytica::sinks::{Blame, Refusal, Verdict};

use crate::bench::*;

const SECOND: Duration = Duration::from_secs(1);

/// Refuses each batch that holds one of these, as a whole, like a statement or a request would.
fn refuses(bench: &Bench, bad: impl Fn(u64) -> bool + Send + Sync + 'static, refusal: Refusal) {
    bench.sink.now_does(move |call| {
        let verdict = if call.records.iter().any(|record| bad(*record)) { Verdict::Refused(refusal.clone()) } else { Verdict::Delivered };
        (Duration::from_millis(5), call.all(&verdict))
    });
}

#[tokio::test(start_paused = true)]
async fn the_records_at_fault_become_dead_letters_and_the_rest_is_delivered() {
    let bench = Bench::new(Delivery { concurrency: 1, ..Delivery::default() });
    refuses(&bench, |record| [3, 40, 41].contains(&record), refusal(Blame::Record, "422"));
    bench.feed_all(0..100);
    bench.all_done(0..100).await;
    assert_eq!(bench.dead(), [(3, "refused"), (40, "refused"), (41, "refused")]);
    assert_eq!(bench.accepted(), (0..100).filter(|record| ![3, 40, 41].contains(record)).collect::<Vec<_>>());
    let letter = bench.seen.lock().unwrap().letters[0].clone();
    assert_eq!((letter.attempts, letter.answer.as_deref()), (1, Some("422: says 422")));
    assert_eq!(letter.headers.unwrap().id.as_u128(), 3);
    assert_eq!((bench.counted("delivered"), bench.counted("dead")), (97, 3));
    assert_eq!(bench.metrics.snapshot().count("analytica_dead_letters_total", &[("stage", "delivery")]), 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_is_halved_and_one_record_that_is_too_large_is_dead() {
    let bench = Bench::new(Delivery { concurrency: 1, ..Delivery::default() });
    bench.sink.now_does(|call| {
        let too_large = call.records.len() > 10 || call.records.contains(&7);
        (Duration::ZERO, call.all(&if too_large { refused(Blame::Size, "413") } else { Verdict::Delivered }))
    });
    bench.feed_all(0..64);
    bench.all_done(0..64).await;
    assert_eq!(bench.dead(), [(7, "too_large")]);
    assert_eq!(bench.accepted().len(), 63);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_judges_each_record_is_taken_at_its_word() {
    let bench = Bench::new(Delivery::default());
    bench.sink.now_does(|call| {
        let verdict = |record: &u64| match record % 3 {
            0 => refused(Blame::Record, "22001"),
            1 => Verdict::Ignored,
            _ => Verdict::Delivered,
        };
        (Duration::ZERO, call.records.iter().map(verdict).collect())
    });
    bench.feed_all(0..30);
    bench.all_done(0..30).await;
    assert_eq!(bench.batches().len(), 1);
    assert_eq!((bench.counted("delivered"), bench.counted("ignored"), bench.counted("dead")), (10, 10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_lone_bad_record_is_dead_even_if_nothing_else_comes() {
    let bench = Bench::new(Delivery::default());
    refuses(&bench, |_| true, refusal(Blame::Record, "400"));
    bench.feed(0, "u");
    bench.all_done([0]).await;
    assert_eq!(bench.dead(), [(0, "refused")]);
    assert!(bench.elapsed() < SECOND * 10);
    bench.state_is("delivering").await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_record_keeps_its_key_waiting_but_no_other() {
    let bench = Bench::new(Delivery { concurrency: 1, max_records: 1, ..Delivery::default() });
    refuses(&bench, |record| record == 0, refusal(Blame::Record, "400"));
    bench.feed(0, "u");
    bench.feed(1, "u");
    bench.feed(2, "other");
    bench.all_done(0..3).await;
    assert_eq!(bench.accepted(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn twenty_refused_alike_pause_the_queue_and_none_of_them_is_lost() {
    let bench = Bench::new(Delivery::default());
    refuses(&bench, |_| true, refusal(Blame::Record, "400"));
    bench.feed_all(0..200);
    bench.state_is("misconfigured").await;
    assert!(bench.state.borrow().to_string().contains("record after record is refused alike"));
    tokio::time::sleep(SECOND * 600).await;
    assert_eq!(bench.dead(), []);
    assert!(bench.batches().len() < 120, "single probes, further and further apart: {}", bench.batches().len());
    refuses(&bench, |_| false, refusal(Blame::Record, "400"));
    bench.all_done(0..200).await;
    bench.state_is("delivering").await;
    assert_eq!((bench.dead(), bench.accepted().len()), (vec![], 200));
}

#[tokio::test(start_paused = true)]
async fn twenty_bad_records_do_not_keep_good_ones_back_for_ever() {
    let bench = Bench::new(Delivery { concurrency: 1, max_records: 10, ..Delivery::default() });
    refuses(&bench, |record| record < 30, refusal(Blame::Record, "400"));
    bench.feed_all(0..60);
    bench.all_done(0..60).await;
    assert_eq!(bench.dead(), (0..30).map(|record| (record, "refused")).collect::<Vec<_>>());
    assert_eq!(bench.accepted().len(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_pauses_the_queue_dead_letters_nothing_and_goes_on_when_it_is_right() {
    let bench = Bench::new(Delivery::default());
    refuses(&bench, |_| true, refusal(Blame::Configuration, "401"));
    bench.feed_all(0..50);
    bench.state_is("misconfigured").await;
    assert_eq!(bench.state.borrow().to_string(), "misconfigured: 401: says 401");
    tokio::time::sleep(SECOND * 300).await;
    let calls: Vec<(Duration, usize)> = bench.seen.lock().unwrap().calls.iter().map(|call| (call.at, call.records.len())).collect();
    assert!(calls[1..].iter().all(|(_, records)| *records == 1), "probes are single records");
    let gaps: Vec<Duration> = calls.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps[0] <= SECOND && gaps.iter().all(|gap| *gap <= SECOND * 31), "{gaps:?}");
    assert!(gaps.iter().rev().take(3).all(|gap| *gap >= SECOND * 15), "they grow: {gaps:?}");
    assert!(bench.seen.lock().unwrap().prepared > 3, "the sink is prepared again before each probe");
    let mended = bench.elapsed();
    refuses(&bench, |_| false, refusal(Blame::Configuration, "401"));
    bench.all_done(0..50).await;
    assert!(bench.elapsed() - mended < SECOND * 31);
    bench.state_is("delivering").await;
    assert_eq!((bench.dead(), bench.accepted().len()), (vec![], 50));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_cannot_be_prepared_gets_no_record() {
    let bench = Bench::new(Delivery::default());
    bench.sink.prepares_with(Err(refusal(Blame::Configuration, "3D000")));
    bench.feed_all(0..3);
    bench.state_is("misconfigured").await;
    tokio::time::sleep(SECOND * 60).await;
    assert_eq!(bench.batches().len(), 0);
    bench.sink.prepares_with(Ok(()));
    bench.all_done(0..3).await;
    bench.state_is("delivering").await;
}

#[tokio::test(start_paused = true)]
async fn responses_override_whose_fault_a_status_is() {
    let bench = Bench::new(Delivery { dead_on: vec![404], pause_on: vec![422], ..Delivery::default() });
    refuses(&bench, |record| record < 30, refusal(Blame::Configuration, "404"));
    bench.feed_all(0..30);
    bench.all_done(0..30).await;
    assert_eq!(bench.dead().len(), 30, "the definition says that these are dead, however many there are");
    refuses(&bench, |_| true, refusal(Blame::Record, "422"));
    bench.feed_all(30..32);
    bench.state_is("misconfigured").await;
    tokio::time::sleep(SECOND * 60).await;
    assert_eq!(bench.dead().len(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_not_ours_becomes_a_dead_letter() {
    let bench = Bench::new(Delivery::default());
    bench.feed_unreadable(7);
    bench.feed(8, "u");
    bench.all_done(7..9).await;
    assert_eq!(bench.dead(), [(7, "unreadable")]);
    assert_eq!(bench.seen.lock().unwrap().letters[0].error, "header target: missing");
}

#[tokio::test(start_paused = true)]
async fn records_older_than_max_age_are_dead_and_never_sent() {
    let bench = Bench::new(Delivery { max_age: Some(SECOND * 7_200), ..Delivery::default() });
    let begin = jiff::Timestamp::from_second(BEGIN).unwrap();
    bench.feed_entry(0, Some("u"), Arc::new(file_target()), begin - SECOND * 7_201);
    bench.feed_entry(1, Some("u"), Arc::new(file_target()), begin - SECOND * 7_000);
    bench.all_done(0..2).await;
    assert_eq!((bench.dead(), bench.accepted()), (vec![(0, "expired")], vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_some_fail_and_some_are_not_served_loses_neither() {
    let bench = Bench::new(Delivery::default());
    bench.sink.now_does(|call| {
        let verdict = |record: &u64| match record % 3 {
            0 => refused(Blame::Configuration, "403"),
            1 => refused(Blame::Sink, "503"),
            _ => Verdict::Delivered,
        };
        (Duration::ZERO, if call.index == 0 { call.records.iter().map(verdict).collect() } else { call.all(&Verdict::Delivered) })
    });
    bench.feed_all(0..9);
    bench.all_done(0..9).await;
    assert_eq!((bench.accepted().len(), bench.dead()), (9, vec![]));
}

#[tokio::test(start_paused = true)]
async fn later_records_of_a_culprits_key_wait_until_it_is_judged() {
    let bench = Bench::new(Delivery { concurrency: 1, ..Delivery::default() });
    refuses(&bench, |record| record == 0, refusal(Blame::Record, "400"));
    for (record, key) in [(0, "u"), (1, "u"), (2, "other"), (3, "u")] {
        bench.feed(record, key);
    }
    bench.all_done(0..4).await;
    assert_eq!(bench.dead(), [(0, "refused")]);
    // Only when another key has passed it is known that 0 is at fault
    let calls = bench.batches();
    let judged = calls.iter().position(|call| call == &[2]).expect("the other key passes by itself");
    assert!(calls[..judged].contains(&vec![0]), "{calls:?}");
    assert!(calls[judged + 1..].concat() == [1, 3], "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_keep_their_order_when_it_was_the_configuration_and_not_the_records() {
    let bench = Bench::new(Delivery { concurrency: 1, max_records: 10, ..Delivery::default() });
    // As if the first record of each key were at fault; the second, in the same batch, would pass
    refuses(&bench, |record| record % 2 == 0, refusal(Blame::Record, "400"));
    (0..80).for_each(|record| bench.feed(record, &format!("key-{}", record / 2)));
    bench.state_is("misconfigured").await;
    assert_eq!(bench.accepted(), [0; 0], "nothing overtook those that are held");
    refuses(&bench, |_| false, refusal(Blame::Record, "400"));
    bench.all_done(0..80).await;
    let accepted = bench.accepted();
    let place = |record: u64| accepted.iter().position(|other| *other == record);
    assert!((0..40).all(|key| place(2 * key) < place(2 * key + 1)), "{accepted:?}");
    assert_eq!((accepted.len(), bench.dead()), (80, vec![]));
}

//! Sinks that are down, slow or busy, and records that are taken away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use analytica::config::Delivery;
use analytica::sinks::{Blame, Refusal, Verdict};

use crate::bench::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_pauses_the_queue_and_all_is_delivered_when_it_is_back() {
    let bench = Bench::new(Delivery { max_records: 10, ..Delivery::default() });
    let up = Arc::new(AtomicBool::new(false));
    let is_up = up.clone();
    bench.sink.now_does(move |call| {
        let verdict = if is_up.load(Ordering::Relaxed) { Verdict::Delivered } else { refused(Blame::Sink, "503") };
        (Duration::from_millis(20), call.all(&verdict))
    });
    bench.feed_all(0..100);
    bench.state_is("paused").await;
    assert_eq!(bench.state.borrow().to_string(), "paused: 503: says 503");
    tokio::time::sleep(SECOND * 3_600).await;
    let calls = bench.batches().len();
    assert!((100..400).contains(&calls), "an hour of probes every 15 to 30 s: {calls}");
    up.store(true, Ordering::Relaxed);
    let back = bench.elapsed();
    bench.all_done(0..100).await;
    assert!(bench.elapsed() - back < SECOND * 61);
    assert_eq!((bench.accepted().len(), bench.dead()), (100, vec![]));
    bench.state_is("delivering").await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_sends_the_same_records_again_in_one_call() {
    let bench = Bench::new(Delivery { concurrency: 1, ..Delivery::default() });
    bench.sink.now_does(|call| {
        let verdict = if call.index < 3 { refused(Blame::Sink, "502") } else { Verdict::Delivered };
        (Duration::ZERO, call.all(&verdict))
    });
    bench.feed_all(0..5);
    bench.all_done(0..5).await;
    assert_eq!(bench.batches(), vec![(0..5).collect::<Vec<u64>>(); 4]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_for_the_whole_queue() {
    let bench = Bench::new(Delivery { max_records: 1, concurrency: 1, ..Delivery::default() });
    bench.sink.now_does(|call| {
        let busy = Refusal { retry_after: Some(SECOND * 40), ..refusal(Blame::Sink, "429") };
        let verdict = if call.index == 0 { Verdict::Refused(busy) } else { Verdict::Delivered };
        (Duration::ZERO, call.all(&verdict))
    });
    bench.feed_all(0..3);
    bench.state_is("paused").await;
    bench.feed_all(3..5);
    bench.all_done(0..5).await;
    assert!(bench.seen.lock().unwrap().calls[1].at >= SECOND * 40);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_given_up_and_tried_again() {
    let bench = Bench::new(Delivery { timeout: SECOND * 2, ..Delivery::default() });
    bench.sink.now_does(|call| (if call.index == 0 { SECOND * 100 } else { Duration::ZERO }, call.all(&Verdict::Delivered)));
    bench.feed(0, "u");
    bench.all_done([0]).await;
    assert!(bench.elapsed() >= SECOND * 2 && bench.elapsed() < SECOND * 4);
    assert_eq!(bench.metrics.snapshot().count("analytica_sink_calls_total", &[("result", "failed")]), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_keeps_failing_alone_while_others_pass_becomes_a_dead_letter() {
    let bench = Bench::new(Delivery { max_records: 20, ..Delivery::default() });
    bench.sink.now_does(|call| {
        let poison = call.records.contains(&13);
        (Duration::from_millis(10), call.all(&if poison { refused(Blame::Sink, "500") } else { Verdict::Delivered }))
    });
    bench.feed_all(0..20);
    let mut next = 20;
    while bench.dead().is_empty() && bench.elapsed() < SECOND * 3_600 {
        bench.feed_all(next..next + 1);
        next += 1;
        tokio::time::sleep(SECOND).await;
    }
    bench.all_done(0..next).await;
    assert_eq!(bench.dead(), [(13, "exhausted")]);
    assert_eq!(bench.accepted().len() as u64, next - 1);
    assert!(bench.elapsed() < SECOND * 600, "{:?}", bench.elapsed());
    let error = bench.seen.lock().unwrap().letters[0].error.clone();
    assert_eq!(error, "kept failing alone while others passed: 500: says 500");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_keeps_failing_does_not_delay_those_that_come_after_it() {
    let bench = Bench::new(Delivery::default());
    bench.sink.now_does(|call| {
        let poison = call.records.contains(&0);
        (Duration::ZERO, call.all(&if poison { refused(Blame::Sink, "500") } else { Verdict::Delivered }))
    });
    bench.feed(0, "u");
    tokio::time::sleep(SECOND * 300).await;
    assert_eq!(bench.dead(), [], "as long as nothing else passes it may be the sink");
    for record in 1..5 {
        let before = bench.elapsed();
        bench.feed_all([record]);
        bench.all_done([record]).await;
        assert!(bench.elapsed() - before < SECOND, "{record} waited {:?}", bench.elapsed() - before);
        tokio::time::sleep(SECOND * 60).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_give_up_after() {
    let bench = Bench::new(Delivery { give_up_after: Some(SECOND * 60), ..Delivery::default() });
    bench.sink.now_does(|call| (Duration::ZERO, call.all(&refused(Blame::Sink, "503"))));
    bench.feed_all(0..3);
    bench.all_done(0..3).await;
    assert_eq!(bench.dead(), [(0, "exhausted"), (1, "exhausted"), (2, "exhausted")]);
    assert!((SECOND * 60..SECOND * 130).contains(&bench.elapsed()), "{:?}", bench.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_for_records_that_were_taken_away_is_cancelled_and_the_others_go_again() {
    let bench = Bench::new(Delivery { concurrency: 2, ..Delivery::default() });
    bench.sink.now_does(|call| (if call.index == 0 { SECOND * 5 } else { Duration::ZERO }, call.all(&Verdict::Delivered)));
    let keys: Vec<String> = (0..4).map(|n| format!("key-{n}")).collect();
    keys.iter().zip(0..).for_each(|(key, record)| bench.feed(record, key));
    bench.until("they are out", |seen| seen.calls.len() == 1).await;
    let gone = partition_of(Some(&keys[0]));
    bench.partitions[gone].cancel();
    let (kept, lost): (Vec<u64>, Vec<u64>) = (0..4).partition(|record| partition_of(Some(&keys[*record as usize])) != gone);
    bench.all_done(kept.clone()).await;
    assert!(bench.elapsed() < SECOND, "the call was not waited for");
    tokio::time::sleep(SECOND * 60).await;
    assert!(lost.iter().all(|record| !bench.seen.lock().unwrap().acknowledged.contains(record)));
    assert_eq!(bench.accepted(), kept);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_away_while_it_waits_is_never_sent_and_frees_its_key() {
    let bench = Bench::new(Delivery::default());
    bench.sink.now_does(|call| {
        (Duration::ZERO, call.all(&if call.records.contains(&0) { refused(Blame::Sink, "503") } else { Verdict::Delivered }))
    });
    bench.feed(0, "u");
    bench.until("it failed", |seen| !seen.calls.is_empty()).await;
    bench.partitions[partition_of(Some("u"))].cancel();
    tokio::time::sleep(SECOND * 120).await;
    assert!(bench.batches().len() <= 3, "{:?}", bench.batches());
    assert_eq!(bench.dead(), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_away_is_let_go_at_once_wherever_it_waits() {
    let bench = Bench::new(Delivery { max_records: 1, concurrency: 2, retry_initial: SECOND * 30, ..Delivery::default() });
    bench.sink.now_does(|call| {
        // one call is out all the time, the others fail
        let verdict = if call.records.contains(&0) { Verdict::Delivered } else { refused(Blame::Sink, "503") };
        (if call.records.contains(&0) { SECOND * 9 } else { Duration::ZERO }, call.all(&verdict))
    });
    bench.feed_all(0..200);
    bench.state_is("paused").await;
    let gone: Vec<u64> = (0..200).filter(|record| partition_of(Some(&format!("key-{record}"))) == partition_of(Some("key-0"))).collect();
    assert!(gone.len() > 20);
    bench.partitions[partition_of(Some("key-0"))].cancel();
    let revoked = bench.elapsed();
    bench.until("all of it is let go", |seen| gone.iter().all(|record| seen.let_go.contains(record))).await;
    assert!(bench.elapsed() - revoked < Duration::from_millis(10), "a rebalance waits for it: {:?}", bench.elapsed() - revoked);
    assert_eq!(bench.seen.lock().unwrap().let_go.len(), gone.len(), "the others are kept");

    // What still came of it after that is let go as it comes
    bench.feed(0, "key-0");
    tokio::time::sleep(Duration::from_millis(10)).await;
    bench.sink.now_does(|call| (Duration::ZERO, call.all(&Verdict::Delivered)));
    let kept: Vec<u64> = (0..200).filter(|record| !gone.contains(record)).collect();
    bench.all_done(kept.clone()).await;
    let mut accepted = bench.accepted();
    accepted.sort_unstable();
    assert_eq!(accepted, kept, "nothing of it is sent");
}

//! The way of records when nothing goes wrong: batches, targets, limits, settings that change.

use std::sync::Arc;
use std::time::Duration;

use analytica::config::{BodyForm, Configured, Delivery, HttpSink, Order, Resolved, SinkSettings};
use analytica::delivery::Command;
use analytica::pipeline::Target;
use analytica::sinks::Verdict;
use jiff::Timestamp;

use crate::bench::*;

const SECOND: Duration = Duration::from_secs(1);

fn http_sink() -> SinkSettings {
    let base_url = Resolved::new("${URL}", "http://127.0.0.1:9");
    SinkSettings::Http(HttpSink { base_url, auth: None, headers: Default::default(), gzip: false, ca_file: None })
}

fn slow(bench: &Bench) {
    bench.sink.now_does(|call| (SECOND, call.all(&Verdict::Delivered)));
}

#[tokio::test(start_paused = true)]
async fn at_low_load_every_record_leaves_at_once() {
    let bench = Bench::new(Delivery::default());
    for record in 0..3 {
        bench.feed(record, "u");
        bench.all_done([record]).await;
    }
    assert_eq!(bench.batches(), [[0], [1], [2]]);
    assert!(bench.elapsed() < Duration::from_millis(20), "nobody waited for anything: {:?}", bench.elapsed());
    assert_eq!(bench.counted("delivered"), 3);
    assert_eq!(bench.metrics.snapshot().count("analytica_end_to_end_duration_seconds_count", &[]), 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_what_has_gathered_while_the_sink_was_busy() {
    let bench = Bench::new(Delivery { concurrency: 1, max_records: 50, ..Delivery::default() });
    slow(&bench);
    bench.feed(0, "u");
    bench.until("the first is out", |seen| seen.calls.len() == 1).await;
    bench.feed_all(1..=70);
    bench.all_done(0..=70).await;
    let sizes: Vec<usize> = bench.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 50, 20]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_set_number_of_calls_is_out_at_once() {
    let bench = Bench::new(Delivery { concurrency: 3, max_records: 2, ..Delivery::default() });
    slow(&bench);
    bench.feed_all(0..40);
    bench.all_done(0..40).await;
    assert_eq!(bench.seen.lock().unwrap().most_at_once, 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_more_only_where_max_wait_says_so() {
    let bench = Bench::new(Delivery { max_wait: SECOND * 5, max_records: 3, ..Delivery::default() });
    bench.feed_all(0..2);
    bench.all_done(0..2).await;
    assert!(bench.elapsed() >= SECOND * 5);
    let full = bench.elapsed();
    bench.feed_all(2..5);
    bench.all_done(2..5).await;
    assert!(bench.elapsed() - full < SECOND, "a full batch does not wait");
    assert_eq!(bench.batches(), [vec![0, 1], vec![2, 3, 4]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_never_mixes_targets() {
    let bench = Bench::with_sink(Delivery::default(), http_sink(), file_target());
    slow(&bench);
    let now = Timestamp::from_second(BEGIN).unwrap();
    let targets = [request("/a", BodyForm::Batch), request("/b", BodyForm::Batch), request("/a", BodyForm::Ndjson)].map(Arc::new);
    for record in 0..30 {
        // A target of its own for each, as records read from a queue have them.
        let target = Arc::new(Target::clone(&targets[record as usize % 3]));
        bench.feed_entry(record, Some(&format!("u{record}")), target, now);
    }
    bench.all_done(0..30).await;
    assert_eq!(bench.batches().len(), 3);
    for call in &bench.seen.lock().unwrap().calls {
        assert!(call.records.iter().all(|record| *targets[*record as usize % 3] == call.target));
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_request_takes_one_payload_a_batch_is_one_record() {
    let bench = Bench::with_sink(Delivery::default(), http_sink(), request("/track", BodyForm::Single));
    bench.feed_all(0..10);
    bench.all_done(0..10).await;
    assert!(bench.batches().iter().all(|batch| batch.len() == 1));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_holds_and_is_used() {
    let bench = Bench::new(Delivery { rate_limit: Some(10.0), ..Delivery::default() });
    bench.feed_all(0..100);
    bench.all_done(0..100).await;
    let took = bench.elapsed().as_secs_f64();
    assert!((8.0..=10.0).contains(&took), "100 records at 10/s, a second's worth saved up: {took} s");
}

#[tokio::test(start_paused = true)]
async fn new_settings_and_a_new_sink_take_over_between_calls() {
    let bench = Bench::new(Delivery { concurrency: 1, max_records: 1, ..Delivery::default() });
    slow(&bench);
    bench.feed_all(0..10);
    bench.until("one is out", |seen| seen.calls.len() == 2).await;
    let other = Bench::new(Delivery::default());
    let delivery = Delivery { concurrency: 1, max_records: 100, order: Order::None, ..Delivery::default() };
    let settings = Configured { sink: file_sink(), delivery };
    bench.commands.send(Command::Reconfigure(Box::new(settings), other.sink.clone())).await.unwrap();
    bench.all_done(0..10).await;
    assert_eq!(bench.accepted(), [0, 1], "what was out ended where it began");
    assert_eq!(other.batches(), [(2..10).collect::<Vec<u64>>()]);
}

#[tokio::test(start_paused = true)]
async fn records_for_another_type_of_sink_pause_the_queue_until_the_definition_fits() {
    let bench = Bench::with_sink(Delivery::default(), http_sink(), file_target());
    bench.feed_all(0..5);
    bench.state_is("misconfigured").await;
    let why = bench.state.borrow().to_string();
    assert!(why.contains("records for a sink of type file, the definition says http"), "{why}");
    tokio::time::sleep(SECOND * 300).await;
    assert_eq!((bench.batches().len(), bench.dead()), (0, vec![]));
    let settings = Configured { sink: file_sink(), delivery: Delivery::default() };
    bench.commands.send(Command::Reconfigure(Box::new(settings), bench.sink.clone())).await.unwrap();
    bench.all_done(0..5).await;
    bench.state_is("delivering").await;
}

#[tokio::test(start_paused = true)]
async fn a_draining_delivery_says_so_and_delivers_the_rest() {
    let bench = Bench::new(Delivery { max_wait: SECOND * 60, ..Delivery::default() });
    bench.feed_all(0..5);
    bench.commands.send(Command::Drain).await.unwrap();
    bench.state_is("draining").await;
    bench.all_done(0..5).await;
    assert!(bench.elapsed() < SECOND, "it does not wait for more");
}

//! An operator stops a delivery, and lets it go on.

use std::time::Duration;

use analytica::config::Delivery;
use analytica::delivery::Command;
use analytica::sinks::{Blame, Verdict};

use crate::bench::*;

const HOUR: Duration = Duration::from_secs(3_600);

async fn hold(bench: &Bench) {
    bench.commands.send(Command::Hold(Some("paused by ana".to_owned()))).await.unwrap();
    bench.state_is("paused").await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_meanwhile_waits_and_is_delivered_afterwards() {
    let bench = Bench::new(Delivery::default());
    hold(&bench).await;
    assert_eq!(bench.state.borrow().why(), Some("paused by ana"));
    bench.feed_all(0..3);
    tokio::time::sleep(HOUR).await;
    assert!(bench.batches().is_empty());
    bench.commands.send(Command::Hold(None)).await.unwrap();
    bench.all_done(0..3).await;
    bench.state_is("delivering").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_is_finished_and_its_retries_wait() {
    let bench = Bench::new(Delivery { concurrency: 1, max_records: 1, ..Delivery::default() });
    bench.sink.now_does(|call| {
        (Duration::from_secs(5), call.all(&if call.index == 0 { refused(Blame::Sink, "503") } else { Verdict::Delivered }))
    });
    bench.feed_all(0..2);
    bench.until("the first is out", |seen| seen.calls.len() == 1).await;
    hold(&bench).await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(bench.batches(), [[0]]);
    bench.commands.send(Command::Hold(None)).await.unwrap();
    bench.all_done(0..2).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_none_of_it() {
    let bench = Bench::new(Delivery::default());
    hold(&bench).await;
    bench.feed_all(0..3);
    bench.commands.send(Command::Drain).await.unwrap();
    bench.until("all are let go", |seen| seen.let_go.len() == 3).await;
    assert!(bench.batches().is_empty());
    assert!(bench.seen.lock().unwrap().acknowledged.is_empty(), "they come again with the next start");
}

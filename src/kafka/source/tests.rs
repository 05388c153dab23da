//! The source on the embedded broker: what is committed, and when it stops taking.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::*;
use crate::kafka::{Embedded, Output, Producer};

const DEADLINE: Duration = Duration::from_secs(30);

struct Fixture {
    kafka: Kafka,
    producer: Producer,
}

impl Fixture {
    fn new(partitions: u32) -> Fixture {
        let embedded = Embedded::start().expect("the embedded broker starts");
        embedded.create_topic("events", partitions).expect("the topic is made");
        let kafka = embedded.kafka("test");
        let producer = Producer::new(&kafka).expect("a producer starts");
        Fixture { kafka, producer }
    }

    async fn produce(&self, partition: i32, values: std::ops::Range<usize>) {
        for value in values {
            let output = Output {
                topic: "events".into(),
                partition,
                key: None,
                value: value.to_string().into_bytes(),
                headers: vec![("n", b"1".to_vec())],
            };
            self.producer.produce(output).await.expect("the embedded broker takes it");
        }
    }

    fn source(&self, max_in_flight: usize) -> (Source, Receiver<Message>) {
        let (send, messages) = mpsc::channel();
        let options = SourceOptions {
            group: "group".to_string(),
            topics: vec!["events".to_string()],
            start: Start::Earliest,
            max_in_flight,
            max_in_flight_bytes: 1 << 20,
        };
        // A test that has seen enough lets go of its end
        let source = Source::start(&self.kafka, options, move |message| drop(send.send(message))).expect("the source starts");
        (source, messages)
    }
}

fn next(messages: &Receiver<Message>) -> Message {
    messages.recv_timeout(DEADLINE).expect("a record comes")
}

fn value(message: &Message) -> usize {
    String::from_utf8_lossy(message.value.as_deref().unwrap_or_default()).parse().expect("a number was produced")
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_past_the_first_record_that_is_not_done() {
    let fixture = Fixture::new(1);
    fixture.produce(0, 0..5).await;
    let (source, messages) = fixture.source(100);
    let mut taken: Vec<Message> = (0..5).map(|_| next(&messages)).collect();
    assert_eq!(taken[0].headers, [("n".to_string(), b"1".to_vec())]);
    // 0, 1, 3 and 4 are done; 2 is dropped, as a crash would
    for message in taken.drain(..).filter(|message| value(message) != 2) {
        message.ticket.done();
    }
    source.stop(Duration::ZERO).await.expect("it stops");

    let (source, messages) = fixture.source(100);
    let again: Vec<usize> = (0..3).map(|_| value(&next(&messages))).collect();
    assert_eq!(again, [2, 3, 4]);
    source.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_waits_for_what_is_in_flight_and_commits_it() {
    let fixture = Fixture::new(1);
    fixture.produce(0, 0..3).await;
    let (source, messages) = fixture.source(100);
    let taken: Vec<Message> = (0..3).map(|_| next(&messages)).collect();
    let stopping = tokio::spawn(source.stop(DEADLINE));
    for message in taken {
        message.ticket.done();
    }
    stopping.await.expect("no panic").expect("it stops");
    fixture.produce(0, 3..4).await;
    let (source, messages) = fixture.source(100);
    assert_eq!(value(&next(&messages)), 3);
    source.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_brings_back_the_first_record_that_is_not_done_and_all_behind_it() {
    let fixture = Fixture::new(1);
    fixture.produce(0, 0..4).await;
    let (source, messages) = fixture.source(100);
    let mut taken: BTreeMap<usize, Message> = (0..4).map(|_| next(&messages)).map(|message| (value(&message), message)).collect();
    let mut ticket = |n| taken.remove(&n).expect("it was taken").ticket;
    ticket(0).done();
    ticket(2).rewind();
    let old = ticket(3);
    let again: Vec<Message> = (0..3).map(|_| next(&messages)).collect();
    assert_eq!(again.iter().map(value).collect::<Vec<_>>(), [1, 2, 3]);
    // A ticket from before the rewind counts no more, and whoever holds it can see that
    assert!(old.revoked().is_cancelled());
    old.done();
    assert!(!again[2].ticket.revoked().is_cancelled());
    for message in again.into_iter().take(2) {
        message.ticket.done();
    }
    source.stop(Duration::ZERO).await.expect("it stops");
    let (source, messages) = fixture.source(100);
    assert_eq!(value(&next(&messages)), 3);
    source.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_at_its_limit_is_paused_and_goes_on_at_half_of_it() {
    let fixture = Fixture::new(1);
    fixture.produce(0, 0..40).await;
    let (source, messages) = fixture.source(10);
    let mut held: Vec<Message> = (0..10).map(|_| next(&messages)).collect();
    until("the partition is paused", || source.paused() == 1).await;
    assert!(matches!(messages.recv_timeout(Duration::from_millis(100)), Err(RecvTimeoutError::Timeout)));
    for message in held.drain(..5) {
        message.ticket.done();
    }
    assert!(matches!(messages.recv_timeout(Duration::from_millis(100)), Ok(_) | Err(RecvTimeoutError::Timeout)));
    for message in held {
        message.ticket.done();
    }
    // Nothing is left out or taken twice on the way through many pauses
    source.stop(Duration::ZERO).await.expect("it stops");
    let (source, messages) = fixture.source(10);
    let mut seen = Vec::new();
    while seen.last() != Some(&39) {
        let message = next(&messages);
        seen.push(value(&message));
        message.ticket.done();
    }
    assert_eq!(seen, (10..40).collect::<Vec<_>>());
    source.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_moves_commits_what_is_done_and_nothing_is_lost() {
    let fixture = Fixture::new(4);
    for partition in 0..4 {
        fixture.produce(partition, 0..10).await;
    }
    let (first, messages) = fixture.source(100);
    let mut held: Vec<Message> = (0..40).map(|_| next(&messages)).collect();
    let (second, others) = fixture.source(100);
    // The first half of each partition is done while the partitions move
    for message in held.extract_if(.., |message| value(message) < 5) {
        message.ticket.done();
    }
    let token = |message: &Message| message.ticket.revoked().is_cancelled();
    until("some partitions are revoked", || held.iter().any(token)).await;
    // Whoever sees that drops them, and the rebalance goes on
    let moved: Vec<Message> = held.extract_if(.., |message| token(message)).collect();
    let mut expected: Vec<(i32, usize)> = moved.iter().map(|message| (message.origin.partition, value(message))).collect();
    drop(moved);
    let mut seen: Vec<(i32, usize)> =
        (0..expected.len()).map(|_| next(&others)).map(|message| (message.origin.partition, value(&message))).collect();
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    assert_eq!(first.assigned().len() + second.assigned().len(), 4);
    drop(held);
    first.stop(Duration::ZERO).await.expect("it stops");
    second.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_counts_what_is_not_done() {
    let fixture = Fixture::new(2);
    fixture.produce(0, 0..5).await;
    fixture.produce(1, 0..3).await;
    let (source, messages) = fixture.source(2);
    until("what lies on the topic is known", || source.lag() == 8).await;
    for _ in 0..8 {
        next(&messages).ticket.done();
    }
    until("all is done", || source.lag() == 0).await;
    source.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_the_embedded_broker_dropped_are_a_failure() {
    let fixture = Fixture::new(1);
    let value = vec![b'x'; 512 << 10];
    for _ in 0..12 {
        let output = Output { topic: "events".into(), partition: 0, key: None, value: value.clone(), headers: Vec::new() };
        fixture.producer.produce(output).await.expect("the embedded broker takes it");
    }
    let (source, _messages) = fixture.source(100);
    let failed = tokio::time::timeout(DEADLINE, source.failed()).await.expect("it fails");
    assert!(matches!(failed, KafkaError::Lost { expected: 0, .. }), "{failed}");
    assert!(source.stop(Duration::ZERO).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_taker_is_a_failure_and_not_silence() {
    let fixture = Fixture::new(1);
    fixture.produce(0, 0..1).await;
    let options = SourceOptions {
        group: "g".into(),
        topics: vec!["events".into()],
        start: Start::Earliest,
        max_in_flight: 1,
        max_in_flight_bytes: 1,
    };
    let source = Source::start(&fixture.kafka, options, |_| panic!("of the test")).expect("the source starts");
    let failed = tokio::time::timeout(DEADLINE, source.failed()).await.expect("it fails");
    assert!(failed.to_string().contains("of the test"), "{failed}");
}

#[test]
fn a_pattern_becomes_an_anchored_regex_and_a_name_stays_one() {
    assert_eq!(subscription("web.events"), "web.events");
    assert_eq!(subscription("engine.*"), "^engine\\..*$");
    assert_eq!(subscription("a-*_b+"), "^a-.*_b\\+$");
}

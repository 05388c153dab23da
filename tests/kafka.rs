//! The kafka room on a real broker: what the embedded one cannot show. KAFKA_BROKERS says where it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use analytica::config::{KafkaSettings, Resolved, TopicSettings};
use analytica::kafka::{Ensured, Kafka, KafkaError, Message, Output, OwnedTopic, ProduceError, Producer, Source, SourceOptions, Start};

const DEADLINE: Duration = Duration::from_secs(60);

struct World {
    kafka: Kafka,
    topic: Arc<str>,
}

impl World {
    fn new(properties: &[(&str, &str)]) -> World {
        let brokers = std::env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS names a Kafka for the tests: scripts/test.sh starts one");
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let settings = KafkaSettings {
            brokers: brokers.split(',').map(str::to_string).collect(),
            prefix: name.clone(),
            topics: TopicSettings { replication: 1, min_insync: 1, retention: Duration::from_secs(3600) },
            exactly_once: false,
            properties: properties.iter().map(|(name, value)| ((*name).to_string(), Resolved::new(*value, *value))).collect(),
        };
        World { kafka: Kafka::new(&settings, "test"), topic: format!("{name}.events").into() }
    }

    async fn ensure(&self, partitions: u32, create: bool) -> Ensured {
        let topics = vec![OwnedTopic { name: Arc::clone(&self.topic), partitions }];
        self.kafka.ensure_topics(topics, create).await.expect("Kafka answers").remove(0)
    }

    async fn with_topic(properties: &[(&str, &str)], partitions: u32) -> World {
        let world = World::new(properties);
        assert!(matches!(world.ensure(partitions, true).await, Ensured::Created));
        world
    }

    async fn produce(&self, partition: i32, numbers: std::ops::Range<usize>) {
        let producer = Producer::new(&self.kafka).expect("a producer starts");
        for n in numbers {
            let output =
                Output { topic: Arc::clone(&self.topic), partition, key: None, value: n.to_string().into_bytes(), headers: Vec::new() };
            producer.produce(output).await.expect("the broker takes it");
        }
    }

    fn source(&self, topics: &str, max_in_flight: usize) -> (Source, Receiver<Message>) {
        let (send, messages) = mpsc::channel();
        let options = SourceOptions {
            group: self.kafka.events_group(),
            topics: vec![topics.to_string()],
            start: Start::Earliest,
            max_in_flight,
            max_in_flight_bytes: 1 << 24,
        };
        // A test that has seen enough lets go of its end
        let source = Source::start(&self.kafka, options, move |message| drop(send.send(message))).expect("the source starts");
        (source, messages)
    }
}

fn next(messages: &Receiver<Message>) -> Message {
    messages.recv_timeout(DEADLINE).expect("a record comes")
}

fn number(message: &Message) -> usize {
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
async fn owned_topics_are_made_once_and_never_changed() {
    let world = World::new(&[]);
    assert!(matches!(world.ensure(3, false).await, Ensured::Wrong(KafkaError::NoTopic { .. })));
    assert!(matches!(world.ensure(3, true).await, Ensured::Created));
    assert!(matches!(world.ensure(3, true).await, Ensured::Present));
    assert!(matches!(world.ensure(5, true).await, Ensured::Wrong(KafkaError::Partitions { wanted: 5, found: 3, .. })));
    assert_eq!(world.kafka.partitions(&[&world.topic]).expect("Kafka answers").get(&*world.topic), Some(&3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_done_comes_again_after_a_restart_and_nothing_else() {
    let world = World::with_topic(&[], 1).await;
    world.produce(0, 0..6).await;
    let (source, messages) = world.source(&world.topic, 100);
    for message in (0..6).map(|_| next(&messages)) {
        if number(&message) != 2 {
            message.ticket.done();
        }
    }
    // Dropped, not stopped
    drop(source);
    let (source, messages) = world.source(&world.topic, 100);
    assert_eq!((0..4).map(|_| number(&next(&messages))).collect::<Vec<_>>(), [2, 3, 4, 5]);
    source.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_goes_back_to_the_first_that_is_not_done() {
    let world = World::with_topic(&[], 1).await;
    world.produce(0, 0..4).await;
    let (source, messages) = world.source(&world.topic, 100);
    let mut taken: Vec<Message> = (0..4).map(|_| next(&messages)).collect();
    taken.remove(0).ticket.done();
    taken.remove(1).ticket.rewind();
    assert_eq!((0..3).map(|_| number(&next(&messages))).collect::<Vec<_>>(), [1, 2, 3]);
    source.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_move_to_a_second_member_without_loss() {
    let world = World::with_topic(&[], 4).await;
    for partition in 0..4 {
        world.produce(partition, 0..10).await;
    }
    let (first, messages) = world.source(&world.topic, 100);
    let mut held: Vec<Message> = (0..40).map(|_| next(&messages)).collect();
    let (second, others) = world.source(&world.topic, 100);
    for message in held.extract_if(.., |message| number(message) < 5) {
        message.ticket.done();
    }
    until("some partitions are revoked", || held.iter().any(|message| message.ticket.revoked().is_cancelled())).await;
    let moved: Vec<Message> = held.extract_if(.., |message| message.ticket.revoked().is_cancelled()).collect();
    let expected: BTreeSet<(i32, usize)> = moved.iter().map(|message| (message.origin.partition, number(message))).collect();
    drop(moved);
    let seen: BTreeSet<(i32, usize)> =
        (0..expected.len()).map(|_| next(&others)).map(|message| (message.origin.partition, number(&message))).collect();
    assert_eq!(seen, expected);
    drop(held);
    first.stop(Duration::ZERO).await.expect("it stops");
    second.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_taker_pauses_its_partition_and_stays_a_member() {
    let world = World::with_topic(&[("session.timeout.ms", "6000"), ("max.poll.interval.ms", "6000")], 1).await;
    world.produce(0, 0..50).await;
    let (source, messages) = world.source(&world.topic, 10);
    let held: Vec<Message> = (0..10).map(|_| next(&messages)).collect();
    until("the partition is paused", || source.paused() == 1).await;
    // Longer than both timeouts: a poll that waited for the taker would lose the partition
    assert!(matches!(messages.recv_timeout(Duration::from_secs(7)), Err(RecvTimeoutError::Timeout)));
    assert!(held.iter().all(|message| !message.ticket.revoked().is_cancelled()));
    held.into_iter().for_each(|message| message.ticket.done());
    let mut seen = Vec::new();
    while seen.last() != Some(&49) {
        let message = next(&messages);
        seen.push(number(&message));
        message.ticket.done();
    }
    assert_eq!(seen, (10..50).collect::<Vec<_>>());
    until("all is done", || source.lag() == 0).await;
    source.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_waited_for() {
    let world = World::new(&[("topic.metadata.refresh.interval.ms", "500")]);
    let (source, messages) = world.source(&world.topic, 10);
    assert!(matches!(messages.recv_timeout(Duration::from_millis(500)), Err(RecvTimeoutError::Timeout)));
    assert!(matches!(world.ensure(1, true).await, Ensured::Created));
    world.produce(0, 0..1).await;
    assert_eq!(number(&next(&messages)), 0);
    source.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_takes_the_topics_that_match_but_never_our_own() {
    let world = World::with_topic(&[], 1).await;
    let queue = OwnedTopic { name: world.kafka.queue_topic("c"), partitions: 1 };
    world.kafka.ensure_topics(vec![queue], true).await.expect("Kafka answers");
    world.produce(0, 0..1).await;
    let prefix = world.topic.trim_end_matches("events");
    let (source, messages) = world.source(&format!("{prefix}*"), 10);
    assert_eq!(number(&next(&messages)), 0);
    assert_eq!(source.assigned(), [(Arc::clone(&world.topic), 0)]);
    source.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_too_large_for_its_topic_is_told_apart_and_its_neighbours_pass() {
    let world = World::with_topic(&[], 1).await;
    let producer = Producer::new(&world.kafka).expect("a producer starts");
    let output =
        |bytes: usize| Output { topic: Arc::clone(&world.topic), partition: 0, key: None, value: vec![b'1'; bytes], headers: Vec::new() };
    // A topic takes 1 MiB unless told; the client's own limit lies far above
    let (before, large, huge, after) = tokio::join!(
        producer.produce(output(1)),
        producer.produce(output(2 << 20)),
        producer.produce(output(64 << 20)),
        producer.produce(output(1))
    );
    before.expect("it is small");
    after.expect("it is small");
    assert!(matches!(large, Err(ProduceError::TooLarge { bytes, .. }) if bytes == 2 << 20), "{large:?}");
    assert!(matches!(huge, Err(ProduceError::TooLarge { .. })), "{huge:?}");
}

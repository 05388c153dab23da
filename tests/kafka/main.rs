//! The kafka room on a real broker: what the embedded one cannot show. KAFKA_BROKERS says where it is.

mod pressure;
mod rebalance;
#[path = "../world/mod.rs"]
mod world;

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use analytica::kafka::{Ensured, KafkaError, Message, Output, OwnedTopic, ProduceError, SourceOptions};
use world::{World, next, number};

#[tokio::test(flavor = "multi_thread")]
async fn owned_topics_are_made_once_and_never_changed() {
    let world = World::real();
    assert!(matches!(world.ensure(&world.events, 3, false).await, Ensured::Wrong(KafkaError::NoTopic { .. })));
    assert!(matches!(world.ensure(&world.events, 3, true).await, Ensured::Created));
    assert!(matches!(world.ensure(&world.events, 3, true).await, Ensured::Present));
    assert!(matches!(world.ensure(&world.events, 5, true).await, Ensured::Wrong(KafkaError::Partitions { wanted: 5, found: 3, .. })));
    assert_eq!(world.kafka.partitions(&[&world.events]).expect("Kafka answers").get(&*world.events), Some(&3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_done_comes_again_after_a_restart_and_nothing_else() {
    let world = World::real().with_events(1).await;
    world.produce(0, 0..6).await;
    let (source, messages) = world.source();
    for message in (0..6).map(|_| next(&messages)) {
        if number(&message) != 2 {
            message.ticket.done();
        }
    }
    // Dropped, not stopped
    drop(source);
    let (source, messages) = world.source();
    assert_eq!((0..4).map(|_| number(&next(&messages))).collect::<Vec<_>>(), [2, 3, 4, 5]);
    source.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_goes_back_to_the_first_that_is_not_done() {
    let world = World::real().with_events(1).await;
    world.produce(0, 0..4).await;
    let (source, messages) = world.source();
    let mut taken: Vec<Message> = (0..4).map(|_| next(&messages)).collect();
    taken.remove(0).ticket.done();
    taken.remove(1).ticket.rewind();
    assert_eq!((0..3).map(|_| number(&next(&messages))).collect::<Vec<_>>(), [1, 2, 3]);
    source.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_waited_for() {
    let world = World::real_with(&[("topic.metadata.refresh.interval.ms", "500")]);
    let (source, messages) = world.narrow_source(10);
    assert!(matches!(messages.recv_timeout(Duration::from_millis(500)), Err(RecvTimeoutError::Timeout)));
    assert!(matches!(world.ensure(&world.events, 1, true).await, Ensured::Created));
    world.produce(0, 0..1).await;
    assert_eq!(number(&next(&messages)), 0);
    source.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_takes_the_topics_that_match_but_never_our_own() {
    let world = World::real().with_events(1).await;
    let queue = OwnedTopic { name: world.kafka.queue_topic("c"), partitions: 1 };
    world.kafka.ensure_topics(vec![queue], true).await.expect("Kafka answers");
    world.produce(0, 0..1).await;
    let prefix = world.events.trim_end_matches("events");
    let (source, messages) = world.source_with(SourceOptions { topics: vec![format!("{prefix}*")], ..world.options() });
    assert_eq!(number(&next(&messages)), 0);
    assert_eq!(source.assigned(), [(Arc::clone(&world.events), 0)]);
    source.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_too_large_for_its_topic_is_told_apart_and_its_neighbours_pass() {
    let world = World::real().with_events(1).await;
    let producer = &world.producer;
    let output =
        |bytes: usize| Output { topic: Arc::clone(&world.events), partition: 0, key: None, value: vec![b'1'; bytes], headers: Vec::new() };
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

//! A Kafka for one test: topics, groups and owned names of its own on the real broker that KAFKA_BROKERS names, or all of it embedded.

#![allow(dead_code, reason = "each test file that shares this uses its part")]

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use analytica::config::{KafkaSettings, Resolved, TopicSettings};
use analytica::kafka::{Embedded, Ensured, Kafka, Message, Output, OwnedTopic, Producer, Source, SourceOptions, Start};
use futures_util::future::join_all;

/// Longer than anything here takes; shorter than a person waits.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct World {
    pub kafka: Kafka,
    pub producer: Producer,
    /// The name of an events topic, which nobody has made yet.
    pub events: Arc<str>,
}

impl World {
    pub fn embedded() -> World {
        World::on(Embedded::start().expect("the embedded broker starts").kafka("test"), "events")
    }

    pub fn real() -> World {
        World::real_with(&[])
    }

    /// With these properties of librdkafka's.
    pub fn real_with(properties: &[(&str, &str)]) -> World {
        let brokers = std::env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS names a Kafka for the tests: scripts/test.sh starts one");
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let settings = KafkaSettings {
            brokers: brokers.split(',').map(str::to_string).collect(),
            prefix: name.clone(),
            topics: TopicSettings { replication: 1, min_insync: 1, retention: Duration::from_secs(3600) },
            exactly_once: false,
            properties: properties.iter().map(|(name, value)| ((*name).to_string(), Resolved::new(*value, *value))).collect(),
        };
        World::on(Kafka::new(&settings, "test"), &format!("{name}.events"))
    }

    pub fn on(kafka: Kafka, events: &str) -> World {
        World { producer: Producer::new(&kafka).expect("a producer starts"), kafka, events: events.into() }
    }

    /// The same with its events topic made.
    pub async fn with_events(self, partitions: u32) -> World {
        self.make(&[Arc::clone(&self.events)], partitions).await;
        self
    }

    pub async fn ensure(&self, topic: &Arc<str>, partitions: u32, create: bool) -> Ensured {
        let topics = vec![OwnedTopic { name: Arc::clone(topic), partitions }];
        self.kafka.ensure_topics(topics, create).await.expect("Kafka answers").remove(0)
    }

    pub async fn make(&self, topics: &[Arc<str>], partitions: u32) {
        for topic in topics {
            let made = self.ensure(topic, partitions, true).await;
            assert!(matches!(made, Ensured::Created | Ensured::Present), "{made:?}");
        }
    }

    /// Numbers onto a partition of the events topic, in order.
    pub async fn produce(&self, partition: i32, numbers: std::ops::Range<usize>) {
        let output = |n: usize| Output {
            topic: Arc::clone(&self.events),
            partition,
            key: None,
            value: n.to_string().into_bytes(),
            headers: vec![("n", b"1".to_vec())],
        };
        for produced in join_all(numbers.map(|n| self.producer.produce(output(n)))).await {
            produced.expect("the broker takes it");
        }
    }

    /// The events topic, read by the events group from its beginning, with more room than a test needs.
    pub fn options(&self) -> SourceOptions {
        SourceOptions {
            group: self.kafka.events_group(),
            topics: vec![self.events.to_string()],
            start: Start::Earliest,
            max_in_flight: 100_000,
            max_in_flight_bytes: 1 << 30,
        }
    }

    pub fn source(&self) -> (Source, Receiver<Message>) {
        self.source_with(self.options())
    }

    /// With so much room in each partition.
    pub fn narrow_source(&self, max_in_flight: usize) -> (Source, Receiver<Message>) {
        self.source_with(SourceOptions { max_in_flight, ..self.options() })
    }

    pub fn source_with(&self, options: SourceOptions) -> (Source, Receiver<Message>) {
        let (send, messages) = mpsc::channel();
        // A test that has seen enough lets go of its end
        let source = Source::start(&self.kafka, options, move |message| drop(send.send(message))).expect("the source starts");
        (source, messages)
    }
}

pub fn next(messages: &Receiver<Message>) -> Message {
    messages.recv_timeout(DEADLINE).expect("a record comes")
}

/// What `World::produce` put into it.
pub fn number(message: &Message) -> usize {
    String::from_utf8_lossy(message.value.as_deref().unwrap_or_default()).parse().expect("a number was produced")
}

pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

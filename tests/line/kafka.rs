//! The real broker, as a test's emitter and as its eyes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

/// A record as it stands on a topic.
#[derive(Debug, Clone)]
pub struct Stored {
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub headers: BTreeMap<String, Vec<u8>>,
}

impl Stored {
    pub fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {:?}", self.headers.keys()));
        String::from_utf8_lossy(value).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.value).unwrap_or_else(|e| panic!("not JSON ({e}): {}", String::from_utf8_lossy(&self.value)))
    }
}

pub fn brokers() -> String {
    std::env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS is not set: run scripts/test.sh, which starts a broker, or name one")
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

pub fn create_topic(brokers: &str, name: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create().expect("admin client");
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let results = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)))));
    for result in results.expect("create topics") {
        result.unwrap_or_else(|(topic, code)| panic!("cannot make {topic}: {code}"));
    }
}

/// Produces and waits until the broker has acknowledged all.
pub struct Emitter(ThreadedProducer<DefaultProducerContext>);

impl Emitter {
    pub fn new(brokers: &str) -> Emitter {
        let mut config = client(brokers);
        config.set("enable.idempotence", "true").set("linger.ms", "5").set("queue.buffering.max.messages", "1000000");
        Emitter(config.create().expect("producer"))
    }

    pub fn send(&self, topic: &str, key: Option<&str>, value: &[u8]) {
        self.send_with(topic, key, value, &[]);
    }

    pub fn send_with(&self, topic: &str, key: Option<&str>, value: &[u8], headers: &[(&str, &str)]) {
        let headers =
            headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value.as_bytes()) }));
        let mut record = BaseRecord::<str, [u8]>::to(topic).payload(value).headers(headers);
        if let Some(key) = key {
            record = record.key(key);
        }
        self.0.send(record).unwrap_or_else(|(error, _)| panic!("produce: {error}"));
    }

    pub fn flush(&self) {
        self.0.flush(Duration::from_secs(60)).expect("flush");
    }
}

/// Everything that stands on a topic now; a topic that is not there holds nothing.
pub fn read_all(brokers: &str, topic: &str) -> Vec<Stored> {
    let mut config = client(brokers);
    config
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "false");
    let consumer: BaseConsumer = config.create().expect("consumer");
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).expect("metadata");
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut wanted = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(10)).expect("watermarks");
        if high > low {
            wanted.insert(partition, high);
            assignment.add_partition_offset(topic, partition, Offset::Offset(low)).expect("partition");
        }
    }
    if wanted.is_empty() {
        return Vec::new();
    }
    consumer.assign(&assignment).expect("assign");
    let mut records = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !wanted.is_empty() {
        assert!(Instant::now() < deadline, "could not read {topic} to its end: {wanted:?} left");
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("message");
        if wanted.get(&message.partition()).is_some_and(|&high| message.offset() + 1 >= high) {
            wanted.remove(&message.partition());
        }
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect::<BTreeMap<_, _>>()
        });
        records.push(Stored {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap_or_default().to_vec(),
            headers: headers.unwrap_or_default(),
        });
    }
    records
}

//! The embedded broker: librdkafka's mock cluster. For demo, dev and fast tests only: it keeps 5 MiB a partition in memory and drops the oldest
//! records silently past that (a `Source` on it notices and fails), it has no admin API and no real transactions.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::client::{Kafka, KafkaError};
use crate::config::{KafkaSettings, TopicSettings};

/// Bytes that a partition holds before its oldest records go.
pub const PARTITION_BYTES: usize = 5 << 20;

/// A broker inside this process; it lives as long as any clone, or any `Kafka` that points to it, does.
#[derive(Clone)]
pub struct Embedded {
    cluster: Arc<Mutex<Cluster>>,
}

struct Cluster(MockCluster<'static, DefaultProducerContext>);

// SAFETY: librdkafka's mock cluster API is thread-safe ("all mock cluster functions take the cluster's lock or send an operation to its own thread");
// the wrapper lacks Send only because it holds a raw pointer. It is never shared: the mutex around it lets one thread at a time use it.
unsafe impl Send for Cluster {}

impl Embedded {
    pub fn start() -> Result<Embedded, KafkaError> {
        let cluster = MockCluster::new(1).map_err(|source| KafkaError::new("start the embedded broker", source))?;
        Ok(Embedded { cluster: Arc::new(Mutex::new(Cluster(cluster))) })
    }

    /// Client settings that point here, everything else by default. The owned names are those of prefix `analytica`.
    pub fn kafka(&self, environment: &str) -> Kafka {
        let settings = KafkaSettings {
            brokers: Vec::new(),
            prefix: "analytica".to_string(),
            topics: TopicSettings { replication: 1, min_insync: 1, retention: std::time::Duration::from_secs(7 * 24 * 3600) },
            exactly_once: false,
            properties: Default::default(),
        };
        self.kafka_with(&settings, environment)
    }

    /// These settings, but pointing here.
    pub fn kafka_with(&self, settings: &KafkaSettings, environment: &str) -> Kafka {
        let brokers = vec![self.lock().0.bootstrap_servers()];
        Kafka::new(&KafkaSettings { brokers, ..settings.clone() }, environment).on(self.clone())
    }

    /// Makes a topic. One that is there already is an error of librdkafka's (`TopicAlreadyExists`).
    pub fn create_topic(&self, topic: &str, partitions: u32) -> Result<(), KafkaError> {
        let created = self.lock().0.create_topic(topic, partitions as i32, 1);
        created.map_err(|source| KafkaError::new(format!("create topic {topic} on the embedded broker"), source))
    }

    /// Takes the broker down, or back up: clients see it as unreachable.
    pub fn set_down(&self, down: bool) -> Result<(), KafkaError> {
        let cluster = self.lock();
        let done = if down { cluster.0.broker_down(1) } else { cluster.0.broker_up(1) };
        done.map_err(|source| KafkaError::new("take the embedded broker down or up", source))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cluster> {
        // A panic under this lock leaves nothing half done: each call is one call of librdkafka
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Embedded")
    }
}

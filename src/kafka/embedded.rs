//! The embedded broker: librdkafka's mock cluster. For demo, dev and fast tests only: it keeps 5 MiB a partition in memory and drops the oldest
//! records silently past that (a `Source` on it notices and fails), it has no admin API and no real transactions.

use std::fmt;
use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::bindings::{rd_kafka_handle_mock_cluster, rd_kafka_mock_group_initial_rebalance_delay_ms};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer as _};

use super::client::{Kafka, KafkaError};
use crate::config::{KafkaSettings, TopicSettings};

/// Bytes that a partition holds before its oldest records go.
pub const PARTITION_BYTES: usize = 5 << 20;

/// The session timeout of groups here, milliseconds. The mock cluster ends a rebalance a second before it, whoever has joined by then.
pub(super) const SESSION_MS: u32 = 3000;

/// A broker inside this process; it lives as long as any clone, or any client or `Kafka` that points to it, does.
#[derive(Clone)]
pub struct Embedded {
    /// The client that the mock cluster lives in. It produces nothing.
    home: Arc<BaseProducer>,
}

impl Embedded {
    pub fn start() -> Result<Embedded, KafkaError> {
        let doing = "start the embedded broker";
        let home: BaseProducer =
            ClientConfig::new().set("test.mock.num.brokers", "1").create().map_err(|source| KafkaError::new(doing, source))?;
        // SAFETY: the handle is alive; the cluster it returns lives as long as the handle, and the call only sets a number in it. Without it, the
        // first member of every group would wait three seconds for others.
        unsafe {
            let cluster = rd_kafka_handle_mock_cluster(home.client().native_ptr());
            if cluster.is_null() {
                return Err(KafkaError::new(doing, rdkafka::error::KafkaError::ClientCreation("no mock cluster was made".to_string())));
            }
            rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 100);
        }
        Ok(Embedded { home: Arc::new(home) })
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
        let brokers = self.cluster().map(|cluster| cluster.bootstrap_servers()).into_iter().collect();
        Kafka::new(&KafkaSettings { brokers, ..settings.clone() }, environment).on(self.clone())
    }

    /// Makes a topic. One that is there already is an error of librdkafka's (`TopicAlreadyExists`).
    pub fn create_topic(&self, topic: &str, partitions: u32) -> Result<(), KafkaError> {
        let doing = || format!("create topic {topic} on the embedded broker");
        let cluster = self.cluster().ok_or_else(|| gone(doing()))?;
        cluster.create_topic(topic, partitions as i32, 1).map_err(|source| KafkaError::new(doing(), source))
    }

    /// Takes the broker down, or back up: clients see it as unreachable.
    pub fn set_down(&self, down: bool) -> Result<(), KafkaError> {
        let doing = "take the embedded broker down or up";
        let cluster = self.cluster().ok_or_else(|| gone(doing.to_string()))?;
        let done = if down { cluster.broker_down(1) } else { cluster.broker_up(1) };
        done.map_err(|source| KafkaError::new(doing, source))
    }

    fn cluster(&self) -> Option<MockCluster<'_, DefaultProducerContext>> {
        self.home.client().mock_cluster()
    }
}

fn gone(doing: String) -> KafkaError {
    KafkaError::new(doing, rdkafka::error::KafkaError::Canceled)
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Embedded")
    }
}

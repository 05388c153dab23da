//! Client settings and names of owned topics and groups.

use std::sync::Arc;

use crate::config::KafkaSettings;

/// How to reach Kafka, and what is ours there. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Kafka {}

#[allow(unused_variables)]
impl Kafka {
    pub fn new(settings: &KafkaSettings, environment: &str) -> Kafka {
        todo!()
    }

    /// The same for other brokers (None: these) and with more librdkafka properties, over those that are set: a kafka sink's own cluster. With other brokers
    /// the properties of analytica.yaml do not come along: its credentials are for its own cluster.
    pub fn elsewhere(&self, brokers: Option<Vec<String>>, properties: indexmap::IndexMap<String, crate::config::Resolved>) -> Kafka {
        todo!()
    }

    /// `<prefix>.<env>.queue.<consumer>`
    pub fn queue_topic(&self, consumer: &str) -> Arc<str> {
        todo!()
    }

    /// `<prefix>.<env>.dead.<consumer>`
    pub fn dead_topic(&self, consumer: &str) -> Arc<str> {
        todo!()
    }

    /// `<prefix>.<env>.rejected`
    pub fn rejected_topic(&self) -> Arc<str> {
        todo!()
    }

    /// `<prefix>.<env>.orchestrator`
    pub fn events_group(&self) -> String {
        todo!()
    }

    /// `<prefix>.<env>.delivery.<consumer>`
    pub fn delivery_group(&self, consumer: &str) -> String {
        todo!()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// `doing` reads "cannot <doing>".
    #[error("cannot {doing}: {source}")]
    Client { doing: String, source: rdkafka::error::KafkaError },
}

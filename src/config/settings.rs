//! analytica.yaml: connections and this machine's settings. Not part of the set, never published.

use std::net::SocketAddr;
use std::time::Duration;

use indexmap::IndexMap;

use super::text::Resolved;

/// Flags > `ANALYTICA_*` environment > analytica.yaml > defaults, variables resolved.
#[derive(Debug, Clone)]
pub struct Settings {
    pub kafka: KafkaSettings,
    pub redis: RedisSettings,
    pub config_from: ConfigFrom,
    pub admin_listen: SocketAddr,
}

#[derive(Debug, Clone)]
pub struct KafkaSettings {
    pub brokers: Vec<String>,
    /// Owned topics and groups are `<prefix>.<env>.…`.
    pub prefix: String,
    pub topics: TopicSettings,
    pub exactly_once: bool,
    /// librdkafka properties, over everything that we set ourselves.
    pub properties: IndexMap<String, Resolved>,
}

/// What owned topics are created with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    pub replication: i32,
    pub min_insync: i32,
    pub retention: Duration,
}

#[derive(Debug, Clone)]
pub struct RedisSettings {
    pub url: Resolved,
    pub refresh: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigFrom {
    Redis,
    Files,
}

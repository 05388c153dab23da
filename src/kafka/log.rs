//! What librdkafka says, as log lines of ours: each problem once until it is over, not once a retry.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// A problem that lasts is said again this often.
const REPEAT: Duration = Duration::from_secs(300);

/// The problems of one client that are not over.
#[derive(Debug)]
pub(super) struct Problems {
    client: String,
    open: Mutex<HashMap<String, Instant>>,
}

impl Problems {
    pub(super) fn new(client: impl Into<String>) -> Problems {
        Problems { client: client.into(), open: Mutex::default() }
    }

    /// A transient error: librdkafka goes on trying by itself.
    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        // Reasons of connections hold times and so differ each time; that of a topic names it
        let key = match code {
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::TopicAuthorizationFailed,
            ) => reason.to_string(),
            // One outage, told twice by librdkafka: of a connection, and of all
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Resolve) => {
                "unreachable".to_string()
            }
            code => format!("{code:?}"),
        };
        if !self.is_news(key) {
            return;
        }
        let client = self.client.as_str();
        match code {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                tracing::warn!(client, "waiting for a topic that does not exist: {reason}");
            }
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => {
                tracing::error!(client, "Kafka does not allow it: {reason}");
            }
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Resolve) => {
                tracing::warn!(client, "Kafka cannot be reached, trying on: {reason}");
            }
            _ => tracing::warn!(client, "{error}: {reason}"),
        }
    }

    /// Something of ours went wrong and is tried again; `what` names it and stays the same between tries.
    pub(super) fn trouble(&self, what: &str, error: &dyn std::fmt::Display) {
        if self.is_news(what.to_string()) {
            tracing::warn!(client = self.client.as_str(), "cannot {what}, trying on: {error}");
        }
    }

    /// It works again.
    pub(super) fn over(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.is_empty() {
            open.clear();
            tracing::info!(client = self.client.as_str(), "Kafka answers again");
        }
    }

    pub(super) fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let client = self.client.as_str();
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", client, "{facility}: {message}")
            }
            // Errors come through `error` as well, once each
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::debug!(target: "librdkafka", client, "{facility}: {message}");
            }
            RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", client, "{facility}: {message}"),
        }
    }

    fn is_news(&self, key: String) -> bool {
        let now = Instant::now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get(&key) {
            Some(said) if now.duration_since(*said) < REPEAT => false,
            _ => {
                open.insert(key, now);
                true
            }
        }
    }
}

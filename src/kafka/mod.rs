//! Kafka: client settings, a source with offsets, a producer with acknowledgements, topics, the wire form of queue records, the embedded broker.

mod client;
mod completion;
mod dead;
mod embedded;
mod headers;
mod log;
mod partition;
mod producer;
mod queue;
mod source;
mod ticket;
mod topics;
mod waiting;
mod watermark;
mod wire;

pub use client::{Kafka, KafkaError, Owned};
pub use completion::{Completion, Tally};
pub use dead::{DeadHeaders, RejectedHeaders};
pub use embedded::{Embedded, PARTITION_BYTES};
pub use partition::partition_of;
pub use producer::{OnTooLarge, Output, ProduceError, Producer, Rejected, TooLarge};
pub use queue::{BadQueueRecord, EventHeaders, QueueHeaders};
pub use source::{Message, Source, SourceOptions, Start};
pub use ticket::Ticket;
pub use topics::{Ensured, OwnedTopic};

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::{KafkaSettings, TopicSettings};

    /// Settings that nothing listens at: for what needs no broker.
    pub(crate) fn unreachable() -> Kafka {
        let settings = KafkaSettings {
            brokers: vec!["127.0.0.1:1".to_string()],
            prefix: "analytica".to_string(),
            topics: TopicSettings { replication: 1, min_insync: 1, retention: std::time::Duration::from_secs(3600) },
            exactly_once: false,
            properties: Default::default(),
        };
        Kafka::new(&settings, "test")
    }
}

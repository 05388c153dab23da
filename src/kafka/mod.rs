//! Kafka: client settings, a source with offsets, a producer with acknowledgements, topics, the wire form of queue records, the embedded broker.

mod client;
mod producer;
mod queue;
mod source;
mod ticket;

pub use client::{Kafka, KafkaError};
pub use producer::{Output, ProduceError, Producer};
pub use queue::{BadQueueRecord, QueueHeaders};
pub use source::{Message, Source, SourceOptions, Start};
pub use ticket::Ticket;

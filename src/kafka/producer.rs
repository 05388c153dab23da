//! Records to topics, with an acknowledgement for each.

use super::client::{Kafka, KafkaError};

/// A record to produce. Partition -1 lets the producer choose by key as Kafka's clients do.
#[derive(Debug)]
pub struct Output {
    pub topic: std::sync::Arc<str>,
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// Larger than the broker or the client takes.
    #[error("the record of {bytes} bytes is too large for {topic}")]
    TooLarge { topic: String, bytes: usize },
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// An idempotent producer whose messages never time out. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Producer {}

#[allow(unused_variables)]
impl Producer {
    pub fn new(kafka: &Kafka) -> Result<Producer, KafkaError> {
        todo!()
    }

    /// Produces one record and waits for the broker's acknowledgement, however long that takes.
    pub async fn produce(&self, output: Output) -> Result<(), ProduceError> {
        todo!()
    }
}

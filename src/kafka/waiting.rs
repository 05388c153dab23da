//! How many records wait on consumers' queues, asked without joining anything.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{ADMIN_TIMEOUT, Kafka, KafkaError};

impl Kafka {
    /// Records that each consumer's delivery group has not acknowledged; a queue that is not there holds none. Blocks.
    pub fn waiting(&self, consumers: &[&str]) -> Result<BTreeMap<String, u64>, KafkaError> {
        let mut waiting = BTreeMap::new();
        for consumer in consumers {
            waiting.insert((*consumer).to_owned(), self.waiting_on(consumer)?);
        }
        Ok(waiting)
    }

    fn waiting_on(&self, consumer: &str) -> Result<u64, KafkaError> {
        let topic = self.queue_topic(consumer);
        let failed = |source| KafkaError::new(format!("see what waits on {topic}"), source);
        let Some(partitions) = self.partitions(&[&*topic])?.get(&*topic).copied() else { return Ok(0) };
        let client: BaseConsumer = self.consumer_config(&self.delivery_group(consumer), true).create().map_err(failed)?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&topic, 0, partitions.saturating_sub(1) as i32);
        let committed = client.committed_offsets(asked, ADMIN_TIMEOUT).map_err(failed)?;
        let mut records = 0;
        for element in committed.elements() {
            let (low, high) = client.fetch_watermarks(&topic, element.partition(), Duration::from_secs(10)).map_err(failed)?;
            let done = match element.offset() {
                Offset::Offset(offset) => offset.max(low),
                _ => low,
            };
            records += u64::try_from(high - done).unwrap_or(0);
        }
        Ok(records)
    }
}

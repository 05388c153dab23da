//! Records from topics with their tickets: polling that never blocks, back-pressure by pausing, contiguous watermarks, commits.

use std::time::Duration;

use super::client::{Kafka, KafkaError};
use super::ticket::Ticket;
use crate::pipeline::Origin;

/// A record taken from Kafka.
#[derive(Debug)]
pub struct Message {
    pub origin: Origin,
    pub key: Option<Vec<u8>>,
    /// None: a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub ticket: Ticket,
}

#[derive(Debug, Clone)]
pub struct SourceOptions {
    pub group: String,
    /// Names, or patterns with `*`.
    pub topics: Vec<String>,
    /// Where a group without offsets begins.
    pub start: Start,
    /// A partition is paused when more records than this are taken and not done.
    pub max_in_flight: usize,
    /// Bytes of all that is taken and not done, all partitions together.
    pub max_in_flight_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
}

/// A running consumer with a poll thread of its own.
#[derive(Debug)]
pub struct Source {}

#[allow(unused_variables)]
impl Source {
    /// Starts polling. `take` is called on the poll thread for each record and must not block.
    pub fn start(kafka: &Kafka, options: SourceOptions, take: impl FnMut(Message) + Send + 'static) -> Result<Source, KafkaError> {
        todo!()
    }

    /// Records in the assigned partitions that are not done yet, taken or not.
    pub fn lag(&self) -> u64 {
        todo!()
    }

    /// Takes nothing new, waits until all that is taken is done (at most `within`), commits, leaves the group.
    pub async fn stop(self, within: Duration) -> Result<(), KafkaError> {
        todo!()
    }
}

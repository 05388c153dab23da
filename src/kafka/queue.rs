//! The wire form of queue records, dead letters and rejected records: the value is the payload, all else is headers.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::config::SinkKind;
use crate::pipeline::{Origin, Target};

/// What a queue record's headers say.
#[derive(Debug, Clone)]
pub struct QueueHeaders {
    pub id: Uuid,
    pub event: Arc<str>,
    pub route: Arc<str>,
    pub sink: SinkKind,
    pub target: Arc<Target>,
    pub origin: Origin,
    pub event_time: Option<Timestamp>,
    /// Digest of the set that rendered it.
    pub revision: Arc<str>,
    /// The original event, where the consumer keeps it.
    pub original: Option<Vec<u8>>,
}

/// Why a record on a queue topic is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("header {header}: {reason}")]
pub struct BadQueueRecord {
    pub header: &'static str,
    pub reason: String,
}

#[allow(unused_variables)]
impl QueueHeaders {
    pub fn decode(headers: &[(String, Vec<u8>)]) -> Result<QueueHeaders, BadQueueRecord> {
        todo!()
    }
}

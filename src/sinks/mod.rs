//! What a sink is: it takes a batch of one target and answers one verdict a record. It knows nothing of offsets, retries or queues.

mod file;
mod http;
mod kafka;
mod refusal;
pub mod warehouse;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::config::{Delivery, SinkSettings};
use crate::kafka::Kafka;
use crate::pipeline::{TableDefinition, Target};

/// One delivery of a batch.
#[derive(Debug, Clone)]
pub struct Item {
    pub id: Uuid,
    /// The event's name.
    pub event: Arc<str>,
    /// The queue record's key.
    pub key: Option<Bytes>,
    /// JSON.
    pub payload: Bytes,
}

/// Records of one target, in queue order; never empty.
#[derive(Debug, Clone)]
pub struct Batch {
    pub target: Arc<Target>,
    pub items: Vec<Item>,
}

/// What a sink says of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// It was already there.
    Ignored,
    Refused(Refusal),
}

/// Why a record, or the batch it was in, was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub blame: Blame,
    /// HTTP status or SQLSTATE, for `responses:` overrides, metrics and people.
    pub code: Option<String>,
    /// The sink's answer in one line, at most 1 KiB, without secrets and values of the payload where that can be helped.
    pub answer: String,
    /// When the sink asked to be left alone for.
    pub retry_after: Option<Duration>,
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// This record's, or some record's of this batch: bisect; alone, it is dead.
    Record,
    /// The batch was too large: halve it; alone, it is dead.
    Size,
    /// Nobody would be served: wrong key, wrong path, missing table. Pause, probe, dead-letter nothing.
    Configuration,
    /// The sink is down, slow or busy: back off and retry.
    Sink,
}

/// A downstream system. `deliver` answers exactly one verdict for each item, in order; it does not retry. Dropping the future cancels the call.
pub trait Sink: Send + Sync {
    fn deliver<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Vec<Verdict>>;

    /// Gets the sink ready (connect, migrate). Called before the first batch and again after a refusal that blamed the configuration.
    fn prepare(&self) -> BoxFuture<'_, Result<(), Refusal>>;
}

/// Why a sink cannot be made of its settings. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    #[error("consumer {consumer}: sink.{setting}: {reason}")]
    Setting { consumer: String, setting: String, reason: String },
}

impl SinkError {
    fn setting(consumer: &str, setting: impl Into<String>, reason: impl Into<String>) -> SinkError {
        SinkError::Setting { consumer: consumer.to_owned(), setting: setting.into(), reason: reason.into() }
    }
}

/// Makes the sink of the consumer `name`: cheap and without I/O, which begins with `Sink::prepare`. `tables` are what a warehouse's definition wants its tables
/// to be; paths are relative to `root`, the config root. None for a queue sink: others read that topic, so there is nothing to deliver and no worker for it.
pub fn connect(
    name: &str,
    settings: &SinkSettings,
    tables: Vec<TableDefinition>,
    delivery: &Delivery,
    root: &Path,
    kafka: &Kafka,
) -> Result<Option<Arc<dyn Sink>>, SinkError> {
    Ok(match settings {
        SinkSettings::Http(settings) => Some(Arc::new(http::Http::new(name, settings, delivery)?)),
        SinkSettings::Warehouse(settings) => Some(warehouse::connect(name, settings, tables, delivery, root)?),
        SinkSettings::Kafka(settings) => Some(Arc::new(kafka::Topics::new(name, settings, delivery, kafka)?)),
        SinkSettings::File(settings) => Some(Arc::new(file::Files::new(settings, root))),
        SinkSettings::Queue => None,
    })
}

//! What goes into the pipeline and what comes out of it.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::config::{SinkKind, Table};

/// Where a record came from. Delivery ids of events without an id are made from it, so a replay passes the first one on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// Kafka's timestamp, milliseconds since 1970; -1 where there is none.
    pub timestamp_ms: i64,
}

/// A record of an events topic, as the broker gave it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub origin: &'a Origin,
    pub key: Option<&'a [u8]>,
    pub headers: &'a [(String, Vec<u8>)],
    pub value: &'a [u8],
}

/// What became of one record: accepted or rejected, never both.
#[derive(Debug)]
pub enum Outcome {
    Accepted(Accepted),
    Rejected(Rejection),
}

/// An event that passed validation, and what each consumer gets of it.
#[derive(Debug)]
pub struct Accepted {
    pub source: Arc<str>,
    pub event: Arc<str>,
    pub version: u32,
    /// Whether event.yaml calls this version deprecated.
    pub deprecated: bool,
    /// By the envelope; None where the event has none.
    pub event_time: Option<Timestamp>,
    pub deliveries: Vec<Delivery>,
    pub dead: Vec<DeadLetter>,
}

/// What all deliveries of one route share; made once a set.
#[derive(Debug)]
pub struct RouteInfo {
    pub consumer: Arc<str>,
    pub route: Arc<str>,
    pub sink: SinkKind,
    /// Partitions of the consumer's queue.
    pub partitions: u32,
    /// Whether queue records and dead letters carry the original event.
    pub keep_event: bool,
}

/// One payload on its way to one consumer.
#[derive(Debug)]
pub struct Delivery {
    pub route: Arc<RouteInfo>,
    pub id: Uuid,
    /// What the queue partition is chosen by.
    pub key: QueueKey,
    /// The whole target as JSON (`pipeline::Target`).
    pub target: Arc<str>,
    /// JSON.
    pub payload: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueKey {
    /// The record's key on the queue; murmur2 of it modulo the partitions chooses the partition.
    Bytes(Vec<u8>),
    /// The event had no key of any kind: the source partition modulo the queue's partitions.
    Partition(i32),
}

/// A render that failed: for that consumer alone. Its value is the event.
#[derive(Debug)]
pub struct DeadLetter {
    pub route: Arc<RouteInfo>,
    pub id: Uuid,
    pub key: QueueKey,
    pub stage: RenderStage,
    /// What failed, with file:line:column; values of the event are masked.
    pub error: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RenderStage {
    When,
    Each,
    Key,
    Columns,
    Transform,
    Target,
}

impl RenderStage {
    pub fn name(self) -> &'static str {
        match self {
            RenderStage::When => "when",
            RenderStage::Each => "each",
            RenderStage::Key => "key",
            RenderStage::Columns => "columns",
            RenderStage::Transform => "transform",
            RenderStage::Target => "target",
        }
    }
}

/// An event that did not get past validation.
#[derive(Debug)]
pub struct Rejection {
    pub reason: Reason,
    /// The source that listens to the topic; None where none does.
    pub source: Option<Arc<str>>,
    /// What is known of the event, bounded to 256 bytes each.
    pub event: Option<String>,
    pub version: Option<u32>,
    /// At least one; values masked.
    pub errors: Vec<Violation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    Malformed,
    TooLarge,
    BadEnvelope,
    UnsupportedFraming,
    UnknownEvent,
    UnknownVersion,
    SchemaViolation,
}

impl Reason {
    pub const ALL: [Reason; 7] = [
        Reason::Malformed,
        Reason::TooLarge,
        Reason::BadEnvelope,
        Reason::UnsupportedFraming,
        Reason::UnknownEvent,
        Reason::UnknownVersion,
        Reason::SchemaViolation,
    ];

    /// As it stands in headers, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Malformed => "malformed",
            Reason::TooLarge => "too_large",
            Reason::BadEnvelope => "bad_envelope",
            Reason::UnsupportedFraming => "unsupported_framing",
            Reason::UnknownEvent => "unknown_event",
            Reason::UnknownVersion => "unknown_version",
            Reason::SchemaViolation => "schema_violation",
        }
    }

    /// The stage that refused it: parse, envelope or schema.
    pub fn stage(self) -> &'static str {
        match self {
            Reason::Malformed | Reason::TooLarge | Reason::UnsupportedFraming => "parse",
            Reason::BadEnvelope => "envelope",
            Reason::UnknownEvent | Reason::UnknownVersion | Reason::SchemaViolation => "schema",
        }
    }
}

/// One thing wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// JSON Pointer into the event.
    pub path: String,
    /// The schema keyword, or the reason's name.
    pub keyword: String,
    /// Says what was expected; never the value.
    pub message: String,
}

/// The whole target of a delivery as it stands in the queue record's `target` header (JSON, tagged by its one key).
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Request(RequestTarget),
    Table(Table),
    Topic(TopicTarget),
    Path(String),
    Queue,
}

impl Target {
    /// Whether a sink of this kind can take it.
    pub fn fits(&self, sink: SinkKind) -> bool {
        matches!(
            (self, sink),
            (Target::Request(_), SinkKind::Http)
                | (Target::Table(_), SinkKind::Warehouse)
                | (Target::Topic(_), SinkKind::Kafka)
                | (Target::Path(_), SinkKind::File)
                | (Target::Queue, SinkKind::Queue)
        )
    }
}

/// A request with its path, query and headers rendered for one event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct RequestTarget {
    pub method: crate::config::Method,
    /// Percent-encoded, starting with `/`, query included; relative to the sink's base URL.
    pub path: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    pub body: crate::config::BodyForm,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct TopicTarget {
    pub name: String,
    /// The record's key; None: the queue record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A warehouse table as the live definition wants it: what migration makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDefinition {
    pub table: Table,
    /// In the order of the definition.
    pub columns: Vec<(String, ColumnType)>,
}

/// A column's type, worked out from the schemas or as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    Text,
    /// 64 bits, signed.
    Integer,
    /// 64-bit float.
    Double,
    Boolean,
    /// A time with its offset.
    Timestamp,
    Date,
    Json,
    /// SQL as written in the definition, such as `numeric(18,2)`.
    Custom(String),
}

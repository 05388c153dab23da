//! The config set: sources, schemas, transforms and consumers, read and checked. Past this line nobody checks a name or a range again.
//! Templates, expressions and schemas are text here; `pipeline` compiles them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::findings::{Located, Place};
use super::node::Node;
use super::sinks::{Sink, SinkSettings};

/// SHA-256 of a set's canonical manifest, in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub Arc<str>);

impl Digest {
    /// The first twelve digits: enough for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that one revision holds, for one environment.
#[derive(Debug, Clone)]
pub struct ConfigSet {
    pub environment: Arc<str>,
    pub digest: Digest,
    pub sources: Vec<Source>,
    pub limits: Limits,
    /// By event name.
    pub events: BTreeMap<Arc<str>, EventType>,
    /// By path relative to `transforms/`, partials included.
    pub transforms: BTreeMap<Arc<str>, Transform>,
    /// By name. Disabled ones are not here.
    pub consumers: BTreeMap<Arc<str>, Consumer>,
}

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_event_bytes: usize,
    pub max_payload_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_event_bytes: 1 << 20, max_payload_bytes: 1 << 20 }
    }
}

/// Events topics of one emitter.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: Arc<str>,
    /// Topic names, or patterns with `*`.
    pub topics: Vec<Located<String>>,
    pub envelope: Envelope,
    pub at: Place,
}

/// Where in an event its parts are. The pointers are RFC 6901; several mean the first that is there and not null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub name: Vec<JsonPointer>,
    pub version: Vec<JsonPointer>,
    pub id: Vec<JsonPointer>,
    pub user: Vec<JsonPointer>,
    pub anonymous: Vec<JsonPointer>,
    pub time: Vec<JsonPointer>,
}

/// The unescaped reference tokens of an RFC 6901 JSON Pointer; none points at the whole event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPointer(pub Vec<String>);

/// The schemas of one event name: `schemas/<folder>/`.
#[derive(Debug, Clone)]
pub struct EventType {
    pub name: Arc<str>,
    pub owner: Option<String>,
    /// What an event without a version is checked against.
    pub default_version: u32,
    pub versions: BTreeMap<u32, Schema>,
    /// Files of versions that cannot be read: only in a draft, to keep what follows from them quiet.
    pub broken: BTreeMap<u32, Arc<str>>,
    /// Whether its event.yaml cannot be read, so that it may have any name: only in a draft.
    pub nameless: bool,
    pub at: Place,
}

/// One JSON Schema file.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Path relative to the root, such as `schemas/kyc_submitted/1.json`.
    pub file: Arc<str>,
    pub document: Arc<serde_json::Value>,
    /// Where the value at each JSON Pointer (`/properties/step`, "" for the root) is written.
    pub places: Arc<BTreeMap<String, Spot>>,
    /// Why and since when nobody should send it any more.
    pub deprecated: Option<String>,
}

/// Where one value of a file is written.
#[derive(Debug, Clone)]
pub struct Spot {
    /// For a list or an object that is a member: its key.
    pub value: Place,
    /// In characters.
    pub width: u32,
    /// Of an object's member.
    pub key: Option<(Place, u32)>,
}

/// A Jinja template or partial.
#[derive(Debug, Clone)]
pub struct Transform {
    /// Path relative to `transforms/`: the name that routes and includes use.
    pub name: Arc<str>,
    /// Path relative to the root.
    pub file: Arc<str>,
    pub source: Arc<str>,
}

impl Transform {
    /// Partials (names starting with `_`) are for include, import and extends; no route names one.
    pub fn is_partial(&self) -> bool {
        self.name.rsplit('/').next().is_some_and(|name| name.starts_with('_'))
    }
}

/// A downstream: its sink, its routes, its delivery settings.
#[derive(Debug, Clone)]
pub struct Consumer {
    pub name: Arc<str>,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub state: ConsumerState,
    pub sink: Sink,
    pub routes: Vec<Route>,
    pub queue: Queue,
    pub delivery: DeliverySection,
    pub at: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerState {
    Active,
    /// Routes nothing new and delivers the rest.
    Draining,
}

/// Names are identity: delivery ids are made of them.
#[derive(Debug, Clone)]
pub struct Route {
    pub name: Arc<str>,
    pub events: Vec<Located<EventPattern>>,
    pub when: Option<Located<String>>,
    /// One delivery per element of this list.
    pub each: Option<Located<String>>,
    pub render: Render,
    pub target: Target,
    pub at: Place,
}

/// `name`, `name@version` or a glob such as `kyc_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPattern {
    pub glob: String,
    pub version: Option<u32>,
}

#[derive(Debug, Clone)]
pub enum Render {
    /// Name of a transform, relative to `transforms/`.
    Transform(Located<String>),
    Columns(IndexMap<String, Column>),
}

#[derive(Debug, Clone)]
pub struct Column {
    pub value: ColumnValue,
    /// Null is a render failure.
    pub required: bool,
    /// SQL type as written; None: from the schemas.
    pub sql_type: Option<Located<String>>,
    pub at: Place,
}

#[derive(Debug, Clone)]
pub enum ColumnValue {
    Expr(Located<String>),
    Const(serde_json::Value),
}

/// Where a route's payloads go: one of these for each type of sink.
#[derive(Debug, Clone)]
pub enum Target {
    Request(Request),
    Table(Table),
    Topic(Topic),
    Path(Located<String>),
    /// The queue sink: others read the queue topic themselves.
    Queue,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    /// A Jinja template, relative to the sink's base URL; what it prints is percent-encoded.
    pub path: Located<String>,
    /// Jinja templates.
    pub query: IndexMap<String, Located<String>>,
    /// Jinja templates.
    pub headers: IndexMap<String, Located<String>>,
    pub body: BodyForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyForm {
    /// One request a payload.
    Single,
    Array,
    Ndjson,
    /// `{"batch": [...]}`
    Batch,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Table {
    pub name: String,
    /// Columns that make a row the same row; may be empty: then rows are only ever added.
    pub key: Vec<String>,
    pub on_conflict: OnConflict,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    Ignore,
    /// Overwrite; with `newer_by` only where the new row's value in that column is greater than the row's that is there.
    Update {
        newer_by: Option<String>,
    },
}

#[derive(Debug, Clone)]
pub struct Topic {
    pub name: Located<String>,
    /// Expression for the record's key; None: the queue's key.
    pub key: Option<Located<String>>,
}

/// A consumer's queue topic. Takes no variables: all workers must agree on it.
#[derive(Debug, Clone)]
pub struct Queue {
    pub partitions: u32,
    /// Expression; None or null: the user, the anonymous id, the record's own key, its partition.
    pub key: Option<Located<String>>,
}

/// The sink and delivery sections as written, variables unresolved; `Consumer::configure` turns them into `Configured`.
#[derive(Debug, Clone)]
pub struct DeliverySection {
    pub(super) keep_event: bool,
    pub(super) sink: Arc<Node>,
    pub(super) delivery: Option<Arc<Node>>,
    /// The whole definition, its environment laid over it, without places: what `diff` compares.
    pub(super) definition: Arc<serde_json::Value>,
}

/// How a consumer's queue is delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub max_records: usize,
    pub max_bytes: usize,
    pub max_wait: Duration,
    /// Requests in flight a worker.
    pub concurrency: usize,
    pub order: Order,
    pub retry_initial: Duration,
    pub retry_max: Duration,
    /// None: never.
    pub give_up_after: Option<Duration>,
    /// By event time; None: no limit.
    pub max_age: Option<Duration>,
    /// Records a second for the consumer, all workers together.
    pub rate_limit: Option<f64>,
    pub timeout: Duration,
    /// HTTP status codes whose class is overridden.
    pub pause_on: Vec<u16>,
    pub dead_on: Vec<u16>,
    /// Whether dead letters carry the original event.
    pub keep_event: bool,
}

impl Default for Delivery {
    fn default() -> Delivery {
        Delivery {
            max_records: 500,
            max_bytes: 1 << 20,
            max_wait: Duration::ZERO,
            concurrency: 4,
            order: Order::Key,
            retry_initial: Duration::from_millis(200),
            retry_max: Duration::from_secs(30),
            give_up_after: None,
            max_age: None,
            rate_limit: None,
            timeout: Duration::from_secs(10),
            pause_on: Vec::new(),
            dead_on: Vec::new(),
            keep_event: true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Key,
    None,
}

/// A consumer whose variables are resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Configured {
    pub sink: SinkSettings,
    pub delivery: Delivery,
}

/// Why a consumer cannot be configured on this machine; its queue waits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct Unconfigured {
    pub place: Place,
    /// Names the variable or file that is missing, never a value.
    pub reason: String,
}

//! A consumer's sink: as written (`Sink`), and with its variables resolved (`SinkSettings`).

use indexmap::IndexMap;

use super::text::{Resolved, Text};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkKind {
    Http,
    Warehouse,
    Kafka,
    File,
    Queue,
}

impl SinkKind {
    pub fn name(self) -> &'static str {
        match self {
            SinkKind::Http => "http",
            SinkKind::Warehouse => "warehouse",
            SinkKind::Kafka => "kafka",
            SinkKind::File => "file",
            SinkKind::Queue => "queue",
        }
    }
}

/// A sink as written, its variables unresolved.
#[derive(Debug, Clone)]
pub enum Sink {
    Http(HttpSink<Text>),
    Warehouse(WarehouseSink<Text>),
    Kafka(KafkaSink<Text>),
    File(FileSink<Text>),
    Queue,
}

impl Sink {
    pub fn kind(&self) -> SinkKind {
        match self {
            Sink::Http(_) => SinkKind::Http,
            Sink::Warehouse(_) => SinkKind::Warehouse,
            Sink::Kafka(_) => SinkKind::Kafka,
            Sink::File(_) => SinkKind::File,
            Sink::Queue => SinkKind::Queue,
        }
    }
}

/// A sink whose variables are resolved: what a delivery worker connects with.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkSettings {
    Http(HttpSink<Resolved>),
    Warehouse(WarehouseSink<Resolved>),
    Kafka(KafkaSink<Resolved>),
    File(FileSink<Resolved>),
    Queue,
}

#[derive(Debug, Clone, PartialEq)]
pub struct HttpSink<S> {
    pub base_url: S,
    pub auth: Option<HttpAuth<S>>,
    pub headers: IndexMap<String, S>,
    /// Whether request bodies are compressed.
    pub gzip: bool,
    /// PEM file of the certificate authority to trust beside the system's.
    pub ca_file: Option<S>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum HttpAuth<S> {
    /// `Authorization: Basic base64(value)`: `user:password`, or a write key whose password is empty (`key` becomes `key:`).
    Basic(S),
    /// `Authorization: Bearer value`.
    Bearer(S),
    /// Any header with a secret value.
    Header { name: String, value: S },
}

#[derive(Debug, Clone, PartialEq)]
pub struct WarehouseSink<S> {
    /// `sqlite:path`, `postgres://…` (or `postgresql://…`).
    pub url: S,
    pub migrate: Migrate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// Make tables and columns that are missing; never drop or retype one.
    Additive,
    None,
}

#[derive(Debug, Clone, PartialEq)]
pub struct KafkaSink<S> {
    /// None: the brokers of analytica.yaml.
    pub brokers: Option<Vec<S>>,
    /// librdkafka properties.
    pub properties: IndexMap<String, S>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FileSink<S> {
    /// `stdout`, or the folder that a route's `path` is relative to (default: the config root).
    pub directory: Option<S>,
    pub stdout: bool,
}

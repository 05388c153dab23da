//! What a template, a path or an expression sees: the event and where it came from, the consumer, the element, and the render's own clock and id source.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;
use minijinja::value::{Enumerator, Object, Value};
use minijinja::{Error, ErrorKind, State};
use uuid::Uuid;

use super::time;

/// The names a template may start a path with; `item` and `index` only under a route's `each`.
pub const ROOTS: [&str; 6] = ["event", "meta", "consumer", "delivery_id", "item", "index"];

/// The name under which functions find the scope of their render; no template can write it.
const SELF: &str = "\u{0}scope";

/// The digits of a number as its event wrote them, so that a payload that copies it keeps them.
pub trait Digits: Send + Sync {
    /// None where the event has no such number or its shortest form says the same.
    fn digits(&self, number: f64) -> Option<&str>;
}

/// Where a record came from and what it was checked against. Seen as `meta`.
#[derive(Debug, Clone)]
pub struct Meta {
    pub source: Arc<str>,
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// Kafka's timestamp, milliseconds since 1970; -1 where there is none.
    pub timestamp_ms: i64,
    pub headers: Vec<(String, Vec<u8>)>,
    pub schema_version: u32,
    /// The digest of the config set.
    pub revision: Arc<str>,
}

impl Object for Meta {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(match key {
            "source" => Value::from(self.source.clone()),
            "topic" => Value::from(self.topic.clone()),
            "partition" => Value::from(self.partition),
            "offset" => Value::from(self.offset),
            "timestamp" => Timestamp::from_millisecond(self.timestamp_ms)
                .ok()
                .filter(|_| self.timestamp_ms >= 0)
                .map_or(Value::from(()), |at| Value::from(time::rfc3339(at))),
            "headers" => {
                let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                Value::from(self.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect::<BTreeMap<String, String>>())
            }
            "schema_version" => Value::from(self.schema_version),
            "revision" => Value::from(self.revision.clone()),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["source", "topic", "partition", "offset", "timestamp", "headers", "schema_version", "revision"])
    }
}

/// What one delivery's renders are made from.
#[derive(Clone)]
pub struct Parts {
    pub event: Value,
    /// The numbers of `event` as written.
    pub digits: Option<Arc<dyn Digits>>,
    /// A `Meta` as a value (`Meta::into_value`): made once a record.
    pub meta: Value,
    /// `{name: …}`: made once a set.
    pub consumer: Value,
    /// The element and its number from 0, under `each`.
    pub element: Option<(Value, u64)>,
    /// Also the seed of `uuid4()`.
    pub delivery_id: Uuid,
    /// When the record was taken up: what `now()` says.
    pub taken_up: Timestamp,
}

impl Meta {
    pub fn into_value(self) -> Value {
        Value::from_object(self)
    }
}

/// What a consumer's templates see as `consumer`.
pub fn consumer_value(name: &str) -> Value {
    minijinja::context! { name }
}

/// What the renders of one delivery see. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Scope(Arc<Root>);

pub(super) struct Root {
    parts: Parts,
    /// How many times this render has drawn a UUID.
    draws: AtomicU32,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the event's values stay out of every message
        write!(f, "Scope({})", self.parts.delivery_id)
    }
}

impl Scope {
    pub fn new(parts: Parts) -> Scope {
        Scope(Arc::new(Root { parts, draws: AtomicU32::new(0) }))
    }

    /// The value of a root name; None for a name that is no root, and for `item` and `index` outside `each`.
    pub fn root(&self, name: &str) -> Option<Value> {
        self.0.variable(name)
    }

    /// The time the record was taken up.
    pub fn taken_up(&self) -> Timestamp {
        self.0.parts.taken_up
    }

    /// The next random-looking UUID: the same for the n-th draw of the same delivery's render, whenever and wherever it is made.
    pub fn uuid4(&self) -> Uuid {
        let draw = self.0.draws.fetch_add(1, Ordering::Relaxed);
        seeded(self.0.parts.delivery_id, draw)
    }

    /// The digits of a number as the event wrote them.
    pub fn digits(&self, number: f64) -> Option<&str> {
        self.0.parts.digits.as_ref()?.digits(number)
    }

    /// Makes the next render draw the same UUIDs as the last one.
    pub(super) fn rewind(&self) {
        self.0.draws.store(0, Ordering::Relaxed);
    }

    pub(super) fn as_value(&self) -> Value {
        Value::from_dyn_object(self.0.clone())
    }

    /// The scope of a running render: from the context of a template, or where an expression put it.
    pub(super) fn of(state: &State<'_, '_>) -> Result<Scope, Error> {
        if let Some(scope) = state.get_extension::<Scope>() {
            return Ok(scope.clone());
        }
        state
            .lookup(SELF)
            .and_then(|value| value.downcast_object::<Root>())
            .map(Scope)
            .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "only known while an event is rendered"))
    }
}

impl Root {
    fn variable(&self, name: &str) -> Option<Value> {
        Some(match name {
            "event" => self.parts.event.clone(),
            "meta" => self.parts.meta.clone(),
            "consumer" => self.parts.consumer.clone(),
            "delivery_id" => Value::from(self.parts.delivery_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) as &str),
            "item" => self.parts.element.as_ref()?.0.clone(),
            "index" => Value::from(self.parts.element.as_ref()?.1),
            _ => return None,
        })
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if key == SELF { Some(Value::from_dyn_object(self.clone())) } else { self.variable(key) }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&ROOTS)
    }
}

/// Version 4 by its bits, made of the delivery's id: a record rendered twice carries the same UUIDs.
fn seeded(delivery: Uuid, draw: u32) -> Uuid {
    use sha1::{Digest, Sha1};
    let hash = Sha1::new_with_prefix(delivery.as_bytes()).chain_update(draw.to_be_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

//! The wire form of queue records: the value is the payload, all else is headers, so that any Kafka client can read it.

use std::sync::Arc;

use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};
use uuid::Uuid;

use super::wire::{Reader, name};
use crate::config::SinkKind;
use crate::pipeline::{Accepted, Delivery, Origin, Target, origin_text};

/// What a queue record's headers say.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueHeaders {
    pub id: Uuid,
    pub event: Arc<str>,
    pub event_version: u32,
    /// The source that the event came in by.
    pub source: Arc<str>,
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

/// Why a record on a topic of ours is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("header {header}: {reason}")]
pub struct BadQueueRecord {
    pub header: &'static str,
    pub reason: String,
}

impl QueueHeaders {
    pub fn decode(headers: &[(String, Vec<u8>)]) -> Result<QueueHeaders, BadQueueRecord> {
        let read = Reader(headers);
        Ok(QueueHeaders {
            id: read.required(name::ID)?,
            event: read.text(name::EVENT)?.into(),
            event_version: read.required(name::EVENT_VERSION)?,
            source: read.text(name::SOURCE)?.into(),
            route: read.text(name::ROUTE)?.into(),
            sink: read.sink()?,
            target: Arc::new(read.target()?),
            origin: read.origin()?,
            event_time: read.time(name::EVENT_TIME)?,
            revision: read.text(name::REVISION)?.into(),
            original: read.bytes(name::ORIGINAL).map(<[u8]>::to_vec),
        })
    }

    pub fn encode(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut headers = Vec::with_capacity(11);
        let target = super::wire::target_json(&self.target);
        let parts = Parts {
            id: self.id,
            event: &self.event,
            event_version: self.event_version,
            source: &self.source,
            route: &self.route,
            sink: self.sink,
            target: &target,
            origin: &origin_text(&self.origin),
            event_time: self.event_time,
            revision: &self.revision,
            original: self.original.as_deref(),
        };
        parts.each(|name, value| headers.push((name, value.to_vec())));
        headers
    }
}

/// What all deliveries of one event share on their queues; made once an event.
#[derive(Debug)]
pub struct EventHeaders<'a> {
    event: &'a Accepted,
    origin: String,
    revision: &'a str,
    original: &'a [u8],
}

impl<'a> EventHeaders<'a> {
    /// `original`: the event's bytes, for the consumers that keep them.
    pub fn new(event: &'a Accepted, origin: &Origin, revision: &'a str, original: &'a [u8]) -> EventHeaders<'a> {
        EventHeaders { event, origin: origin_text(origin), revision, original }
    }

    /// The headers of one delivery's queue record, as the producer takes them.
    pub fn of(&self, delivery: &Delivery) -> OwnedHeaders {
        let parts = Parts {
            id: delivery.id,
            event: &self.event.event,
            event_version: self.event.version,
            source: &self.event.source,
            route: &delivery.route.route,
            sink: delivery.route.sink,
            target: &delivery.target,
            origin: &self.origin,
            event_time: self.event.event_time,
            revision: self.revision,
            original: delivery.route.keep_event.then_some(self.original),
        };
        let mut headers = Some(OwnedHeaders::new_with_capacity(11));
        // The builder takes itself by value
        parts.each(|key, value| headers = headers.take().map(|headers| headers.insert(Header { key, value: Some(value) })));
        headers.unwrap_or_default()
    }
}

/// The one place that says which headers there are, and in which order.
struct Parts<'a> {
    id: Uuid,
    event: &'a str,
    event_version: u32,
    source: &'a str,
    route: &'a str,
    sink: SinkKind,
    target: &'a str,
    origin: &'a str,
    event_time: Option<Timestamp>,
    revision: &'a str,
    original: Option<&'a [u8]>,
}

impl Parts<'_> {
    fn each(&self, mut put: impl FnMut(&'static str, &[u8])) {
        put(name::ID, self.id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
        put(name::EVENT, self.event.as_bytes());
        put(name::EVENT_VERSION, itoa::Buffer::new().format(self.event_version).as_bytes());
        put(name::SOURCE, self.source.as_bytes());
        put(name::ROUTE, self.route.as_bytes());
        put(name::SINK, self.sink.name().as_bytes());
        put(name::TARGET, self.target.as_bytes());
        put(name::ORIGIN, self.origin.as_bytes());
        if let Some(time) = self.event_time {
            put(name::EVENT_TIME, itoa::Buffer::new().format(time.as_millisecond()).as_bytes());
        }
        put(name::REVISION, self.revision.as_bytes());
        if let Some(original) = self.original {
            put(name::ORIGINAL, original);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{BodyForm, Method, OnConflict, Table};
    use crate::pipeline::{RequestTarget, TopicTarget};

    pub(in crate::kafka) fn target() -> impl Strategy<Value = Target> {
        prop_oneof![
            Just(Target::Queue),
            ".*".prop_map(Target::Path),
            (".*", prop::option::of(".*")).prop_map(|(name, key)| Target::Topic(TopicTarget { name, key })),
            (".*", prop::collection::vec((".*", ".*"), 0..3)).prop_map(|(path, headers)| {
                Target::Request(RequestTarget { method: Method::Put, path, headers, body: BodyForm::Batch })
            }),
            (".*", prop::collection::vec(".*", 0..3), prop::option::of(".*"))
                .prop_map(|(name, key, newer_by)| { Target::Table(Table { name, key, on_conflict: OnConflict::Update { newer_by } }) }),
        ]
    }

    pub(in crate::kafka) fn sink() -> impl Strategy<Value = SinkKind> {
        prop::sample::select(vec![SinkKind::Http, SinkKind::Warehouse, SinkKind::Kafka, SinkKind::File, SinkKind::Queue])
    }

    pub(in crate::kafka) fn origin() -> impl Strategy<Value = Origin> {
        ("[a-zA-Z0-9._-]{1,40}", 0..i32::MAX, 0..i64::MAX, -1..i64::MAX).prop_map(|(topic, partition, offset, timestamp_ms)| Origin {
            topic: topic.into(),
            partition,
            offset,
            timestamp_ms,
        })
    }

    pub(in crate::kafka) fn time() -> impl Strategy<Value = Timestamp> {
        (-1_000_000_000_000..10_000_000_000_000i64).prop_map(|ms| Timestamp::from_millisecond(ms).expect("within jiff's years"))
    }

    pub(in crate::kafka) fn named(headers: Vec<(&'static str, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
        headers.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }

    prop_compose! {
        pub(in crate::kafka) fn headers()(
            id in any::<u128>(), event in ".*", event_version in any::<u32>(), source in ".*", route in ".*", sink in sink(), target in target(),
            origin in origin(), event_time in prop::option::of(time()), revision in "[0-9a-f]{64}", original in prop::option::of(any::<Vec<u8>>()),
        ) -> QueueHeaders {
            QueueHeaders {
                id: Uuid::from_u128(id), event: event.into(), event_version, source: source.into(), route: route.into(), sink,
                target: Arc::new(target), origin, event_time, revision: revision.into(), original,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(headers in headers()) {
            prop_assert_eq!(QueueHeaders::decode(&named(headers.encode())), Ok(headers));
        }
    }

    #[test]
    fn a_header_that_is_missing_or_wrong_is_named() {
        let missing = QueueHeaders::decode(&[]).expect_err("nothing is there");
        assert_eq!(missing.to_string(), "header delivery-id: missing");
        let wrong = QueueHeaders::decode(&[("delivery-id".to_string(), b"seven".to_vec())]).expect_err("not a UUID");
        assert_eq!(wrong.header, "delivery-id");
        assert!(!wrong.reason.contains("seven"), "values of events stay out of messages: {}", wrong.reason);
    }
}

//! The wire form of dead letters and rejected records: what `replay` and people read.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::queue::{BadQueueRecord, QueueHeaders};
use super::wire::{Reader, name, target_json};
use crate::config::SinkKind;
use crate::pipeline::{Origin, Target, Violation, origin_text};

type Headers = Vec<(&'static str, Vec<u8>)>;

/// What a dead letter's headers say. Its value is the rendered payload, or the event itself where rendering is what failed.
/// Only what is known is there: a queue record that could not be read has no id.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadHeaders {
    pub consumer: Arc<str>,
    /// What made it one: `when`, `transform`, … (`RenderStage::name`), `produce`, `delivery`.
    pub stage: String,
    /// A word of ours: `render`, `refused`, `expired`, `too_large`, `unreadable`, `exhausted`.
    pub reason: String,
    /// For people; values of the event are masked.
    pub error: String,
    /// How often its sink was asked.
    pub attempts: u32,
    /// The sink's last answer.
    pub answer: Option<String>,
    pub time: Timestamp,
    pub id: Option<Uuid>,
    pub event: Option<Arc<str>>,
    pub event_version: Option<u32>,
    pub source: Option<Arc<str>>,
    pub route: Option<Arc<str>>,
    pub sink: Option<SinkKind>,
    pub target: Option<Arc<Target>>,
    pub origin: Option<Origin>,
    pub event_time: Option<Timestamp>,
    pub revision: Option<Arc<str>>,
    pub original: Option<Vec<u8>>,
}

impl DeadHeaders {
    /// A dead letter of which nothing is known but this.
    pub fn new(consumer: Arc<str>, stage: &str, reason: &str, error: impl Into<String>, time: Timestamp) -> DeadHeaders {
        DeadHeaders {
            consumer,
            stage: stage.to_string(),
            reason: reason.to_string(),
            error: error.into(),
            attempts: 0,
            answer: None,
            time,
            id: None,
            event: None,
            event_version: None,
            source: None,
            route: None,
            sink: None,
            target: None,
            origin: None,
            event_time: None,
            revision: None,
            original: None,
        }
    }

    /// All that a queue record says of the delivery goes along.
    pub fn of(mut self, delivery: QueueHeaders) -> DeadHeaders {
        self.id = Some(delivery.id);
        self.event = Some(delivery.event);
        self.event_version = Some(delivery.event_version);
        self.source = Some(delivery.source);
        self.route = Some(delivery.route);
        self.sink = Some(delivery.sink);
        self.target = Some(delivery.target);
        self.origin = Some(delivery.origin);
        self.event_time = delivery.event_time;
        self.revision = Some(delivery.revision);
        self.original = delivery.original;
        self
    }

    pub fn encode(&self) -> Headers {
        let mut headers = Headers::with_capacity(18);
        let mut put = |name, value: Option<Vec<u8>>| headers.extend(value.map(|value| (name, value)));
        put(name::CONSUMER, Some(self.consumer.as_bytes().to_vec()));
        put(name::STAGE, Some(self.stage.as_bytes().to_vec()));
        put(name::REASON, Some(self.reason.as_bytes().to_vec()));
        put(name::ERROR, Some(self.error.as_bytes().to_vec()));
        put(name::ATTEMPTS, Some(self.attempts.to_string().into_bytes()));
        put(name::ANSWER, self.answer.as_ref().map(|answer| answer.as_bytes().to_vec()));
        put(name::TIME, Some(milliseconds(self.time)));
        put(name::ID, self.id.map(|id| id.to_string().into_bytes()));
        put(name::EVENT, self.event.as_deref().map(bytes));
        put(name::EVENT_VERSION, self.event_version.map(|version| version.to_string().into_bytes()));
        put(name::SOURCE, self.source.as_deref().map(bytes));
        put(name::ROUTE, self.route.as_deref().map(bytes));
        put(name::SINK, self.sink.map(|sink| bytes(sink.name())));
        put(name::TARGET, self.target.as_deref().map(|target| target_json(target).into_bytes()));
        put(name::ORIGIN, self.origin.as_ref().map(|origin| origin_text(origin).into_bytes()));
        put(name::EVENT_TIME, self.event_time.map(milliseconds));
        put(name::REVISION, self.revision.as_deref().map(bytes));
        put(name::ORIGINAL, self.original.clone());
        headers
    }

    pub fn decode(headers: &[(String, Vec<u8>)]) -> Result<DeadHeaders, BadQueueRecord> {
        let read = Reader(headers);
        Ok(DeadHeaders {
            consumer: read.text(name::CONSUMER)?.into(),
            stage: read.text(name::STAGE)?.to_string(),
            reason: read.text(name::REASON)?.to_string(),
            error: read.text(name::ERROR)?.to_string(),
            attempts: read.required(name::ATTEMPTS)?,
            answer: read.maybe_text(name::ANSWER)?.map(str::to_string),
            time: read.time(name::TIME)?.ok_or_else(|| super::wire::bad(name::TIME, "missing"))?,
            id: read.maybe(name::ID)?,
            event: read.maybe_text(name::EVENT)?.map(Into::into),
            event_version: read.maybe(name::EVENT_VERSION)?,
            source: read.maybe_text(name::SOURCE)?.map(Into::into),
            route: read.maybe_text(name::ROUTE)?.map(Into::into),
            sink: read.maybe_sink()?,
            target: read.maybe_target()?.map(Arc::new),
            origin: read.maybe_origin()?,
            event_time: read.time(name::EVENT_TIME)?,
            revision: read.maybe_text(name::REVISION)?.map(Into::into),
            original: read.bytes(name::ORIGINAL).map(<[u8]>::to_vec),
        })
    }
}

/// What a rejected record's headers say. Its value is the original bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct RejectedHeaders {
    pub stage: String,
    /// `pipeline::Reason::name`
    pub reason: String,
    pub errors: Vec<Violation>,
    pub origin: Origin,
    /// Digest of the set that rejected it.
    pub revision: Arc<str>,
    pub git_commit: Option<String>,
    pub time: Timestamp,
    pub source: Option<Arc<str>>,
    pub event: Option<String>,
    pub event_version: Option<u32>,
}

impl RejectedHeaders {
    pub fn encode(&self) -> Headers {
        let mut headers = Headers::with_capacity(10);
        let mut put = |name, value: Option<Vec<u8>>| headers.extend(value.map(|value| (name, value)));
        put(name::STAGE, Some(bytes(&self.stage)));
        put(name::REASON, Some(bytes(&self.reason)));
        // Strings only: serde_json has nothing to refuse in them
        put(name::ERRORS, Some(serde_json::to_vec(&self.errors).unwrap_or_default()));
        put(name::ORIGIN, Some(origin_text(&self.origin).into_bytes()));
        put(name::REVISION, Some(bytes(&self.revision)));
        put(name::GIT_COMMIT, self.git_commit.as_deref().map(bytes));
        put(name::TIME, Some(milliseconds(self.time)));
        put(name::SOURCE, self.source.as_deref().map(bytes));
        put(name::EVENT, self.event.as_deref().map(bytes));
        put(name::EVENT_VERSION, self.event_version.map(|version| version.to_string().into_bytes()));
        headers
    }

    pub fn decode(headers: &[(String, Vec<u8>)]) -> Result<RejectedHeaders, BadQueueRecord> {
        #[derive(serde::Deserialize)]
        struct Wire {
            path: String,
            keyword: String,
            message: String,
        }
        let read = Reader(headers);
        let errors: Vec<Wire> =
            serde_json::from_str(read.text(name::ERRORS)?).map_err(|_| super::wire::bad(name::ERRORS, "not a list of errors"))?;
        Ok(RejectedHeaders {
            stage: read.text(name::STAGE)?.to_string(),
            reason: read.text(name::REASON)?.to_string(),
            errors: errors.into_iter().map(|Wire { path, keyword, message }| Violation { path, keyword, message }).collect(),
            origin: read.origin()?,
            revision: read.text(name::REVISION)?.into(),
            git_commit: read.maybe_text(name::GIT_COMMIT)?.map(str::to_string),
            time: read.time(name::TIME)?.ok_or_else(|| super::wire::bad(name::TIME, "missing"))?,
            source: read.maybe_text(name::SOURCE)?.map(Into::into),
            event: read.maybe_text(name::EVENT)?.map(str::to_string),
            event_version: read.maybe(name::EVENT_VERSION)?,
        })
    }
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn milliseconds(time: Timestamp) -> Vec<u8> {
    time.as_millisecond().to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::queue::tests::{headers, named, origin, time};
    use super::*;

    proptest! {
        #[test]
        fn a_dead_letter_reads_as_it_was_written(
            consumer in "[a-z]{1,10}", stage in "[a-z]+", error in ".*", attempts in any::<u32>(), answer in prop::option::of(".*"), time in time(),
            delivery in prop::option::of(headers()),
        ) {
            let mut dead = DeadHeaders::new(consumer.into(), &stage, "refused", error, time);
            dead.attempts = attempts;
            dead.answer = answer;
            if let Some(delivery) = delivery {
                dead = dead.of(delivery);
            }
            prop_assert_eq!(DeadHeaders::decode(&named(dead.encode())), Ok(dead));
        }

        #[test]
        fn a_rejected_record_reads_as_it_was_written(
            stage in "[a-z]+", reason in "[a-z_]+", errors in prop::collection::vec((".*", ".*", ".*"), 0..4), origin in origin(), time in time(),
            source in prop::option::of(".*"), event in prop::option::of(".*"), event_version in any::<Option<u32>>(), git_commit in prop::option::of("[0-9a-f]{40}"),
        ) {
            let errors = errors.into_iter().map(|(path, keyword, message)| Violation { path, keyword, message }).collect();
            let rejected = RejectedHeaders {
                stage, reason, errors, origin, revision: "r".into(), git_commit, time, source: source.map(Into::into), event, event_version,
            };
            prop_assert_eq!(RejectedHeaders::decode(&named(rejected.encode())), Ok(rejected));
        }
    }
}

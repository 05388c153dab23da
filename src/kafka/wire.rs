//! Names and forms that the headers of queue records, dead letters and rejected records share.

use std::str::FromStr;

use jiff::Timestamp;

use super::queue::BadQueueRecord;
use crate::config::SinkKind;
use crate::pipeline::{Origin, Target, parse_origin};

/// Header names; they are a public format.
pub(super) mod name {
    pub const ID: &str = "delivery-id";
    pub const EVENT: &str = "event";
    pub const EVENT_VERSION: &str = "event-version";
    pub const SOURCE: &str = "source";
    pub const ROUTE: &str = "route";
    pub const SINK: &str = "sink";
    pub const TARGET: &str = "target";
    /// `topic/partition/offset/timestamp`; the timestamp in epoch milliseconds, -1 where there is none.
    pub const ORIGIN: &str = "origin";
    /// Epoch milliseconds.
    pub const EVENT_TIME: &str = "event-time";
    pub const REVISION: &str = "revision";
    pub const ORIGINAL: &str = "original";
    pub const CONSUMER: &str = "consumer";
    pub const STAGE: &str = "stage";
    pub const REASON: &str = "reason";
    pub const ERROR: &str = "error";
    pub const ATTEMPTS: &str = "attempts";
    pub const ANSWER: &str = "answer";
    /// Epoch milliseconds.
    pub const TIME: &str = "time";
    /// JSON: `[{"path":…,"keyword":…,"message":…}]`
    pub const ERRORS: &str = "errors";
    pub const GIT_COMMIT: &str = "git-commit";
}

pub(super) fn target_json(target: &Target) -> String {
    // Strings, lists and units only: serde_json has nothing to refuse in them
    serde_json::to_string(target).unwrap_or_default()
}

/// Looks headers up by name; the first of a name counts.
pub(super) struct Reader<'a>(pub(super) &'a [(String, Vec<u8>)]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|header| header.0 == name).map(|header| header.1.as_slice())
    }

    pub(super) fn maybe_text(&self, header: &'static str) -> Result<Option<&'a str>, BadQueueRecord> {
        let Some(bytes) = self.bytes(header) else { return Ok(None) };
        std::str::from_utf8(bytes).map(Some).map_err(|_| bad(header, "not UTF-8"))
    }

    pub(super) fn text(&self, header: &'static str) -> Result<&'a str, BadQueueRecord> {
        self.maybe_text(header)?.ok_or_else(|| bad(header, "missing"))
    }

    pub(super) fn maybe<T: FromStr>(&self, header: &'static str) -> Result<Option<T>, BadQueueRecord> {
        // What the value is stays out of the message
        self.maybe_text(header)?.map(|text| text.parse().map_err(|_| bad(header, kind_of::<T>()))).transpose()
    }

    pub(super) fn required<T: FromStr>(&self, header: &'static str) -> Result<T, BadQueueRecord> {
        self.maybe(header)?.ok_or_else(|| bad(header, "missing"))
    }

    pub(super) fn time(&self, header: &'static str) -> Result<Option<Timestamp>, BadQueueRecord> {
        let Some(ms) = self.maybe::<i64>(header)? else { return Ok(None) };
        Timestamp::from_millisecond(ms).map(Some).map_err(|_| bad(header, "not a time in milliseconds since 1970"))
    }

    pub(super) fn maybe_sink(&self) -> Result<Option<SinkKind>, BadQueueRecord> {
        let Some(text) = self.maybe_text(name::SINK)? else { return Ok(None) };
        let all = [SinkKind::Http, SinkKind::Warehouse, SinkKind::Kafka, SinkKind::File, SinkKind::Queue];
        all.into_iter()
            .find(|kind| kind.name() == text)
            .map(Some)
            .ok_or_else(|| bad(name::SINK, "not a type of sink that this version knows"))
    }

    pub(super) fn sink(&self) -> Result<SinkKind, BadQueueRecord> {
        self.maybe_sink()?.ok_or_else(|| bad(name::SINK, "missing"))
    }

    pub(super) fn maybe_target(&self) -> Result<Option<Target>, BadQueueRecord> {
        let Some(bytes) = self.bytes(name::TARGET) else { return Ok(None) };
        serde_json::from_slice(bytes).map(Some).map_err(|error| {
            // The error's own text may quote the value
            bad(name::TARGET, &format!("not a target of this version ({:?} at column {})", error.classify(), error.column()))
        })
    }

    pub(super) fn target(&self) -> Result<Target, BadQueueRecord> {
        self.maybe_target()?.ok_or_else(|| bad(name::TARGET, "missing"))
    }

    pub(super) fn maybe_origin(&self) -> Result<Option<Origin>, BadQueueRecord> {
        let Some(text) = self.maybe_text(name::ORIGIN)? else { return Ok(None) };
        parse_origin(text).map(Some).ok_or_else(|| bad(name::ORIGIN, "not topic/partition/offset/timestamp"))
    }

    pub(super) fn origin(&self) -> Result<Origin, BadQueueRecord> {
        self.maybe_origin()?.ok_or_else(|| bad(name::ORIGIN, "missing"))
    }
}

pub(super) fn bad(header: &'static str, reason: &str) -> BadQueueRecord {
    BadQueueRecord { header, reason: reason.to_string() }
}

fn kind_of<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    if name.ends_with("Uuid") { "not a UUID" } else { "not a number in range" }
}

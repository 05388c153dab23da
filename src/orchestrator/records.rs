//! What an outcome becomes on the owned topics: pure, no I/O.

use std::sync::Arc;

use jiff::Timestamp;

use crate::kafka::{DeadHeaders, Kafka, Output, RejectedHeaders, partition_of};
use crate::pipeline::{Accepted, DeadLetter, Origin, QueueKey, Record, Rejection, parse_origin};

/// The record's own coordinates, or those of the record that it is a replay of.
pub(super) fn first_origin(record: &Record<'_>) -> Option<Origin> {
    let (_, value) = record.headers.iter().find(|(name, _)| name == crate::pipeline::ORIGIN_HEADER)?;
    parse_origin(std::str::from_utf8(value).ok()?) // what is no text is not ours
}

/// Key and partition of a delivery on its queue.
pub(super) fn place(key: &QueueKey, partitions: u32) -> (Option<&[u8]>, i32) {
    match key {
        QueueKey::Bytes(key) => (Some(key), partition_of(key, partitions)),
        // Partitions are counted in an i32 and never negative
        QueueKey::Partition(partition) => (None, partition.rem_euclid(partitions.max(1) as i32)),
    }
}

pub(super) fn rejected(
    kafka: &Kafka,
    record: &Record<'_>,
    origin: &Origin,
    rejection: &Rejection,
    revision: &Arc<str>,
    git_commit: Option<&str>,
    now: Timestamp,
) -> Output {
    let headers = RejectedHeaders {
        stage: rejection.reason.stage().to_string(),
        reason: rejection.reason.name().to_string(),
        errors: rejection.errors.clone(),
        origin: origin.clone(),
        revision: Arc::clone(revision),
        git_commit: git_commit.map(str::to_string),
        time: now,
        source: rejection.source.clone(),
        event: rejection.event.clone(),
        event_version: rejection.version,
    };
    Output {
        topic: kafka.rejected_topic(),
        partition: -1,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.to_vec(),
        headers: headers.encode(),
    }
}

/// A render that failed: the value is the event.
pub(super) fn dead(
    kafka: &Kafka,
    record: &Record<'_>,
    origin: &Origin,
    event: &Accepted,
    letter: &DeadLetter,
    revision: &Arc<str>,
    now: Timestamp,
) -> Output {
    let route = &letter.route;
    let headers = DeadHeaders {
        id: Some(letter.id),
        event: Some(Arc::clone(&event.event)),
        event_version: Some(event.version),
        source: Some(Arc::clone(&event.source)),
        route: Some(Arc::clone(&route.route)),
        sink: Some(route.sink),
        origin: Some(origin.clone()),
        event_time: event.event_time,
        revision: Some(Arc::clone(revision)),
        // The value is the event already
        original: None,
        ..DeadHeaders::new(Arc::clone(&route.consumer), letter.stage.name(), "render", letter.error.as_str(), now)
    };
    Output {
        topic: kafka.dead_topic(&route.consumer),
        partition: -1,
        key: match &letter.key {
            QueueKey::Bytes(key) => Some(key.clone()),
            QueueKey::Partition(_) => None,
        },
        value: record.value.to_vec(),
        headers: headers.encode(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_chooses_its_partition_and_no_key_keeps_the_sources_own() {
        assert_eq!(place(&QueueKey::Bytes(b"21".to_vec()), 6), (Some(&b"21"[..]), partition_of(b"21", 6)));
        assert_eq!(place(&QueueKey::Partition(7), 6), (None, 1));
        assert_eq!(place(&QueueKey::Partition(7), 0), (None, 0));
    }
}

//! Dead letters of deliveries: why a record became one, and where they go.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::kafka::{ProduceError, QueueHeaders};

/// Why a delivery became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its sink blames the record.
    Refused,
    /// Its sink finds it too large.
    TooLarge,
    /// Older than `max_age`.
    Expired,
    /// It failed for longer than `give_up_after`, or again and again while others passed.
    Exhausted,
    /// Not a queue record of ours.
    Unreadable,
}

impl Reason {
    /// As it stands in the dead letter's header.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Refused => "refused",
            Reason::TooLarge => "too_large",
            Reason::Expired => "expired",
            Reason::Exhausted => "exhausted",
            Reason::Unreadable => "unreadable",
        }
    }
}

/// A dead letter before it is written.
#[derive(Debug, Clone)]
pub struct Letter {
    /// None: the record could not be read.
    pub headers: Option<QueueHeaders>,
    pub key: Option<Bytes>,
    /// The payload.
    pub value: Bytes,
    pub reason: Reason,
    /// For people, one line.
    pub error: String,
    /// Calls of the sink that failed or refused it.
    pub attempts: u32,
    /// The sink's last answer.
    pub answer: Option<String>,
    pub time: Timestamp,
}

/// Where a consumer's dead letters go.
pub trait DeadLetters: Send + Sync {
    /// Writes one and waits until it is acknowledged, however long that takes.
    fn put(&self, letter: Letter) -> BoxFuture<'static, Result<(), ProduceError>>;
}

//! A record on its way from a queue to a sink: what it says, what it went through, and the claim on its offset.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lanes::{Laned, Placed};
use super::streak::CallNumber;
use crate::config::Order;
use crate::kafka::{QueueHeaders, Ticket};
use crate::pipeline::Target;
use crate::sinks::{Item, Refusal};

/// What is owed to the queue for a record taken from it. Dropping one says nothing: the record comes again after a restart.
pub trait Ack: Send + Sync {
    /// The sink, or the dead-letter topic, has it.
    fn done(self: Box<Self>);
    /// Cancelled when the record is not ours to deliver any more.
    fn revoked(&self) -> &CancellationToken;
}

impl Ack for Ticket {
    fn done(self: Box<Self>) {
        Ticket::done(*self);
    }

    fn revoked(&self) -> &CancellationToken {
        Ticket::revoked(self)
    }
}

/// What the feed of a queue brings.
pub enum Incoming {
    Entry(Box<Entry>),
    /// Not one of ours: a dead letter, nothing else can be done for it.
    Unreadable(Unreadable),
}

/// A record on the queue that does not say what its delivery needs.
pub struct Unreadable {
    pub key: Option<Bytes>,
    pub value: Bytes,
    pub reason: String,
    pub ack: Box<dyn Ack>,
}

/// One delivery.
pub struct Entry {
    pub headers: QueueHeaders,
    pub key: Option<Bytes>,
    /// JSON.
    pub payload: Bytes,
    /// Of the queue topic.
    pub partition: i32,
    pub ack: Box<dyn Ack>,
    lane: u64,
    pub(super) arrived: Instant,
    pub(super) history: History,
}

/// What a delivery has been through.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// Calls that failed or refused it.
    pub attempts: u32,
    pub first_failed: Option<Instant>,
    /// The last call begun when it failed last.
    pub failed_at: Option<CallNumber>,
    /// Failures in whose wake others passed before it failed again.
    pub failed_while_others_passed: u32,
    /// The last call begun when it was refused alone.
    pub refused_at: Option<CallNumber>,
    pub last_answer: Option<Refusal>,
}

/// An entry taken from its lane.
pub(super) type Taken = Placed<Box<Entry>>;

impl Entry {
    pub fn new(headers: QueueHeaders, key: Option<Bytes>, payload: Bytes, partition: i32, ack: Box<dyn Ack>) -> Entry {
        Entry { headers, key, payload, partition, ack, lane: 0, arrived: Instant::now(), history: History::default() }
    }

    /// Chooses its lane: the key's, or that of its partition where it has no key; with `order: none` one of its own.
    pub(super) fn choose_lane(&mut self, order: Order, number: u64) {
        let mut hash = DefaultHasher::new();
        match (order, &self.key) {
            (Order::Key, Some(key)) => (0, key).hash(&mut hash),
            (Order::Key, None) => (1, self.partition).hash(&mut hash),
            (Order::None, _) => (2, number).hash(&mut hash),
        }
        self.lane = hash.finish();
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.ack.revoked().is_cancelled()
    }

    pub(super) fn item(&self) -> Item {
        Item { id: self.headers.id, event: Arc::clone(&self.headers.event), key: self.key.clone(), payload: self.payload.clone() }
    }
}

impl Laned for Box<Entry> {
    fn lane(&self) -> u64 {
        self.lane
    }

    fn target(&self) -> &Arc<Target> {
        &self.headers.target
    }

    fn bytes(&self) -> usize {
        self.payload.len()
    }
}

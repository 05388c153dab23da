//! A record's claim on its offset: to be given back when all that came of it is acknowledged.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::watermark::Watermark;

/// Dropping a ticket says nothing: its offset, and those behind it, are then never committed, and the records come again after a restart.
#[derive(Debug)]
pub struct Ticket {
    lease: Arc<Lease>,
    offset: i64,
    bytes: usize,
}

impl Ticket {
    /// All that came of the record, is acknowledged. A ticket of an assignment that is gone is ignored.
    pub fn done(self) {
        let mut state = self.lease.lock();
        if !state.closed {
            state.watermark.done(self.offset);
        }
    }

    /// Something of it could not be produced: its partition goes back to the first record that is not done.
    pub fn rewind(self) {
        let mut state = self.lease.lock();
        if !state.closed {
            state.rewind = true;
        }
    }

    /// Cancelled when the partition was taken away (or rewound): what the record asks for is not ours to do any more.
    pub fn revoked(&self) -> &CancellationToken {
        &self.lease.revoked
    }

    /// A ticket of no partition, for tests of what takes tickets; the counters tell what became of it.
    #[cfg(test)]
    pub(crate) fn loose() -> (Ticket, Arc<Lease>) {
        let lease = Lease::new("test".into(), 0, None, Arc::default());
        (lease.take(0, 0).expect("nothing was taken before"), lease)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.lease.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.lease.lock().outstanding -= 1;
    }
}

/// One partition for as long as it is ours, between two rebalances or rewinds.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) revoked: CancellationToken,
    /// Bytes of all tickets of the source that are out.
    bytes: Arc<AtomicUsize>,
    state: Mutex<LeaseState>,
}

#[derive(Debug)]
pub(super) struct LeaseState {
    pub(super) watermark: Watermark,
    /// Tickets that were neither given back nor dropped.
    pub(super) outstanding: usize,
    /// Somebody asked to go back.
    pub(super) rewind: bool,
    /// Nothing counts any more.
    closed: bool,
}

impl Lease {
    pub(super) fn new(topic: Arc<str>, partition: i32, position: Option<i64>, bytes: Arc<AtomicUsize>) -> Arc<Lease> {
        let state = LeaseState { watermark: Watermark::at(position), outstanding: 0, rewind: false, closed: false };
        Arc::new(Lease { topic, partition, revoked: CancellationToken::new(), bytes, state: Mutex::new(state) })
    }

    /// A ticket for a record; None where the record was taken before.
    pub(super) fn take(self: &Arc<Lease>, offset: i64, bytes: usize) -> Option<Ticket> {
        let mut state = self.lock();
        if state.closed || !state.watermark.take(offset) {
            return None;
        }
        state.outstanding += 1;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Some(Ticket { lease: Arc::clone(self), offset, bytes })
    }

    /// Tickets that come back from now on are ignored.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.revoked.cancel();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LeaseState> {
        // Nothing under this lock can panic half way
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Lease {
    /// The offset that would be committed.
    pub(crate) fn position(&self) -> Option<i64> {
        self.lock().watermark.position()
    }

    pub(crate) fn wants_rewind(&self) -> bool {
        self.lock().rewind
    }
}

//! A record's claim on its offset: to be given back when all that came of it is acknowledged.

use tokio_util::sync::CancellationToken;

/// Dropping a ticket says nothing: its offset, and those behind it, are then never committed, and the records come again after a restart.
#[derive(Debug)]
pub struct Ticket {}

impl Ticket {
    /// All that came of the record, is acknowledged. A ticket of an assignment that is gone is ignored.
    pub fn done(self) {}

    /// Something of it could not be produced: its partition goes back to the first record that is not done.
    pub fn rewind(self) {}

    /// Cancelled when the partition was taken away (or rewound): what the record asks for is not ours to do any more.
    pub fn revoked(&self) -> &CancellationToken {
        todo!()
    }
}

//! When all that came of one record is acknowledged: counted by clones, finished by the last drop.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;

use super::producer::ProduceError;
use super::ticket::Ticket;

/// Shared by all outputs of one record. When the last clone is dropped the record's ticket is given back: done where `all_sent` was said and every output
/// was acknowledged, else rewound. So a panic, or an early return, between two outputs loses nothing.
pub struct Completion {
    end: Option<End>,
    all_sent: AtomicBool,
    failure: OnceLock<ProduceError>,
}

enum End {
    Ticket(Ticket, Option<Box<dyn Tally>>),
    Answer(oneshot::Sender<Result<(), ProduceError>>),
}

/// Counts what came of a record; called on whatever thread the last acknowledgement comes on, so it must not block.
pub trait Tally: Send + Sync {
    /// Everything is acknowledged.
    fn done(&self);

    /// The output to this topic was too large for it, and another one took its place.
    fn diverted(&self, topic: &str);
}

impl Completion {
    /// Hold a clone while outputs are being sent, and say `all_sent` behind the last.
    pub fn new(ticket: Ticket, tally: Option<Box<dyn Tally>>) -> Arc<Completion> {
        Arc::new(Completion { end: Some(End::Ticket(ticket, tally)), all_sent: AtomicBool::new(false), failure: OnceLock::new() })
    }

    pub(super) fn answer() -> (Arc<Completion>, oneshot::Receiver<Result<(), ProduceError>>) {
        let (answer, result) = oneshot::channel();
        (Arc::new(Completion { end: Some(End::Answer(answer)), all_sent: AtomicBool::new(true), failure: OnceLock::new() }), result)
    }

    /// No output follows any more.
    pub fn all_sent(&self) {
        self.all_sent.store(true, Ordering::Release);
    }

    /// An output was replaced by another one, which holds this completion too.
    pub fn diverted(&self, topic: &str) {
        if let Some(End::Ticket(_, Some(tally))) = &self.end {
            tally.diverted(topic);
        }
    }

    /// An output did not make it; the first failure counts.
    pub fn fail(&self, error: ProduceError) {
        // A second failure adds nothing to the first
        let _ = self.failure.set(error);
    }

    /// Whether somebody still wants it: not where its partition was taken away.
    pub fn is_wanted(&self) -> bool {
        match &self.end {
            Some(End::Ticket(ticket, _)) => !ticket.revoked().is_cancelled(),
            Some(End::Answer(answer)) => !answer.is_closed(),
            None => false,
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let failure = self.failure.take();
        match self.end.take() {
            Some(End::Ticket(ticket, tally)) => {
                if failure.is_some() || !*self.all_sent.get_mut() {
                    ticket.rewind();
                } else {
                    ticket.done();
                    if let Some(tally) = tally {
                        tally.done();
                    }
                }
            }
            Some(End::Answer(answer)) => {
                // Whoever asked may have gone away; the record is on the topic all the same
                let _ = answer.send(failure.map_or(Ok(()), Err));
            }
            None => {}
        }
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("failure", &self.failure).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::KafkaError;

    #[test]
    fn the_last_clone_gives_the_ticket_back() {
        let (ticket, lease) = Ticket::loose();
        let first = Completion::new(ticket, None);
        first.all_sent();
        let second = Arc::clone(&first);
        drop(first);
        assert_eq!(lease.position(), Some(0));
        drop(second);
        assert_eq!(lease.position(), Some(1));
        assert!(!lease.wants_rewind());
    }

    #[test]
    fn one_failure_rewinds() {
        let (ticket, lease) = Ticket::loose();
        let completion = Completion::new(ticket, None);
        completion.all_sent();
        completion.fail(ProduceError::Kafka(KafkaError::NoTopic { topic: "t".into() }));
        drop(completion);
        assert_eq!(lease.position(), Some(0));
        assert!(lease.wants_rewind());
    }

    #[test]
    fn a_record_whose_outputs_were_not_all_sent_is_not_done() {
        let (ticket, lease) = Ticket::loose();
        drop(Completion::new(ticket, None));
        assert_eq!(lease.position(), Some(0));
        assert!(lease.wants_rewind());
    }
}

//! When all that came of one record is acknowledged: counted by clones, finished by the last drop.

use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;

use super::producer::ProduceError;
use super::ticket::Ticket;

/// Shared by all outputs of one record. When the last clone is dropped the record's ticket is given back: done where every output was acknowledged,
/// rewound where one failed.
#[derive(Debug)]
pub struct Completion {
    end: Option<End>,
    failure: OnceLock<ProduceError>,
}

#[derive(Debug)]
enum End {
    Ticket(Ticket),
    Answer(oneshot::Sender<Result<(), ProduceError>>),
}

impl Completion {
    /// Hold a clone while outputs are being sent, so that the first acknowledgement is not taken for the last.
    pub fn new(ticket: Ticket) -> Arc<Completion> {
        Arc::new(Completion { end: Some(End::Ticket(ticket)), failure: OnceLock::new() })
    }

    pub(super) fn answer() -> (Arc<Completion>, oneshot::Receiver<Result<(), ProduceError>>) {
        let (answer, result) = oneshot::channel();
        (Arc::new(Completion { end: Some(End::Answer(answer)), failure: OnceLock::new() }), result)
    }

    /// An output did not make it; the first failure counts.
    pub fn fail(&self, error: ProduceError) {
        // A second failure adds nothing to the first
        let _ = self.failure.set(error);
    }

    /// Whether somebody still wants it: not where its partition was taken away.
    pub fn is_wanted(&self) -> bool {
        match &self.end {
            Some(End::Ticket(ticket)) => !ticket.revoked().is_cancelled(),
            Some(End::Answer(answer)) => !answer.is_closed(),
            None => false,
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        match (self.end.take(), self.failure.take()) {
            (Some(End::Ticket(ticket)), None) => ticket.done(),
            (Some(End::Ticket(ticket)), Some(_)) => ticket.rewind(),
            (Some(End::Answer(answer)), failure) => {
                // Whoever asked may have gone away; the record is on the topic all the same
                let _ = answer.send(failure.map_or(Ok(()), Err));
            }
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::KafkaError;

    #[test]
    fn the_last_clone_gives_the_ticket_back() {
        let (ticket, lease) = Ticket::loose();
        let first = Completion::new(ticket);
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
        let completion = Completion::new(ticket);
        completion.fail(ProduceError::Kafka(KafkaError::NoTopic { topic: "t".into() }));
        drop(completion);
        assert_eq!(lease.position(), Some(0));
        assert!(lease.wants_rewind());
    }
}

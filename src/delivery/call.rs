//! One call of a sink: with a timeout, cancelled when its records are taken away. What its answer means is judged elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, select_all};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bisect::Segments;
use super::record::Taken;
use super::streak::CallNumber;
use crate::config::Delivery;
use crate::sinks::{Batch, Blame, Refusal, Sink, Verdict};

/// Records of one target that go to the sink together, or in parts after each other, until each is judged.
pub(super) struct Job {
    pub segments: Segments<Taken>,
    /// Calls of its head in a row that failed through the sink's fault.
    pub failures: u32,
}

impl Job {
    pub fn new(records: Vec<Taken>) -> Job {
        Job { segments: Segments::new(records), failures: 0 }
    }
}

/// A call that came back.
pub(super) struct Finished {
    pub job: Job,
    pub number: CallNumber,
    pub probe: bool,
    pub took: Duration,
    pub answer: Answer,
}

pub(super) enum Answer {
    /// One verdict for each record of the job's head, `responses:` applied.
    Verdicts(Vec<Verdict>),
    /// Some of its records were taken away, so the call was cancelled: the next owner must not be overtaken by it.
    Revoked,
}

/// Sends the job's head, which is not empty.
pub(super) fn call(job: Job, sink: Arc<dyn Sink>, settings: &Delivery, number: CallNumber, probe: bool) -> BoxFuture<'static, Finished> {
    let timeout = settings.timeout;
    let (pause_on, dead_on) = (settings.pause_on.clone(), settings.dead_on.clone());
    async move {
        let began = Instant::now();
        let head = job.segments.head();
        let items: Vec<_> = head.iter().map(|taken| taken.record.item()).collect();
        // All records of a partition are revoked together.
        let partitions: BTreeMap<i32, CancellationToken> =
            head.iter().map(|taken| (taken.record.partition, taken.record.ack.revoked().clone())).collect();
        let answer = match head.first() {
            None => Answer::Verdicts(Vec::new()),
            Some(first) => {
                let batch = Batch { target: Arc::clone(&first.record.headers.target), items };
                let revoked = select_all(partitions.values().map(|token| token.cancelled().boxed()));
                tokio::select! {
                    biased;
                    _ = revoked => Answer::Revoked,
                    answered = tokio::time::timeout(timeout, sink.deliver(&batch)) => {
                        let verdicts = answered.unwrap_or_else(|_| all(batch.items.len(), &timed_out(timeout)));
                        let mut verdicts = if verdicts.len() == batch.items.len() { verdicts } else { all(batch.items.len(), &miscounted(verdicts.len())) };
                        verdicts.iter_mut().for_each(|verdict| override_blame(verdict, &pause_on, &dead_on));
                        Answer::Verdicts(verdicts)
                    }
                }
            }
        };
        Finished { job, number, probe, took: began.elapsed(), answer }
    }
    .boxed()
}

/// Applies `responses: { pause, dead }`.
fn override_blame(verdict: &mut Verdict, pause_on: &[u16], dead_on: &[u16]) {
    let Verdict::Refused(refusal) = verdict else { return };
    let Some(code) = status(refusal) else { return };
    if dead_on.contains(&code) {
        refusal.blame = Blame::Record;
    } else if pause_on.contains(&code) {
        refusal.blame = Blame::Configuration;
    }
}

/// The HTTP status that a refusal carries; SQLSTATEs of digits alone have five of them, which `responses` cannot name.
pub(super) fn status(refusal: &Refusal) -> Option<u16> {
    refusal.code.as_deref().filter(|code| code.len() == 3)?.parse().ok()
}

fn all(records: usize, refusal: &Refusal) -> Vec<Verdict> {
    vec![Verdict::Refused(refusal.clone()); records]
}

fn timed_out(timeout: Duration) -> Refusal {
    Refusal { blame: Blame::Sink, code: Some("timeout".to_owned()), answer: format!("no answer within {timeout:?}"), retry_after: None }
}

fn miscounted(verdicts: usize) -> Refusal {
    let answer = format!("the sink answered {verdicts} verdicts, which is not one for each record");
    Refusal { blame: Blame::Sink, code: Some("miscounted".to_owned()), answer, retry_after: None }
}

/// A refusal in one line, for logs and states: the code before the answer.
pub(super) fn one_line(refusal: &Refusal) -> String {
    match &refusal.code {
        Some(code) if !refusal.answer.starts_with(code.as_str()) => format!("{code}: {}", refusal.answer),
        _ => refusal.answer.clone(),
    }
}

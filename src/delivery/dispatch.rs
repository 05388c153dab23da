//! What goes to the sink next: whether anything may, and which records. What comes of it is `settle`'s.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;
use tokio::time::Instant;

use super::breaker::Pass;
use super::call::{Job, call};
use super::engine::Engine;
use super::lanes::Limits;
use crate::config::BodyForm;
use crate::pipeline::Target;
use crate::sinks::{Blame, Refusal};

/// A sink may migrate tables before it is ready.
const PREPARE_WITHIN: Duration = Duration::from_secs(60);
impl Engine {
    /// Sends what may be sent; says when to look again if nothing happens before.
    pub(super) fn dispatch(&mut self, now: Instant) -> Option<Instant> {
        if self.held.is_some() {
            if self.draining {
                self.abandon();
            }
            return None;
        }
        while self.calls.len() < self.settings.concurrency.max(1) {
            let pass = self.breaker.pass(now);
            match pass {
                Pass::NotBefore(until) => return Some(until),
                Pass::Probing => return None,
                Pass::Free | Pass::Probe { .. } => {}
            }
            if !self.prepared {
                self.prepare(pass);
                return None;
            }
            if let Some(next) = self.rate.as_mut().map(|rate| rate.next(now)).filter(|next| *next > now) {
                return Some(next);
            }
            let probe = pass != Pass::Free;
            let job = match pass {
                Pass::Probe { one_record } => self.probe_job(one_record),
                _ => self.due_job(now).or_else(|| self.fresh_job(now)),
            };
            match job.and_then(|job| self.sift(job, probe)) {
                Some(job) => self.send(job, probe, now),
                // Sifting may have taken all of a job away, or opened the breaker: look anew while there is something.
                None if self.has_work(now) && self.breaker.pass(now) == pass => {}
                None => return self.next_due(now),
            }
        }
        None
    }

    /// What an operator stopped is not delivered on the way out either, and nobody waits for it: it comes again with the next start.
    fn abandon(&mut self) {
        drop(self.lanes.drain());
        self.parked.clear();
    }

    fn send(&mut self, job: Job, probe: bool, now: Instant) {
        self.begun.0 += 1;
        if probe {
            self.breaker.probing();
        }
        if let Some(rate) = &mut self.rate {
            rate.spend(job.segments.head().len(), now);
        }
        self.calls.push(call(job, Arc::clone(&self.sink), &self.settings, self.begun, probe));
    }

    fn prepare(&mut self, pass: Pass) {
        if self.preparing.is_some() {
            return;
        }
        if pass != Pass::Free {
            self.breaker.probing();
        }
        let sink = Arc::clone(&self.sink);
        let within = PREPARE_WITHIN.max(self.settings.timeout);
        self.preparing =
            Some(async move { tokio::time::timeout(within, sink.prepare()).await.unwrap_or_else(|_| Err(unready(within))) }.boxed());
    }

    /// The job that has waited longest for its moment, if that has come.
    fn due_job(&mut self, now: Instant) -> Option<Job> {
        let first = self.parked.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    /// A batch of what has gathered, unless it is to wait for more.
    fn fresh_job(&mut self, now: Instant) -> Option<Job> {
        let limits = self.limits();
        if self.gathering_until(limits).is_some_and(|until| until > now) {
            return None;
        }
        Some(Job::new(self.lanes.take(limits))).filter(|job| !job.segments.is_empty())
    }

    /// Until when the next batch waits for more records; None where it need not.
    fn gathering_until(&self, limits: Limits) -> Option<Instant> {
        let first = self.lanes.first_ready().filter(|_| !self.settings.max_wait.is_zero() && !self.draining)?;
        let full = self.lanes.ready_for(&first.headers.target) >= limits.max_records;
        (!full).then(|| first.arrived + self.settings.max_wait)
    }

    fn limits(&self) -> Limits {
        let single = |target: &Target| matches!(target, Target::Request(request) if request.body == BodyForm::Single);
        let max_records = match &self.rate {
            _ if self.lanes.first_ready().is_some_and(|first| single(&first.headers.target)) => 1,
            Some(rate) => self.settings.max_records.min(rate.burst()),
            None => self.settings.max_records,
        };
        Limits { max_records, max_bytes: self.settings.max_bytes }
    }

    /// What to ask a sink with that may be down: in turn what failed and what was never tried, so that a record which no sink would take cannot keep the rest waiting.
    /// Where its configuration is in doubt, one record will do, best one that was not refused before.
    fn probe_job(&mut self, one_record: bool) -> Option<Job> {
        self.probes += 1;
        if one_record {
            if let Some(taken) = self.lanes.take_one(|entry| entry.history.refused_at.is_none()) {
                return Some(Job::new(vec![taken]));
            }
            let mut records = self.parked.pop_first()?.1.segments.into_records();
            let rest = records.split_off(records.len().min(1));
            self.lanes.put_back(rest);
            return Some(Job::new(records));
        }
        let fresh_first = self.failing.len() == 1 || self.probes.is_multiple_of(2);
        let limits = self.limits();
        let mut fresh = || Some(Job::new(self.lanes.take(limits))).filter(|job| !job.segments.is_empty());
        if fresh_first && let Some(job) = fresh() {
            return Some(job);
        }
        self.parked.pop_first().map(|(_, job)| job).or_else(fresh)
    }

    /// Whether a look at the queue may bring something to send.
    fn has_work(&self, now: Instant) -> bool {
        let due = self.parked.first_key_value().is_some_and(|((due, _), _)| *due <= now || self.breaker.open().is_some());
        due || (self.lanes.first_ready().is_some() && self.gathering_until(self.limits()).is_none_or(|until| until <= now))
    }

    fn next_due(&self, now: Instant) -> Option<Instant> {
        let parked = self.parked.first_key_value().map(|((due, _), _)| *due);
        let gathering = self.gathering_until(self.limits());
        // What is due already waits for something else than time.
        [parked, gathering].into_iter().flatten().filter(|due| *due > now).min()
    }
}

fn unready(within: Duration) -> Refusal {
    Refusal { blame: Blame::Sink, code: Some("timeout".to_owned()), answer: format!("not ready within {within:?}"), retry_after: None }
}

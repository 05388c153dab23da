//! What follows from a call that came back: acknowledge, retry, bisect, hold, bury, pause.

use futures_util::future::FutureExt;
use tokio::time::Instant;

use super::bisect::split_lanes;
use super::breaker::{Cause, Pass};
use super::call::{Answer, Finished, Job, one_line, status};
use super::dead::{Letter, Reason};
use super::engine::{Engine, MENDING};
use super::lanes::Laned;
use super::record::{Ack, Entry, Taken, Unreadable};
use super::retry::Backoff;
use super::streak::{CallNumber, Judgement};
use crate::sinks::{Blame, Refusal, Verdict};

/// A batch that failed so often while others passed, or as a probe, is divided, to find the record that the sink fails on.
const FAILURES_TO_DIVIDE: u32 = 3;
/// A record that failed alone so often, others passing before each of its retries, is dead.
const FAILURES_ALONE: u32 = 10;

/// How far the waits grow for records that fail while others pass: at the default 200 ms, to 800 ms, so that the verdict takes some four seconds.
const TRIES_WHILE_OTHERS_PASS: u32 = 3;

/// A call's records by what is to be done with them, each list in order.
#[derive(Default)]
struct Sorted {
    delivered: Vec<Taken>,
    ignored: Vec<Taken>,
    culprits: Vec<(Taken, Refusal)>,
    unserved: Vec<(Taken, Refusal)>,
    failed: Vec<(Taken, Refusal)>,
}

impl Engine {
    pub(super) fn settle(&mut self, finished: Finished) {
        let Finished { mut job, number, probe, took, answer } = finished;
        let verdicts = match answer {
            Answer::Verdicts(verdicts) => verdicts,
            Answer::Revoked => {
                if probe {
                    self.breaker.abandoned();
                }
                self.let_go_of(&mut job);
                if !job.segments.is_empty() {
                    self.park(job, Instant::now());
                }
                return;
            }
        };
        self.metrics.batch(&self.consumer, outcome(&verdicts), verdicts.len(), took);
        if let Some(refusal) = refused_as_a_whole(&verdicts) {
            job.segments.head_mut().iter_mut().for_each(|taken| taken.record.history.last_answer = Some(refusal.clone()));
            if job.segments.split_head() {
                // A sink that judges what it is sent is there. What it judges is known when the halves come back.
                self.answered(probe);
                return self.park(job, Instant::now());
            }
        }
        let passed = verdicts.iter().all(|verdict| !matches!(verdict, Verdict::Refused(_)));
        let sorted = sort(job.segments.take_head(passed), verdicts);
        self.act(sorted, job, number, probe);
    }

    fn act(&mut self, mut sorted: Sorted, mut job: Job, number: CallNumber, probe: bool) {
        let accepted = !(sorted.delivered.is_empty() && sorted.ignored.is_empty());
        if accepted {
            self.failing.clear();
            self.breaker.accepted(probe);
            for dead in self.streak.accepted(number) {
                self.bury_refused(dead);
            }
        }
        self.acknowledge(sorted.delivered, "delivered");
        self.acknowledge(sorted.ignored, "ignored");
        let judged_alone = !sorted.culprits.is_empty() && sorted.unserved.is_empty() && sorted.failed.is_empty();
        for (taken, refusal) in sorted.culprits {
            self.culprit(taken, refusal, &mut job, accepted, probe);
        }
        if judged_alone && !accepted {
            self.answered(probe);
        }
        if !sorted.unserved.is_empty() {
            sorted.unserved.append(&mut sorted.failed);
            return self.unserved(sorted.unserved, job, probe);
        }
        if sorted.failed.is_empty() {
            if !job.segments.is_empty() {
                job.failures = 0;
                self.park(job, Instant::now());
            }
        } else {
            self.failed(sorted.failed, job, probe);
        }
    }

    /// The sink judged records without taking any: it works, unless that is just what is in doubt.
    fn answered(&mut self, probe: bool) {
        match self.breaker.open() {
            Some((Cause::Alike, _)) if probe => self.breaker.abandoned(),
            _ => self.breaker.accepted(probe),
        }
    }

    fn acknowledge(&mut self, taken: Vec<Taken>, result: &'static str) {
        if taken.is_empty() {
            return;
        }
        self.metrics.delivered(&self.consumer, result, taken.len() as u64);
        let now = (self.now)().as_millisecond();
        for Taken { record, .. } in taken {
            self.lanes.done(record.lane());
            let origin = record.headers.origin.timestamp_ms;
            if origin >= 0 {
                let took = u64::try_from(now - origin).unwrap_or(0);
                self.recorder.end_to_end(&self.consumer, std::time::Duration::from_millis(took));
            }
            record.ack.done();
        }
    }

    /// A record was refused by itself: dead where it is certain that it alone is at fault, else held.
    fn culprit(&mut self, mut taken: Taken, refusal: Refusal, job: &mut Job, others_passed: bool, probe: bool) {
        let history = &mut taken.record.history;
        let before = history.refused_at.replace(self.begun);
        history.attempts += 1;
        let certain = others_passed || status(&refusal).is_some_and(|code| self.settings.dead_on.contains(&code));
        let code = refusal.code.clone().unwrap_or_default();
        let why = format!("record after record is refused alike, the last one with {}", one_line(&refusal));
        history.last_answer = Some(refusal);
        if certain {
            return self.bury_refused(taken);
        }
        let lane = taken.record.lane();
        match self.streak.refused(taken, &code, self.begun, before, Instant::now()) {
            Judgement::Dead(taken) => self.bury_refused(taken),
            Judgement::Configuration(held) => {
                self.lanes.put_back(held);
                self.lanes.put_back(job.segments.extract(|_| true));
                self.pause(Cause::Alike, &why, probe);
            }
            Judgement::Held if matches!(self.breaker.open(), Some((Cause::Alike, _))) => {
                let held = self.streak.release();
                self.lanes.put_back(held);
                // later records of the same keys: parked, they would overtake those that were just put back
                self.lanes.put_back(job.segments.extract(|_| true));
                self.pause(Cause::Alike, &why, probe);
            }
            // It may yet be delivered: nothing of its lane may leave before.
            Judgement::Held => self.lanes.put_back(job.segments.extract(|other| other.record.lane() == lane)),
        }
    }

    /// Nobody would be served: everything goes back to where it was, the queue pauses.
    fn unserved(&mut self, unserved: Vec<(Taken, Refusal)>, job: Job, probe: bool) {
        let why = unserved.first().map(|(_, refusal)| one_line(refusal)).unwrap_or_default();
        for (mut taken, refusal) in unserved {
            taken.record.history.attempts += 1;
            taken.record.history.last_answer = Some(refusal);
            self.lanes.put_back([taken]);
        }
        self.lanes.put_back(job.segments.into_records());
        self.prepared = false;
        self.pause(Cause::Configuration, &why, probe);
    }

    pub(super) fn pause(&mut self, cause: Cause, why: &str, probe: bool) {
        let rng = &mut self.rng;
        self.breaker.paused(Instant::now(), probe, cause, why, |pauses| MENDING.pause(pauses, None, rng));
    }

    /// The sink's fault: the same records go again later, in one call again unless they are divided.
    fn failed(&mut self, failed: Vec<(Taken, Refusal)>, mut job: Job, probe: bool) {
        let now = Instant::now();
        let backoff = Backoff { initial: self.settings.retry_initial, max: self.settings.retry_max };
        let asked = failed.iter().filter_map(|(_, refusal)| refusal.retry_after).max();
        let why = failed.first().map(|(_, refusal)| one_line(refusal)).unwrap_or_default();
        if let Some((first, _)) = failed.first() {
            self.failing.insert(first.place());
        }
        let alone = failed.len() == 1;
        let mut again = Vec::with_capacity(failed.len());
        for (taken, refusal) in failed {
            match self.note_failure(taken, refusal, alone, now) {
                Ok(taken) => again.push(taken),
                Err((taken, error)) => self.bury(taken, Reason::Exhausted, error),
            }
        }
        let rng = &mut self.rng;
        self.breaker.failed(now, probe, asked.is_some(), &why, |pauses| backoff.pause(pauses, asked, rng));
        job.failures += 1;
        let others_pass = again.iter().any(|taken| taken.record.history.failed_while_others_passed > 0);
        // A probe stands for all: where it holds a key's records that others wait behind, nobody can pass until the culprit is out of it.
        if !alone && job.failures >= FAILURES_TO_DIVIDE && (others_pass || probe) {
            let wait = backoff.wait(1, asked, &mut self.rng);
            return self.divide(again, job, now + wait);
        }
        job.segments.push_head(again);
        if !job.segments.is_empty() {
            // while others pass it is not the sink that must be left alone, and its partition waits for this verdict
            let tries = if others_pass { job.failures.min(TRIES_WHILE_OTHERS_PASS) } else { job.failures };
            let wait = backoff.wait(tries, asked, &mut self.rng);
            self.park(job, now + wait);
        }
    }

    /// Notes a failure in the record's history; gives it back with why where it is not to be tried again.
    fn note_failure(&self, mut taken: Taken, refusal: Refusal, alone: bool, now: Instant) -> Result<Taken, (Taken, String)> {
        let history = &mut taken.record.history;
        history.attempts += 1;
        let others_passed = history.failed_at.is_some_and(|at| self.streak.accepted_since(at));
        history.failed_while_others_passed += u32::from(others_passed);
        history.failed_at = Some(self.begun);
        let failing_for = now - *history.first_failed.get_or_insert(now);
        let answer = one_line(&refusal);
        history.last_answer = Some(refusal);
        if alone && history.failed_while_others_passed >= FAILURES_ALONE {
            return Err((taken, format!("kept failing alone while others passed: {answer}")));
        }
        match self.settings.give_up_after {
            Some(limit) if failing_for >= limit => Err((taken, format!("given up after {limit:?}: {answer}"))),
            _ => Ok(taken),
        }
    }

    /// Some record of these may be what the sink fails on: two jobs in place of one, so that the rest need not wait for it.
    fn divide(&mut self, again: Vec<Taken>, job: Job, due: Instant) {
        let mut records = again;
        records.iter_mut().for_each(|taken| taken.record.history.failed_while_others_passed = 0);
        records.extend(job.segments.into_records());
        match split_lanes(records, |taken| taken.record.lane()) {
            Ok((first, second)) => {
                self.park(Job::new(first), due);
                self.park(Job::new(second), due);
            }
            Err(one_lane) => {
                let mut job = Job::new(one_lane);
                job.segments.split_head();
                self.park(job, due);
            }
        }
    }

    /// Takes out of a job what is not to be sent: what was taken away, what is too old. None where nothing of its head is left, or the sink cannot take it.
    pub(super) fn sift(&mut self, mut job: Job, probe: bool) -> Option<Job> {
        self.let_go_of(&mut job);
        if let Some(max_age) = self.settings.max_age {
            let oldest = (self.now)().as_millisecond() - i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX);
            for expired in job.segments.extract(|taken| time_of(&taken.record).is_some_and(|time| time < oldest)) {
                self.bury(expired, Reason::Expired, format!("older than {max_age:?}"));
            }
        }
        let first = job.segments.head().first()?;
        if !self.fits(&first.record) {
            let why = format!(
                "the queue holds records for a sink of type {}, the definition says {}: deliver them with the old definition first",
                first.record.headers.sink.name(),
                self.kind().name()
            );
            self.lanes.put_back(job.segments.into_records());
            self.pause(Cause::Configuration, &why, probe);
            return None;
        }
        Some(job)
    }

    pub(super) fn after_prepare(&mut self, result: Result<(), Refusal>) {
        let probe = self.breaker.pass(Instant::now()) == Pass::Probing;
        match result {
            Ok(()) => {
                self.prepared = true;
                self.breaker.abandoned();
            }
            Err(refusal) if refusal.blame == Blame::Configuration => self.pause(Cause::Configuration, &one_line(&refusal), probe),
            Err(refusal) => {
                let backoff = Backoff { initial: self.settings.retry_initial, max: self.settings.retry_max };
                let rng = &mut self.rng;
                let pause = |pauses| backoff.pause(pauses, refusal.retry_after, rng);
                self.breaker.failed(Instant::now(), probe, true, &one_line(&refusal), pause);
            }
        }
    }

    /// Lets go of what is not ours any more, wherever it waits.
    pub(super) fn let_go(&mut self) {
        for gone in self.streak.extract(|taken| taken.record.is_revoked()) {
            self.lanes.done(gone.record.lane());
        }
        for (when, mut job) in std::mem::take(&mut self.parked) {
            self.let_go_of(&mut job);
            if !job.segments.is_empty() {
                self.parked.insert(when, job);
            }
        }
        self.lanes.retain(|entry| !entry.is_revoked());
    }

    fn let_go_of(&mut self, job: &mut Job) {
        for gone in job.segments.extract(|taken| taken.record.is_revoked()) {
            self.lanes.done(gone.record.lane());
        }
    }

    /// Judges what is held when nothing came that would decide.
    pub(super) fn sweep(&mut self) {
        self.let_go();
        if self.idle_for_judgement() && self.streak.due().is_some_and(|due| due <= Instant::now()) {
            for dead in self.streak.release() {
                self.bury_refused(dead);
            }
        }
    }

    fn bury_refused(&mut self, taken: Taken) {
        let answer = taken.record.history.last_answer.as_ref();
        let reason = if answer.is_some_and(|refusal| refusal.blame == Blame::Size) { Reason::TooLarge } else { Reason::Refused };
        let error = answer.map(one_line).unwrap_or_default();
        self.bury(taken, reason, error);
    }

    /// Makes a dead letter of it. Its lane goes on: dead letters are outside the order.
    fn bury(&mut self, taken: Taken, reason: Reason, error: String) {
        self.lanes.done(taken.record.lane());
        let Entry { headers, key, payload, ack, history, .. } = *taken.record;
        let answer = history.last_answer.as_ref().map(one_line);
        let letter =
            Letter { headers: Some(headers), key, value: payload, reason, error, attempts: history.attempts, answer, time: (self.now)() };
        self.write(letter, ack);
    }

    pub(super) fn bury_unreadable(&mut self, record: Unreadable) {
        let Unreadable { key, value, reason, ack } = record;
        let letter =
            Letter { headers: None, key, value, reason: Reason::Unreadable, error: reason, attempts: 0, answer: None, time: (self.now)() };
        self.write(letter, ack);
    }

    fn write(&mut self, letter: Letter, ack: Box<dyn Ack>) {
        let written = self.dead_letters.put(letter);
        let revoked = ack.revoked().clone();
        let written = async move {
            tokio::select! {
                () = written => Some(ack),
                () = revoked.cancelled() => None,
            }
        };
        self.buried.push(written.boxed());
    }

    pub(super) fn buried(&mut self, ack: Option<Box<dyn Ack>>) {
        if let Some(ack) = ack {
            self.metrics.delivered(&self.consumer, "dead", 1);
            self.metrics.dead(&self.consumer, "delivery");
            ack.done();
        }
    }
}

/// The one refusal of a batch whose records were all refused for some record's sake; None for a single record, or where the sink told them apart.
fn refused_as_a_whole(verdicts: &[Verdict]) -> Option<Refusal> {
    let blames_records = |verdict: &Verdict| matches!(verdict, Verdict::Refused(Refusal { blame: Blame::Record | Blame::Size, .. }));
    match verdicts {
        [Verdict::Refused(first), _, ..] if verdicts.iter().all(blames_records) => Some(first.clone()),
        _ => None,
    }
}

fn sort(taken: Vec<Taken>, verdicts: Vec<Verdict>) -> Sorted {
    let mut sorted = Sorted::default();
    for (taken, verdict) in taken.into_iter().zip(verdicts) {
        match verdict {
            Verdict::Delivered => sorted.delivered.push(taken),
            Verdict::Ignored => sorted.ignored.push(taken),
            Verdict::Refused(refusal) => match refusal.blame {
                Blame::Record | Blame::Size => sorted.culprits.push((taken, refusal)),
                Blame::Configuration => sorted.unserved.push((taken, refusal)),
                Blame::Sink => sorted.failed.push((taken, refusal)),
            },
        }
    }
    sorted
}

/// For the metrics: ok where all was taken, failed where the sink is at fault, refused otherwise.
fn outcome(verdicts: &[Verdict]) -> &'static str {
    let blamed = |blame| verdicts.iter().any(|verdict| matches!(verdict, Verdict::Refused(refusal) if refusal.blame == blame));
    if blamed(Blame::Sink) {
        "failed"
    } else if [Blame::Record, Blame::Size, Blame::Configuration].into_iter().any(blamed) {
        "refused"
    } else {
        "ok"
    }
}

/// When the event happened, in milliseconds since 1970; where it does not say, when its record was written.
fn time_of(entry: &Entry) -> Option<i64> {
    let origin = entry.headers.origin.timestamp_ms;
    entry.headers.event_time.map(|time| time.as_millisecond()).or_else(|| (origin >= 0).then_some(origin))
}

//! The loop of one consumer's delivery: takes records in, decides what may be sent, sends it, acts on what comes back (`settle`). One task that owns plain state;
//! it knows no Kafka: records come through a channel, dead letters leave through a trait.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::breaker::{Breaker, Pass};
use super::call::{Finished, Job, call};
use super::dead::DeadLetters;
use super::lanes::{Lanes, Limits};
use super::rate::Rate;
use super::record::{Ack, Entry, Incoming, Taken};
use super::retry::Backoff;
use super::status::DeliveryState;
use super::streak::{CallNumber, Streak};
use crate::config::{BodyForm, Configured, Delivery, SinkKind, SinkSettings};
use crate::pipeline::Target;
use crate::sinks::{Refusal, Sink};
use crate::telemetry::{Metrics, Recorder};

/// Records taken in between two looks at what may be sent, so that a flood does not starve the calls that come back.
const TAKEN_AT_ONCE: usize = 1_000;
/// How often records that are not ours any more are looked for among those that wait for something else.
const SWEEP: Duration = Duration::from_secs(1);
/// A sink may migrate tables before it is ready.
const PREPARE_WITHIN: Duration = Duration::from_secs(60);
/// Probes of a sink whose configuration is in doubt.
pub(super) const MENDING: Backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(30) };

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a running engine is told.
pub enum Command {
    /// New settings from the next call on; calls that are out finish under the old ones.
    Reconfigure(Configured, Arc<dyn Sink>),
    /// Nothing new will come.
    Drain,
}

/// What an engine is made of.
pub struct EngineParts {
    pub consumer: Arc<str>,
    pub configured: Configured,
    pub sink: Arc<dyn Sink>,
    pub dead_letters: Arc<dyn DeadLetters>,
    pub metrics: Metrics,
    /// Wall time, for `max_age` and latencies.
    pub now: Clock,
    pub rng: StdRng,
}

pub struct Engine {
    pub(super) consumer: Arc<str>,
    pub(super) settings: Delivery,
    kind: SinkKind,
    sink: Arc<dyn Sink>,
    pub(super) dead_letters: Arc<dyn DeadLetters>,
    pub(super) metrics: Metrics,
    pub(super) recorder: Recorder,
    pub(super) now: Clock,
    pub(super) rng: StdRng,

    pub(super) lanes: Lanes<Box<Entry>>,
    /// Jobs that wait for their next try or go on at once, by when; the number keeps them apart.
    pub(super) parked: BTreeMap<(Instant, u64), Job>,
    parked_ever: u64,
    entered: u64,
    calls: FuturesUnordered<BoxFuture<'static, Finished>>,
    /// Dead letters on their way; None comes from one whose record was taken away meanwhile.
    pub(super) buried: FuturesUnordered<BoxFuture<'static, Option<Box<dyn Ack>>>>,
    preparing: Option<BoxFuture<'static, Result<(), Refusal>>>,
    pub(super) prepared: bool,
    pub(super) breaker: Breaker,
    pub(super) streak: Streak<Taken>,
    rate: Option<Rate>,
    pub(super) begun: CallNumber,
    probes: u64,
    /// First records of the jobs that failed since the last success: a single one is no reason to keep others waiting.
    pub(super) failing: HashSet<u64>,
    draining: bool,
    state: watch::Sender<DeliveryState>,
}

impl Engine {
    /// The engine, and where its state is seen.
    pub fn new(parts: EngineParts) -> (Engine, watch::Receiver<DeliveryState>) {
        let (state, seen) = watch::channel(DeliveryState::Delivering);
        let EngineParts { consumer, configured, sink, dead_letters, metrics, now, rng } = parts;
        metrics.expect_consumer(&consumer);
        metrics.delivery_state(&consumer, DeliveryState::Delivering.name());
        let engine = Engine {
            rate: configured.delivery.rate_limit.map(|rate| Rate::new(rate, Instant::now())),
            settings: configured.delivery,
            kind: kind_of(&configured.sink),
            recorder: metrics.recorder(),
            consumer,
            sink,
            dead_letters,
            metrics,
            now,
            rng,
            lanes: Lanes::default(),
            parked: BTreeMap::new(),
            parked_ever: 0,
            entered: 0,
            calls: FuturesUnordered::new(),
            buried: FuturesUnordered::new(),
            preparing: None,
            prepared: false,
            breaker: Breaker::default(),
            streak: Streak::default(),
            begun: CallNumber::default(),
            probes: 0,
            failing: HashSet::new(),
            draining: false,
            state,
        };
        (engine, seen)
    }

    /// Runs until `commands` is closed. What is not acknowledged by then comes again with the next start.
    pub async fn run(mut self, mut feed: mpsc::UnboundedReceiver<Incoming>, mut commands: mpsc::Receiver<Command>) {
        let mut sweep = tokio::time::interval(SWEEP);
        let mut fed = true;
        loop {
            let look_again = self.dispatch(Instant::now());
            self.report_state();
            tokio::select! {
                Some(finished) = self.calls.next() => self.settle(finished),
                Some(ack) = self.buried.next() => self.buried(ack),
                prepared = prepared(&mut self.preparing) => self.after_prepare(prepared),
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                incoming = feed.recv(), if fed => match incoming {
                    Some(incoming) => {
                        self.take_in(incoming);
                        // What has gathered makes one batch, not one call each.
                        for _ in 1..TAKEN_AT_ONCE {
                            let Ok(incoming) = feed.try_recv() else { break };
                            self.take_in(incoming);
                        }
                    }
                    // The source is gone; what was taken is still delivered.
                    None => fed = false,
                },
                () = until(look_again) => {}
                _ = sweep.tick() => self.sweep(),
            }
        }
    }

    fn take_in(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Unreadable(record) => self.bury_unreadable(record),
            Incoming::Entry(mut entry) => {
                entry.choose_lane(self.settings.order, self.entered);
                self.entered += 1;
                self.lanes.push(entry);
                if self.failing.len() == 1 {
                    self.breaker.probe_early(Instant::now());
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Drain => self.draining = true,
            Command::Reconfigure(configured, sink) => {
                let now = Instant::now();
                let reordered = configured.delivery.order != self.settings.order;
                if configured.delivery.rate_limit != self.settings.rate_limit {
                    self.rate = configured.delivery.rate_limit.map(|rate| Rate::new(rate, now));
                }
                self.settings = configured.delivery;
                self.kind = kind_of(&configured.sink);
                self.sink = sink;
                if self.preparing.take().is_some() {
                    self.breaker.abandoned();
                }
                self.prepared = false;
                self.breaker.mended(now);
                if reordered {
                    self.reorder();
                }
            }
        }
    }

    /// Gives all that wait their lanes by the new rule; what is out keeps its own until it is done.
    fn reorder(&mut self) {
        for mut entry in self.lanes.drain() {
            entry.choose_lane(self.settings.order, self.entered);
            self.entered += 1;
            self.lanes.push(entry);
        }
    }

    /// Sends what may be sent; says when to look again if nothing happens before.
    fn dispatch(&mut self, now: Instant) -> Option<Instant> {
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
        let single = |entry: &Box<Entry>| matches!(&*entry.headers.target, Target::Request(request) if request.body == BodyForm::Single);
        let max_records = match &self.rate {
            _ if self.lanes.first_ready().is_some_and(single) => 1,
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

    /// Whether nothing is on its way that could still speak for or against a held record.
    pub(super) fn idle_for_judgement(&self) -> bool {
        self.calls.is_empty() && self.breaker.open().is_none()
    }

    pub(super) fn park(&mut self, job: Job, due: Instant) {
        self.parked_ever += 1;
        self.parked.insert((due, self.parked_ever), job);
    }

    /// Whether the live definition's sink can take it.
    pub(super) fn fits(&self, entry: &Entry) -> bool {
        entry.headers.sink == self.kind && entry.headers.target.fits(self.kind)
    }

    pub(super) fn kind(&self) -> SinkKind {
        self.kind
    }

    fn report_state(&mut self) {
        let state = match self.breaker.open() {
            Some((super::breaker::Cause::Sink, why)) => DeliveryState::Paused { why: why.to_owned() },
            Some((_, why)) => DeliveryState::Misconfigured { why: why.to_owned() },
            None if self.draining => DeliveryState::Draining,
            None => DeliveryState::Delivering,
        };
        let before = self.state.borrow().name();
        if before != state.name() {
            self.metrics.delivery_state(&self.consumer, state.name());
            match state.why() {
                Some(why) => tracing::warn!(consumer = %self.consumer, state = state.name(), why, "delivery {}", state.name()),
                None => tracing::info!(consumer = %self.consumer, state = state.name(), "delivery {}", state.name()),
            }
        }
        self.state.send_if_modified(|seen| {
            let changed = *seen != state;
            if changed {
                *seen = state;
            }
            changed
        });
    }
}

fn kind_of(sink: &SinkSettings) -> SinkKind {
    match sink {
        SinkSettings::Http(_) => SinkKind::Http,
        SinkSettings::Warehouse(_) => SinkKind::Warehouse,
        SinkSettings::Kafka(_) => SinkKind::Kafka,
        SinkSettings::File(_) => SinkKind::File,
        SinkSettings::Queue => SinkKind::Queue,
    }
}

fn unready(within: Duration) -> Refusal {
    Refusal {
        blame: crate::sinks::Blame::Sink,
        code: Some("timeout".to_owned()),
        answer: format!("not ready within {within:?}"),
        retry_after: None,
    }
}

/// The outcome of getting ready, once; forever pending where nobody is.
async fn prepared(preparing: &mut Option<BoxFuture<'static, Result<(), Refusal>>>) -> Result<(), Refusal> {
    match preparing {
        Some(running) => {
            let result = running.await;
            *preparing = None;
            result
        }
        None => std::future::pending().await,
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

//! The loop of one consumer's delivery: takes records in, decides what may be sent, sends it, acts on what comes back (`settle`). One task that owns plain state;
//! it knows no Kafka: records come through a channel, dead letters leave through a trait.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::call::{Finished, Job};
use super::dead::DeadLetters;
use super::lanes::Lanes;
use super::rate::Rate;
use super::record::{Ack, Entry, Incoming, Taken};
use super::retry::Backoff;
use super::status::DeliveryState;
use super::streak::{CallNumber, Streak};
use crate::config::{Configured, Delivery, SinkKind, SinkSettings};
use crate::sinks::{Refusal, Sink};
use crate::telemetry::{Metrics, Recorder};

/// Records taken in between two looks at what may be sent, so that a flood does not starve the calls that come back.
const TAKEN_AT_ONCE: usize = 1_000;
/// How often records are looked for that wait for a judgement, or that came to wait just when they were taken away.
const SWEEP: Duration = Duration::from_secs(1);
/// Probes of a sink whose configuration is in doubt.
pub(super) const MENDING: Backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(30) };

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a running engine is told.
pub enum Command {
    /// New settings from the next call on; calls that are out finish under the old ones.
    Reconfigure(Box<Configured>, Arc<dyn Sink>),
    /// An operator stops the delivery, and why (None: lets it go on): no call begins meanwhile, those that are out finish.
    Hold(Option<String>),
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
    pub(super) sink: Arc<dyn Sink>,
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
    pub(super) calls: FuturesUnordered<BoxFuture<'static, Finished>>,
    /// What tells that a partition's records are not ours any more, for each that they came from.
    claims: HashMap<i32, CancellationToken>,
    /// The same, to wait for.
    taken_away: FuturesUnordered<BoxFuture<'static, ()>>,
    /// Dead letters on their way; None comes from one whose record was taken away meanwhile.
    pub(super) buried: FuturesUnordered<BoxFuture<'static, Option<Box<dyn Ack>>>>,
    pub(super) preparing: Option<BoxFuture<'static, Result<(), Refusal>>>,
    pub(super) prepared: bool,
    pub(super) breaker: Breaker,
    pub(super) streak: Streak<Taken>,
    pub(super) rate: Option<Rate>,
    pub(super) begun: CallNumber,
    pub(super) probes: u64,
    /// First records of the jobs that failed since the last success: a single one is no reason to keep others waiting.
    pub(super) failing: HashSet<u64>,
    pub(super) draining: bool,
    /// Why an operator stopped it.
    pub(super) held: Option<String>,
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
            claims: HashMap::new(),
            taken_away: FuturesUnordered::new(),
            buried: FuturesUnordered::new(),
            preparing: None,
            prepared: false,
            breaker: Breaker::default(),
            streak: Streak::default(),
            begun: CallNumber::default(),
            probes: 0,
            failing: HashSet::new(),
            draining: false,
            held: None,
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
                // a rebalance waits for what it takes away
                Some(()) = self.taken_away.next() => self.let_go(),
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
            Incoming::Entry(entry) if entry.is_revoked() => {}
            Incoming::Entry(mut entry) => {
                self.watch(&entry);
                entry.choose_lane(self.settings.order, self.entered);
                self.entered += 1;
                self.lanes.push(entry);
                if self.failing.len() == 1 {
                    self.breaker.probe_early(Instant::now());
                }
            }
        }
    }

    /// Makes sure that it is noticed when the record's partition is taken away.
    fn watch(&mut self, entry: &Entry) {
        let claim = entry.ack.revoked();
        if self.claims.get(&entry.partition).is_none_or(CancellationToken::is_cancelled) {
            self.claims.insert(entry.partition, claim.clone());
            self.taken_away.push(claim.clone().cancelled_owned().boxed());
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Drain => self.draining = true,
            Command::Hold(why) => self.held = why,
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
            _ if self.held.is_some() => DeliveryState::Paused { why: self.held.clone().unwrap_or_default() },
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

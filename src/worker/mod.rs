//! One process's share of the work: takes config sets as they change, and keeps the orchestrator and the deliveries that its roles name on the live one.

mod candidate;
mod deliveries;
mod heartbeat;
mod roles;
mod status;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{self, Findings, Variables};
use crate::kafka::{Ensured, Kafka, KafkaError, Producer, Start};
use crate::orchestrator::{Orchestrator, OrchestratorError, OrchestratorOptions, events_topics};
use crate::store::{Cache, Change, Pause, Redis, Situation, Watch};
use crate::telemetry::{Metrics, Readiness};

pub use candidate::Candidate;
pub use roles::{DeliveryRole, Roles};
pub use status::{Refused, Status};

use deliveries::Deliveries;
use heartbeat::Heart;

/// How often a worker looks after what waits: topics that could not be made, consumers without their secrets, queues to drain.
const ROUND: Duration = Duration::from_secs(1);

/// What a worker is started with.
pub struct WorkerOptions {
    /// Relative paths of sinks are relative to it.
    pub root: PathBuf,
    pub environment: Arc<str>,
    pub roles: Roles,
    pub kafka: Kafka,
    pub metrics: Metrics,
    pub readiness: Readiness,
    pub variables: Arc<dyn Variables>,
    /// Where an events group without offsets begins.
    pub start: Start,
    /// How long stopping waits for what is in flight.
    pub drain: Duration,
    /// Where configs come from Redis: where what goes live is kept, and where the worker says what it runs.
    pub published: Option<(Redis, Cache)>,
}

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// There is no last good set to go on with: the first one must compile.
    #[error("the config set does not compile ({} findings)", findings.len())]
    Broken { findings: Findings },
    #[error("no consumer is called {name} (there are: {known})")]
    UnknownConsumer { name: String, known: String },
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Orchestrator(#[from] OrchestratorError),
    #[error("consumer {consumer}: {source}")]
    Delivery { consumer: Arc<str>, source: KafkaError },
}

/// Runs until told to stop or until a part of it fails for good.
pub struct Worker {
    options: WorkerOptions,
    producer: Producer,
    orchestrator: Option<Orchestrator>,
    deliveries: Deliveries,
    live: Option<Candidate>,
    /// Compiled, waiting for its topics.
    next: Option<Candidate>,
    /// Deliveries that an operator stopped.
    paused: BTreeMap<String, Pause>,
    /// The last writing of the cache.
    keeping: Option<JoinHandle<()>>,
    status: watch::Sender<Status>,
}

impl Worker {
    pub fn new(options: WorkerOptions) -> Result<Worker, WorkerError> {
        let producer = Producer::new(&options.kafka)?;
        let deliveries = Deliveries::default();
        Ok(Worker {
            options,
            producer,
            orchestrator: None,
            deliveries,
            live: None,
            next: None,
            paused: BTreeMap::new(),
            keeping: None,
            status: watch::Sender::default(),
        })
    }

    /// What the worker runs, as it changes. A receiver sees the latest state, not every one in between.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Starts with the first set (None: with the first that `changes` gives), then follows `changes`, until `stop` is cancelled; then drains.
    pub async fn run(mut self, first: Option<Change>, mut changes: Watch, stop: CancellationToken) -> Result<(), WorkerError> {
        let heartbeat = self.heartbeat(changes.situation());
        let ended = self.work(first, &mut changes, &stop).await;
        self.options.readiness.set(Some("stopping".to_owned()));
        self.status.send_modify(|status| status.stopping = true);
        let drained = self.drain().await;
        if let Some(heartbeat) = heartbeat {
            heartbeat.stop().await;
        }
        ended.and(drained)
    }

    fn heartbeat(&self, situation: watch::Receiver<Situation>) -> Option<Heart> {
        let (redis, _) = self.options.published.as_ref()?;
        Some(Heart::start(redis.clone(), &self.options.roles, self.status.subscribe(), situation, self.options.metrics.clone()))
    }

    async fn work(&mut self, first: Option<Change>, changes: &mut Watch, stop: &CancellationToken) -> Result<(), WorkerError> {
        if let Some(first) = first {
            self.take_first(first).await?;
        }
        let mut situation = changes.situation();
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                // its sender lives as long as `changes`; before them, so that a delivery that is stopped does not start with its set
                Ok(()) = situation.changed() => {
                    let now = situation.borrow_and_update().clone();
                    self.notice(&now).await;
                }
                change = changes.changed() => {
                    self.take(change).await;
                    self.look_after(stop).await?;
                }
                _ = round.tick() => self.look_after(stop).await?,
            }
        }
    }

    /// What an operator stopped, is stopped; a worker that has no set yet says why it waits.
    async fn notice(&mut self, situation: &Situation) {
        self.deliveries.hold(&situation.paused).await;
        if self.paused != situation.paused {
            self.paused.clone_from(&situation.paused);
            if let Some(live) = self.live.clone() {
                self.keep(&live);
            }
        }
        if self.live.is_none() && self.next.is_none() {
            self.options.readiness.set(Some(format!("waiting for configs: {}", situation.source.why().unwrap_or("none came yet"))));
        }
    }

    async fn take_first(&mut self, first: Change) -> Result<(), WorkerError> {
        let compiled = Candidate::compile(Arc::new(first.files), first.publication, &self.options.environment).await;
        let first = compiled.map_err(|findings| WorkerError::Broken { findings })?;
        self.check_roles(&first)?;
        self.next = Some(first);
        Ok(())
    }

    /// A consumer that is asked for by name must be there at the start; later it may come and go.
    fn check_roles(&self, first: &Candidate) -> Result<(), WorkerError> {
        if let DeliveryRole::Only(names) = &self.options.roles.delivery
            && let Some(name) = names.iter().find(|name| !first.set.consumers.contains_key(name.as_str()))
        {
            let known = first.set.consumers.keys().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
            return Err(WorkerError::UnknownConsumer { name: name.clone(), known });
        }
        Ok(())
    }

    /// Compiles a changed set beside the live one. A broken one is said once, with its findings, and the last good one goes on.
    async fn take(&mut self, change: Change) {
        let began = Instant::now();
        let (files, revision) = (Arc::new(change.files), change.publication.as_ref().map(|publication| publication.revision));
        match Candidate::compile(Arc::clone(&files), change.publication, &self.options.environment).await {
            Ok(candidate) if self.live.as_ref().is_some_and(|live| live.set.digest == candidate.set.digest) => {
                info!(digest = candidate.set.digest.short(), "the config is as it was");
                self.next = None;
                self.keep(&candidate);
                self.live = Some(candidate);
                self.status.send_modify(|status| (status.refused, status.waiting, status.revision) = (None, None, revision));
            }
            Ok(candidate) => {
                if self.live.is_none()
                    && let Err(error) = self.check_roles(&candidate)
                {
                    warn!("{error}: it is waited for");
                }
                self.next = Some(candidate);
            }
            Err(findings) => {
                // before the first set is live, the last good one is the one that waits for Kafka
                if self.live.is_some() {
                    self.next = None;
                }
                self.options.metrics.reload("refused", began.elapsed());
                status::log_refused(&findings, self.live.as_ref().map(|live| &live.set.digest));
                self.status.send_modify(|status| status.refused = Some(Refused { findings, files, revision }));
                if self.live.is_none() && self.next.is_none() {
                    self.options.readiness.set(Some("the published config set does not compile here; the log says why".to_owned()));
                    self.next = self.last_run().await;
                }
            }
        }
    }

    /// The set that ran last here, for a start with one that does not compile.
    async fn last_run(&self) -> Option<Candidate> {
        let (_, cache) = self.options.published.as_ref()?;
        let cache = cache.clone();
        let loaded = tokio::task::spawn_blocking(move || cache.load()).await;
        let change = match loaded.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
            Ok(kept) => kept?.0,
            Err(error) => {
                warn!("the set that ran last is of no use: {error}");
                return None;
            }
        };
        let compiled = Candidate::compile(Arc::new(change.files), change.publication, &self.options.environment).await.ok()?;
        warn!(digest = compiled.set.digest.short(), "this starts with the set that ran last");
        Some(compiled)
    }

    /// For the next start, should Redis be away then. Writing takes place beside everything else, one after the other.
    fn keep(&mut self, live: &Candidate) {
        if let (Some((_, cache)), Some(publication)) = (&self.options.published, &live.publication) {
            let (cache, files, publication, paused) = (cache.clone(), Arc::clone(&live.files), publication.clone(), self.paused.clone());
            let before = self.keeping.take();
            self.keeping = Some(tokio::spawn(async move {
                if let Some(before) = before {
                    // what became of it is said there
                    let _ = before.await;
                }
                let kept = tokio::task::spawn_blocking(move || cache.keep(&files, &publication, &paused)).await;
                if let Ok(Err(error)) = kept {
                    warn!("a start without Redis will not have this set: {error}");
                }
            }));
        }
    }

    async fn look_after(&mut self, stop: &CancellationToken) -> Result<(), WorkerError> {
        self.producer.heal();
        if let Some(next) = self.next.take() {
            let began = Instant::now();
            // Kafka may be long in answering
            match stop.run_until_cancelled(self.ensure_topics(&next)).await {
                None => return Ok(()),
                Some(Ok(())) => self.go_live(&next, began).await?,
                Some(Err(error)) => self.wait_for_topics(next, &error),
            }
        }
        if let Some(orchestrator) = &self.orchestrator
            && let Some(error) = orchestrator.failed().now_or_never()
        {
            return Err(error.into());
        }
        if let Some(error) = self.deliveries.failure() {
            return Err(error);
        }
        if let Some(live) = &self.live {
            self.deliveries.reconcile(live, &self.options, &self.producer).await?;
        }
        self.report();
        Ok(())
    }

    /// Tells of lags and deliveries, where they are others than before.
    fn report(&self) {
        let lag = self.orchestrator.as_ref().map_or(0, Orchestrator::lag);
        let consumers = self.deliveries.report();
        self.status.send_if_modified(|status| {
            let differs = status.lag != lag || status.consumers != consumers;
            (status.lag, status.consumers) = (lag, consumers);
            differs
        });
    }

    fn wait_for_topics(&mut self, next: Candidate, error: &KafkaError) {
        let why = format!("the config set waits for its topics: {error}");
        if self.live.is_none() {
            self.options.readiness.set(Some(why.clone()));
        }
        if self.status.borrow().waiting.as_ref() != Some(&why) {
            warn!(digest = next.set.digest.short(), "{why}");
            self.status.send_modify(|status| status.waiting = Some(why));
        }
        self.next = Some(next);
    }

    /// Its topics are there, so that nothing is routed to where it cannot go; now the consumers' deliveries, then the orchestrator.
    async fn go_live(&mut self, next: &Candidate, began: Instant) -> Result<(), WorkerError> {
        self.deliveries.reconcile(next, &self.options, &self.producer).await?;
        let git_commit = next.publication.as_ref().and_then(|publication| publication.label.git_commit.clone());
        if self.options.roles.orchestrator {
            let (pipeline, topics) = (Arc::clone(&next.pipeline), events_topics(&next.set));
            match &mut self.orchestrator {
                Some(orchestrator) => orchestrator.swap(pipeline, topics, git_commit, self.options.drain).await?,
                None => {
                    let options = OrchestratorOptions { start: self.options.start, git_commit, ..OrchestratorOptions::default() };
                    let metrics = self.options.metrics.clone();
                    self.orchestrator = Some(Orchestrator::start(&self.options.kafka, pipeline, topics, metrics, options)?);
                }
            }
        }
        let digest = &next.set.digest;
        match &self.live {
            Some(live) => {
                info!(digest = digest.short(), changes = %config::diff(&live.set, &next.set), took = ?began.elapsed(), "the config changed")
            }
            None => {
                info!(digest = digest.short(), environment = %next.set.environment, consumers = next.set.consumers.len(), "the config is live")
            }
        }
        self.options.metrics.config_live(&digest.0);
        self.options.metrics.reload("applied", next.compiled_in + began.elapsed());
        self.options.readiness.set(None);
        self.keep(next);
        self.live = Some(next.clone());
        let live = Status {
            digest: Some(digest.clone()),
            revision: next.publication.as_ref().map(|publication| publication.revision),
            since: Some(Timestamp::now()),
            ..Status::default()
        };
        self.status.send_modify(|status| {
            // a newer one that does not compile here is still refused when an older one starts in its place
            let refused = status.refused.take().filter(|refused| refused.revision > live.revision);
            *status = Status { reloads: status.reloads + 1, refused, ..live };
        });
        Ok(())
    }

    async fn ensure_topics(&self, next: &Candidate) -> Result<(), KafkaError> {
        let kafka = &self.options.kafka;
        for ensured in kafka.ensure_topics(kafka.owned_topics(&next.set), true).await? {
            if let Ensured::Wrong(error) = ensured {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sources first, so that what they took still reaches its queue; then the deliveries, side by side.
    async fn drain(&mut self) -> Result<(), WorkerError> {
        info!(within = ?self.options.drain, "draining: a second signal stops at once");
        let by = Instant::now() + self.options.drain;
        let orchestrator = match self.orchestrator.take() {
            Some(orchestrator) => orchestrator.stop(self.options.drain).await.map_err(WorkerError::from),
            None => Ok(()),
        };
        let deliveries = self.deliveries.stop(by.saturating_duration_since(Instant::now())).await;
        if let (Err(_), Err(second)) = (&orchestrator, &deliveries) {
            error!(error = %second, "draining failed");
        }
        orchestrator.and(deliveries)
    }
}

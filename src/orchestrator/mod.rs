//! Source → pipeline → queues: takes records of events topics, runs the live pipeline on them, produces what comes out, and gives each record's offset
//! back when all of it is acknowledged. It knows no sink.

mod oversized;
mod records;
mod thread;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::ConfigSet;
use crate::kafka::{Kafka, KafkaError, Message, Source, SourceOptions, Start};
use crate::pipeline::Pipeline;
use crate::telemetry::Metrics;
use thread::{Threads, Worker};

/// How often the lag metric is set and the producer looked after.
const LAG_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct OrchestratorOptions {
    /// Pipeline threads; each takes whole partitions.
    pub threads: usize,
    /// Where the events group begins on its very first start.
    pub start: Start,
    /// Of the live set, for rejected records; None where it is not known.
    pub git_commit: Option<String>,
    /// Records of one partition that are taken and not acknowledged.
    pub max_in_flight: usize,
    /// Bytes of all that is taken and not acknowledged.
    pub max_in_flight_bytes: usize,
}

impl Default for OrchestratorOptions {
    fn default() -> OrchestratorOptions {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        OrchestratorOptions {
            threads: cores.min(4),
            start: Start::Earliest,
            git_commit: None,
            // Some 0.1 s of the budgeted rate on one partition; pausing costs a fetch, so not less
            max_in_flight: 10_000,
            max_in_flight_bytes: 12 << 20,
        }
    }
}

/// What the pipeline threads run; exchanged whole, between two records.
struct LiveSet {
    pipeline: Arc<Pipeline>,
    git_commit: Option<String>,
    /// Consumer → queue topic, so that no name is put together for each delivery.
    queues: HashMap<Arc<str>, Arc<str>>,
}

impl LiveSet {
    fn new(kafka: &Kafka, pipeline: Arc<Pipeline>, git_commit: Option<String>) -> LiveSet {
        let queues = pipeline.routes().iter().map(|route| (Arc::clone(&route.consumer), kafka.queue_topic(&route.consumer))).collect();
        LiveSet { pipeline, git_commit, queues }
    }
}

impl fmt::Debug for LiveSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveSet({})", self.pipeline.digest().short())
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum OrchestratorError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// A bug of ours: the record that it happened at stays uncommitted.
    #[error("the thread `{thread}` failed at {at}: {reason}")]
    Thread { thread: String, at: String, reason: String },
}

/// The running orchestrator of this process.
#[derive(Debug)]
pub struct Orchestrator {
    kafka: Kafka,
    options: OrchestratorOptions,
    metrics: Metrics,
    live: Arc<ArcSwap<LiveSet>>,
    topics: Vec<String>,
    threads: Threads,
    source: Option<Running>,
    failure: watch::Sender<Option<OrchestratorError>>,
}

#[derive(Debug)]
struct Running {
    source: Source,
    _watcher: Watcher,
}

/// The task that sets the lag metric and tells a source's failure; it ends with this.
#[derive(Debug)]
struct Watcher(JoinHandle<()>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The topics of a set's sources, sorted, each once; patterns as they stand.
pub fn events_topics(set: &ConfigSet) -> Vec<String> {
    let mut topics: Vec<String> = set.sources.iter().flat_map(|source| &source.topics).map(|topic| topic.value.clone()).collect();
    topics.sort();
    topics.dedup();
    topics
}

impl Orchestrator {
    /// Starts on these events topics (`events_topics`) with this pipeline. The owned topics must exist. Must be called inside a tokio runtime.
    pub fn start(
        kafka: &Kafka,
        pipeline: Arc<Pipeline>,
        topics: Vec<String>,
        metrics: Metrics,
        options: OrchestratorOptions,
    ) -> Result<Orchestrator, OrchestratorError> {
        let live = Arc::new(ArcSwap::from_pointee(LiveSet::new(kafka, pipeline, options.git_commit.clone())));
        let failure = watch::Sender::new(None);
        let threads = Worker::start(kafka, &live, &metrics, &failure, options.threads.max(1))?;
        let mut orchestrator = Orchestrator { kafka: kafka.clone(), options, metrics, live, topics, threads, source: None, failure };
        orchestrator.listen()?;
        Ok(orchestrator)
    }

    /// From the next record on, this pipeline. Where the topics differ, what is in flight is finished under the old one first (at most `within`; what is
    /// not, comes again under the new one).
    pub async fn swap(
        &mut self,
        pipeline: Arc<Pipeline>,
        topics: Vec<String>,
        git_commit: Option<String>,
        within: Duration,
    ) -> Result<(), OrchestratorError> {
        let next = LiveSet::new(&self.kafka, pipeline, git_commit);
        if topics == self.topics && self.source.is_some() {
            self.live.store(Arc::new(next));
            return Ok(());
        }
        self.quiet(within).await?;
        self.live.store(Arc::new(next));
        self.topics = topics;
        self.listen()
    }

    /// Records of the events topics that are not done yet.
    pub fn lag(&self) -> u64 {
        self.source.as_ref().map_or(0, |running| running.source.lag())
    }

    /// The partitions that are read here now.
    pub fn assigned(&self) -> Vec<(Arc<str>, i32)> {
        self.source.as_ref().map_or_else(Vec::new, |running| running.source.assigned())
    }

    /// Comes when the orchestrator cannot go on; what Kafka gets over by itself never ends it.
    pub fn failed(&self) -> impl Future<Output = OrchestratorError> + Send + 'static + use<> {
        let mut failure = self.failure.subscribe();
        async move {
            loop {
                let seen = failure.borrow_and_update().clone();
                if let Some(error) = seen {
                    return error;
                }
                if failure.changed().await.is_err() {
                    // It was stopped: it will never fail
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Takes nothing new, waits until all that is taken is acknowledged (at most `within`), commits, leaves the group. Tells a failure of before, too.
    pub async fn stop(mut self, within: Duration) -> Result<(), OrchestratorError> {
        let quiet = self.quiet(within).await;
        self.threads.stop().await;
        let failure = self.failure.borrow().clone();
        failure.map_or(quiet, Err)
    }

    fn listen(&mut self) -> Result<(), OrchestratorError> {
        if self.topics.is_empty() {
            tracing::info!("no source listens to any topic");
            return Ok(());
        }
        let options = SourceOptions {
            group: self.kafka.events_group(),
            topics: self.topics.clone(),
            start: self.options.start,
            max_in_flight: self.options.max_in_flight,
            max_in_flight_bytes: self.options.max_in_flight_bytes,
        };
        let senders = self.threads.senders();
        let source = Source::start(&self.kafka, options, move |message| dispatch(&senders, message))?;
        let (failed, lag) = (source.failed(), source.lag_reader());
        let (failure, metrics) = (self.failure.clone(), self.metrics.clone());
        // Aborted with the source, unless it ends by telling its failure
        let producer = self.threads.producer();
        let watcher = tokio::spawn(async move {
            let mut interval = tokio::time::interval(LAG_INTERVAL);
            let mut failed = std::pin::pin!(failed);
            loop {
                tokio::select! {
                    error = &mut failed => {
                        failure.send_replace(Some(error.into()));
                        return;
                    }
                    _ = interval.tick() => {
                        metrics.source_lag(lag());
                        producer.heal();
                    }
                }
            }
        });
        self.source = Some(Running { source, _watcher: Watcher(watcher) });
        Ok(())
    }

    async fn quiet(&mut self, within: Duration) -> Result<(), OrchestratorError> {
        let Some(running) = self.source.take() else { return Ok(()) };
        running.source.stop(within).await?;
        Ok(())
    }
}

/// To the thread of the record's partition, so that its order is kept.
fn dispatch(senders: &[Sender<Message>], message: Message) {
    let topic: usize = message.origin.topic.bytes().map(usize::from).sum();
    let index = (topic + usize::try_from(message.origin.partition).unwrap_or(0)) % senders.len();
    // A thread that is gone has told its failure; the record comes again after the restart
    if let Err(refused) = senders[index].send(message) {
        drop(refused);
    }
}

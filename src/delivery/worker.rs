//! The delivery of one consumer's queue, from Kafka to its sink: an engine, fed by a source of its own.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::dead::DeadTopic;
use super::engine::{Command, Engine, EngineParts};
use super::record::{Entry, Incoming, Unreadable};
use super::status::DeliveryState;
use crate::config::{Configured, Consumer};
use crate::kafka::{Kafka, KafkaError, Message, Producer, QueueHeaders, Source, SourceOptions, Start};
use crate::sinks::Sink;
use crate::telemetry::Metrics;

/// A partition is paused beyond this: two full rounds of the default batch (500) on the default concurrency (4).
const MAX_IN_FLIGHT: usize = 4_000;
/// How often the queue's lag is measured.
const METER: Duration = Duration::from_secs(1);

/// Delivers one consumer's queue until it is stopped. Dropping it stops at once: what is not acknowledged comes again.
pub struct DeliveryWorker {
    consumer: Arc<str>,
    metrics: Metrics,
    /// None once it is being stopped.
    source: Option<Arc<Source>>,
    state: watch::Receiver<DeliveryState>,
    commands: mpsc::Sender<Command>,
    engine: JoinHandle<()>,
    meter: JoinHandle<()>,
}

impl DeliveryWorker {
    /// Starts to read the consumer's queue topic, which must exist, and to deliver to `sink`. A queue sink has no worker: others read that topic.
    pub fn start(
        kafka: &Kafka,
        producer: &Producer,
        consumer: &Consumer,
        configured: Configured,
        sink: Arc<dyn Sink>,
        metrics: &Metrics,
    ) -> Result<DeliveryWorker, KafkaError> {
        let name = Arc::clone(&consumer.name);
        let dead_letters = DeadTopic { producer: producer.clone(), topic: kafka.dead_topic(&name), consumer: Arc::clone(&name) };
        let (engine, state) = Engine::new(EngineParts {
            consumer: Arc::clone(&name),
            configured,
            sink,
            dead_letters: Arc::new(dead_letters),
            metrics: metrics.clone(),
            now: Arc::new(Timestamp::now),
            rng: StdRng::from_rng(&mut rand::rng()),
        });
        // Not bounded: the poll thread must never block. The source's own limits bound it.
        let (feed, fed) = mpsc::unbounded_channel();
        let options = SourceOptions {
            group: kafka.delivery_group(&name),
            topics: vec![kafka.queue_topic(&name).to_string()],
            start: Start::Earliest,
            max_in_flight: MAX_IN_FLIGHT,
            // as much again as the client fetches ahead
            max_in_flight_bytes: kafka.memory(),
        };
        let take = move |message| {
            // Fails when the engine has ended: the ticket is dropped with the record, which comes again.
            drop(feed.send(read(message)));
        };
        let source = Arc::new(Source::start(kafka, options, take)?);
        let (commands, commanded) = mpsc::channel(1);
        // Ends when `commands` is dropped; joined in `stop`, aborted when this is dropped.
        let engine = tokio::spawn(engine.run(fed, commanded));
        let meter = tokio::spawn(measure(Arc::clone(&source), metrics.clone(), Arc::clone(&name)));
        Ok(DeliveryWorker { consumer: name, metrics: metrics.clone(), source: Some(source), state, commands, engine, meter })
    }

    pub fn consumer(&self) -> &Arc<str> {
        &self.consumer
    }

    /// What it is doing now.
    pub fn state(&self) -> DeliveryState {
        self.state.borrow().clone()
    }

    /// The same, to wait for changes.
    pub fn watch(&self) -> watch::Receiver<DeliveryState> {
        self.state.clone()
    }

    /// Records of the queue that are not done, in the partitions that this worker holds.
    pub fn lag(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| source.lag())
    }

    /// Whether this worker holds partitions of the queue, and nothing in them waits.
    pub fn is_empty(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.is_empty())
    }

    /// New settings and a new sink from the next call on; nothing that is on its way is lost or delayed.
    pub async fn reconfigure(&self, configured: Configured, sink: Arc<dyn Sink>) {
        self.tell(Command::Reconfigure(Box::new(configured), sink)).await;
    }

    /// An operator stops the delivery, and why; None lets it go on. What is on its way is finished, the queue keeps the rest.
    pub async fn hold(&self, why: Option<String>) {
        self.tell(Command::Hold(why)).await;
    }

    /// Waits until the queue cannot be read or delivered any more; trouble that may pass never ends it.
    pub async fn failed(&self) -> KafkaError {
        let source = async {
            match &self.source {
                Some(source) => source.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = source => error,
            // the engine holds the other end as long as it runs, and only `stop` ends it
            () = self.commands.closed() => KafkaError::Thread { thread: "delivery", reason: "it ended by itself".to_owned() },
        }
    }

    /// Takes nothing new, delivers what was taken (at most `within`), commits, leaves the group. What could not be delivered in time comes again with the next start.
    pub async fn stop(mut self, within: Duration) -> Result<(), KafkaError> {
        self.tell(Command::Drain).await;
        self.meter.abort();
        // Aborted or ended: either way it lets go of the source.
        drop((&mut self.meter).await);
        let stopped = match self.source.take().and_then(Arc::into_inner) {
            Some(source) => source.stop(within).await,
            // The meter alone shared it, and has ended.
            None => Ok(()),
        };
        self.metrics.queue_lag(&self.consumer, 0);
        stopped
    }

    async fn tell(&self, command: Command) {
        // Fails only when the engine has ended, which it does when this is gone.
        drop(self.commands.send(command).await);
    }
}

impl Drop for DeliveryWorker {
    fn drop(&mut self) {
        self.engine.abort();
        self.meter.abort();
    }
}

/// A record of the queue as the engine takes it. What cannot be read is passed on as such: it becomes a dead letter.
fn read(message: Message) -> Incoming {
    let Message { origin, key, value, headers, ticket } = message;
    let key = key.map(Into::into);
    let ack = Box::new(ticket);
    let unreadable = |key, value, reason: String, ack| Incoming::Unreadable(Unreadable { key, value, reason, ack });
    match (QueueHeaders::decode(&headers), value) {
        (Ok(headers), Some(value)) => Incoming::Entry(Box::new(Entry::new(headers, key, value.into(), origin.partition, ack))),
        (Ok(_), None) => unreadable(key, bytes::Bytes::new(), "a record without a value".to_owned(), ack),
        (Err(bad), value) => unreadable(key, value.unwrap_or_default().into(), bad.to_string(), ack),
    }
}

/// Keeps the lag in the metrics up to date.
async fn measure(source: Arc<Source>, metrics: Metrics, consumer: Arc<str>) {
    let mut ticks = tokio::time::interval(METER);
    loop {
        ticks.tick().await;
        metrics.queue_lag(&consumer, source.lag());
    }
}

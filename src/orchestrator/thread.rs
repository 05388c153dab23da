//! The pipeline threads: each takes whole partitions, record by record, and sends what comes out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, unbounded};
use jiff::Timestamp;
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use tokio::sync::watch;

use super::oversized::instead;
use super::records;
use super::{LiveSet, OrchestratorError};
use crate::kafka::{
    Completion, EventHeaders, Kafka, KafkaError, Message, Output, Owned, ProduceError, Producer, Rejected, Tally, TooLarge,
};
use crate::pipeline::{Outcome, Record, Scratch};
use crate::telemetry::{Metrics, Recorder};

/// How long the threads may take to end when nothing comes any more: a source that Kafka holds up may not have let go of them.
const JOIN_WITHIN: Duration = Duration::from_secs(1);
/// How long a thread waits for room in the producer's buffer between two tries.
const FULL_PAUSE: Duration = Duration::from_millis(1);

type Failure = watch::Sender<Option<OrchestratorError>>;

/// What every thread works with.
#[derive(Clone)]
pub(super) struct Worker {
    kafka: Kafka,
    live: Arc<ArcSwap<LiveSet>>,
    producer: Producer,
    oversized: Sender<Option<TooLarge>>,
    metrics: Metrics,
}

/// The running threads.
#[derive(Debug)]
pub(super) struct Threads {
    /// One channel a pipeline thread. Unbounded: the source's limits bound what is in flight.
    senders: Vec<Sender<Message>>,
    /// None ends the thread.
    oversized: Sender<Option<TooLarge>>,
    producer: Producer,
    handles: Vec<std::thread::JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(
        kafka: &Kafka,
        live: &Arc<ArcSwap<LiveSet>>,
        metrics: &Metrics,
        failure: &Failure,
        count: usize,
    ) -> Result<Threads, OrchestratorError> {
        let (oversized, too_large) = unbounded();
        let hand_over = oversized.clone();
        let on_too_large = Box::new(move |output: TooLarge| {
            // The thread goes last; should it be gone, dropping the output rewinds its record
            if let Err(refused) = hand_over.send(Some(output)) {
                fail(refused.into_inner());
            }
        });
        let producer = Producer::with_too_large(kafka, "orchestrator", on_too_large)?;
        let worker = Worker {
            kafka: kafka.clone(),
            live: Arc::clone(live),
            producer: producer.clone(),
            oversized: oversized.clone(),
            metrics: metrics.clone(),
        };

        let mut threads = Threads { senders: Vec::new(), oversized, producer, handles: Vec::new() };
        for index in 0..count {
            let (sender, messages) = unbounded();
            let worker = worker.clone();
            threads.senders.push(sender);
            threads.spawn(format!("pipeline-{index}"), failure, move |at| worker.run(&messages, at))?;
        }
        threads.spawn("oversized".to_string(), failure, move |_| worker.replace(&too_large))?;
        Ok(threads)
    }

    /// Until the last sender is gone.
    fn run(&self, messages: &Receiver<Message>, at: &Mutex<String>) {
        let mut scratch = Scratch::default();
        let mut recorder = self.metrics.recorder();
        let mut live = arc_swap::Cache::new(Arc::clone(&self.live));
        for message in messages {
            // Not ours any more, and nothing was produced of it
            if message.ticket.revoked().is_cancelled() {
                continue;
            }
            let origin = message.origin.clone();
            let done = catch_unwind(AssertUnwindSafe(|| self.one(message, live.load(), &mut scratch, &mut recorder)));
            if let Err(panic) = done {
                // Said here where the record is known; the panic goes on and ends the thread
                *at.lock().unwrap_or_else(PoisonError::into_inner) = crate::pipeline::origin_text(&origin);
                std::panic::resume_unwind(panic);
            }
        }
    }

    fn one(&self, message: Message, live: &LiveSet, scratch: &mut Scratch, metrics: &mut Recorder) {
        let Message { origin, key, value, headers, ticket } = message;
        let value = value.unwrap_or_default();
        let record = Record { origin: &origin, key: key.as_deref(), headers: &headers, value: &value };
        let (began, now) = (Instant::now(), Timestamp::now());
        let outcome = live.pipeline.process(&record, now, scratch);
        metrics.processed(began.elapsed());

        let revision = &live.pipeline.digest().0;
        let first = records::first_origin(&record);
        let origin = first.as_ref().unwrap_or(&origin);
        match outcome {
            Outcome::Rejected(rejection) => {
                let source = rejection.source.as_deref().unwrap_or_default();
                metrics.event_in(source);
                metrics.rejected(source, rejection.reason.name());
                let output = records::rejected(&self.kafka, &record, origin, &rejection, revision, live.git_commit.as_deref(), now);
                let completion = Completion::new(ticket, None);
                self.send(&output, &completion);
                completion.all_sent();
            }
            Outcome::Accepted(event) => {
                metrics.event_in(&event.source);
                metrics.accepted(&event.source, &event.event);
                if event.deprecated {
                    self.metrics.deprecated(&event.event, event.version);
                }
                let consumers = event.deliveries.iter().map(|delivery| Arc::clone(&delivery.route.consumer)).collect();
                let tally = Queued { kafka: self.kafka.clone(), metrics: self.metrics.clone(), consumers: Mutex::new(consumers) };
                let completion = Completion::new(ticket, Some(Box::new(tally)));
                let shared = EventHeaders::new(&event, origin, revision, &value);
                for delivery in &event.deliveries {
                    let (key, partition) = records::place(&delivery.key, delivery.route.partitions);
                    let consumer = &delivery.route.consumer;
                    let topic = live.queues.get(consumer).cloned().unwrap_or_else(|| self.kafka.queue_topic(consumer));
                    self.produce(&topic, partition, key, &delivery.payload, shared.of(delivery), &completion);
                }
                for letter in &event.dead {
                    self.metrics.dead(&letter.route.consumer, letter.stage.name());
                    self.send(&records::dead(&self.kafka, &record, origin, &event, letter, revision, now), &completion);
                }
                completion.all_sent();
            }
        }
    }

    fn send(&self, output: &Output, completion: &Arc<Completion>) {
        let headers = native(output.headers.iter().map(|(name, value)| (*name, value.as_slice())));
        self.produce(&output.topic, output.partition, output.key.as_deref(), &output.value, headers, completion);
    }

    /// Hands a record to the producer, waiting for room. What cannot be produced fails the completion.
    fn produce(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: &[u8],
        mut headers: OwnedHeaders,
        completion: &Arc<Completion>,
    ) {
        loop {
            match self.producer.send_parts(topic, partition, key, value, headers, completion) {
                Ok(()) => return,
                Err((Rejected::Full, back)) if completion.is_wanted() => {
                    headers = back;
                    std::thread::sleep(FULL_PAUSE);
                }
                Err((Rejected::Full, _)) => {
                    completion.fail(KafkaError::from_cancelled(format!("produce to {topic}")).into());
                    return;
                }
                Err((Rejected::Failed(ProduceError::TooLarge { .. }), back)) => {
                    let headers = back.as_borrowed().iter().map(|h| (h.key.to_string(), h.value.unwrap_or_default().to_vec())).collect();
                    let (key, value) = (key.map(<[u8]>::to_vec), value.to_vec());
                    let output = TooLarge { topic: topic.to_string(), partition, key, value, headers, completion: Arc::clone(completion) };
                    if let Err(refused) = self.oversized.send(Some(output)) {
                        fail(refused.into_inner());
                    }
                    return;
                }
                Err((Rejected::Failed(error), _)) => {
                    completion.fail(error);
                    return;
                }
            }
        }
    }

    /// The thread of what was too large: until it is told to end.
    fn replace(&self, too_large: &Receiver<Option<TooLarge>>) {
        let mut alone = None;
        while let Ok(Some(output)) = too_large.recv() {
            match self.goes_alone(&mut alone, &output) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    output.completion.fail(error);
                    continue;
                }
            }
            let Some(instead) = instead(&self.kafka, &output, Timestamp::now()) else {
                tracing::error!(
                    topic = output.topic,
                    bytes = output.value.len(),
                    "the topic does not even take a stub: raise its max.message.bytes"
                );
                fail(Some(output));
                continue;
            };
            if let Some(Owned::Queue(consumer)) = self.kafka.owner(&output.topic) {
                self.metrics.dead(consumer, "produce");
                output.completion.diverted(&output.topic);
            }
            let headers = native(instead.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
            self.produce(&instead.topic, -1, instead.key.as_deref(), &instead.value, headers, &output.completion);
        }
    }
}

impl Worker {
    /// Whether an output that was refused for its batch's size is taken by itself. It then stands behind its neighbours: between records of one batch whose
    /// topic takes less than a batch, order cannot be kept.
    fn goes_alone(&self, producer: &mut Option<Producer>, output: &TooLarge) -> Result<bool, ProduceError> {
        let producer = match producer {
            Some(producer) => producer,
            // a client of its own, made when it is first needed: on the shared one it would have neighbours again
            None => producer.insert(Producer::new(&self.kafka)?),
        };
        match producer.produce_alone(output) {
            Ok(()) => Ok(true),
            Err(ProduceError::TooLarge { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Threads {
    pub(super) fn producer(&self) -> Producer {
        self.producer.clone()
    }

    pub(super) fn senders(&self) -> Vec<Sender<Message>> {
        self.senders.clone()
    }

    /// Ends when its channel does; joined in `stop`. A panic becomes the orchestrator's failure.
    fn spawn(
        &mut self,
        name: String,
        failure: &Failure,
        body: impl FnOnce(&Mutex<String>) + Send + 'static,
    ) -> Result<(), OrchestratorError> {
        let (failure, thread) = (failure.clone(), name.clone());
        let handle = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let at = Mutex::new("its start".to_string());
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&at))) {
                let reason = crate::kafka::panic_text(panic.as_ref());
                let at = at.into_inner().unwrap_or_else(PoisonError::into_inner);
                tracing::error!(thread, at, "the thread panicked: {reason}");
                failure.send_replace(Some(OrchestratorError::Thread { thread, at, reason }));
            }
        });
        let unstarted =
            |error: std::io::Error| OrchestratorError::Thread { thread: name, at: "its start".to_string(), reason: error.to_string() };
        self.handles.push(handle.map_err(unstarted)?);
        Ok(())
    }

    /// Lets the threads finish what they have, and joins them. The source must be gone: its closure holds senders too.
    pub(super) async fn stop(mut self) {
        self.senders.clear();
        let (oversized, handles) = (self.oversized.clone(), std::mem::take(&mut self.handles));
        let joined = tokio::task::spawn_blocking(move || {
            let mut handles = handles.into_iter();
            let last = handles.next_back();
            handles.for_each(join);
            // Its receiver lives in that very thread: should it have panicked, there is nobody to tell
            let _ = oversized.send(None);
            last.into_iter().for_each(join);
        });
        match tokio::time::timeout(JOIN_WITHIN, joined).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::warn!("the orchestrator's threads could not be joined: the runtime is going down"),
            Err(_) => tracing::warn!("the orchestrator's threads did not end in time: what they had comes again"),
        }
    }
}

fn join(handle: std::thread::JoinHandle<()>) {
    // Panics are caught inside and told as the orchestrator's failure
    let _ = handle.join();
}

fn fail(output: Option<TooLarge>) {
    if let Some(TooLarge { topic, value, completion, .. }) = output {
        completion.fail(ProduceError::TooLarge { topic, bytes: value.len() });
    }
}

fn native<'a>(headers: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>) -> OwnedHeaders {
    let native = OwnedHeaders::new_with_capacity(headers.len());
    headers.fold(native, |native, (key, value)| native.insert(Header { key, value: Some(value) }))
}

/// Counts deliveries as queued when all of their event is acknowledged.
struct Queued {
    kafka: Kafka,
    metrics: Metrics,
    /// One entry a delivery.
    consumers: Mutex<Vec<Arc<str>>>,
}

impl Tally for Queued {
    fn done(&self) {
        let consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        for run in consumers.chunk_by(|a, b| a == b) {
            self.metrics.queued(&run[0], run.len() as u64);
        }
    }

    fn diverted(&self, topic: &str) {
        let Some(Owned::Queue(consumer)) = self.kafka.owner(topic) else { return };
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = consumers.iter().position(|name| **name == *consumer) {
            consumers.remove(one);
        }
    }
}

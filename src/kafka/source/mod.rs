//! Records from topics with their tickets: polling that never blocks, back-pressure by pausing, contiguous watermarks, commits.

mod leases;
mod poll;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio::sync::watch;

use super::client::{Kafka, KafkaError};
use super::log::Problems;
use super::ticket::Ticket;
use crate::pipeline::Origin;
use leases::{Context, Leases};

/// What committing and leaving the group may take when stopping's own time is over: with its coordinator away librdkafka would wait for a minute.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// A record taken from Kafka.
#[derive(Debug)]
pub struct Message {
    pub origin: Origin,
    pub key: Option<Vec<u8>>,
    /// None: a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub ticket: Ticket,
}

#[derive(Debug, Clone)]
pub struct SourceOptions {
    pub group: String,
    /// Names, or patterns with `*`.
    pub topics: Vec<String>,
    /// Where a group without offsets begins.
    pub start: Start,
    /// A partition is paused when more records than this are taken and not done; ten times as many may wait behind one that is not.
    pub max_in_flight: usize,
    /// Bytes of all that is taken and not done, all partitions together.
    pub max_in_flight_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
}

/// A running consumer with a poll thread of its own. Dropped without `stop` it commits what is done and leaves, waiting for nothing.
pub struct Source {
    leases: Arc<Leases>,
    control: Arc<Control>,
    failure: watch::Receiver<Option<KafkaError>>,
    thread: Option<JoinHandle<()>>,
}

/// What the handle tells the poll thread.
#[derive(Debug, Default)]
struct Control {
    /// When to stop waiting for what is in flight; None: go on polling.
    stop_by: Mutex<Option<Instant>>,
}

impl Control {
    fn stop(&self, by: Instant) {
        *self.stop_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(by);
    }

    fn stop_by(&self) -> Option<Instant> {
        *self.stop_by.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// Starts polling. `take` is called on the poll thread for each record and must not block.
    pub fn start(kafka: &Kafka, options: SourceOptions, take: impl FnMut(Message) + Send + 'static) -> Result<Source, KafkaError> {
        let doing = || format!("consume {} as group {}", options.topics.join(", "), options.group);
        let mut config = kafka.consumer_config(&options.group, options.start == Start::Earliest);
        if options.topics.iter().any(|topic| topic.contains('*')) {
            config.set("topic.blacklist", kafka.topics_never_matched());
        }
        let leases = Arc::new(Leases::default());
        let context = Context::new(Arc::clone(&leases), Problems::new(options.group.as_str()), kafka.embedded().cloned(), options.start);
        let consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(|source| KafkaError::new(doing(), source))?;
        let subscription: Vec<String> = options.topics.iter().map(|topic| subscription(topic)).collect();
        let subscription: Vec<&str> = subscription.iter().map(String::as_str).collect();
        consumer.subscribe(&subscription).map_err(|source| KafkaError::new(doing(), source))?;

        let control = Arc::new(Control::default());
        let (failed, failure) = watch::channel(None);
        let poll = poll::Poll::new(consumer, Arc::clone(&leases), Arc::clone(&control), options, take);
        // Ends when `stop_by` is set or polling fails; joined in `stop`
        let thread = std::thread::Builder::new()
            .name("kafka-source".to_string())
            .spawn(move || {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || poll.run()));
                if let Err(error) = ended.unwrap_or_else(|panic| Err(panicked(panic.as_ref()))) {
                    tracing::error!("the source failed: {error}");
                    failed.send_replace(Some(error));
                }
            })
            .map_err(|error| KafkaError::Thread { thread: "kafka-source", reason: error.to_string() })?;
        Ok(Source { leases, control, failure, thread: Some(thread) })
    }

    /// Records in the assigned partitions that are not done yet, taken or not. What is not taken yet is known from the last second's statistics.
    pub fn lag(&self) -> u64 {
        self.leases.lag()
    }

    /// Whether partitions are assigned here and everything in them is known to be done.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// The partitions that are ours now.
    pub fn assigned(&self) -> Vec<(Arc<str>, i32)> {
        self.leases.assigned()
    }

    /// How many of them are paused by back-pressure.
    pub fn paused(&self) -> usize {
        self.leases.paused()
    }

    /// `lag`, for somebody who does not hold the source.
    pub fn lag_reader(&self) -> impl Fn() -> u64 + Send + 'static + use<> {
        let leases = Arc::clone(&self.leases);
        move || leases.lag()
    }

    /// Comes when the source fails for good; transient errors never end it. Never comes for one that is stopped.
    pub fn failed(&self) -> impl Future<Output = KafkaError> + Send + 'static + use<> {
        let mut failure = self.failure.clone();
        async move {
            loop {
                if let Some(error) = failure.borrow_and_update().clone() {
                    return error;
                }
                if failure.changed().await.is_err() {
                    // The thread ended; a failure was said before that
                    let last = failure.borrow().clone();
                    match last {
                        Some(error) => return error,
                        None => std::future::pending::<()>().await,
                    }
                }
            }
        }
    }

    /// Takes nothing new, waits until all that is taken is done (at most `within`), commits, leaves the group. Where Kafka does not answer, that is left to
    /// the group's other members, two seconds after `within`.
    pub async fn stop(mut self, within: Duration) -> Result<(), KafkaError> {
        self.control.stop(Instant::now() + within);
        if let Some(thread) = self.thread.take() {
            let mut failure = self.failure.clone();
            // The thread holds the other end until it ends
            let ended = async { while failure.changed().await.is_ok() {} };
            if tokio::time::timeout(within + LEAVE_WITHIN, ended).await.is_err() {
                self.leases.close();
                tracing::warn!("Kafka did not take the last offsets in time: left without them, their records come again");
                return Ok(());
            }
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            // The thread catches its panics and reports them as a failure; a join that fails means the runtime is going down
            if !matches!(joined, Ok(Ok(()))) {
                return Err(KafkaError::Thread { thread: "kafka-source", reason: "it could not be joined".to_string() });
            }
        }
        let failure = self.failure.borrow().clone();
        failure.map_or(Ok(()), Err)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.control.stop(Instant::now());
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("assigned", &self.assigned()).finish_non_exhaustive()
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> KafkaError {
    KafkaError::Thread { thread: "kafka-source", reason: super::panic_text(panic) }
}

/// A topic's name as librdkafka subscribes to it: `*` stands for anything, and what starts with `^` is a regex there.
fn subscription(topic: &str) -> String {
    if topic.contains('*') { format!("^{}$", escape(topic).replace("\\*", ".*")) } else { topic.to_string() }
}

/// Escapes what has a meaning in a POSIX extended regex.
pub(super) fn escape(text: &str) -> String {
    text.chars().flat_map(|c| (!c.is_alphanumeric() && c != '-' && c != '_').then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_becomes_an_anchored_regex_and_a_name_stays_one() {
        assert_eq!(subscription("web.events"), "web.events");
        assert_eq!(subscription("engine.*"), "^engine\\..*$");
        assert_eq!(subscription("a-*_b+"), "^a-.*_b\\+$");
    }
}

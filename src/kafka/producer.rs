//! Records to topics, with an acknowledgement for each.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Message as _};
use tokio::sync::oneshot::error::TryRecvError;

use super::client::{Kafka, KafkaError};
use super::completion::Completion;
use super::log::Problems;

/// A record to produce. Partition -1 lets the producer choose by key as Kafka's clients do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub topic: Arc<str>,
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

impl Output {
    /// As emitters send it: the key chooses the partition, no headers.
    pub fn keyed(topic: &str, key: &[u8], value: &[u8]) -> Output {
        Output { topic: topic.into(), partition: -1, key: Some(key.to_vec()), value: value.to_vec(), headers: Vec::new() }
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum ProduceError {
    /// Larger than the broker or the client takes.
    #[error("the record of {bytes} bytes is too large for {topic}")]
    TooLarge { topic: String, bytes: usize },
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// Why a record was not taken by `send`.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// The buffer is full: wait a little and send it again.
    #[error("the producer's buffer is full")]
    Full,
    #[error(transparent)]
    Failed(#[from] ProduceError),
}

/// A record that its broker refused as too large. The completion is not finished while this is held.
#[derive(Debug)]
pub struct TooLarge {
    pub topic: String,
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub completion: Arc<Completion>,
}

/// Called on the producer's own thread: it must not block, nor hold the producer.
pub type OnTooLarge = Box<dyn Fn(TooLarge) + Send + Sync>;

/// An idempotent producer whose messages never time out. Cheap to clone.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

struct Inner {
    kafka: Kafka,
    role: String,
    on_too_large: Arc<Option<OnTooLarge>>,
    live: ArcSwap<Live>,
}

/// A client of librdkafka's; replaced when it fails for good.
struct Live {
    /// Taken out when this is dropped.
    client: Option<ThreadedProducer<Context>>,
    fatal: Arc<AtomicBool>,
}

impl Producer {
    pub fn new(kafka: &Kafka) -> Result<Producer, KafkaError> {
        Producer::build(kafka, "producer", None)
    }

    /// What the broker refuses as too large goes to `on_too_large` instead of failing its completion.
    pub fn with_too_large(kafka: &Kafka, role: &str, on_too_large: OnTooLarge) -> Result<Producer, KafkaError> {
        Producer::build(kafka, role, Some(on_too_large))
    }

    fn build(kafka: &Kafka, role: &str, on_too_large: Option<OnTooLarge>) -> Result<Producer, KafkaError> {
        let on_too_large = Arc::new(on_too_large);
        let live = Live::start(kafka, role, &on_too_large)?;
        Ok(Producer {
            inner: Arc::new(Inner { kafka: kafka.clone(), role: role.to_string(), on_too_large, live: ArcSwap::from_pointee(live) }),
        })
    }

    /// Produces one record and waits for the broker's acknowledgement, however long that takes.
    pub async fn produce(&self, output: Output) -> Result<(), ProduceError> {
        let (completion, result) = Completion::answer();
        let mut wait = Duration::from_millis(1);
        loop {
            match self.send(&output, &completion) {
                Ok(()) => break,
                Err(Rejected::Full) => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_millis(50));
                }
                Err(Rejected::Failed(error)) => return Err(error),
            }
        }
        drop(completion);
        result.await.unwrap_or_else(|_| Err(gone(&output.topic)))
    }

    /// Produces once more what was refused as too large, and blocks until that is acknowledged or refused. A broker refuses a whole batch for its size, so
    /// the record may only have had large neighbours; with nothing else on this producer, it goes alone.
    pub fn produce_alone(&self, refused: &TooLarge) -> Result<(), ProduceError> {
        let (completion, mut result) = Completion::answer();
        let mut headers = OwnedHeaders::new_with_capacity(refused.headers.len());
        for (key, value) in &refused.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let TooLarge { topic, partition, key, value, .. } = refused;
        while let Err((rejected, back)) = self.send_parts(topic, *partition, key.as_deref(), value, headers, &completion) {
            match rejected {
                Rejected::Full if refused.completion.is_wanted() => std::thread::sleep(Duration::from_millis(1)),
                Rejected::Full => return Err(gone(topic)),
                Rejected::Failed(error) => return Err(error),
            }
            headers = back;
        }
        drop(completion);
        loop {
            match result.try_recv() {
                Ok(answer) => return answer,
                // the partition was taken away, or we are stopping: Kafka may be long in coming back
                Err(TryRecvError::Empty) if refused.completion.is_wanted() => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => return Err(gone(topic)),
            }
        }
    }

    /// Hands one record over without waiting; the completion hears of its acknowledgement or failure. Nothing was taken where this fails.
    pub fn send(&self, output: &Output, completion: &Arc<Completion>) -> Result<(), Rejected> {
        let mut headers = OwnedHeaders::new_with_capacity(output.headers.len());
        for (key, value) in &output.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let sent = self.send_parts(&output.topic, output.partition, output.key.as_deref(), &output.value, headers, completion);
        sent.map_err(|(rejected, _)| rejected)
    }

    /// `send` for those who make their headers themselves; they come back where the record was not taken.
    pub fn send_parts(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: &[u8],
        headers: OwnedHeaders,
        completion: &Arc<Completion>,
    ) -> Result<(), (Rejected, OwnedHeaders)> {
        let live = self.inner.live.load();
        let Some(client) = &live.client else { return Err((Rejected::Failed(gone(topic)), headers)) };
        let record = BaseRecord {
            topic,
            partition: Some(partition),
            payload: Some(value),
            key,
            timestamp: None,
            headers: Some(headers),
            delivery_opaque: Arc::clone(completion),
        };
        let Err((error, record)) = client.send(record) else { return Ok(()) };
        let rejected = self.why(&live, topic, value.len() + key.map_or(0, <[u8]>::len), error);
        Err((rejected, record.headers.unwrap_or_default()))
    }

    fn why(&self, live: &Arc<Live>, topic: &str, bytes: usize, error: ClientError) -> Rejected {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Rejected::Full,
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Rejected::Failed(ProduceError::TooLarge { topic: topic.to_string(), bytes }),
            _ if live.fatal.load(Ordering::Acquire) => match self.replace(live) {
                Ok(()) => Rejected::Full,
                Err(error) => Rejected::Failed(error),
            },
            _ => Rejected::Failed(KafkaError::new(format!("produce to {topic}"), error).into()),
        }
    }

    /// A client that failed for good makes room for a new one; what it still held fails, and so rewinds.
    fn replace(&self, failed: &Arc<Live>) -> Result<(), ProduceError> {
        let inner = &self.inner;
        let next = Live::start(&inner.kafka, &inner.role, &inner.on_too_large)?;
        // Two callers may come here at once: the one who is late drops the client it made
        inner.live.compare_and_swap(failed, Arc::new(next));
        Ok(())
    }

    /// Replaces a client that failed for good although nobody sends: what it holds would wait for ever. To be called now and then.
    pub fn heal(&self) {
        let live = self.inner.live.load_full();
        if live.fatal.load(Ordering::Acquire)
            && let Err(error) = self.replace(&live)
        {
            tracing::warn!("cannot replace a producer that failed, it is tried again: {error}");
        }
    }

    /// Records that are taken and not acknowledged.
    pub fn in_flight(&self) -> usize {
        let live = self.inner.live.load();
        live.client.as_ref().map_or(0, |client| usize::try_from(client.in_flight_count()).unwrap_or(0))
    }
}

fn gone(topic: &str) -> ProduceError {
    KafkaError::new(format!("produce to {topic}"), ClientError::Canceled).into()
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Producer({})", self.inner.role)
    }
}

impl Live {
    fn start(kafka: &Kafka, role: &str, on_too_large: &Arc<Option<OnTooLarge>>) -> Result<Live, KafkaError> {
        let fatal = Arc::new(AtomicBool::new(false));
        let context = Context { problems: Problems::new(role), on_too_large: Arc::downgrade(on_too_large), fatal: Arc::clone(&fatal) };
        let client =
            kafka.producer_config(role).create_with_context(context).map_err(|source| KafkaError::new("start a producer", source))?;
        Ok(Live { client: Some(client), fatal })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Dropping the client purges it and joins its polling thread (up to 0.6 s): not on the thread of whoever let go last, which may even be that one
        if let Some(client) = self.client.take() {
            let spawned = std::thread::Builder::new().name("producer-close".to_string()).spawn(move || drop(client));
            if let Err(error) = spawned {
                tracing::warn!("cannot start the thread that closes a producer: {error}");
            }
        }
    }
}

struct Context {
    problems: Problems,
    on_too_large: Weak<Option<OnTooLarge>>,
    fatal: Arc<AtomicBool>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.problems.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.fatal.store(true, Ordering::Release);
        }
        self.problems.error(&error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Completion>;

    fn delivery(&self, result: &DeliveryResult<'_>, completion: Arc<Completion>) {
        let (error, message) = match result {
            Ok(_) => return,
            Err((error, message)) => (error, message),
        };
        let bytes = message.payload_len() + message.key_len();
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::MessageSizeTooLarge) {
            // Purged: the producer was closed under it, its owner knows
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PurgeQueue)
                && error.rdkafka_error_code() != Some(RDKafkaErrorCode::PurgeInflight)
            {
                self.problems.trouble(&format!("produce to {}", message.topic()), error);
            }
            completion.fail(KafkaError::new(format!("produce to {}", message.topic()), error.clone()).into());
            return;
        }
        let on_too_large = self.on_too_large.upgrade();
        match on_too_large.as_deref().and_then(Option::as_ref) {
            Some(on_too_large) => on_too_large(TooLarge {
                topic: message.topic().to_string(),
                partition: message.partition(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().unwrap_or_default().to_vec(),
                headers: super::headers::copy(message),
                completion,
            }),
            None => completion.fail(ProduceError::TooLarge { topic: message.topic().to_string(), bytes }),
        }
    }
}

//! Client settings and names of owned topics and groups.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::{KafkaSettings, TopicSettings};

/// What all clients of one process may buffer together unless told: prefetched records and records not yet acknowledged, bytes.
const DEFAULT_MEMORY: usize = 48 << 20;
/// How many clients share it unless told.
const DEFAULT_CLIENTS: usize = 8;
/// Less than this a client cannot work with: one largest record and a little.
const MIN_MEMORY: usize = 2 << 20;

/// How to reach Kafka, and what is ours there. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Kafka {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug, Clone)]
pub(super) struct Inner {
    pub(super) settings: KafkaSettings,
    /// `<prefix>.<env>`
    stem: String,
    /// Bytes that one client may buffer.
    memory: usize,
    /// Set where this points to the embedded broker.
    pub(super) embedded: Option<super::embedded::Embedded>,
}

/// Whose an owned topic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owned<'a> {
    /// The queue of this consumer.
    Queue(&'a str),
    /// The dead letters of this consumer.
    Dead(&'a str),
    Rejected,
}

impl Kafka {
    pub fn new(settings: &KafkaSettings, environment: &str) -> Kafka {
        let stem = format!("{}.{environment}", settings.prefix);
        let memory = DEFAULT_MEMORY / DEFAULT_CLIENTS;
        Kafka { inner: Arc::new(Inner { settings: settings.clone(), stem, memory, embedded: None }) }
    }

    /// The default budget divided over so many clients: for a process that has more than usual.
    pub fn shared_by(&self, clients: usize) -> Kafka {
        self.with_memory(DEFAULT_MEMORY, clients.max(DEFAULT_CLIENTS))
    }

    /// Bytes that one client may buffer.
    pub fn memory(&self) -> usize {
        self.inner.memory
    }

    /// Divides `total` bytes of buffers over the clients (sources and producers) that this process is going to have.
    pub fn with_memory(&self, total: usize, clients: usize) -> Kafka {
        let memory = (total / clients.max(1)).max(MIN_MEMORY);
        Kafka { inner: Arc::new(Inner { memory, ..Inner::clone(&self.inner) }) }
    }

    /// The same for other brokers (None: these) and with more librdkafka properties, over those that are set: a kafka sink's own cluster. With other
    /// brokers the properties of analytica.yaml do not come along: its credentials are for its own cluster.
    pub fn elsewhere(
        &self,
        brokers: Option<Vec<String>>,
        properties: impl IntoIterator<Item = (String, crate::config::Resolved)>,
    ) -> Kafka {
        let mut inner = Inner::clone(&self.inner);
        if let Some(brokers) = brokers {
            inner.settings.properties.clear();
            inner.settings.brokers = brokers;
            inner.embedded = None;
        }
        inner.settings.properties.extend(properties);
        Kafka { inner: Arc::new(inner) }
    }

    pub(super) fn on(self, embedded: super::embedded::Embedded) -> Kafka {
        Kafka { inner: Arc::new(Inner { embedded: Some(embedded), ..Inner::clone(&self.inner) }) }
    }

    /// The embedded broker that this points to, if it does.
    pub fn embedded(&self) -> Option<&super::embedded::Embedded> {
        self.inner.embedded.as_ref()
    }

    /// `<prefix>.<env>.queue.<consumer>`
    pub fn queue_topic(&self, consumer: &str) -> Arc<str> {
        format!("{}.queue.{consumer}", self.inner.stem).into()
    }

    /// `<prefix>.<env>.dead.<consumer>`
    pub fn dead_topic(&self, consumer: &str) -> Arc<str> {
        format!("{}.dead.{consumer}", self.inner.stem).into()
    }

    /// `<prefix>.<env>.rejected`
    pub fn rejected_topic(&self) -> Arc<str> {
        format!("{}.rejected", self.inner.stem).into()
    }

    /// `<prefix>.<env>.orchestrator`
    pub fn events_group(&self) -> String {
        format!("{}.orchestrator", self.inner.stem)
    }

    /// `<prefix>.<env>.delivery.<consumer>`
    pub fn delivery_group(&self, consumer: &str) -> String {
        format!("{}.delivery.{consumer}", self.inner.stem)
    }

    /// Whose topic this is; None where it is none of ours.
    pub fn owner<'a>(&self, topic: &'a str) -> Option<Owned<'a>> {
        let name = topic.strip_prefix(self.inner.stem.as_str())?.strip_prefix('.')?;
        match name.split_once('.') {
            Some(("queue", consumer)) => Some(Owned::Queue(consumer)),
            Some(("dead", consumer)) => Some(Owned::Dead(consumer)),
            None if name == "rejected" => Some(Owned::Rejected),
            _ => None,
        }
    }

    /// What owned topics are created with.
    pub fn topic_settings(&self) -> &TopicSettings {
        &self.inner.settings.topics
    }

    pub fn brokers(&self) -> String {
        self.inner.settings.brokers.join(",")
    }

    /// What no pattern of a source may match: our own topics (they would run in circles) and Kafka's internal ones. librdkafka's form: regexes and commas.
    pub(super) fn topics_never_matched(&self) -> String {
        format!("^{}\\..*,^__.*", super::source::escape(&self.inner.stem))
    }

    /// Settings of any client; what the user says under `kafka.properties` comes last (`finish`).
    fn common(&self, role: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.brokers())
            .set("client.id", format!("{}.{role}", self.inner.stem))
            // Silence between two records is no reason to reconnect, nor to say so
            .set("log.connection.close", "false")
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", "5000")
            // A topic that is made while we wait for it should be seen in seconds, not in the default five minutes
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set_log_level(RDKafkaLogLevel::Info);
        config
    }

    fn finish(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.inner.settings.properties {
            config.set(name, value.expose());
        }
        let tls = config.get("security.protocol").is_some_and(|protocol| protocol.to_ascii_lowercase().ends_with("ssl"));
        if tls && config.get("ssl.ca.location").is_none() && config.get("ssl.ca.pem").is_none() {
            // OpenSSL is built in and knows nothing of where this system keeps its authorities
            let found = openssl_probe::probe();
            if let Some(file) = found.cert_file {
                config.set("ssl.ca.location", file.to_string_lossy());
            } else if let Some(folder) = found.cert_dir {
                config.set("ssl.ca.location", folder.to_string_lossy());
            }
        }
        config
    }

    pub(super) fn consumer_config(&self, group: &str, earliest: bool) -> ClientConfig {
        let budget = self.inner.memory;
        let mut config = self.common(group);
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", if earliest { "earliest" } else { "latest" })
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "false")
            .set("allow.auto.create.topics", "false")
            .set("statistics.interval.ms", "1000")
            // How long the partitions of a worker that was killed lie idle: librdkafka's 45 s allow for pauses that we do not make. Twice what a revoke may take
            .set("session.timeout.ms", "10000")
            // The queue may be overshot by one fetch: half and half make the budget
            .set("queued.max.messages.kbytes", (budget / 2 / 1024).to_string())
            .set("fetch.max.bytes", (budget / 2).to_string())
            .set("max.partition.fetch.bytes", (budget / 4).min(1 << 20).to_string())
            .set("message.max.bytes", (budget / 2).min(1_000_000).to_string())
            // A full queue waits this long before it fetches again: the default of a second would starve a small one
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.error.backoff.ms", "100");
        if self.inner.embedded.is_some() {
            config.set("session.timeout.ms", super::embedded::SESSION_MS.to_string()).set("heartbeat.interval.ms", "300");
            // it answers a fetch that found nothing only when the wait is over, whatever arrives meanwhile
            config.set("fetch.wait.max.ms", "5");
        }
        self.finish(config)
    }

    pub(super) fn producer_config(&self, role: &str) -> ClientConfig {
        let budget = self.inner.memory.max(4 << 20);
        let mut config = self.common(role);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // No output times out: it waits for its broker, and what waits keeps its offset uncommitted
            .set("message.timeout.ms", "0")
            // librdkafka batches by itself under load; lingering only adds latency
            .set("linger.ms", "0")
            .set("queue.buffering.max.kbytes", (budget / 1024).to_string())
            // Only values and keys count there: a record's headers and its own structure are about a KiB more
            .set("queue.buffering.max.messages", (budget / 1024).to_string())
            // The topic's own limit decides, not the client's, but what does not fit into the queue would wait for ever;
            // a batch of many stays below the default limit of a topic
            .set("message.max.bytes", (budget - (64 << 10)).to_string())
            .set("batch.size", "900000")
            .set("topic.metadata.propagation.max.ms", "10000");
        self.finish(config)
    }

    pub(super) fn admin_config(&self) -> ClientConfig {
        self.finish(self.common("admin"))
    }
}

/// How long an administrative question may take, before Kafka counts as away.
pub(super) const ADMIN_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, thiserror::Error)]
pub enum KafkaError {
    /// `doing` reads "cannot <doing>".
    #[error("cannot {doing}: {source}")]
    Client { doing: String, source: rdkafka::error::KafkaError },
    /// A thread of ours panicked or could not be started.
    #[error("the thread `{thread}` failed: {reason}")]
    Thread { thread: &'static str, reason: String },
    /// The embedded broker holds 5 MiB a partition and dropped records that were not read.
    #[error("the embedded broker dropped records of {topic}/{partition}: offset {expected} is gone, the next is {found}")]
    Lost { topic: Arc<str>, partition: i32, expected: i64, found: i64 },
    /// The topic is not there and was not to be made.
    #[error("topic {topic} does not exist")]
    NoTopic { topic: String },
    #[error("topic {topic} has {found} partitions, not {wanted}")]
    Partitions { topic: String, wanted: u32, found: u32 },
    /// An ACL forbids it.
    #[error("Kafka does not allow us to {doing}: {source}")]
    Denied { doing: String, source: rdkafka::error::KafkaError },
}

impl KafkaError {
    /// Sorts an error of the client library: what an ACL forbids is told apart.
    pub(super) fn new(doing: impl Into<String>, source: rdkafka::error::KafkaError) -> KafkaError {
        use rdkafka::types::RDKafkaErrorCode::{ClusterAuthorizationFailed, GroupAuthorizationFailed, TopicAuthorizationFailed};
        let doing = doing.into();
        match source.rdkafka_error_code() {
            Some(ClusterAuthorizationFailed | GroupAuthorizationFailed | TopicAuthorizationFailed) => KafkaError::Denied { doing, source },
            _ => KafkaError::Client { doing, source },
        }
    }

    /// It was given up on our side: its partition was taken away, or we are stopping.
    pub(crate) fn from_cancelled(doing: impl Into<String>) -> KafkaError {
        KafkaError::Client { doing: doing.into(), source: rdkafka::error::KafkaError::Canceled }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            KafkaError::Denied { .. } => {
                Some("grant this client's principal Read and Describe on topics and groups, Write and Create on owned topics")
            }
            KafkaError::NoTopic { .. } => Some("create it, or run `analytica apply --topics`"),
            KafkaError::Lost { .. } => Some("the embedded broker is for demos and tests: feed it more slowly, or use a real Kafka"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_topics_are_told_from_others() {
        let kafka = super::super::tests::unreachable();
        assert_eq!(&*kafka.queue_topic("warehouse"), "analytica.test.queue.warehouse");
        assert_eq!(kafka.owner(&kafka.queue_topic("warehouse")), Some(Owned::Queue("warehouse")));
        assert_eq!(kafka.owner(&kafka.dead_topic("warehouse")), Some(Owned::Dead("warehouse")));
        assert_eq!(kafka.owner(&kafka.rejected_topic()), Some(Owned::Rejected));
        assert_eq!(kafka.owner("analytica.test2.rejected"), None);
        assert_eq!(kafka.owner("web.events"), None);
    }

    #[test]
    fn properties_of_the_user_win_and_do_not_follow_to_another_cluster() {
        let kafka = super::super::tests::unreachable();
        let secret = crate::config::Resolved::new("${secret:P}", "hunter2");
        let mine = kafka
            .elsewhere(None, [("linger.ms".to_string(), crate::config::Resolved::new("7", "7")), ("sasl.password".to_string(), secret)]);
        assert_eq!(mine.producer_config("p").get("linger.ms"), Some("7"));
        assert!(!format!("{mine:?}").contains("hunter2"));
        let other = mine.elsewhere(Some(vec!["other:9092".to_string()]), []);
        assert_eq!(other.producer_config("p").get("sasl.password"), None);
        assert_eq!(other.producer_config("p").get("bootstrap.servers"), Some("other:9092"));
    }
}

//! The process's metrics, by their Prometheus names. No label grows with users.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Snapshot;

/// 1 ms to 60 s: fine where the end-to-end budget lies (5, 10, 20 ms), coarse where something is wrong anyway.
const LATENCY_SECONDS: [f64; 18] =
    [0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0];
/// 0.5 µs to 10 ms, for the budget of 2 µs a record.
const PIPELINE_SECONDS: [f64; 14] = [
    0.000_000_5,
    0.000_001,
    0.000_002,
    0.000_003,
    0.000_004,
    0.000_006,
    0.000_01,
    0.000_02,
    0.000_05,
    0.000_1,
    0.000_25,
    0.001,
    0.002_5,
    0.01,
];
const BATCH_RECORDS: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0];

/// What a consumer's delivery may be doing; one series each, exactly one of them 1.
pub const DELIVERY_STATES: [&str; 5] = ["delivering", "paused", "misconfigured", "unconfigured", "draining"];
/// How a worker stands with Redis, where its configs come from there; one series each, exactly one of them 1.
pub const CONFIG_SOURCES: [&str; 6] = ["current", "unreachable", "empty", "corrupt", "future", "went_back"];
/// What becomes of a delivery.
const DELIVERY_RESULTS: [&str; 3] = ["delivered", "ignored", "dead"];
const BATCH_RESULTS: [&str; 3] = ["ok", "refused", "failed"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySource {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySourceEvent {
    source: String,
    event: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEventVersion {
    event: String,
    version: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySourceReason {
    source: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByConsumer {
    consumer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByConsumerResult {
    consumer: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByConsumerStage {
    consumer: String,
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByConsumerState {
    consumer: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDigest {
    digest: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByVersion {
    version: &'static str,
}

/// Makes histograms of one set of buckets.
#[derive(Debug, Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Histograms<L> = Family<L, Histogram, Buckets>;

fn histograms<L: Clone + std::hash::Hash + Eq>(buckets: &'static [f64]) -> Histograms<L> {
    Family::new_with_constructor(Buckets(buckets))
}

/// Counters, gauges and histograms of one process; cheap to clone. Methods are named for what happened.
/// Threads that call for each record take a `Recorder`, which looks a series up once.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    events_in: Family<BySource, Counter>,
    accepted: Family<BySourceEvent, Counter>,
    deprecated: Family<ByEventVersion, Counter>,
    rejected: Family<BySourceReason, Counter>,
    queued: Family<ByConsumer, Counter>,
    deliveries: Family<ByConsumerResult, Counter>,
    dead_letters: Family<ByConsumerStage, Counter>,
    batches: Family<ByConsumerResult, Counter>,
    batch_records: Histograms<ByConsumer>,
    batch_duration: Histograms<ByConsumer>,
    pipeline_duration: Histogram,
    end_to_end: Histograms<ByConsumer>,
    queue_lag: Family<ByConsumer, Gauge>,
    source_lag: Gauge,
    delivery_state: Family<ByConsumerState, Gauge>,
    config: Family<ByDigest, Gauge>,
    config_source: Family<ByState, Gauge>,
    reloads: Family<ByResult, Counter>,
    reload_duration: Histogram,
}

impl Default for Inner {
    fn default() -> Inner {
        let mut inner = Inner {
            registry: Registry::with_prefix("analytica"),
            events_in: Family::default(),
            accepted: Family::default(),
            deprecated: Family::default(),
            rejected: Family::default(),
            queued: Family::default(),
            deliveries: Family::default(),
            dead_letters: Family::default(),
            batches: Family::default(),
            batch_records: histograms(&BATCH_RECORDS),
            batch_duration: histograms(&LATENCY_SECONDS),
            pipeline_duration: Buckets(&PIPELINE_SECONDS).new_metric(),
            end_to_end: histograms(&LATENCY_SECONDS),
            queue_lag: Family::default(),
            source_lag: Gauge::default(),
            delivery_state: Family::default(),
            config: Family::default(),
            config_source: Family::default(),
            reloads: Family::default(),
            reload_duration: Buckets(&LATENCY_SECONDS).new_metric(),
        };
        inner.register();
        inner
    }
}

impl Inner {
    /// Names them all; counters get `_total` from the encoder.
    fn register(&mut self) {
        let build: Family<ByVersion, Gauge> = Family::default();
        build.get_or_create(&ByVersion { version: env!("CARGO_PKG_VERSION") }).set(1);
        let r = &mut self.registry;
        r.register("build_info", "The version of analytica that runs", build);
        r.register("events_in", "Records taken from events topics", self.events_in.clone());
        r.register("events_accepted", "Events that passed validation", self.accepted.clone());
        r.register("events_deprecated", "Events of a version that is deprecated", self.deprecated.clone());
        r.register("events_rejected", "Events that did not get past validation", self.rejected.clone());
        r.register("deliveries_queued", "Deliveries acknowledged by their queue", self.queued.clone());
        r.register("deliveries", "Deliveries taken from a queue, by what became of them", self.deliveries.clone());
        r.register("dead_letters", "Dead letters, by the stage that made them", self.dead_letters.clone());
        r.register("sink_calls", "Calls of a sink, by how they went", self.batches.clone());
        r.register("sink_call_records", "Records in one call of a sink", self.batch_records.clone());
        r.register_with_unit("sink_call_duration", "How long one call of a sink took", Unit::Seconds, self.batch_duration.clone());
        r.register_with_unit(
            "pipeline_duration",
            "Time from a record to its outcome: parse, validate, route, render",
            Unit::Seconds,
            self.pipeline_duration.clone(),
        );
        r.register_with_unit(
            "end_to_end_duration",
            "From the events topic's timestamp to the sink's acknowledgement",
            Unit::Seconds,
            self.end_to_end.clone(),
        );
        r.register("queue_lag_records", "Records of a queue that are not done, in this worker's partitions", self.queue_lag.clone());
        r.register(
            "events_lag_records",
            "Records of the events topics that are not done, in this worker's partitions",
            self.source_lag.clone(),
        );
        r.register("delivery_state", "What a consumer's delivery is doing: the state that holds is 1", self.delivery_state.clone());
        r.register("config_info", "The digest of the config set that is live", self.config.clone());
        r.register("config_source_state", "How this worker stands with the Redis that its configs come from", self.config_source.clone());
        r.register("config_reloads", "Changes of the config set that were taken or refused", self.reloads.clone());
        r.register_with_unit(
            "config_reload_duration",
            "From a change noticed to the new set live",
            Unit::Seconds,
            self.reload_duration.clone(),
        );
    }
}

impl Metrics {
    /// A record was taken from an events topic. `source` is empty where no source listens to its topic.
    pub fn event_in(&self, source: &str) {
        self.inner.events_in.get_or_create(&BySource { source: source.to_owned() }).inc();
    }

    pub fn accepted(&self, source: &str, event: &str) {
        self.accepted_series(source, event).inc();
    }

    pub fn deprecated(&self, event: &str, version: u32) {
        self.inner.deprecated.get_or_create(&ByEventVersion { event: event.to_owned(), version }).inc();
    }

    /// `reason` is `pipeline::Reason::name`.
    pub fn rejected(&self, source: &str, reason: &'static str) {
        self.inner.rejected.get_or_create(&BySourceReason { source: source.to_owned(), reason }).inc();
    }

    /// Deliveries put on (acknowledged by) a queue.
    pub fn queued(&self, consumer: &str, deliveries: u64) {
        self.inner.queued.get_or_create(&ByConsumer { consumer: consumer.to_owned() }).inc_by(deliveries);
    }

    /// `result`: delivered, ignored or dead.
    pub fn delivered(&self, consumer: &str, result: &'static str, deliveries: u64) {
        self.inner.deliveries.get_or_create(&ByConsumerResult { consumer: consumer.to_owned(), result }).inc_by(deliveries);
    }

    /// A dead letter by the stage that made it (`when`, `transform`, …, `delivery`).
    pub fn dead(&self, consumer: &str, stage: &'static str) {
        self.inner.dead_letters.get_or_create(&ByConsumerStage { consumer: consumer.to_owned(), stage }).inc();
    }

    /// One call of a sink: records and how long it took; `outcome`: ok, refused, failed.
    pub fn batch(&self, consumer: &str, outcome: &'static str, records: usize, took: Duration) {
        let consumer = consumer.to_owned();
        self.inner.batches.get_or_create(&ByConsumerResult { consumer: consumer.clone(), result: outcome }).inc();
        let by = ByConsumer { consumer };
        self.inner.batch_records.get_or_create(&by).observe(records as f64);
        self.inner.batch_duration.get_or_create(&by).observe(took.as_secs_f64());
    }

    /// Time of the pipeline for one record.
    pub fn processed(&self, took: Duration) {
        self.inner.pipeline_duration.observe(took.as_secs_f64());
    }

    /// From the events topic's timestamp to the sink's acknowledgement.
    pub fn end_to_end(&self, consumer: &str, took: Duration) {
        self.inner.end_to_end.get_or_create(&ByConsumer { consumer: consumer.to_owned() }).observe(took.as_secs_f64());
    }

    /// Records of a consumer's queue not yet done, all partitions this worker holds.
    pub fn queue_lag(&self, consumer: &str, records: u64) {
        self.inner.queue_lag.get_or_create(&ByConsumer { consumer: consumer.to_owned() }).set(as_gauge(records));
    }

    /// Records of the events topics not yet done.
    pub fn source_lag(&self, records: u64) {
        self.inner.source_lag.set(as_gauge(records));
    }

    /// What a consumer's delivery is doing: one of `DELIVERY_STATES`.
    pub fn delivery_state(&self, consumer: &str, state: &'static str) {
        for each in DELIVERY_STATES {
            let by = ByConsumerState { consumer: consumer.to_owned(), state: each };
            self.inner.delivery_state.get_or_create(&by).set((each == state).into());
        }
    }

    /// The live set changed.
    pub fn config_live(&self, digest: &str) {
        self.inner.config.clear();
        self.inner.config.get_or_create(&ByDigest { digest: digest.to_owned() }).set(1);
    }

    /// How this worker stands with the place its configs come from: one of `CONFIG_SOURCES`.
    pub fn config_source(&self, state: &'static str) {
        for each in CONFIG_SOURCES {
            self.inner.config_source.get_or_create(&ByState { state: each }).set((each == state).into());
        }
    }

    /// `result`: applied or refused.
    pub fn reload(&self, result: &'static str, took: Duration) {
        self.inner.reloads.get_or_create(&ByResult { result }).inc();
        self.inner.reload_duration.observe(took.as_secs_f64());
    }

    /// A consumer is gone: its gauges end. Its counters stay, so that counts go on adding up until the process ends.
    pub fn forget(&self, consumer: &str) {
        self.inner.queue_lag.remove(&ByConsumer { consumer: consumer.to_owned() });
        for state in DELIVERY_STATES {
            self.inner.delivery_state.remove(&ByConsumerState { consumer: consumer.to_owned(), state });
        }
    }

    /// Makes a consumer's counters at zero, so that their first increase is seen as one.
    pub fn expect_consumer(&self, consumer: &str) {
        for result in DELIVERY_RESULTS {
            self.delivered(consumer, result, 0);
        }
        for result in BATCH_RESULTS {
            self.inner.batches.get_or_create(&ByConsumerResult { consumer: consumer.to_owned(), result }).inc_by(0);
        }
    }

    /// All metrics in the OpenMetrics text format, which Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(16 << 10);
        // Writing to a String cannot fail, and the encoder has no errors of its own; a metric cut short would be worse than none.
        if prometheus_client::encoding::text::encode(&mut text, &self.inner.registry).is_err() {
            text.clear();
        }
        text
    }

    /// The values as they stand now, for status pages and tests.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::parse(&self.render())
    }

    pub(super) fn events_in_series(&self, source: &str) -> Counter {
        self.inner.events_in.get_or_create_owned(&BySource { source: source.to_owned() })
    }

    pub(super) fn accepted_series(&self, source: &str, event: &str) -> Counter {
        self.inner.accepted.get_or_create_owned(&BySourceEvent { source: source.to_owned(), event: event.to_owned() })
    }

    pub(super) fn queued_series(&self, consumer: &str) -> Counter {
        self.inner.queued.get_or_create_owned(&ByConsumer { consumer: consumer.to_owned() })
    }

    pub(super) fn end_to_end_series(&self, consumer: &str) -> Histogram {
        self.inner.end_to_end.get_or_create_owned(&ByConsumer { consumer: consumer.to_owned() })
    }
}

fn as_gauge(records: u64) -> i64 {
    i64::try_from(records).unwrap_or(i64::MAX)
}

//! The process's metrics, by their Prometheus names. No label grows with users.

use std::time::Duration;

/// Counters, gauges and histograms of one process; cheap to clone. Methods are named for what happened.
#[derive(Debug, Clone, Default)]
pub struct Metrics {}

#[allow(unused_variables)]
impl Metrics {
    /// A record was taken from an events topic. `source` is empty where no source listens to its topic.
    pub fn event_in(&self, source: &str) {}
    pub fn accepted(&self, source: &str, event: &str) {}
    pub fn deprecated(&self, event: &str, version: u32) {}
    /// `reason` is `pipeline::Reason::name`.
    pub fn rejected(&self, source: &str, reason: &'static str) {}
    /// Deliveries put on (acknowledged by) a queue.
    pub fn queued(&self, consumer: &str, deliveries: u64) {}
    /// `result`: delivered, ignored or dead.
    pub fn delivered(&self, consumer: &str, result: &'static str, deliveries: u64) {}
    /// A dead letter by the stage that made it (`when`, `transform`, …, `delivery`).
    pub fn dead(&self, consumer: &str, stage: &'static str) {}
    /// One call of a sink: records and how long it took; `outcome`: ok, refused, failed.
    pub fn batch(&self, consumer: &str, outcome: &'static str, records: usize, took: Duration) {}
    /// Time of the pipeline for one record.
    pub fn processed(&self, took: Duration) {}
    /// From the events topic's timestamp to the sink's acknowledgement.
    pub fn end_to_end(&self, consumer: &str, took: Duration) {}
    /// Records of a consumer's queue not yet done, all partitions this worker holds.
    pub fn queue_lag(&self, consumer: &str, records: u64) {}
    /// Records of the events topics not yet done.
    pub fn source_lag(&self, records: u64) {}
    /// What a consumer's delivery is doing: delivering, paused, misconfigured, unconfigured, draining.
    pub fn delivery_state(&self, consumer: &str, state: &'static str) {}
    /// The live set changed.
    pub fn config_live(&self, digest: &str) {}
    /// `result`: applied or refused.
    pub fn reload(&self, result: &'static str, took: Duration) {}
    /// A consumer is gone: its series end.
    pub fn forget(&self, consumer: &str) {}
}

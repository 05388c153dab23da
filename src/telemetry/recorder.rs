//! One thread's way to the metrics: remembers each series it has looked up, so that counting a record costs an atomic and a small hash.

use std::collections::HashMap;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::Metrics;

/// The per-record methods of `Metrics`, for one thread or task. Names that come in are bounded by the config set, and so is what it remembers.
#[derive(Debug)]
pub struct Recorder {
    metrics: Metrics,
    events_in: HashMap<String, Counter>,
    accepted: HashMap<String, HashMap<String, Counter>>,
    queued: HashMap<String, Counter>,
    end_to_end: HashMap<String, Histogram>,
}

impl Metrics {
    /// A recorder for the calling thread to keep.
    pub fn recorder(&self) -> Recorder {
        Recorder {
            metrics: self.clone(),
            events_in: HashMap::new(),
            accepted: HashMap::new(),
            queued: HashMap::new(),
            end_to_end: HashMap::new(),
        }
    }
}

impl Recorder {
    /// A record was taken from an events topic; `source` is empty where no source listens to its topic.
    pub fn event_in(&mut self, source: &str) {
        series(&mut self.events_in, source, || self.metrics.events_in_series(source)).inc();
    }

    pub fn accepted(&mut self, source: &str, event: &str) {
        if !self.accepted.contains_key(source) {
            self.accepted.insert(source.to_owned(), HashMap::new());
        }
        if let Some(events) = self.accepted.get_mut(source) {
            series(events, event, || self.metrics.accepted_series(source, event)).inc();
        }
    }

    /// `reason` is `pipeline::Reason::name`. Rare, so nothing is remembered.
    pub fn rejected(&mut self, source: &str, reason: &'static str) {
        self.metrics.rejected(source, reason);
    }

    /// Deliveries acknowledged by a queue.
    pub fn queued(&mut self, consumer: &str, deliveries: u64) {
        series(&mut self.queued, consumer, || self.metrics.queued_series(consumer)).inc_by(deliveries);
    }

    /// From the events topic's timestamp to the sink's acknowledgement.
    pub fn end_to_end(&mut self, consumer: &str, took: Duration) {
        series(&mut self.end_to_end, consumer, || self.metrics.end_to_end_series(consumer)).observe(took.as_secs_f64());
    }

    /// Time of the pipeline for one record.
    pub fn processed(&mut self, took: Duration) {
        self.metrics.processed(took);
    }

    /// The metrics behind it, for what is not counted for each record.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// The series of that name, looked up by `find` the first time.
fn series<'a, M>(known: &'a mut HashMap<String, M>, name: &str, find: impl FnOnce() -> M) -> &'a M {
    if !known.contains_key(name) {
        known.insert(name.to_owned(), find());
    }
    known.get(name).expect("inserted on the line above")
}

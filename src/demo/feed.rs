//! The emitters of the demo: simulated users' events onto the events topics, at a rate, never further ahead than the embedded broker can hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinHandle;

use super::stage::Stage;
use super::{DemoError, DemoOptions};
use crate::kafka::{Output, Producer};
use crate::simulate::{Simulation, SimulationOptions};
use crate::telemetry::Metrics;

/// Events fed and not yet through the orchestrator: 2,000 of half a KiB are far from the embedded broker's 5 MiB a partition.
const AHEAD: u64 = 2_000;
const SLICE: Duration = Duration::from_millis(20);

/// A running feed.
pub(super) struct Feed {
    /// Events that will have been fed in all.
    pub total: u64,
    fed: Arc<AtomicU64>,
    task: JoinHandle<Result<Fed, DemoError>>,
}

/// What was fed.
#[derive(Debug, Default)]
pub(super) struct Fed {
    pub events: u64,
    pub broken: u64,
    pub duplicates: u64,
    pub users: u64,
    pub took: Duration,
}

impl Feed {
    pub fn start(stage: &Stage, options: &DemoOptions) -> Feed {
        let simulated = SimulationOptions { users: options.users, ..SimulationOptions::new(options.seed) };
        let total = Simulation::new(simulated.clone()).count() as u64;
        let fed = Arc::new(AtomicU64::new(0));
        let kafka = stage.kafka.clone();
        let (metrics, rate, count) = (stage.metrics.clone(), options.rate, Arc::clone(&fed));
        let task = tokio::spawn(async move {
            let producer = Producer::new(&kafka)?;
            feed(producer, Simulation::new(simulated), rate, &metrics, &count).await
        });
        Feed { total, fed, task }
    }

    pub fn fed(&self) -> u64 {
        self.fed.load(Ordering::Relaxed)
    }

    /// Whether this share of all events was fed.
    pub fn reached(&self, percent: u64) -> bool {
        self.fed() * 100 >= self.total * percent
    }

    /// Waits for the last acknowledgement.
    pub async fn end(self) -> Result<Fed, DemoError> {
        self.task.await.map_err(|_| DemoError::WorkerGone)?
    }

    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

async fn feed(producer: Producer, mut events: Simulation, rate: u64, metrics: &Metrics, count: &AtomicU64) -> Result<Fed, DemoError> {
    let began = Instant::now();
    let mut fed = Fed::default();
    let mut acknowledgements = FuturesUnordered::new();
    let mut slices = tokio::time::interval(SLICE);
    'feeding: loop {
        slices.tick().await;
        let through = metrics.snapshot().count("analytica_events_in_total", &[]);
        let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
        while fed.events < due && fed.events < through + AHEAD {
            let Some(event) = events.next() else { break 'feeding };
            fed.events += 1;
            fed.broken += u64::from(event.broken.is_some());
            fed.duplicates += u64::from(event.duplicate);
            let output = Output::keyed(event.topic, event.key.as_bytes(), &event.value);
            let producer = producer.clone();
            acknowledgements.push(async move { producer.produce(output).await });
        }
        while acknowledgements.len() > AHEAD as usize / 2
            && let Some(acknowledged) = acknowledgements.next().await
        {
            acknowledged?;
        }
        // those that are through already; the rest is asked again in the next slice
        while let Some(Some(acknowledged)) = futures_util::FutureExt::now_or_never(acknowledgements.next()) {
            acknowledged?;
        }
        count.store(fed.events, Ordering::Relaxed);
    }
    while let Some(acknowledged) = acknowledgements.next().await {
        acknowledged?;
    }
    count.store(fed.events, Ordering::Relaxed);
    fed.users = events.users();
    fed.took = began.elapsed();
    Ok(fed)
}

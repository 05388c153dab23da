//! The deliveries of one process, kept on what the live set says: started, given new settings, drained, stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt, join_all};
use tracing::{info, warn};

use super::candidate::Candidate;
use super::{WorkerError, WorkerOptions};
use crate::config::{Configured, Consumer, ConsumerState};
use crate::delivery::{DeliveryState, DeliveryWorker};
use crate::kafka::{Kafka, Producer};
use crate::pipeline::TableDefinition;
use crate::sinks;
use crate::store::{ConsumerReport, Pause};

/// How long a reload waits for one delivery that ends: what it cannot finish by then comes again, and the others must not wait for it.
const END_WITHIN: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Deliveries {
    running: BTreeMap<Arc<str>, Running>,
    /// Consumers that cannot be configured here, and why: said once.
    unconfigured: BTreeMap<Arc<str>, String>,
    /// Consumers that an operator stopped, and why.
    held: BTreeMap<Arc<str>, String>,
}

struct Running {
    worker: DeliveryWorker,
    plan: Plan,
    /// Rounds in a row in which a removed consumer's queue was empty.
    empty_rounds: u32,
}

/// What the orchestrator had in flight when its consumer was removed has reached the queue long before so many rounds are over.
const EMPTY_ROUNDS: u32 = 3;

/// All that a delivery is made of; an equal plan needs no new sink.
#[derive(Clone, PartialEq)]
struct Plan {
    configured: Configured,
    tables: Vec<TableDefinition>,
    state: ConsumerState,
}

impl Deliveries {
    /// Starts, reconfigures and ends deliveries until they are what the set says. Cheap where nothing changed: it is called every round,
    /// because a secret's file may have changed and a removed consumer's queue may have run empty.
    pub(super) async fn reconcile(&mut self, wanted: &Candidate, options: &WorkerOptions, producer: &Producer) -> Result<(), WorkerError> {
        // a source each, and what the orchestrator has
        let kafka = options.kafka.shared_by(wanted.set.consumers.len() + 2);
        for consumer in wanted.set.consumers.values().filter(|consumer| options.roles.delivers(&consumer.name)) {
            match consumer.configure(options.variables.as_ref()) {
                Ok(configured) => {
                    let plan = Plan { configured, tables: wanted.pipeline.tables(&consumer.name), state: consumer.state };
                    self.ensure(consumer, plan, options, producer, &kafka).await?;
                }
                Err(why) => self.unconfigure(consumer, why.to_string(), options).await?,
            }
        }
        self.end_removed(wanted, options).await
    }

    /// The first delivery whose queue cannot be read any more.
    pub(super) fn failure(&self) -> Option<WorkerError> {
        self.running.iter().find_map(|(consumer, running)| {
            let source = running.worker.failed().now_or_never()?;
            Some(WorkerError::Delivery { consumer: Arc::clone(consumer), source })
        })
    }

    async fn ensure(
        &mut self,
        consumer: &Consumer,
        plan: Plan,
        options: &WorkerOptions,
        producer: &Producer,
        kafka: &Kafka,
    ) -> Result<(), WorkerError> {
        if self.running.get(&consumer.name).is_some_and(|running| running.plan == plan) {
            return Ok(());
        }
        let failed = |source| WorkerError::Delivery { consumer: Arc::clone(&consumer.name), source };
        let connected =
            sinks::connect(&consumer.name, &plan.configured.sink, plan.tables.clone(), &plan.configured.delivery, &options.root, kafka);
        let sink = match connected {
            Ok(Some(sink)) => sink,
            // a queue sink: others read the topic themselves
            Ok(None) => return self.end(&consumer.name).await,
            Err(why) => return self.unconfigure(consumer, why.to_string(), options).await,
        };
        self.unconfigured.remove(&consumer.name);
        match self.running.get_mut(&consumer.name) {
            Some(running) => {
                running.worker.reconfigure(plan.configured.clone(), sink).await;
                running.plan = plan;
                running.empty_rounds = 0;
                options.metrics.delivery_state(&consumer.name, running.worker.state().name());
                info!(consumer = %consumer.name, "delivery goes on with new settings");
            }
            None => {
                let configured = plan.configured.clone();
                let worker = DeliveryWorker::start(kafka, producer, consumer, configured, sink, &options.metrics).map_err(failed)?;
                worker.hold(self.held.get(&consumer.name).cloned()).await;
                self.running.insert(Arc::clone(&consumer.name), Running { worker, plan, empty_rounds: 0 });
                info!(consumer = %consumer.name, sink = consumer.sink.kind().name(), "delivery started");
            }
        }
        Ok(())
    }

    /// Stops the deliveries that an operator paused, and lets those go on that are not paused any more.
    pub(super) async fn hold(&mut self, paused: &BTreeMap<String, Pause>) {
        let held: BTreeMap<Arc<str>, String> =
            paused.iter().map(|(consumer, pause)| (consumer.as_str().into(), pause.to_string())).collect();
        for (consumer, running) in &self.running {
            if held.get(consumer) != self.held.get(consumer) {
                running.worker.hold(held.get(consumer).cloned()).await;
            }
        }
        self.held = held;
    }

    /// What each consumer's delivery does here.
    pub(super) fn report(&self) -> BTreeMap<String, ConsumerReport> {
        let running = self.running.iter().map(|(consumer, running)| {
            let state = running.worker.state();
            let draining = running.plan.state == ConsumerState::Draining && state == DeliveryState::Delivering;
            let name = if draining { DeliveryState::Draining.name() } else { state.name() };
            let report = ConsumerReport { state: name.to_owned(), why: state.why().map(str::to_owned), lag: running.worker.lag() };
            (consumer.to_string(), report)
        });
        let unconfigured = self.unconfigured.iter().map(|(consumer, why)| {
            (consumer.to_string(), ConsumerReport { state: "unconfigured".to_owned(), why: Some(why.clone()), lag: 0 })
        });
        running.chain(unconfigured).collect()
    }

    /// Its queue waits; the others go on.
    async fn unconfigure(&mut self, consumer: &Consumer, why: String, options: &WorkerOptions) -> Result<(), WorkerError> {
        self.end(&consumer.name).await?;
        if self.unconfigured.get(&consumer.name) != Some(&why) {
            warn!(consumer = %consumer.name, %why, "the consumer is unconfigured, its queue waits");
            options.metrics.delivery_state(&consumer.name, "unconfigured");
            self.unconfigured.insert(Arc::clone(&consumer.name), why);
        }
        Ok(())
    }

    /// A consumer that the set no longer has: nothing new is routed to it, what waits on its queue is still delivered.
    async fn end_removed(&mut self, wanted: &Candidate, options: &WorkerOptions) -> Result<(), WorkerError> {
        self.unconfigured.retain(|name, _| wanted.set.consumers.contains_key(name));
        let removed: Vec<Arc<str>> = self.running.keys().filter(|name| !wanted.set.consumers.contains_key(*name)).cloned().collect();
        for name in removed {
            let Some(running) = self.running.get_mut(&name) else { continue };
            if running.plan.state != ConsumerState::Draining {
                info!(consumer = %name, "the consumer was removed: its queue is drained");
                running.plan.state = ConsumerState::Draining;
                options.metrics.delivery_state(&name, "draining");
            }
            // an orchestrator elsewhere may take the new set later: what it still routes is delivered until this process ends
            let empty = options.roles.orchestrator && running.worker.is_empty();
            running.empty_rounds = if empty { running.empty_rounds + 1 } else { 0 };
            if running.empty_rounds == EMPTY_ROUNDS {
                self.end(&name).await?;
                options.metrics.forget(&name);
            }
        }
        Ok(())
    }

    async fn end(&mut self, name: &Arc<str>) -> Result<(), WorkerError> {
        let Some(running) = self.running.remove(name) else { return Ok(()) };
        running.worker.stop(END_WITHIN).await.map_err(|source| WorkerError::Delivery { consumer: Arc::clone(name), source })?;
        info!(consumer = %name, "delivery stopped");
        Ok(())
    }

    /// Stops them side by side: one slow sink does not use up the others' time.
    pub(super) async fn stop(&mut self, within: Duration) -> Result<(), WorkerError> {
        let stops = std::mem::take(&mut self.running).into_iter().map(|(consumer, running)| async move {
            running.worker.stop(within).await.map_err(|source| WorkerError::Delivery { consumer, source })
        });
        join_all(stops).await.into_iter().collect()
    }
}

//! Says in Redis what this worker runs, as long as it lives.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use super::{DeliveryRole, Roles, Status};
use crate::store::{Heartbeat, Redis, Situation, SourceState};
use crate::telemetry::Metrics;

/// How often a worker says that it lives, whether or not anything changed.
const EVERY: Duration = Duration::from_secs(5);
/// Lags change all the time; they are told no more often than this.
const AT_MOST: Duration = Duration::from_millis(500);
/// Two beats may be missed.
const LASTS: Duration = Duration::from_secs(15);
/// What a worker that ends waits for its last words.
const FAREWELL: Duration = Duration::from_secs(2);

/// The running task.
pub(super) struct Heart {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Heart {
    pub(super) fn start(
        redis: Redis,
        roles: &Roles,
        status: watch::Receiver<Status>,
        situation: watch::Receiver<Situation>,
        metrics: Metrics,
    ) -> Heart {
        let stop = CancellationToken::new();
        let beating = Beating { redis, fixed: identity(roles), status, situation, metrics, trouble: false };
        let task = tokio::spawn(beating.run(stop.clone()));
        Heart { stop, task }
    }

    /// Takes the worker off the list.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(FAREWELL, self.task).await.is_err() {
            debug!("Redis was not told that this worker ends; its heartbeat ends by itself");
        }
    }
}

struct Beating {
    redis: Redis,
    /// What stays the same as long as this process lives.
    fixed: Heartbeat,
    status: watch::Receiver<Status>,
    situation: watch::Receiver<Situation>,
    metrics: Metrics,
    /// Beats do not arrive: said once.
    trouble: bool,
}

impl Beating {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let began = Instant::now();
            self.status.mark_unchanged();
            self.situation.mark_unchanged();
            let beat = self.beat();
            self.metrics.config_source(self.situation.borrow().source.name());
            if self.say(&beat, &stop).await.is_none() {
                break;
            }
            let changed = async {
                tokio::select! {
                    // their senders live in the worker, which stops this first
                    _ = self.status.changed() => {}
                    _ = self.situation.changed() => {}
                }
                sleep_until(began + AT_MOST).await;
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = changed => {}
                () = sleep_until(began + EVERY) => {}
            }
        }
        if let Err(error) = self.redis.leave(&self.fixed.id).await {
            debug!("{error}");
        }
    }

    /// None: told to stop meanwhile.
    async fn say(&mut self, beat: &Heartbeat, stop: &CancellationToken) -> Option<()> {
        let said = tokio::select! {
            () = stop.cancelled() => return None,
            said = self.redis.beat(beat, LASTS) => said,
        };
        match said {
            Ok(()) => self.trouble = false,
            Err(error) if !self.trouble => {
                warn!("`analytica status` does not see this worker: {error}");
                self.trouble = true;
            }
            Err(_) => {}
        }
        Some(())
    }

    fn beat(&self) -> Heartbeat {
        let (status, situation) = (self.status.borrow(), self.situation.borrow());
        let revision = status.revision.unwrap_or_default();
        Heartbeat {
            epoch: revision.epoch,
            generation: revision.generation,
            digest: status.digest.as_ref().map(|digest| digest.0.to_string()).unwrap_or_default(),
            since: status.since,
            state: state(&status).to_owned(),
            source: situation.source.name().to_owned(),
            error: error(&status, &situation.source),
            lag: status.lag,
            consumers: status.consumers.clone(),
            ..self.fixed.clone()
        }
    }
}

/// One of `Heartbeat::state`'s.
fn state(status: &Status) -> &'static str {
    match &status.digest {
        _ if status.stopping => "stopping",
        Some(_) => "running",
        None => "starting",
    }
}

/// What keeps a worker from running what is published, the gravest first.
fn error(status: &Status, source: &SourceState) -> Option<String> {
    let refused = status.refused.as_ref().map(|refused| {
        let which = refused.revision.map_or_else(|| "the set".to_owned(), |revision| format!("revision {revision}"));
        let first = refused.findings.iter().next().map(|finding| format!(": {} {}", finding.at, finding.message)).unwrap_or_default();
        format!("{which} does not compile here{first}")
    });
    refused.or_else(|| status.waiting.clone()).or_else(|| source.why().map(str::to_owned))
}

fn identity(roles: &Roles) -> Heartbeat {
    let mut named = Vec::new();
    if roles.orchestrator {
        named.push("orchestrator".to_owned());
    }
    match &roles.delivery {
        DeliveryRole::All => named.push("delivery".to_owned()),
        DeliveryRole::Only(names) => named.extend(names.iter().map(|name| format!("delivery:{name}"))),
        DeliveryRole::None => {}
    }
    Heartbeat {
        id: Uuid::new_v4().simple().to_string(),
        host: host(),
        process: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        roles: named,
        started: Some(Timestamp::now()),
        ..Heartbeat::default()
    }
}

/// As the kernel knows it; a container's is its id or its pod's name.
fn host() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    read.or_else(|| std::env::var("HOSTNAME").ok()).map(|name| name.trim().to_owned()).unwrap_or_else(|| "unknown".to_owned())
}

//! Waiting until every live worker runs a revision.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::store::{Heartbeat, Publication, Redis, SourceState, StoreError};

const LOOK: Duration = Duration::from_millis(100);

/// A worker that does not run the revision, and why as far as it said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Straggler {
    pub worker: String,
    pub runs: String,
    pub why: Option<String>,
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} runs {}", self.worker, self.runs)?;
        match &self.why {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}

/// Waits until all live workers run the revision or a later one; answers how many they are, or those that do not when `within` is over.
pub async fn wait_for_workers(
    redis: &mut Redis,
    published: &Publication,
    within: Duration,
) -> Result<Result<usize, Vec<Straggler>>, StoreError> {
    let deadline = Instant::now() + within;
    loop {
        let workers = redis.workers().await?;
        let behind = stragglers(&workers, published);
        if behind.is_empty() {
            return Ok(Ok(workers.len()));
        }
        if Instant::now() >= deadline {
            return Ok(Err(behind));
        }
        sleep(LOOK).await;
    }
}

fn stragglers(workers: &[Heartbeat], published: &Publication) -> Vec<Straggler> {
    // a later one counts where its worker follows what Redis has: one that is ahead of a restored Redis never takes this one
    let later = |worker: &Heartbeat| worker.revision() > published.revision && worker.source == SourceState::Current.name();
    let this = |worker: &Heartbeat| worker.revision() == published.revision && worker.digest == *published.digest.0;
    let behind = workers.iter().filter(|worker| worker.state != "stopping" && !this(worker) && !later(worker));
    behind
        .map(|worker| Straggler {
            worker: format!("{}:{}", worker.host, worker.process),
            runs: if worker.digest.is_empty() { "nothing yet".to_owned() } else { format!("revision {}", worker.revision()) },
            why: worker.error.clone(),
        })
        .collect()
}

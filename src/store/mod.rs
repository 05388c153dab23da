//! Where a config set comes from: a folder, or Redis with a cache on disk; followed as it changes.

mod cache;
mod files;
mod redis;
mod revision;

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::error;

use crate::config::{Files, ReadError};

pub use cache::Cache;
pub use files::watch;
pub use redis::{ConsumerReport, Expected, Heartbeat, Outcome, Pause, Pauses, Redis, follow};
pub use revision::{Counts, FORMAT, Kind, Label, Publication, Revision};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot watch {}: {source}", root.display())]
    Watch { root: PathBuf, source: notify_debouncer_full::notify::Error },
    /// Does not repeat the address: a password may stand in it.
    #[error("`redis.url` cannot be used ({0}): write redis://host:port, or rediss://user:password@host:port for TLS")]
    Address(String),
    /// `away`: Redis could not be worked with at all, so that asking again may help.
    #[error("cannot {doing} (Redis at {address}): {why}")]
    Redis { doing: &'static str, address: String, why: String, away: bool },
    /// The connection broke while it was published.
    #[error(
        "revision {revision} may have been published, Redis did not live to say so ({why}): look at `analytica status`, or apply again"
    )]
    Unknown { revision: Revision, why: String },
    #[error("{what} in Redis is not as we write it: {why}")]
    Corrupt { what: String, why: String },
    #[error("{what} in Redis has format {format}, this version of analytica reads up to {FORMAT}: use a newer one")]
    Future { what: String, format: u64 },
    #[error("cannot keep the config set in {}: {source}", path.display())]
    Cache { path: PathBuf, source: std::io::Error },
}

impl StoreError {
    /// Whether there was nobody to ask.
    pub fn is_away(&self) -> bool {
        matches!(self, StoreError::Redis { away: true, .. })
    }
}

/// A config set to take.
#[derive(Debug, Clone)]
pub struct Change {
    pub files: Files,
    /// None: it was not published, it stands in a folder.
    pub publication: Option<Publication>,
}

/// What is followed beside the sets themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Situation {
    pub source: SourceState,
    /// Deliveries that an operator stopped.
    pub paused: BTreeMap<String, Pause>,
}

/// How a worker stands with the place its sets come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SourceState {
    /// What is there, is what was given.
    #[default]
    Current,
    Unreachable(String),
    /// Nothing is published.
    Empty,
    /// What is there cannot be read or does not fit its digest.
    Corrupt(String),
    /// A newer version of analytica wrote it.
    Future(String),
    /// It stands before what was taken: Redis was restored from an older dump.
    WentBack(String),
}

impl SourceState {
    /// One of `telemetry::CONFIG_SOURCES`.
    pub fn name(&self) -> &'static str {
        match self {
            SourceState::Current => "current",
            SourceState::Unreachable(_) => "unreachable",
            SourceState::Empty => "empty",
            SourceState::Corrupt(_) => "corrupt",
            SourceState::Future(_) => "future",
            SourceState::WentBack(_) => "went_back",
        }
    }

    /// What is wrong, and what to do about it.
    pub fn why(&self) -> Option<&str> {
        match self {
            SourceState::Current => None,
            SourceState::Empty => {
                Some("nothing is published for this environment: `analytica apply` publishes a root, `run --from files` needs no Redis")
            }
            SourceState::Unreachable(why) | SourceState::Corrupt(why) | SourceState::Future(why) | SourceState::WentBack(why) => Some(why),
        }
    }
}

/// Something followed. Dropping it ends the following.
pub struct Watch {
    changes: mpsc::Receiver<Change>,
    situation: watch::Receiver<Situation>,
    // owns what is followed, so that a `changed` that is dropped half way (a `select!`) loses nothing; aborted with this
    task: JoinHandle<()>,
}

impl Watch {
    /// Waits for a set that differs from the last one given. What cannot be read is said once and waited for.
    pub async fn changed(&mut self) -> Change {
        match self.changes.recv().await {
            Some(change) => change,
            // its task runs as long as this is there, unless a bug of ours ended it: the set then stays as it is
            None => {
                error!("configs are not followed any more: restart to take changes");
                std::future::pending().await
            }
        }
    }

    /// What is followed beside the sets, to look at and to wait for.
    pub fn situation(&self) -> watch::Receiver<Situation> {
        self.situation.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

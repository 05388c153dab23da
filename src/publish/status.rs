//! Who runs what is published, and what of it is not as it should be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::consumers::of_set;
use crate::config::{Digest, Files, SinkKind, listed};
use crate::store::{ConsumerReport, Heartbeat, Pause, Publication, Redis, Revision, StoreError};

/// Looks at one environment, again and again.
pub struct Lookout {
    redis: Redis,
    /// Compared with what is published; a folder without config files is not.
    root: Option<PathBuf>,
    /// The consumers of the set that was read last: sets never change.
    read: Option<(Digest, BTreeMap<String, SinkKind>)>,
}

/// What one look gave.
#[derive(Debug, Clone)]
pub struct Status {
    pub environment: String,
    /// Of Redis, for people.
    pub address: String,
    pub at: Timestamp,
    pub now: Now,
    /// The consumers of the published set.
    pub expected: BTreeMap<String, SinkKind>,
    pub workers: Vec<Heartbeat>,
    pub paused: BTreeMap<String, Pause>,
    pub local: Option<Local>,
}

/// What is published now.
#[derive(Debug, Clone)]
pub enum Now {
    Nothing,
    Published(Publication),
    /// Why the pointer, or the set that it names, is of no use.
    Unreadable(String),
}

/// The config root that the command was called in.
#[derive(Debug, Clone)]
pub struct Local {
    pub root: PathBuf,
    pub digest: Digest,
}

/// How what a worker runs stands to what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It runs what is published.
    Current,
    /// It runs nothing yet.
    Starting,
    Behind,
    /// It runs what Redis does not know of any more.
    Ahead,
    /// What is published cannot be read.
    Unknown,
}

/// One consumer over all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerLine {
    pub name: String,
    /// A worker's word for it, the gravest of all; `queue` where others read its topic, `unattended` where no live worker delivers it.
    pub state: String,
    pub why: Option<String>,
    /// Records that wait on its queue; None where nobody reads it.
    pub lag: Option<u64>,
    /// How many deliver it.
    pub workers: usize,
    /// An operator stopped it.
    pub pause: Option<Pause>,
}

/// Something that is not as published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// For scripts.
    pub kind: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

/// A consumer's states, from well to grave.
const GRAVITY: [&str; 5] = ["delivering", "draining", "paused", "unconfigured", "misconfigured"];

impl Lookout {
    pub fn new(redis: Redis, root: Option<PathBuf>) -> Lookout {
        Lookout { redis, root, read: None }
    }

    pub async fn look(&mut self) -> Result<Status, StoreError> {
        // before what is published: read the other way round, a worker that takes a publication meanwhile would seem to be ahead of it
        let workers = self.redis.workers().await?;
        let paused = self.redis.paused().await?;
        let (now, expected) = self.published().await?;
        let local = match &self.root {
            Some(root) => Local::read(root, self.redis.environment())?,
            None => None,
        };
        let (environment, address) = (self.redis.environment().to_owned(), self.redis.address());
        Ok(Status { environment, address, at: Timestamp::now(), now, expected, workers, paused, local })
    }

    async fn published(&mut self) -> Result<(Now, BTreeMap<String, SinkKind>), StoreError> {
        let unreadable = |why: String| Ok((Now::Unreadable(why), BTreeMap::new()));
        let publication = match self.redis.current().await {
            Ok(Some(publication)) => publication,
            Ok(None) => return Ok((Now::Nothing, BTreeMap::new())),
            Err(error @ (StoreError::Corrupt { .. } | StoreError::Future { .. })) => return unreadable(error.to_string()),
            Err(error) => return Err(error),
        };
        if let Some((digest, consumers)) = &self.read
            && *digest == publication.digest
        {
            return Ok((Now::Published(publication), consumers.clone()));
        }
        match self.redis.set(&publication.digest).await {
            Ok(Some(files)) => {
                let consumers = of_set(&files, self.redis.environment());
                self.read = Some((publication.digest.clone(), consumers.clone()));
                Ok((Now::Published(publication), consumers))
            }
            Ok(None) => unreadable(format!("revision {} is published, and its files are not in Redis", publication.revision)),
            Err(error @ StoreError::Corrupt { .. }) => unreadable(error.to_string()),
            Err(error) => Err(error),
        }
    }
}

impl Local {
    /// None where the folder holds settings alone.
    fn read(root: &Path, environment: &str) -> Result<Option<Local>, StoreError> {
        let files = Files::read(root)?;
        let empty = files.of_environment(environment).is_empty();
        Ok((!empty).then(|| Local { root: root.to_owned(), digest: files.digest(environment) }))
    }
}

impl Status {
    pub fn publication(&self) -> Option<&Publication> {
        match &self.now {
            Now::Published(publication) => Some(publication),
            Now::Nothing | Now::Unreadable(_) => None,
        }
    }

    pub fn standing(&self, worker: &Heartbeat) -> Standing {
        let published = match &self.now {
            _ if worker.digest.is_empty() => return Standing::Starting,
            Now::Nothing => return Standing::Ahead,
            Now::Unreadable(_) => return Standing::Unknown,
            Now::Published(published) => published,
        };
        let same = *worker.digest == *published.digest.0;
        match worker.revision().cmp(&published.revision) {
            std::cmp::Ordering::Less => Standing::Behind,
            std::cmp::Ordering::Equal if same => Standing::Current,
            std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => Standing::Ahead,
        }
    }

    /// Every consumer that is published, delivered or paused, by name.
    pub fn consumers(&self) -> Vec<ConsumerLine> {
        let delivered = self.workers.iter().flat_map(|worker| worker.consumers.keys());
        let mut names: Vec<&String> = self.expected.keys().chain(delivered).chain(self.paused.keys()).collect();
        names.sort();
        names.dedup();
        names.into_iter().map(|name| self.consumer(name)).collect()
    }

    fn consumer(&self, name: &str) -> ConsumerLine {
        let reports: Vec<&ConsumerReport> = self.workers.iter().filter_map(|worker| worker.consumers.get(name)).collect();
        let pause = self.paused.get(name).cloned();
        let (state, why) = match &pause {
            Some(pause) => ("paused".to_owned(), Some(held(pause, &reports))),
            None => self.state(name, &reports),
        };
        let readers: Vec<u64> = reports.iter().filter(|report| report.state != "unconfigured").map(|report| report.lag).collect();
        let lag = (!readers.is_empty()).then(|| readers.iter().sum());
        ConsumerLine { name: name.to_owned(), state, why, lag, workers: reports.len(), pause }
    }

    /// The gravest of what the workers say, and on how many of them.
    fn state(&self, name: &str, reports: &[&ConsumerReport]) -> (String, Option<String>) {
        let gravity = |report: &&&ConsumerReport| GRAVITY.iter().position(|state| *state == report.state).unwrap_or(GRAVITY.len());
        let Some(gravest) = reports.iter().max_by_key(gravity) else {
            return match self.expected.get(name) {
                Some(SinkKind::Queue) => ("queue".to_owned(), Some("others read its queue topic".to_owned())),
                _ => ("unattended".to_owned(), Some("no live worker delivers it".to_owned())),
            };
        };
        let alike = reports.iter().filter(|report| report.state == gravest.state).count();
        let why = match (alike == reports.len(), &gravest.why) {
            (true, why) => why.clone(),
            (false, None) => Some(format!("on {alike} of {} workers", reports.len())),
            (false, Some(why)) => Some(format!("on {alike} of {} workers: {why}", reports.len())),
        };
        (gravest.state.clone(), why)
    }

    /// What is not as published, the gravest first. Empty: all is well. An operator's pause and a sink that is down are not among it.
    pub fn drifts(&self) -> Vec<Drift> {
        let mut drifts: Vec<Drift> = self.pointer_drift().into_iter().collect();
        drifts.extend(self.worker_drifts());
        if !self.workers.is_empty() {
            drifts.extend(self.consumers().iter().filter_map(consumer_drift));
        }
        drifts.extend(self.local_drift());
        drifts
    }

    fn pointer_drift(&self) -> Option<Drift> {
        let lost = self.workers.iter().filter(|worker| !worker.digest.is_empty()).map(Heartbeat::revision).max();
        match (&self.now, lost) {
            (Now::Published(_), _) => None,
            (Now::Nothing, None) => Some(Drift {
                kind: "nothing-published",
                message: format!("nothing is published for the environment `{}`", self.environment),
                hint: Some("`analytica apply` publishes a root; --env NAME picks another environment".to_owned()),
            }),
            (Now::Nothing, Some(revision)) => Some(Drift {
                kind: "lost",
                message: format!("nothing is published any more, and workers run revision {revision}: Redis lost what it held"),
                hint: Some(RECOVER.to_owned()),
            }),
            (Now::Unreadable(why), _) => Some(Drift {
                kind: "unreadable",
                message: why.clone(),
                hint: Some("workers keep the last good set; `analytica apply` publishes anew".to_owned()),
            }),
        }
    }

    /// One for all workers of which the same is to be said.
    fn worker_drifts(&self) -> Vec<Drift> {
        if self.workers.is_empty() {
            let hint = Some("start one with `analytica run --from redis`".to_owned());
            return vec![Drift { kind: "no-worker", message: "no worker is alive".to_owned(), hint }];
        }
        let mut alike: BTreeMap<(&'static str, Revision, &Option<String>), Vec<String>> = BTreeMap::new();
        for worker in self.workers.iter().filter(|worker| worker.state != "stopping") {
            let kind = match (self.standing(worker), &worker.error) {
                (Standing::Ahead, _) if matches!(self.now, Now::Nothing) => continue,
                (Standing::Ahead, _) => "ahead",
                (Standing::Behind, _) => "behind",
                (Standing::Starting, _) => "starting",
                (Standing::Current | Standing::Unknown, Some(_)) => "worker-error",
                (Standing::Current | Standing::Unknown, None) => continue,
            };
            alike.entry((kind, worker.revision(), &worker.error)).or_default().push(name_of(worker));
        }
        alike.into_iter().map(|((kind, revision, error), workers)| self.worker_drift(kind, revision, error.as_deref(), &workers)).collect()
    }

    fn worker_drift(&self, kind: &'static str, revision: Revision, error: Option<&str>, workers: &[String]) -> Drift {
        let on = listed(workers.iter().map(String::as_str));
        let published = self.publication().map_or_else(|| "another one".to_owned(), |publication| publication.revision.to_string());
        let said = error.map(|error| format!(": {error}")).unwrap_or_default();
        let (message, hint) = match kind {
            // its own error says the same
            "ahead" => (
                format!("revision {revision} runs on {on}, ahead of {published} that is published: Redis was restored from an older copy"),
                Some(RECOVER),
            ),
            "behind" if error.is_some() => (
                format!("revision {revision} still runs on {on}, {published} is published{said}"),
                Some("mend what it says and apply again, or `analytica rollback`"),
            ),
            "behind" => (
                format!("revision {revision} still runs on {on}, {published} is published"),
                Some("a worker takes a publication within a second, or after `redis.refresh` at most: look again"),
            ),
            "starting" => (format!("no set runs yet on {on}{said}"), None),
            _ => (format!("trouble on {on}{said}"), None),
        };
        Drift { kind, message, hint: hint.map(str::to_owned) }
    }

    fn local_drift(&self) -> Option<Drift> {
        let (local, published) = (self.local.as_ref()?, self.publication()?);
        (local.digest != published.digest).then(|| Drift {
            kind: "root",
            message: format!(
                "the root {} is {}, revision {} that is published is {}",
                local.root.display(),
                local.digest.short(),
                published.revision,
                published.digest.short()
            ),
            hint: Some("`analytica plan` shows the difference".to_owned()),
        })
    }
}

const RECOVER: &str = "the workers keep what they run; `analytica apply --recover` publishes anew, in a new epoch that all of them take";

/// `host:process`
pub fn name_of(worker: &Heartbeat) -> String {
    match worker.host.is_empty() {
        true => worker.id.clone(),
        false => format!("{}:{}", worker.host, worker.process),
    }
}

fn held(pause: &Pause, reports: &[&ConsumerReport]) -> String {
    let not_yet = reports.iter().filter(|report| matches!(report.state.as_str(), "delivering" | "draining")).count();
    match not_yet {
        0 => pause.to_string(),
        _ => format!("{pause} (not yet on {not_yet} of {} workers)", reports.len()),
    }
}

fn consumer_drift(consumer: &ConsumerLine) -> Option<Drift> {
    let (kind, hint) = match consumer.state.as_str() {
        "misconfigured" => ("misconfigured", "nothing is lost, its queue waits: mend the sink or its settings, it goes on by itself"),
        "unconfigured" => ("unconfigured", "nothing is lost, its queue waits: set what is missing where its workers run"),
        "unattended" => ("unattended", "start a worker that delivers it: `analytica run --consumer NAME`, or `analytica run` for all"),
        _ => return None,
    };
    let why = consumer.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let message = format!("consumer `{}` is {kind}{why}", consumer.name);
    Some(Drift { kind, message, hint: Some(hint.replace("NAME", &consumer.name)) })
}

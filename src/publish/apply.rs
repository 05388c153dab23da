//! Publishing a set: read what is there, check, compare and set.

use std::collections::BTreeMap;

use super::guard::{self, Destruction, Refused};
use super::{Checkout, SavedPlan, author};
use crate::config::{self, ConfigSet, Diff, Digest, Files, Findings};
use crate::pipeline::Pipeline;
use crate::store::{Counts, Expected, Kind, Label, Outcome, Publication, Redis, Revision, StoreError};

/// Publishes to one environment.
pub struct Publisher {
    redis: Redis,
    /// A check by git is overruled, and recorded as such.
    pub force: bool,
    /// What is in use may be removed.
    pub allow_destroy: bool,
    /// A new epoch begins, which all workers take.
    pub recover: bool,
    pub message: Option<String>,
}

/// A set that could be published, beside what it would replace.
#[derive(Debug)]
pub struct Change {
    pub published: Option<Publication>,
    /// What `published` is made of; None where it does not load (any more).
    pub old: Option<ConfigSet>,
    pub new: ConfigSet,
    files: Files,
    kind: Kind,
    git_commit: Option<String>,
    dirty: bool,
    expected: Expected,
    revision: Revision,
    /// What is published is there and fits its digest.
    whole: bool,
}

/// What came of it.
#[derive(Debug)]
pub enum Applied {
    Published(Publication),
    /// It was published already, by this.
    Unchanged(Publication),
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("the config set has findings")]
    Broken { files: Files, findings: Findings },
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Somebody else published in between.
    #[error("{}", conflict(.0.as_deref()))]
    Conflict(Option<Box<Publication>>),
    #[error("the plan is stale: {}", conflict(.0.as_deref()))]
    Stale(Option<Box<Publication>>),
    #[error("nothing is published for environment {0}")]
    Nothing(String),
    #[error("{}\nhint: `analytica history` lists what there is", match .0 {
        Some(revision) => format!("there is no revision {revision}"),
        None => "there is no earlier revision with another set".to_owned(),
    })]
    NoRevision(Option<Revision>),
    #[error("the set {} is not in Redis any more: its retention is over\nhint: check its commit out and apply that", .0.short())]
    Gone(Digest),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn conflict(current: Option<&Publication>) -> String {
    match current {
        Some(current) => format!(
            "somebody else published in between: revision {} by {}{}, at {:.0}\nhint: look at `analytica plan` and apply again",
            current.revision,
            current.label.by,
            current.label.message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default(),
            current.at
        ),
        None => "what was published is gone from Redis\nhint: apply again".to_owned(),
    }
}

impl Publisher {
    pub fn new(redis: Redis) -> Publisher {
        Publisher { redis, force: false, allow_destroy: false, recover: false, message: None }
    }

    pub fn redis(&mut self) -> &mut Redis {
        &mut self.redis
    }

    /// Puts the files of a root beside what is published, and checks that they may follow it. The files are those of this environment alone.
    pub async fn root(&mut self, files: Files, checkout: &Checkout) -> Result<Change, ApplyError> {
        let (published, expected) = self.current().await?;
        if !self.force {
            guard::history(checkout, published.as_ref(), self.redis.environment())?;
        }
        self.change(files, (published, expected), Kind::Apply, checkout.commit.clone(), checkout.dirty).await
    }

    /// What a saved plan holds, if what it was made against is still what is published.
    pub async fn planned(&mut self, plan: SavedPlan, checkout: &Checkout) -> Result<Change, ApplyError> {
        let (published, expected) = self.current().await?;
        if expected != plan.against {
            return Err(ApplyError::Stale(published.map(Box::new)));
        }
        if !self.force {
            let planned = checkout.at(plan.git_commit.clone(), plan.dirty);
            guard::history(&planned, published.as_ref(), self.redis.environment())?;
        }
        self.change(plan.files, (published, expected), Kind::Apply, plan.git_commit, plan.dirty).await
    }

    /// The set that another environment runs, with this environment's own overlay.
    pub async fn promoted(&mut self, other: &mut Redis, overlay: Option<(String, Vec<u8>)>) -> Result<Change, ApplyError> {
        let (published, expected) = self.current().await?;
        let source = other.current().await?.ok_or_else(|| ApplyError::Nothing(other.environment().to_owned()))?;
        if !self.force {
            guard::clean(source.label.dirty, self.redis.environment())?;
        }
        let files = other.set(&source.digest).await?.ok_or_else(|| ApplyError::Gone(source.digest.clone()))?;
        let own = overlay.into_iter().map(|(path, bytes)| (path.into(), bytes.into()));
        let files: Files =
            files.of_environment(self.redis.environment()).iter().map(|(path, bytes)| (path.clone(), bytes.clone())).chain(own).collect();
        self.change(files, (published, expected), Kind::Promote, source.label.git_commit, source.label.dirty).await
    }

    /// An older publication's set (None: the one before the current one).
    pub async fn earlier(&mut self, revision: Option<Revision>) -> Result<Change, ApplyError> {
        const SEARCHED: usize = 10_000;
        let (published, expected) = self.current().await?;
        let log = self.redis.history(SEARCHED).await?;
        let current = published.as_ref().map(|current| current.digest.clone());
        let found = match revision {
            Some(revision) => log.into_iter().find(|publication| publication.revision == revision),
            None => log.into_iter().find(|publication| Some(&publication.digest) != current.as_ref()),
        };
        let found = found.ok_or(ApplyError::NoRevision(revision))?;
        let files = self.redis.set(&found.digest).await?.ok_or_else(|| ApplyError::Gone(found.digest.clone()))?;
        if self.message.is_none() {
            self.message = Some(format!("back to revision {}", found.revision));
        }
        self.change(files, (published, expected), Kind::Rollback, found.label.git_commit, found.label.dirty).await
    }

    /// Consumers whose queues must be known to be empty, unless destroying is allowed.
    pub fn abandoned(&self, change: &Change) -> Vec<(String, &'static str)> {
        match &change.old {
            Some(old) if !self.allow_destroy => guard::abandoned(old, &change.new),
            _ => Vec::new(),
        }
    }

    /// Whether a change removes what is in use. `waiting`: records on the queues of `abandoned`; None where Kafka could not be asked.
    pub fn check(&self, change: &Change, waiting: Option<&BTreeMap<String, u64>>) -> Result<(), Refused> {
        match (&change.old, &change.published) {
            _ if self.allow_destroy => Ok(()),
            (Some(old), _) => guard::destruction(old, &change.new, waiting),
            // the very set is put back where its files were lost
            (None, Some(published)) if published.digest == change.new.digest => Ok(()),
            (None, Some(published)) => Err(Refused::Destroys(vec![Destruction::Unknown { revision: published.revision }])),
            (None, None) => Ok(()),
        }
    }

    /// Publishes a change that passed `check`, if nothing was published since it was made.
    pub async fn publish(&mut self, change: Change) -> Result<Applied, ApplyError> {
        if let Some(published) = change.published.as_ref().filter(|_| change.is_unchanged() && !self.recover) {
            return Ok(Applied::Unchanged(published.clone()));
        }
        let label = Label {
            kind: change.kind,
            by: author(),
            message: self.message.clone(),
            git_commit: change.git_commit,
            dirty: change.dirty,
            forced: self.force || self.recover,
            counts: Counts::of(&change.new),
        };
        match self.redis.publish(&change.files, &change.expected, change.revision, &label).await? {
            Outcome::Published(publication) => Ok(Applied::Published(publication)),
            Outcome::Conflict(current) => Err(ApplyError::Conflict(current)),
        }
    }

    async fn current(&mut self) -> Result<(Option<Publication>, Expected), ApplyError> {
        match self.redis.current().await {
            // what a recovery is for
            Err(StoreError::Corrupt { .. }) if self.recover => Ok((None, Expected::Garbage)),
            current => {
                let current = current?;
                let expected = Expected::from(current.as_ref());
                Ok((current, expected))
            }
        }
    }

    async fn change(
        &mut self,
        files: Files,
        (published, expected): (Option<Publication>, Expected),
        kind: Kind,
        git_commit: Option<String>,
        dirty: bool,
    ) -> Result<Change, ApplyError> {
        let new = compile(&files, self.redis.environment()).map_err(|findings| ApplyError::Broken { files: files.clone(), findings })?;
        let revision = self.next(published.as_ref()).await?;
        let old = match &published {
            Some(current) => match self.redis.set(&current.digest).await {
                // what is damaged is replaced; what could not be asked for may be whole
                Err(StoreError::Corrupt { .. }) => None,
                old => old?,
            },
            None => None,
        };
        let whole = old.is_some();
        let old = old.and_then(|files| config::load(&files, self.redis.environment()).set);
        Ok(Change { published, old, new, files, kind, git_commit, dirty, expected, revision, whole })
    }

    /// The revision after the current one; in a new epoch after the newest one that anybody knows of.
    async fn next(&mut self, current: Option<&Publication>) -> Result<Revision, ApplyError> {
        let (logged, workers) = (self.redis.history(1).await, self.redis.workers().await);
        // a recovery takes what can be read
        let (logged, workers) = if self.recover { (logged.unwrap_or_default(), workers.unwrap_or_default()) } else { (logged?, workers?) };
        let known = current.map(|current| current.revision).into_iter();
        let known = known.chain(logged.iter().map(|logged| logged.revision)).chain(workers.iter().map(|worker| worker.revision()));
        let newest = known.max().unwrap_or_default();
        if self.recover {
            return Ok(Revision { epoch: newest.epoch + 1, generation: newest.generation + 1 });
        }
        if let Some(refused) = guard::ahead(current, logged.first(), &workers) {
            return Err(refused.into());
        }
        Ok(Revision { epoch: newest.epoch.max(1), generation: newest.generation + 1 })
    }
}

impl Change {
    pub fn is_unchanged(&self) -> bool {
        self.whole && self.published.as_ref().is_some_and(|published| published.digest == self.new.digest)
    }

    /// What changes, by object; None where there is nothing to compare with.
    pub fn diff(&self) -> Option<Diff> {
        self.old.as_ref().map(|old| config::diff(old, &self.new))
    }

    pub fn files(&self) -> &Files {
        &self.files
    }
}

fn compile(files: &Files, environment: &str) -> Result<ConfigSet, Findings> {
    let loaded = config::load(files, environment);
    match loaded.set {
        Some(set) if !loaded.findings.has_errors() => Pipeline::compile(&set).map(|_| set),
        _ => Err(loaded.findings),
    }
}

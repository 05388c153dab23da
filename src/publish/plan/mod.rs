//! The difference between a config root and what is published, as a value: from files to a `Plan`, and its forms for people, pull requests and programs. Nothing
//! here asks Redis.

mod human;
mod identity;
mod json;
mod markdown;
mod reach;
mod saved;
mod texts;
mod warehouse;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::config::{self, ConfigSet, Digest, Files, Findings, Severity};
use crate::pipeline::Pipeline;
use crate::store::{Counts, Publication};

pub use identity::Notice;
pub use markdown::refused_markdown;
pub use reach::Touch;
pub use saved::{SavedPlan, SavedPlanError};
pub use texts::Content;
pub use warehouse::{Known, Migration};

/// What publishing a root would change in one environment.
#[derive(Debug, Clone)]
pub struct Plan {
    pub environment: Arc<str>,
    /// What is published now.
    pub from: Option<Publication>,
    /// Of the root.
    pub digest: Digest,
    /// The commit that the root is at, where the caller knows one.
    pub git_commit: Option<String>,
    /// The root holds changes that are not in that commit.
    pub dirty: bool,
    /// Of the root's set.
    pub counts: Counts,
    /// By path.
    pub changes: Vec<Change>,
    pub identity: Vec<Notice>,
    /// By consumer.
    pub migrations: Vec<Migration>,
    /// Why the published set cannot be understood by this version: then only files are compared.
    pub unreadable: Option<String>,
    /// The root's, of this environment: what would be published.
    pub files: Files,
}

/// One file of the set that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub action: Action,
    pub path: Arc<str>,
    pub content: Content,
    /// By consumer; None where the question makes no sense: all is new, nothing changes but layout, or it is a consumer's own definition.
    pub touches: Option<Vec<Touch>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Add,
    Change,
    Remove,
}

/// A set that loads and compiles.
struct Side {
    set: ConfigSet,
    pipeline: Pipeline,
}

impl Side {
    fn compile(files: &Files, environment: &str) -> Result<Side, Findings> {
        let loaded = config::load(files, environment);
        let Some(set) = loaded.set else { return Err(loaded.findings) };
        let pipeline = Pipeline::compile(&set)?;
        Ok(Side { set, pipeline })
    }
}

impl Plan {
    /// From what is published, or nothing, to the root.
    ///
    /// # Errors
    /// The findings of a root that does not load or compile. A published set that does not is no error.
    pub fn between(published: Option<(&Publication, &Files)>, root: &Files, environment: &str) -> Result<Plan, Findings> {
        let new = Side::compile(root, environment)?;
        let files = root.of_environment(environment);
        let (old, faults) = match published.map(|(_, files)| Side::compile(files, environment)) {
            Some(Ok(old)) => (Some(old), Findings::default()),
            Some(Err(findings)) => (None, findings),
            None => (None, Findings::default()),
        };
        let nothing = Files::default();
        let before = published.map_or(&nothing, |(_, files)| files);
        let mut changes = texts::changes(before, &files, &faults);
        if published.is_some() {
            reach::fill(&mut changes, old.as_ref(), &new, before, &files, environment);
        }
        Ok(Plan {
            environment: environment.into(),
            from: published.map(|(publication, _)| publication.clone()),
            digest: new.set.digest.clone(),
            git_commit: None,
            dirty: false,
            counts: Counts::of(&new.set),
            changes,
            identity: old.as_ref().map(|old| identity::notices(&old.set, &new.set, &files)).unwrap_or_default(),
            migrations: warehouse::migrations(old.as_ref(), &new),
            unreadable: faults.iter().find(|finding| finding.severity == Severity::Error).map(|f| format!("{}: {}", f.at, f.message)),
            files,
        })
    }

    /// Whether the root is what is published.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub fn count(&self, action: Action) -> usize {
        self.changes.iter().filter(|change| change.action == action).count()
    }

    /// `2 to add, 3 to change, 1 to remove`
    pub fn summary(&self) -> String {
        match self.is_empty() {
            true => "no changes".to_owned(),
            false => format!(
                "{} to add, {} to change, {} to remove",
                self.count(Action::Add),
                self.count(Action::Change),
                self.count(Action::Remove)
            ),
        }
    }
}

impl Action {
    fn sign(self) -> char {
        match self {
            Action::Add => '+',
            Action::Change => '~',
            Action::Remove => '-',
        }
    }

    /// As JSON has it.
    fn name(self) -> &'static str {
        match self {
            Action::Add => "add",
            Action::Change => "change",
            Action::Remove => "remove",
        }
    }
}

/// `revision 12 (3f2a91bc01de, by ana, 2026-11-23 22:12 UTC, commit a1b2c3d4e5f6, uncommitted changes)`: what a plan starts from.
fn origin(publication: &Publication) -> String {
    let label = &publication.label;
    let mut parts = vec![publication.digest.short().to_owned()];
    if !label.by.is_empty() {
        parts.push(format!("by {}", label.by));
    }
    parts.push(publication.at.strftime("%Y-%m-%d %H:%M UTC").to_string());
    parts.extend(label.git_commit.as_deref().map(commit));
    if label.dirty {
        parts.push("uncommitted changes".to_owned());
    }
    format!("revision {} ({})", publication.revision, parts.join(", "))
}

/// `3f2a91bc01de (commit a1b2c3d4e5f6)`: what a plan leads to.
fn destination(plan: &Plan) -> String {
    let digest = plan.digest.short();
    plan.git_commit.as_deref().map_or_else(|| digest.to_owned(), |sha| format!("{digest} ({})", commit(sha)))
}

fn commit(sha: &str) -> String {
    format!("commit {}", sha.get(..12).unwrap_or(sha))
}

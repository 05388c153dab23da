//! `analytica history`: what was published, the newest first.

use serde_json::json;

use super::redis::{ago, print, table, with_redis};
use super::report::Format;
use super::{Common, Exit};
use crate::store::{Publication, Revision};

#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// How many publications are listed
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// How they are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(common: &Common, args: &HistoryArgs) -> anyhow::Result<Exit> {
    with_redis(common, async |mut place| {
        let history = place.redis.history(args.limit as usize).await?;
        // a pointer that cannot be read marks none; `status` says why
        let current = place.redis.current().await.ok().flatten().map(|publication| publication.revision);
        let text = match args.format {
            Format::Json => format!("{:#}\n", list(&history, current)),
            Format::Human => human(&history, current),
        };
        if history.is_empty() {
            eprintln!("nothing was published for the environment `{}` yet: `analytica apply` publishes a root", common.env);
        }
        print(text.as_bytes())?;
        Ok(Exit::Done)
    })
}

fn human(history: &[Publication], current: Option<Revision>) -> String {
    if history.is_empty() {
        return String::new();
    }
    let now = jiff::Timestamp::now();
    table(
        ["", "REVISION", "PUBLISHED", "", "KIND", "BY", "COMMIT", "SET", "HOLDS", "MESSAGE"],
        history.iter().map(|publication| {
            let label = &publication.label;
            [
                if current == Some(publication.revision) { "*" } else { "" }.to_owned(),
                publication.revision.to_string(),
                format!("{:.0}", publication.at),
                ago(publication.at, now),
                kind(publication),
                one_line(&label.by),
                commit(publication),
                publication.digest.short().to_owned(),
                label.counts.to_string(),
                label.message.as_deref().map(one_line).unwrap_or_default(),
            ]
        }),
    )
}

/// `apply`, `rollback, forced`
pub(super) fn kind(publication: &Publication) -> String {
    let forced = if publication.label.forced { ", forced" } else { "" };
    format!("{}{forced}", publication.label.kind.name())
}

/// `a1b2c3d4e5f6`, `a1b2c3d4e5f6 (dirty)`, `-`
pub(super) fn commit(publication: &Publication) -> String {
    let dirty = if publication.label.dirty { " (dirty)" } else { "" };
    match &publication.label.git_commit {
        Some(commit) => format!("{}{dirty}", one_line(commit.get(..12).unwrap_or(commit))),
        None => "-".to_owned(),
    }
}

/// Somebody's text must not break a table, or steer a terminal.
pub(super) fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn list(history: &[Publication], current: Option<Revision>) -> serde_json::Value {
    let publications: Vec<_> = history
        .iter()
        .map(|publication| {
            let mut entry = record(publication);
            entry["current"] = json!(current == Some(publication.revision));
            entry
        })
        .collect();
    json!({ "publications": publications })
}

/// Fields that scripts may rely on.
pub(super) fn record(publication: &Publication) -> serde_json::Value {
    let label = &publication.label;
    json!({
        "revision": publication.revision.to_string(),
        "epoch": publication.revision.epoch,
        "generation": publication.revision.generation,
        "digest": &*publication.digest.0,
        "at": publication.at.to_string(),
        "kind": label.kind.name(),
        "forced": label.forced,
        "by": label.by,
        "git_commit": label.git_commit,
        "dirty": label.dirty,
        "message": label.message,
        "schemas": label.counts.schemas,
        "transforms": label.counts.transforms,
        "consumers": label.counts.consumers,
    })
}

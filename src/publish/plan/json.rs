//! A plan for programs.

use serde_json::{Value, json};

use super::{Change, Content, Known, Migration, Plan, Touch};
use crate::store::Publication;

impl Plan {
    /// Fields that scripts may rely on; more may come, none goes.
    ///
    /// | field | |
    /// | --- | --- |
    /// | `environment` | |
    /// | `from` | what is published, or null: `revision` (as `history` shows it), `epoch`, `generation`, `digest`, `at` (RFC 3339), `kind` (`apply`, `rollback`, `promote`), `by`, `message`, `git_commit`, `dirty` |
    /// | `to` | the root: `digest`, `git_commit` (or null), and how many `schemas`, `transforms`, `consumers` it has |
    /// | `summary` | `add`, `change`, `remove`: numbers of files; all 0 where there is nothing to do |
    /// | `changes` | a list by path: `action` (`add`, `change`, `remove`), `path`, `layout_only`, `diff` (unified; null for files added or removed whole, and where it is withheld), `withheld` (why, or null), `touches` (a list of `consumer`, `routes`, `through`; null where it was not asked) |
    /// | `identity` | a list: `code`, `consumer`, `route` (null where it is about none), `message` |
    /// | `warehouse` | a list: `consumer`, `dialect`, `dialect_known` (`written`, `default`, `unknown`), `by_worker`, `statements`, `by_hand` |
    /// | `unreadable` | why only files could be compared, or null |
    pub fn json(&self) -> Value {
        use super::Action::{Add, Change, Remove};
        json!({
            "environment": &*self.environment,
            "from": self.from.as_ref().map(from),
            "to": {
                "digest": &*self.digest.0,
                "git_commit": self.git_commit,
                "schemas": self.counts.schemas,
                "transforms": self.counts.transforms,
                "consumers": self.counts.consumers,
            },
            "summary": { "add": self.count(Add), "change": self.count(Change), "remove": self.count(Remove) },
            "changes": self.changes.iter().map(change).collect::<Vec<_>>(),
            "identity": self.identity.iter().map(|notice| json!({
                "code": notice.code,
                "consumer": notice.consumer.as_deref(),
                "route": notice.route.as_deref(),
                "message": notice.message,
            })).collect::<Vec<_>>(),
            "warehouse": self.migrations.iter().map(migration).collect::<Vec<_>>(),
            "unreadable": self.unreadable,
        })
    }
}

fn from(publication: &Publication) -> Value {
    let (revision, label) = (publication.revision, &publication.label);
    json!({
        "revision": revision.to_string(),
        "epoch": revision.epoch,
        "generation": revision.generation,
        "digest": &*publication.digest.0,
        "at": publication.at.to_string(),
        "kind": label.kind.name(),
        "by": label.by,
        "message": label.message,
        "git_commit": label.git_commit,
        "dirty": label.dirty,
    })
}

fn change(change: &Change) -> Value {
    let withheld = match change.content {
        Content::Withheld(why) => Some(why),
        _ => None,
    };
    json!({
        "action": change.action.name(),
        "path": &*change.path,
        "layout_only": change.content.is_layout(),
        "diff": change.content.diff(),
        "withheld": withheld,
        "touches": change.touches.as_ref().map(|touches| touches.iter().map(touch).collect::<Vec<_>>()),
    })
}

fn touch(touch: &Touch) -> Value {
    json!({ "consumer": &*touch.consumer, "routes": touch.routes, "through": touch.through })
}

fn migration(migration: &Migration) -> Value {
    json!({
        "consumer": &*migration.consumer,
        "dialect": migration.dialect.name(),
        "dialect_known": match migration.known {
            Known::Written => "written",
            Known::Default => "default",
            Known::Unknown => "unknown",
        },
        "by_worker": migration.by_worker,
        "statements": migration.statements,
        "by_hand": migration.by_hand,
    })
}

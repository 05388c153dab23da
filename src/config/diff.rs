//! What changes from one config set to the next: what a reload logs and what a plan shows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::set::{ConfigSet, Consumer, EventType, Source, Transform};

/// Names of one kind, each in at most one of the three, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<Arc<str>>,
    pub changed: Vec<Arc<str>>,
    pub removed: Vec<Arc<str>>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

/// The difference between two sets, by what they say: comments, order and places do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    pub sources: Changes,
    /// By event.
    pub schemas: Changes,
    pub transforms: Changes,
    pub consumers: Changes,
    /// Whether sources.yaml's limits are others.
    pub limits: bool,
}

impl Diff {
    pub fn is_empty(&self) -> bool {
        *self == Diff::default()
    }
}

/// From `old` to `new`.
pub fn diff(old: &ConfigSet, new: &ConfigSet) -> Diff {
    let by_name = |set: &ConfigSet| set.sources.iter().map(|source| (source.name.clone(), source.clone())).collect();
    Diff {
        sources: changes(&by_name(old), &by_name(new), same_source),
        schemas: changes(&old.events, &new.events, same_event),
        transforms: changes(&old.transforms, &new.transforms, |old: &Transform, new| old.source == new.source),
        consumers: changes(&old.consumers, &new.consumers, Consumer::same),
        limits: old.limits != new.limits,
    }
}

fn changes<T>(old: &BTreeMap<Arc<str>, T>, new: &BTreeMap<Arc<str>, T>, same: impl Fn(&T, &T) -> bool) -> Changes {
    let mut changes = Changes::default();
    for (name, item) in new {
        match old.get(name) {
            None => changes.added.push(name.clone()),
            Some(before) if !same(before, item) => changes.changed.push(name.clone()),
            Some(_) => {}
        }
    }
    changes.removed = old.keys().filter(|name| !new.contains_key(*name)).cloned().collect();
    changes
}

fn same_source(old: &Source, new: &Source) -> bool {
    old.envelope == new.envelope && old.topics.iter().map(|topic| &topic.value).eq(new.topics.iter().map(|topic| &topic.value))
}

fn same_event(old: &EventType, new: &EventType) -> bool {
    let versions = |event: &EventType| -> Vec<_> {
        event.versions.iter().map(|(version, schema)| (*version, schema.document.clone(), schema.deprecated.clone())).collect()
    };
    old.owner == new.owner && old.default_version == new.default_version && versions(old) == versions(new)
}

/// One line: `consumers +crm ~warehouse -old; transforms ~engagement/track.json.j2`, each kind cut after five names.
impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 5;
        let kinds =
            [("sources", &self.sources), ("schemas", &self.schemas), ("transforms", &self.transforms), ("consumers", &self.consumers)];
        let mut parts = Vec::new();
        for (kind, changes) in kinds.into_iter().filter(|(_, changes)| !changes.is_empty()) {
            let signs = [('+', &changes.added), ('~', &changes.changed), ('-', &changes.removed)];
            let mut names: Vec<String> =
                signs.iter().flat_map(|(sign, names)| names.iter().map(move |name| format!("{sign}{name}"))).collect();
            let more = names.len().saturating_sub(MOST);
            names.truncate(MOST);
            if more > 0 {
                names.push(format!("and {more} more"));
            }
            parts.push(format!("{kind} {}", names.join(" ")));
        }
        if self.limits {
            parts.push("limits".to_owned());
        }
        match parts.is_empty() {
            true => f.write_str("nothing"),
            false => f.write_str(&parts.join("; ")),
        }
    }
}

//! What keeps a set from being published by mistake. Pure, but for the numbers that are passed in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::checkout::{Ancestry, Checkout};
use crate::config::ConfigSet;
use crate::store::{Heartbeat, Publication, Revision};

/// Why nothing was published, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("this would publish changes that are not committed\nhint: commit them, or say --force")]
    Dirty,
    #[error("git cannot be asked about the config root, which is in a repository: {0}\nhint: mend that, or say --force")]
    Git(String),
    #[error(
        "{ours} is older than what revision {revision} was published from ({published}, by {by}): a late job?\nhint: apply a commit that holds {published}, or say --force"
    )]
    Older { ours: String, published: String, revision: Revision, by: String },
    #[error("{ours} does not hold {published}, which revision {revision} was published from by {by}\nhint: merge it first, or say --force")]
    Diverged { ours: String, published: String, revision: Revision, by: String },
    #[error(
        "revision {revision} was published from {published}, which this shallow clone does not have\nhint: fetch the history (`git fetch --unshallow`; in GitHub Actions `fetch-depth: 0`), or say --force"
    )]
    Shallow { published: String, revision: Revision },
    #[error(
        "revision {revision} was published by {by} from {published}, which is not in this repository\nhint: fetch it, or say --force if this is the right repository"
    )]
    Foreign { published: String, revision: Revision, by: String },
    #[error(
        "Redis has revision {found}, but {who} knows {known}: it was restored from an older copy or emptied\nhint: `analytica apply --recover` publishes this root so that all workers take it"
    )]
    WentBack { found: String, known: Revision, who: String },
    #[error("this would remove what is in use:\n{}\nhint: if that is meant, say --allow-destroy", list(.0))]
    Destroys(Vec<Destruction>),
}

/// Something that is in use and would be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destruction {
    Schemas {
        removed: usize,
        of: usize,
    },
    AllConsumers {
        of: usize,
    },
    /// The published set cannot be read (any more), so that nobody knows.
    Unknown {
        revision: Revision,
    },
    /// `records`: those that wait on its queue; None where Kafka could not be asked.
    Consumer {
        name: String,
        how: &'static str,
        records: Option<u64>,
    },
}

impl fmt::Display for Destruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destruction::Schemas { removed, of } => write!(f, "{removed} of {of} schemas are removed"),
            Destruction::Unknown { revision } => {
                write!(f, "what revision {revision} holds cannot be read, so that nobody knows what this removes")
            }
            Destruction::AllConsumers { of } => write!(f, "all {of} consumers are removed"),
            Destruction::Consumer { name, how, records: Some(records) } => {
                write!(f, "consumer {name} {how}, and {records} records wait on its queue (`state: draining` delivers them first)")
            }
            Destruction::Consumer { name, how, records: None } => {
                write!(f, "consumer {name} {how}, and Kafka cannot be asked whether records wait on its queue")
            }
        }
    }
}

fn list(all: &[Destruction]) -> String {
    all.iter().map(|one| format!("  - {one}")).collect::<Vec<_>>().join("\n")
}

/// Whether the root may follow what is published, as far as git knows. A dirty tree may in `dev`.
pub fn history(checkout: &Checkout, published: Option<&Publication>, environment: &str) -> Result<(), Refused> {
    if let (Some(trouble), true) = (&checkout.trouble, environment != crate::config::DEFAULT_ENVIRONMENT) {
        return Err(Refused::Git(trouble.clone()));
    }
    clean(checkout.dirty, environment)?;
    let Some(current) = published else { return Ok(()) };
    let (Some(commit), Some(ours)) = (&current.label.git_commit, &checkout.commit) else { return Ok(()) };
    let (revision, by) = (current.revision, current.label.by.clone());
    let (published, ours) = (short(commit), short(ours));
    match checkout.ancestry(commit) {
        Ancestry::Descends | Ancestry::Unchecked => Ok(()),
        Ancestry::Older => Err(Refused::Older { ours, published, revision, by }),
        Ancestry::Diverged => Err(Refused::Diverged { ours, published, revision, by }),
        Ancestry::Unknown { shallow: true } => Err(Refused::Shallow { published, revision }),
        Ancestry::Unknown { shallow: false } => Err(Refused::Foreign { published, revision, by }),
    }
}

/// Changes that are not committed are published to `dev` only.
pub fn clean(dirty: bool, environment: &str) -> Result<(), Refused> {
    if dirty && environment != crate::config::DEFAULT_ENVIRONMENT { Err(Refused::Dirty) } else { Ok(()) }
}

/// The newest revision that anybody knows of, where that is ahead of what Redis says is published.
pub fn ahead(current: Option<&Publication>, logged: Option<&Publication>, workers: &[Heartbeat]) -> Option<Refused> {
    let found = current.map(|current| current.revision).unwrap_or_default();
    let log = logged.map(|logged| (logged.revision, "its log".to_owned()));
    let known = workers.iter().map(|worker| (worker.revision(), format!("worker {}:{}", worker.host, worker.process))).chain(log);
    let (known, who) = known.max_by_key(|(revision, _)| *revision)?;
    let shown = if found == Revision::default() { "nothing".to_owned() } else { found.to_string() };
    (known > found).then_some(Refused::WentBack { found: shown, known, who })
}

/// Consumers whose queue nobody would deliver any more the way its records were made, and how.
pub fn abandoned(old: &ConfigSet, new: &ConfigSet) -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    for (name, before) in &old.consumers {
        let how = match new.consumers.get(name) {
            None => "is removed or disabled",
            Some(after) if after.sink.kind() != before.sink.kind() => "gets another type of sink",
            Some(after) if after.queue.partitions != before.queue.partitions => "gets another number of partitions",
            Some(_) => continue,
        };
        all.push((name.to_string(), how));
    }
    all
}

/// What would be destroyed. `waiting`: records on the queues of `abandoned` consumers, None where Kafka could not be asked.
pub fn destruction(old: &ConfigSet, new: &ConfigSet, waiting: Option<&BTreeMap<String, u64>>) -> Result<(), Refused> {
    let mut all = Vec::new();
    let versions = |set: &ConfigSet| -> BTreeSet<(Arc<str>, u32)> {
        set.events.iter().flat_map(|(name, event)| event.versions.keys().map(move |version| (name.clone(), *version))).collect()
    };
    let (before, after) = (versions(old), versions(new));
    let (removed, of) = (before.difference(&after).count(), before.len());
    if removed * 2 > of {
        all.push(Destruction::Schemas { removed, of });
    }
    if new.consumers.is_empty() && !old.consumers.is_empty() {
        all.push(Destruction::AllConsumers { of: old.consumers.len() });
    }
    for (name, how) in abandoned(old, new) {
        let records = waiting.map(|waiting| waiting.get(&name).copied().unwrap_or(0));
        if records != Some(0) {
            all.push(Destruction::Consumer { name, how, records });
        }
    }
    if all.is_empty() { Ok(()) } else { Err(Refused::Destroys(all)) }
}

/// As git shows commits.
pub fn short(commit: &str) -> String {
    commit.chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::config::{Digest, Files, load};
    use crate::store::{Counts, Kind, Label};

    fn publication(generation: u64) -> Publication {
        let label = Label {
            kind: Kind::Apply,
            by: "ana".to_owned(),
            message: None,
            git_commit: None,
            dirty: false,
            forced: false,
            counts: Counts::default(),
        };
        let revision = Revision { epoch: 1, generation };
        Publication { revision, digest: Digest("ab".repeat(32).into()), at: Timestamp::UNIX_EPOCH, label }
    }

    #[test]
    fn a_worker_or_a_log_ahead_of_redis_is_noticed() {
        let worker = |generation| Heartbeat { epoch: 1, generation, host: "a".to_owned(), ..Heartbeat::default() };
        assert_eq!(ahead(None, None, &[]), None);
        assert_eq!(ahead(Some(&publication(4)), Some(&publication(4)), &[worker(4), worker(3)]), None);
        assert!(matches!(ahead(Some(&publication(4)), None, &[worker(5)]), Some(Refused::WentBack { .. })));
        let emptied = ahead(None, Some(&publication(4)), &[]).unwrap().to_string();
        assert!(emptied.contains("Redis has revision nothing, but its log knows 4"), "{emptied}");
    }

    fn set(consumers: &[(&str, &str)], events: &[&str]) -> ConfigSet {
        let mut files = vec![("sources.yaml".to_owned(), "version: 1\nsources: { web: { topics: [a], envelope: segment } }\n".to_owned())];
        for (name, extra) in consumers {
            let text = format!("version: 1\n{extra}\nroutes:\n  - {{ name: r, events: [\"*\"], transform: t.json.j2 }}\n",);
            files.push((format!("consumers/{name}.yaml"), text));
        }
        files.extend(events.iter().map(|event| (format!("schemas/{event}/1.json"), "{\"type\":\"object\"}".to_owned())));
        files.push(("transforms/t.json.j2".to_owned(), "{}".to_owned()));
        let files: Files = files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
        let loaded = load(&files, "dev");
        loaded.set.unwrap_or_else(|| panic!("{:?}", loaded.findings))
    }

    const QUEUE: &str = "sink: { type: queue }";

    #[test]
    fn an_empty_checkout_is_refused() {
        let old = set(&[("a", QUEUE), ("b", QUEUE)], &["x", "y", "z"]);
        let Err(Refused::Destroys(all)) = destruction(&old, &set(&[], &[]), Some(&BTreeMap::new())) else { panic!("it is refused") };
        assert_eq!(all, [Destruction::Schemas { removed: 3, of: 3 }, Destruction::AllConsumers { of: 2 }]);
    }

    #[test]
    fn a_consumer_may_go_when_its_queue_is_known_to_be_empty() {
        let (old, new) = (set(&[("a", QUEUE), ("b", QUEUE)], &["x"]), set(&[("b", QUEUE)], &["x"]));
        assert_eq!(destruction(&old, &new, Some(&BTreeMap::new())), Ok(()));
        let waiting = BTreeMap::from([("a".to_owned(), 7)]);
        let refused = destruction(&old, &new, Some(&waiting)).unwrap_err().to_string();
        assert!(refused.contains("consumer a is removed or disabled, and 7 records wait"), "{refused}");
        assert!(destruction(&old, &new, None).unwrap_err().to_string().contains("Kafka cannot be asked"));
    }
}

//! schemas/: one folder an event, one JSON Schema a version, and what event.yaml says of them. Whether a document is valid JSON Schema is the pipeline's business.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::files::{Entry, Files};
use super::findings::{Finding, Findings, Place};
use super::load::document;
use super::node::{Key, Node};
use super::section::{Section, entries, integer, listed, string};
use super::set::{EventType, Schema};

/// What the files of one folder say.
#[derive(Default)]
struct Folder {
    about: Option<Node>,
    versions: BTreeMap<u32, Schema>,
    /// Versions whose file is there and cannot be read.
    broken: BTreeSet<u32>,
}

/// All event types, by name.
pub(super) fn decode(files: &Files, findings: &mut Findings) -> BTreeMap<Arc<str>, EventType> {
    let mut folders: BTreeMap<&str, Folder> = BTreeMap::new();
    for (path, bytes) in files.iter() {
        match Entry::of(path) {
            Entry::Event { folder } => {
                let about = document(path, bytes, findings);
                let folder = folders.entry(folder).or_default();
                match folder.about {
                    None => folder.about = about,
                    Some(_) => findings.push(Finding::error(
                        "double-file",
                        Place::file(path.clone()),
                        "event.yaml and event.json: keep one of them",
                    )),
                }
            }
            Entry::Schema { folder, version } => {
                let folder = folders.entry(folder).or_default();
                if is_blank(bytes) {
                    let finding = Finding::error("empty-file", Place::file(path.clone()), "an empty schema would accept every event");
                    findings.push(finding.hint("write the schema; `{}` is the one that accepts everything"));
                    folder.broken.insert(version);
                    continue;
                }
                let Some(node) = document(path, bytes, findings) else {
                    folder.broken.insert(version);
                    continue;
                };
                let schema =
                    Schema { file: path.clone(), document: Arc::new(node.to_json()), places: Arc::new(node.places()), deprecated: None };
                if let Some(first) = folder.versions.insert(version, schema) {
                    findings.push(
                        Finding::error("double-file", Place::file(path.clone()), format!("version {version} is in two files"))
                            .hint(format!("the other is {}: keep one of them", first.file)),
                    );
                }
            }
            _ => {}
        }
    }

    let mut events: BTreeMap<Arc<str>, EventType> = BTreeMap::new();
    for (folder, content) in folders {
        let Some(event) = event(folder, content, findings) else { continue };
        if let Some(first) = events.get(&event.name) {
            findings.push(
                Finding::error("double-event", event.at, format!("the event `{}` has two folders", event.name))
                    .hint(format!("the other one is described by {}", first.at)),
            );
            continue;
        }
        events.insert(event.name.clone(), event);
    }
    events
}

/// Nothing but white space and comments: a file that is being written, as often as not.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).all(|line| line.is_empty() || line.starts_with(b"#"))
}

fn event(folder: &str, content: Folder, findings: &mut Findings) -> Option<EventType> {
    let Folder { about, mut versions, broken } = content;
    let known: BTreeSet<u32> = versions.keys().chain(&broken).copied().collect();
    let at = match (&about, versions.values().next()) {
        (Some(node), _) => node.at.clone(),
        (None, Some(schema)) => Place::file(schema.file.clone()),
        (None, None) => Place::file(format!("schemas/{folder}")),
    };
    let lowest = known.first().copied();
    if lowest.is_none() {
        findings.push(
            Finding::error("no-versions", at.clone(), format!("the event `{folder}` has no schema"))
                .hint(format!("add schemas/{folder}/1.json")),
        );
    }
    let mut event = EventType { name: folder.into(), owner: None, default_version: lowest.unwrap_or(1), versions: BTreeMap::new(), at };
    if let Some(node) = &about
        && let Some(section) =
            Section::file(node, "event.yaml", &["version", "name", "description", "owner", "default_version", "deprecated"], findings)
    {
        event.owner = section.string("owner", findings);
        section.string("description", findings);
        if let Some(name) = section.located("name", findings) {
            event.name = name.value.into();
            event.at = name.at;
        }
        if let Some(version) = section.get("default_version")
            && let Some(number) = integer(version, 1..=u64::from(u32::MAX), findings)
        {
            match known.contains(&(number as u32)) {
                true => event.default_version = number as u32,
                false => findings.push(
                    version
                        .error("unknown-version", format!("`{folder}` has no version {number}"))
                        .hint(format!("there is {}", written(&known))),
                ),
            }
        }
        for (key, why) in section.get("deprecated").and_then(|node| entries(node, "deprecated", findings)).into_iter().flatten() {
            let why = string(why, findings).map(str::to_owned);
            match key.name.parse::<u32>().ok().filter(|version| known.contains(version)) {
                Some(version) => {
                    if let Some(schema) = versions.get_mut(&version) {
                        schema.deprecated = why;
                    }
                }
                None => findings.push(unknown_deprecation(folder, key, &known)),
            }
        }
    }
    if event.name.trim().is_empty() || event.name.contains(['*', '?', '[', ']', '{', '}', '@']) || event.name.chars().any(char::is_control)
    {
        findings.push(
            Finding::error("bad-name", event.at.clone(), "an event's name is not empty and holds none of * ? [ ] { } @")
                .hint("routes name events by patterns and versions: `kyc_*`, `card_selected@2`"),
        );
    }
    event.versions = versions;
    (!event.versions.is_empty()).then_some(event)
}

fn unknown_deprecation(folder: &str, key: &Key, known: &BTreeSet<u32>) -> Finding {
    Finding::error("unknown-version", key.at.clone(), format!("`{folder}` has no version {}", key.name))
        .width(key.width as usize)
        .hint(format!("there is {}", written(known)))
}

fn written(versions: &BTreeSet<u32>) -> String {
    let names: Vec<String> = versions.iter().map(u32::to_string).collect();
    listed(names.iter().map(String::as_str))
}

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
    about: About,
    versions: BTreeMap<u32, Schema>,
    broken: BTreeMap<u32, Arc<str>>,
}

/// What event.yaml says.
#[derive(Default)]
enum About {
    #[default]
    Nothing,
    File(Node),
    /// It is there and cannot be read: whatever it names is unknown.
    Broken,
}

/// All event types, by name.
pub(super) fn decode(files: &Files, findings: &mut Findings) -> BTreeMap<Arc<str>, EventType> {
    let mut folders: BTreeMap<&str, Folder> = BTreeMap::new();
    for (path, bytes) in files.iter() {
        match Entry::of(path) {
            Entry::Event { folder } => {
                let folder = folders.entry(folder).or_default();
                // Of two files, `Files::report` has found the second.
                if matches!(folder.about, About::Nothing) {
                    folder.about = document(path, bytes, findings).map_or(About::Broken, About::File);
                }
            }
            Entry::Schema { folder, version } => {
                let folder = folders.entry(folder).or_default();
                match schema(path, bytes, findings) {
                    Some(schema) => drop(folder.versions.entry(version).or_insert(schema)),
                    None => drop(folder.broken.insert(version, path.clone())),
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

/// One version; None where nothing can be made of it.
fn schema(path: &Arc<str>, bytes: &[u8], findings: &mut Findings) -> Option<Schema> {
    if is_blank(bytes) {
        let finding = Finding::error("empty-file", Place::file(path.clone()), "an empty schema would accept every event");
        findings.push(finding.hint("write the schema; `{}` is the one that accepts everything"));
        return None;
    }
    let node = document(path, bytes, findings)?;
    // a value that could not be kept has had its finding
    (!node.has_pending()).then(|| Schema {
        file: path.clone(),
        document: Arc::new(node.to_json()),
        places: Arc::new(node.places()),
        deprecated: None,
    })
}

/// Nothing but white space and comments: a file that is being written, as often as not.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).all(|line| line.is_empty() || line.starts_with(b"#"))
}

fn event(folder: &str, content: Folder, findings: &mut Findings) -> Option<EventType> {
    let Folder { about, mut versions, broken } = content;
    let known: BTreeSet<u32> = versions.keys().chain(broken.keys()).copied().collect();
    let at = match (&about, versions.values().next()) {
        (About::File(node), _) => node.at.clone(),
        (_, Some(schema)) => Place::file(schema.file.clone()),
        _ => Place::file(format!("schemas/{folder}")),
    };
    let lowest = known.first().copied();
    if lowest.is_none() {
        findings.push(
            Finding::error("no-versions", at.clone(), format!("the event `{folder}` has no schema"))
                .hint(format!("add schemas/{folder}/1.json")),
        );
    }
    let mut event = EventType {
        name: folder.into(),
        nameless: matches!(about, About::Broken),
        owner: None,
        default_version: lowest.unwrap_or(1),
        versions: BTreeMap::new(),
        broken,
        at,
    };
    if let About::File(node) = &about
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
    (!known.is_empty()).then_some(event)
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

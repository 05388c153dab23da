//! Files → config set. Pure: what the files say and nothing else decides what comes out, and one look finds everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::consumer::{self, Known, OVERLAID};
use super::files::{Entry, Files};
use super::findings::{Finding, Findings, Place};
use super::node::{Kind, Map, Node};
use super::section::{Section, closest, entries, listed, name};
use super::set::{ConfigSet, Consumer, Limits, Transform};
use super::{events, json, sources, yaml};

/// The environment that needs no file.
pub const DEFAULT_ENVIRONMENT: &str = "dev";

/// What one look at the files gave.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// There only where no finding is an error.
    pub set: Option<ConfigSet>,
    /// Everything, sorted.
    pub findings: Findings,
    draft: ConfigSet,
}

impl Loaded {
    /// What could be read, errors or not: only for looking further for findings, never for running.
    pub fn draft(&self) -> &ConfigSet {
        &self.draft
    }
}

/// Reads and checks the set of one environment. Every other environment is laid over the consumers too, to find what is wrong with it.
pub fn load(files: &Files, environment: &str) -> Loaded {
    let mut findings = Findings::default();
    files.report(&mut findings);
    let (sources, limits) = match ["sources.yaml", "sources.json"].iter().find_map(|path| Some((*path, files.get(path)?))) {
        Some((path, bytes)) => {
            document(&path.into(), bytes, &mut findings).map(|node| sources::decode(&node, &mut findings)).unwrap_or_default()
        }
        None => {
            findings.push(Finding::error("no-sources", Place::file("sources.yaml"), "sources.yaml is missing: nothing comes in"));
            (Vec::new(), Limits::default())
        }
    };
    let events = events::decode(files, &mut findings);
    let transforms = transforms(files, &mut findings);
    let known = Known { events: &events, transforms: &transforms };
    let consumers = consumers(files, environment, &known, &mut findings);

    let draft =
        ConfigSet { environment: environment.into(), digest: files.digest(environment), sources, limits, events, transforms, consumers };
    let set = (!findings.has_errors()).then(|| draft.clone());
    Loaded { set, findings: findings.sorted(), draft }
}

/// Reads a YAML or JSON file, by its name's end.
pub(super) fn document(path: &Arc<str>, bytes: &[u8], findings: &mut Findings) -> Option<Node> {
    let source = utf8(path, bytes, findings)?;
    match path.ends_with(".json") {
        true => json::read(path, source, findings),
        false => yaml::read(path, source, findings),
    }
}

/// Whether two texts of a definition or schema hold the same values: comments, layout and the order of keys do not count. Never where one cannot be read.
pub fn say_the_same(path: &str, old: &[u8], new: &[u8]) -> bool {
    let path: Arc<str> = path.into();
    let values = |bytes| {
        let mut findings = Findings::default();
        let node = document(&path, bytes, &mut findings);
        node.filter(|_| findings.is_empty()).map(|node| node.to_json())
    };
    values(old).is_some_and(|old| values(new) == Some(old))
}

/// A file's text, without a byte order mark.
fn utf8<'a>(path: &Arc<str>, bytes: &'a [u8], findings: &mut Findings) -> Option<&'a str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let good = &bytes[..error.valid_up_to()];
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            let column = String::from_utf8_lossy(good.rsplit(|byte| *byte == b'\n').next().unwrap_or_default()).chars().count() + 1;
            findings.push(Finding::error(
                "not-utf8",
                Place::new(path.clone(), line as u32, column as u32),
                "the file is not UTF-8 from here on",
            ));
            None
        }
    }
}

fn transforms(files: &Files, findings: &mut Findings) -> BTreeMap<Arc<str>, Transform> {
    let mut transforms = BTreeMap::new();
    for (path, bytes) in files.iter() {
        let Entry::Transform { name } = Entry::of(path) else { continue };
        let Some(source) = utf8(path, bytes, findings) else { continue };
        let name: Arc<str> = name.into();
        transforms.insert(name.clone(), Transform { name, file: path.clone(), source: source.into() });
    }
    transforms
}

/// An environment's file: what it lays over each consumer.
struct Overlay<'a> {
    environment: &'a str,
    file: Arc<str>,
    consumers: BTreeMap<String, Node>,
}

/// The enabled consumers of one environment, by name.
fn consumers(files: &Files, environment: &str, known: &Known<'_>, findings: &mut Findings) -> BTreeMap<Arc<str>, Consumer> {
    let definitions = definitions(files, findings);
    let overlays = overlays(files, &definitions, findings);
    let chosen = overlays.iter().find(|overlay| overlay.environment == environment);
    if chosen.is_none()
        && environment != DEFAULT_ENVIRONMENT
        && !files.iter().any(|(path, _)| Entry::of(path) == Entry::Environment { name: environment })
    {
        findings.push(unknown_environment(environment, files));
    }

    let mut consumers = BTreeMap::new();
    for (name, (at, definition)) in &definitions {
        let mut here = Findings::default();
        let merged = overlaid(definition, chosen, name);
        if let Some((consumer, enabled)) = consumer::decode(name, &merged, known, &mut here)
            && enabled
        {
            consumers.insert(consumer.name.clone(), Consumer { at: at.clone(), ..consumer });
        }
        for overlay in overlays.iter().filter(|overlay| overlay.environment != environment && overlay.consumers.contains_key(name)) {
            let mut there = Findings::default();
            consumer::decode(name, &overlaid(definition, Some(overlay), name), known, &mut there);
            let new: Vec<_> = there.iter().filter(|finding| !here.iter().any(|same| same == *finding)).cloned().collect();
            for mut finding in new {
                if finding.at.file != overlay.file {
                    finding.message = format!("{} (with {} laid over it)", finding.message, overlay.file);
                }
                findings.push(finding);
            }
        }
        findings.extend(here);
    }
    consumers
}

/// Each consumer's own file, by its name.
fn definitions(files: &Files, findings: &mut Findings) -> BTreeMap<String, (Place, Node)> {
    let mut definitions: BTreeMap<String, (Place, Node)> = BTreeMap::new();
    for (path, bytes) in files.iter() {
        let Entry::Consumer { name: consumer } = Entry::of(path) else { continue };
        let place = Place::file(path.clone());
        if !name(consumer, "a consumer", place.clone(), findings) {
            continue;
        }
        let Some(node) = document(path, bytes, findings) else { continue };
        match definitions.get(consumer) {
            Some((first, _)) => findings.push(
                Finding::error("double-file", place, format!("the consumer `{consumer}` is defined twice"))
                    .hint(format!("the other definition is {}: keep one of them", first.file)),
            ),
            None => {
                definitions.insert(consumer.to_owned(), (place, node));
            }
        }
    }
    definitions
}

fn overlays<'a>(files: &'a Files, definitions: &BTreeMap<String, (Place, Node)>, findings: &mut Findings) -> Vec<Overlay<'a>> {
    let mut overlays: Vec<Overlay<'a>> = Vec::new();
    for (path, bytes) in files.iter() {
        let Entry::Environment { name: environment } = Entry::of(path) else { continue };
        name(environment, "an environment", Place::file(path.clone()), findings);
        if let Some(first) = overlays.iter().find(|overlay| overlay.environment == environment) {
            findings.push(
                Finding::error("double-file", Place::file(path.clone()), format!("the environment `{environment}` has two files"))
                    .hint(format!("the other one is {}: keep one of them", first.file)),
            );
            continue;
        }
        let Some(node) = document(path, bytes, findings) else { continue };
        let Some(section) = Section::file(&node, "an environment", &["version", "description", "consumers"], findings) else { continue };
        section.string("description", findings);
        let mut consumers = BTreeMap::new();
        for (key, node) in section.get("consumers").and_then(|node| entries(node, "consumers", findings)).into_iter().flatten() {
            // A definition with a fault of its own still has a name.
            let exists =
                |name: &str| definitions.contains_key(name) || files.iter().any(|(path, _)| Entry::of(path) == Entry::Consumer { name });
            if !exists(&key.name) {
                let finding = Finding::error("unknown-consumer", key.at.clone(), format!("there is no consumer `{}`", key.name))
                    .width(key.width as usize);
                findings.push(match closest(&key.name, definitions.keys().map(String::as_str)) {
                    Some(name) => finding.hint(format!("did you mean `{name}`?")),
                    None => finding.hint(format!("the consumers are {}", listed(definitions.keys().map(String::as_str)))),
                });
            }
            if let Some(laid) = overlay(node, findings) {
                consumers.insert(key.name.clone(), laid);
            }
        }
        overlays.push(Overlay { environment, file: path.clone(), consumers });
    }
    overlays
}

/// The part of an overlay that may be laid over a consumer.
fn overlay(node: &Node, findings: &mut Findings) -> Option<Node> {
    let map = match &node.kind {
        Kind::Null => return None,
        _ => entries(node, "a consumer's settings", findings)?,
    };
    let mut laid = Map::new();
    for (key, value) in map {
        if OVERLAID.contains(&key.name.as_str()) {
            laid.push((key.clone(), value.clone()));
            continue;
        }
        let finding = match key.name.as_str() {
            "routes" => Finding::error("overlaid-routes", key.at.clone(), "an environment never changes a consumer's routes")
                .hint("what an event becomes is the same everywhere; only where it goes differs"),
            other => {
                let finding = Finding::error(
                    "unknown-key",
                    key.at.clone(),
                    format!("unknown key `{other}` in an environment's settings of a consumer"),
                );
                match closest(other, OVERLAID) {
                    Some(name) => finding.hint(format!("did you mean `{name}`?")),
                    None => finding.hint(format!("the keys are {}", listed(OVERLAID))),
                }
            }
        };
        findings.push(finding.width(key.width as usize));
    }
    Some(Node { at: node.at.clone(), width: node.width, kind: Kind::Map(laid) })
}

/// A definition with an environment laid over it. A sink of another type replaces the whole sink.
fn overlaid(definition: &Node, overlay: Option<&Overlay<'_>>, name: &str) -> Node {
    let mut merged = definition.clone();
    let Some(over) = overlay.and_then(|overlay| overlay.consumers.get(name)) else { return merged };
    let kind = |node: &Node| node.get("sink").and_then(|sink| sink.get("type")).map(Node::to_json);
    if let (Some(before), Some(after)) = (kind(definition), kind(over))
        && before != after
        && let (Some(sink), Some(new)) = (merged.get_mut("sink"), over.get("sink"))
    {
        *sink = new.clone();
    }
    if matches!(merged.kind, Kind::Map(_)) {
        merged.overlay(over);
    }
    merged
}

fn unknown_environment(environment: &str, files: &Files) -> Finding {
    let mut known: Vec<&str> = files
        .iter()
        .filter_map(|(path, _)| match Entry::of(path) {
            Entry::Environment { name } => Some(name),
            _ => None,
        })
        .collect();
    known.push(DEFAULT_ENVIRONMENT);
    known.sort_unstable();
    known.dedup();
    let finding = Finding::error("unknown-environment", Place::file("environments"), format!("there is no environment `{environment}`"));
    match closest(environment, known.iter().copied()) {
        Some(name) => finding.hint(format!("did you mean `{name}`? The environments are {}", listed(known))),
        None => finding.hint(format!("the environments are {}; another one is a file environments/<name>.yaml", listed(known))),
    }
}

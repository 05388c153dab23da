//! The consumers of a set as each environment has them: a definition with the environment's settings laid over it. One look finds what is wrong
//! in every environment, and says in which where it is not in all.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::consumer::{self, Known, OVERLAID};
use super::files::{Entry, Files};
use super::findings::{Finding, Findings, Place};
use super::load::document;
use super::node::{Kind, Map, Node};
use super::section::{Section, closest, entries, listed, name};
use super::set::Consumer;

/// The environment that needs no file.
pub const DEFAULT_ENVIRONMENT: &str = "dev";

/// A consumer, disabled or not, as these environments have it: what a pipeline makes of it is the same in all of them.
#[derive(Debug, Clone)]
pub struct Variant {
    pub environments: Vec<Arc<str>>,
    pub consumer: Consumer,
}

/// By the consumer's name.
pub(super) type Variants = BTreeMap<Arc<str>, Vec<Variant>>;

impl Variant {
    /// Routes are never overlaid, so the sink's type and the queue's key are all that a pipeline sees of an environment.
    fn compiles_like(&self, other: &Consumer) -> bool {
        let key = |consumer: &Consumer| consumer.queue.key.as_ref().map(|key| (key.value.clone(), key.at.clone()));
        self.consumer.kind() == other.kind() && key(&self.consumer) == key(other)
    }
}

/// An environment's file: what it lays over each consumer.
struct Overlay<'a> {
    environment: &'a str,
    consumers: BTreeMap<String, Node>,
}

/// By name: the enabled consumers of the chosen environment, and every consumer as each environment with a file, and the chosen one, has it.
pub(super) fn consumers(
    files: &Files,
    chosen: &str,
    known: &Known<'_>,
    findings: &mut Findings,
) -> (BTreeMap<Arc<str>, Consumer>, Variants) {
    let definitions = definitions(files, findings);
    let mut overlays = overlays(files, &definitions, findings);
    if overlays.iter().all(|overlay| overlay.environment != chosen) {
        if chosen != DEFAULT_ENVIRONMENT && !files.iter().any(|(path, _)| Entry::of(path) == Entry::Environment { name: chosen }) {
            findings.push(unknown_environment(chosen, files));
        }
        overlays.push(Overlay { environment: chosen, consumers: BTreeMap::new() });
    }

    let (mut consumers, mut all) = (BTreeMap::new(), BTreeMap::new());
    for (name, (at, definition)) in &definitions {
        let mut variants: Vec<Variant> = Vec::new();
        let mut found = Vec::new();
        for (environments, laid) in laid_over(name, &overlays) {
            let mut here = Findings::default();
            let decoded = consumer::decode(name, &overlaid(definition, laid), known, &mut here);
            found.push((environments.clone(), here));
            let Some((consumer, enabled)) = decoded else { continue };
            let consumer = Consumer { at: at.clone(), ..consumer };
            if enabled && environments.iter().any(|environment| &**environment == chosen) {
                consumers.insert(consumer.name.clone(), consumer.clone());
            }
            match variants.iter_mut().find(|variant| variant.compiles_like(&consumer)) {
                Some(variant) => variant.environments.extend(environments),
                None => variants.push(Variant { environments, consumer }),
            }
        }
        findings.extend(Findings::across(found));
        all.insert(name.as_str().into(), variants);
    }
    (consumers, all)
}

/// What is laid over a consumer, and by which environments: those that lay nothing over it are one group.
fn laid_over<'o>(name: &str, overlays: &'o [Overlay<'_>]) -> Vec<(Vec<Arc<str>>, Option<&'o Node>)> {
    let mut groups: Vec<(Vec<Arc<str>>, Option<&Node>)> = Vec::new();
    for overlay in overlays {
        let laid = overlay.consumers.get(name);
        match groups.iter_mut().find(|(_, other)| laid.is_none() && other.is_none()) {
            Some((environments, _)) => environments.push(overlay.environment.into()),
            None => groups.push((vec![overlay.environment.into()], laid)),
        }
    }
    groups
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
        // The second of two files is what `Files::report` has found.
        definitions.entry(consumer.to_owned()).or_insert((place, node));
    }
    definitions
}

fn overlays<'a>(files: &'a Files, definitions: &BTreeMap<String, (Place, Node)>, findings: &mut Findings) -> Vec<Overlay<'a>> {
    let mut overlays: Vec<Overlay<'a>> = Vec::new();
    for (path, bytes) in files.iter() {
        let Entry::Environment { name: environment } = Entry::of(path) else { continue };
        name(environment, "an environment", Place::file(path.clone()), findings);
        if overlays.iter().any(|overlay| overlay.environment == environment) {
            continue; // the second of two files, which `Files::report` has found
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
        overlays.push(Overlay { environment, consumers });
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
fn overlaid(definition: &Node, laid: Option<&Node>) -> Node {
    let mut merged = definition.clone();
    let Some(over) = laid else { return merged };
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

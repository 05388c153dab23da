//! Paths that a route reads and no schema of its events defines: a slip, as often as not. Only what the schemas are sure to leave out is found: a schema
//! that allows more, refers elsewhere or combines others may define anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::expression::{plain_path, reads};
use super::route::Matcher;
use super::template::{Read, Templates};
use crate::config::{ColumnValue, ConfigSet, Finding, Findings, Loaded, Located, Place, Render, Route, Target, closest};

/// Keywords beside which `properties` is not all that a schema says.
const MORE: [&str; 12] = [
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "dependentSchemas",
    "dependencies",
    "patternProperties",
    "unevaluatedProperties",
];

/// Warnings, each once, whichever and however many routes use the expression or template.
pub(super) fn check(loaded: &Loaded, templates: &Templates) -> Findings {
    let set = loaded.draft();
    let mut found: BTreeMap<(Place, Vec<String>), Lookup> = BTreeMap::new();
    // routes are the same in every environment
    for consumer in loaded.variants().values().filter_map(|variants| variants.first()).map(|variant| &variant.consumer) {
        let mut keys = Vec::new();
        for route in &consumer.routes {
            let scope = Scope::of(set, route);
            for read in route_reads(route, templates) {
                scope.look(&read, &mut found);
            }
            keys.push(scope);
        }
        for read in consumer.queue.key.iter().flat_map(unguarded) {
            keys.iter().for_each(|scope| scope.look(&read, &mut found));
        }
    }
    let mut findings = Findings::default();
    for ((at, path), lookup) in found {
        if let Lookup::Missing { width, depth, names } = lookup {
            findings.push(finding(at, width, &path, depth, &names));
        }
    }
    findings
}

fn finding(at: Place, width: usize, path: &[String], depth: usize, names: &[&str]) -> Finding {
    let written = path.join(".").replace(".*", "[…]");
    let message = format!("no schema of the events that come here defines `{written}`");
    let hint = match closest(&path[depth], names.iter().copied()) {
        Some(near) => {
            let meant: Vec<&str> = path[..depth].iter().map(String::as_str).chain([near]).collect();
            format!("did you mean `{}`?", meant.join(".").replace(".*", "[…]"))
        }
        None => "add it to a schema, or say `is defined` or `| default(…)` where it may be missing".to_owned(),
    };
    Finding::warning("unknown-path", at, message).width(width).hint(hint)
}

/// What the schemas say of one read.
enum Lookup<'a> {
    Defined,
    /// By none so far: which name of the path is the first that is missing, and what stands in its place.
    Missing {
        width: usize,
        depth: usize,
        names: Vec<&'a str>,
    },
}

/// The schemas that one route's events have.
struct Scope<'a> {
    schemas: Vec<&'a Value>,
    envelope: Vec<&'a [String]>,
    /// The path of `each`; None where there is none, or none that can be followed.
    each: Option<Vec<String>>,
    /// Whether the schemas are not all known: an event or a version cannot be read.
    open: bool,
}

impl<'a> Scope<'a> {
    fn of(set: &'a ConfigSet, route: &Route) -> Scope<'a> {
        let matchers: Vec<Matcher> = route.events.iter().filter_map(|pattern| Matcher::new(&pattern.value)).collect();
        let takes = |name: &str, version: u32| matchers.iter().any(|matcher| matcher.takes(name, version));
        let versions = |event: &'a crate::config::EventType| {
            event.versions.iter().filter(|(version, _)| takes(&event.name, **version)).map(|(_, schema)| &*schema.document)
        };
        let schemas: Vec<&Value> = set.events.values().flat_map(versions).collect();
        let broken = set.events.values().any(|event| event.nameless || event.broken.keys().any(|version| takes(&event.name, *version)));
        let pointers = set.sources.iter().map(|source| &source.envelope).flat_map(|envelope| {
            [&envelope.name, &envelope.version, &envelope.id, &envelope.user, &envelope.anonymous, &envelope.time].into_iter().flatten()
        });
        Scope {
            open: broken || schemas.is_empty(),
            schemas,
            envelope: pointers.map(|pointer| pointer.0.as_slice()).collect(),
            each: route.each.as_ref().and_then(plain_path),
        }
    }

    /// The path from the event's root.
    fn absolute(&self, read: &Read) -> Option<Vec<String>> {
        let (root, rest) = read.path.split_first()?;
        let rest = rest.iter().map(|name| name.to_string());
        match &**root {
            "event" => Some(std::iter::once("event".to_owned()).chain(rest).collect()),
            "item" => {
                Some(self.each.iter().flatten().cloned().chain(["*".to_owned()]).chain(rest).collect()).filter(|_| self.each.is_some())
            }
            _ => None,
        }
    }

    /// Notes what this route's schemas say of a read; one that defines it is enough.
    fn look(&self, read: &Read, found: &mut BTreeMap<(Place, Vec<String>), Lookup<'a>>) {
        let Some(path) = self.absolute(read) else { return };
        let written = read.path.iter().map(|name| name.to_string()).collect();
        let lookup = found.entry((read.at.clone(), written)).or_insert(Lookup::Missing { width: read.width, depth: 0, names: Vec::new() });
        let Lookup::Missing { depth, names, .. } = lookup else { return };
        let inside = &path[1..];
        if path[0] != "event" || self.open || self.envelope.iter().any(|pointer| pointer.iter().zip(inside).all(|(a, b)| a == b)) {
            *lookup = Lookup::Defined;
            return;
        }
        // names of an item's path are counted from its root
        let shorter = path.len() - read.path.len();
        for schema in &self.schemas {
            let Some(missing) = missing(schema, inside, 1) else {
                *lookup = Lookup::Defined;
                return;
            };
            let here = missing.depth.saturating_sub(shorter).max(1);
            if here > *depth {
                (*depth, *names) = (here, Vec::new());
            }
            if here == *depth {
                names.extend(missing.names);
            }
        }
        // what an envelope names is a name too, wherever a schema says nothing of it
        if shorter == 0 {
            let beside = self.envelope.iter().filter(|pointer| pointer.len() >= *depth && pointer[..*depth - 1] == path[1..*depth]);
            names.extend(beside.map(|pointer| pointer[*depth - 1].as_str()));
        }
    }
}

struct Missing<'a> {
    depth: usize,
    names: Vec<&'a str>,
}

/// None where a schema defines a path, or may.
fn missing<'a>(schema: &'a Value, path: &[String], depth: usize) -> Option<Missing<'a>> {
    let (name, rest) = path.split_first()?;
    let members = schema.as_object()?;
    if MORE.iter().any(|keyword| members.contains_key(*keyword)) {
        return None;
    }
    if name == "*" || name.bytes().all(|b| b.is_ascii_digit()) {
        let items = members.get("items").filter(|_| !members.contains_key("prefixItems"))?;
        return missing(items, rest, depth + 1);
    }
    let properties = members.get("properties").and_then(Value::as_object);
    match (properties.and_then(|properties| properties.get(name)), members.get("additionalProperties")) {
        (Some(inner), _) => missing(inner, rest, depth + 1),
        (None, Some(Value::Bool(false))) => Some(Missing { depth, names: names(properties) }),
        (None, Some(inner)) => missing(inner, rest, depth + 1),
        (None, None) if properties.is_some() || !may_be_object(members) => Some(Missing { depth, names: names(properties) }),
        (None, None) => None,
    }
}

fn names(properties: Option<&Map<String, Value>>) -> Vec<&str> {
    properties.into_iter().flat_map(Map::keys).map(String::as_str).collect()
}

fn may_be_object(members: &Map<String, Value>) -> bool {
    match members.get("type") {
        Some(Value::String(name)) => name == "object",
        Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
        _ => true,
    }
}

/// What a route reads, where it says nowhere that it may be missing.
fn route_reads(route: &Route, templates: &Templates) -> Vec<Read> {
    let mut all: Vec<Read> = route.when.iter().chain(&route.each).flat_map(reads).collect();
    match &route.render {
        Render::Columns(columns) => {
            for column in columns.values() {
                if let ColumnValue::Expr(text) = &column.value {
                    all.extend(unguarded(text));
                }
            }
        }
        Render::Transform(name) => all.extend(without_guarded(templates.reads(&name.value).to_vec())),
    }
    if let Target::Topic(topic) = &route.target {
        all.extend(topic.key.iter().flat_map(unguarded));
    }
    // what `when` shows to be there is there for all of the route
    without_guarded(all)
}

fn unguarded(text: &Located<String>) -> Vec<Read> {
    without_guarded(reads(text))
}

/// Without what is read below a path that is asked for.
fn without_guarded(reads: Vec<Read>) -> Vec<Read> {
    let guards: Vec<Vec<Arc<str>>> = reads.iter().filter(|read| read.guarded).map(|read| read.path.clone()).collect();
    reads.into_iter().filter(|read| !guards.iter().any(|guard| read.path.starts_with(guard))).collect()
}

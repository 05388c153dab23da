//! A consumer's `routes`: which events, when, through which transform or columns, to which target.

use std::collections::{BTreeSet, HashSet};

use super::columns::columns;
use super::target::target;
use super::{Known, expression};
use crate::config::findings::{Finding, Findings, Located};
use crate::config::node::{Kind, Node};
use crate::config::section::{Section, closest, cut, items, listed, located, name, one_or_many, string};
use crate::config::set::{EventPattern, Render, Route};
use crate::config::sinks::Sink;
use globset::Glob;

/// The routes that can be read. `sink` is None where it cannot: then no target is judged.
pub(super) fn decode(consumer: &Section<'_>, sink: Option<&Sink>, known: &Known<'_>, findings: &mut Findings) -> Vec<Route> {
    let Some(list) = consumer.require("routes", findings) else { return Vec::new() };
    let mut names = HashSet::new();
    let mut routes = Vec::new();
    let written = items(list, findings);
    if written.is_empty() && matches!(list.kind, Kind::List(_)) {
        findings.push(
            consumer.error("routes", "no-routes", "a consumer without routes gets nothing").hint("to pause one, say `enabled: false`"),
        );
    }
    for node in written {
        if let Some(name) = node.get("name")
            && let Kind::Text(text) = &name.kind
            && !names.insert(text.as_str())
        {
            findings.push(
                name.error("double-route", format!("two routes are named `{}`", cut(text)))
                    .hint("names are identity: delivery ids are made of them, so each is there once"),
            );
        }
        routes.extend(route(node, sink, known, findings));
    }
    routes
}

fn route(node: &Node, sink: Option<&Sink>, known: &Known<'_>, findings: &mut Findings) -> Option<Route> {
    let keys = &["name", "description", "events", "when", "each", "transform", "columns", "request", "table", "topic", "path"];
    let section = Section::open(node, "a route", keys, findings)?;
    section.with_values(&["events", "when", "each", "transform"], findings);
    section.string("description", findings);
    let route_name = section.require("name", findings).and_then(|node| {
        let text = string(node, findings)?;
        name(text, "a route", node.at.clone(), findings).then(|| text.to_owned())
    });
    let events = events(&section, known, findings);
    let when = section.get("when").and_then(|node| expression(node, findings));
    let each = section.get("each").and_then(|node| expression(node, findings));
    let render = render(&section, sink, known, findings);
    let target = target(&section, sink, render.as_ref(), findings);
    Some(Route { name: route_name?.into(), events, when, each, render: render?, target: target?, at: node.at.clone() })
}

fn events(section: &Section<'_>, known: &Known<'_>, findings: &mut Findings) -> Vec<Located<EventPattern>> {
    let Some(node) = section.require("events", findings) else { return Vec::new() };
    let written = one_or_many(node);
    if written.is_empty() {
        findings.push(section.error("events", "no-events", "a route without events gets nothing").hint("`[\"*\"]` takes every event"));
    }
    written.iter().filter_map(|node| pattern(node, known, findings)).collect()
}

fn pattern(node: &Node, known: &Known<'_>, findings: &mut Findings) -> Option<Located<EventPattern>> {
    let text = string(node, findings)?;
    let (glob, version) = match text.rsplit_once('@') {
        None => (text, None),
        Some((glob, version)) => match version.parse::<u32>() {
            Ok(number) if number > 0 => (glob, Some(number)),
            _ => {
                findings.push(node.error("bad-pattern", format!("`{}` is no version", cut(version))).hint("write `card_selected@2`"));
                return None;
            }
        },
    };
    let matcher = match Glob::new(glob) {
        Ok(compiled) => compiled.compile_matcher(),
        Err(error) => {
            findings.push(node.error("bad-pattern", format!("`{}` is not a pattern: {}", cut(text), error.kind())));
            return None;
        }
    };
    let is_plain = !glob.contains(['*', '?', '[', '{']);
    let matching: Vec<_> = match is_plain {
        true => known.events.get(glob).into_iter().collect(),
        false => known.events.values().filter(|event| matcher.is_match(&*event.name)).collect(),
    };
    if matching.is_empty() {
        // an event.yaml with a fault may be the one that gives the event this name
        if !known.events.values().any(|event| event.nameless) {
            findings.push(unknown_event(node, glob, known));
        }
    } else if let Some(version) = version
        && !matching.iter().any(|event| event.versions.contains_key(&version) || event.broken.contains_key(&version))
    {
        let versions: BTreeSet<u32> = matching.iter().flat_map(|event| event.versions.keys().chain(event.broken.keys()).copied()).collect();
        let versions: Vec<String> = versions.iter().map(u32::to_string).collect();
        findings.push(
            node.error("unknown-version", format!("`{}` has no version {version}", cut(glob)))
                .hint(format!("there is {}", listed(versions.iter().map(String::as_str)))),
        );
    }
    Some(Located::new(EventPattern { glob: glob.to_owned(), version }, node.at.clone()))
}

fn unknown_event(node: &Node, glob: &str, known: &Known<'_>) -> Finding {
    let finding = node.error("unknown-event", format!("no schema for `{}`", cut(glob)));
    let names = || known.events.keys().map(|name| &**name);
    match closest(glob, names()) {
        Some(name) => finding.hint(format!("did you mean `{name}`?")),
        None => finding.hint(format!("an event has a folder in schemas/; there is {}", listed(names()))),
    }
}

fn render(section: &Section<'_>, sink: Option<&Sink>, known: &Known<'_>, findings: &mut Findings) -> Option<Render> {
    match (section.get("transform"), section.get("columns")) {
        (None, None) => {
            let warehouse = matches!(sink, Some(Sink::Warehouse(_)));
            findings.push(
                Finding::error("no-render", section.node.at.clone(), "a route needs a transform: what would its payload be?").hint(
                    if warehouse {
                        "say `columns:`, or `transform:` with the name of a template"
                    } else {
                        "say `transform:` with the name of a template"
                    },
                ),
            );
            None
        }
        (Some(_), Some(_)) => {
            findings.push(section.error("columns", "double-render", "a route has `columns` or a `transform`, not both"));
            None
        }
        (Some(node), None) => transform(node, known, findings).map(Render::Transform),
        (None, Some(node)) => {
            if sink.is_some_and(|sink| !matches!(sink, Sink::Warehouse(_))) {
                findings.push(
                    section
                        .error("columns", "misplaced-columns", "columns are for a warehouse: this sink takes payloads")
                        .hint("say `transform:`"),
                );
            }
            columns(node, findings).map(Render::Columns)
        }
    }
}

fn transform(node: &Node, known: &Known<'_>, findings: &mut Findings) -> Option<Located<String>> {
    let name = located(node, findings)?;
    match known.transforms.get(name.value.as_str()) {
        Some(transform) if transform.is_partial() => {
            findings.push(
                node.error("partial-transform", format!("`{}` is a partial: it is included, not rendered", cut(&name.value)))
                    .hint("names that start with `_` are partials"),
            );
            None
        }
        Some(_) => Some(name),
        None => {
            let finding = node.error("missing-transform", format!("there is no transform `{}`", cut(&name.value)));
            let names = || known.transforms.values().filter(|transform| !transform.is_partial()).map(|transform| &*transform.name);
            let stem = |name: &str| name.rsplit('/').next().unwrap_or(name).split('.').next().unwrap_or(name).to_owned();
            let same_stem = || names().find(|other| stem(other) == stem(&name.value));
            findings.push(match closest(&name.value, names()).or_else(same_stem) {
                Some(name) => finding.hint(format!("did you mean `{name}`?")),
                None => finding.hint(format!("names are relative to transforms/; there is {}", listed(names()))),
            });
            None
        }
    }
}

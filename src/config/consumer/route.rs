//! A consumer's `routes`: which events, when, through which transform or columns, to which target.

use std::collections::HashSet;

use globset::Glob;
use indexmap::IndexMap;

use super::secrets::refuse_named;
use super::sink::{KINDS, check_header};
use super::{Known, expression};
use crate::config::findings::{Finding, Findings, Located};
use crate::config::node::{Kind, Node};
use crate::config::section::{Section, closest, cut, entries, items, listed, located, name, one_of, one_or_many, string};
use crate::config::set::{BodyForm, Column, ColumnValue, EventPattern, Method, OnConflict, Render, Request, Route, Table, Target, Topic};
use crate::config::sinks::{Sink, SinkKind};
use crate::config::sources::is_topic;
use crate::config::text::Text;

const TARGETS: [(&str, SinkKind); 4] =
    [("request", SinkKind::Http), ("table", SinkKind::Warehouse), ("topic", SinkKind::Kafka), ("path", SinkKind::File)];

/// PostgreSQL cuts longer names off.
const LONGEST_IDENTIFIER: usize = 63;

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
        let finding = node.error("unknown-event", format!("no schema for `{}`", cut(glob)));
        let names = || known.events.keys().map(|name| &**name);
        findings.push(match closest(glob, names()) {
            Some(name) => finding.hint(format!("did you mean `{name}`?")),
            None => finding.hint(format!("an event has a folder in schemas/; there is {}", listed(names()))),
        });
    } else if let Some(version) = version
        && !matching.iter().any(|event| event.versions.contains_key(&version))
    {
        let versions: std::collections::BTreeSet<u32> = matching.iter().flat_map(|event| event.versions.keys().copied()).collect();
        let versions: Vec<String> = versions.iter().map(u32::to_string).collect();
        findings.push(
            node.error("unknown-version", format!("`{}` has no version {version}", cut(glob)))
                .hint(format!("there is {}", listed(versions.iter().map(String::as_str)))),
        );
    }
    Some(Located::new(EventPattern { glob: glob.to_owned(), version }, node.at.clone()))
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

fn columns(node: &Node, findings: &mut Findings) -> Option<IndexMap<String, Column>> {
    let map = entries(node, "columns", findings)?;
    if map.is_empty() {
        findings.push(node.error("no-columns", "a row without columns"));
    }
    let mut columns = IndexMap::new();
    for (key, node) in map {
        if let Err(why) = check_identifier(&key.name) {
            findings
                .push(Finding::error("bad-identifier", key.at.clone(), format!("the name of a column {why}")).width(key.width as usize));
        }
        if let Some((value, required, sql_type)) = column(node, findings) {
            columns.insert(key.name.clone(), Column { value, required, sql_type, at: key.at.clone() });
        }
    }
    Some(columns)
}

fn column(node: &Node, findings: &mut Findings) -> Option<(ColumnValue, bool, Option<Located<String>>)> {
    match &node.kind {
        Kind::Text(_) => return expression(node, findings).map(|expr| (ColumnValue::Expr(expr), false, None)),
        Kind::Map(_) => {}
        _ => {
            findings.push(
                node.error("wrong-type", format!("a column is an expression, {{ expr: … }} or {{ const: … }}; this is {}", node.what()))
                    .hint("for a fixed value write { const: … }"),
            );
            return None;
        }
    }
    let section = Section::open(node, "a column", &["expr", "const", "required", "type"], findings)?;
    let required = section.bool("required", findings).unwrap_or(false);
    let sql_type = section.get("type").and_then(|node| expression(node, findings));
    match (section.get("expr"), section.get("const")) {
        (Some(expr), None) => Some((ColumnValue::Expr(expression(expr, findings)?), required, sql_type)),
        (None, Some(value)) => Some((ColumnValue::Const(constant(value)), required, sql_type)),
        (Some(_), Some(_)) => {
            findings.push(section.error("const", "double-column", "a column has `expr` or `const`, not both"));
            None
        }
        (None, None) => {
            findings.push(node.error("missing-key", "a column needs `expr` or `const`"));
            None
        }
    }
}

/// `$${` stands for `${` here as it does everywhere.
fn constant(node: &Node) -> serde_json::Value {
    match &node.kind {
        Kind::Text(source) => {
            Text::new(source.as_str()).ok().and_then(|text| text.with_defaults()).unwrap_or_else(|| source.clone()).into()
        }
        _ => node.to_json(),
    }
}

fn target(section: &Section<'_>, sink: Option<&Sink>, render: Option<&Render>, findings: &mut Findings) -> Option<Target> {
    let sink = sink?;
    let kind = sink.kind();
    let own = TARGETS.iter().find(|(_, of)| *of == kind).map(|(name, _)| *name);
    for (name, of) in TARGETS.iter().filter(|(name, _)| Some(*name) != own && section.get(name).is_some()) {
        let finding =
            section.error(name, "wrong-target", format!("`{name}` is the target of a {} sink; this sink is {}", of.name(), article(kind)));
        findings.push(match own {
            Some(own) => finding.hint(format!("its target is `{own}`")),
            None => finding.hint("a queue sink has no target: others read the queue topic themselves"),
        });
    }
    let Some(own) = own else { return Some(Target::Queue) };
    let Some(node) = section.get(own) else {
        if let Sink::File(file) = sink
            && file.stdout
        {
            return Some(Target::Path(Located::new("-".to_owned(), section.node.at.clone())));
        }
        findings.push(Finding::error("missing-target", section.node.at.clone(), format!("`{own}` is missing: where do the payloads go?")));
        return None;
    };
    match kind {
        SinkKind::Http => request(node, findings).map(Target::Request),
        SinkKind::Warehouse => table(node, render, findings).map(Target::Table),
        SinkKind::Kafka => topic(node, findings).map(Target::Topic),
        SinkKind::File => path(node, findings).map(Target::Path),
        SinkKind::Queue => Some(Target::Queue),
    }
}

fn article(kind: SinkKind) -> String {
    let name = KINDS.iter().find(|(_, of)| *of == kind).map_or("", |(name, _)| name);
    format!("{} {name} sink", if name.starts_with('h') { "an" } else { "a" })
}

fn request(node: &Node, findings: &mut Findings) -> Option<Request> {
    let section = Section::open(node, "a request", &["method", "path", "query", "headers", "body"], findings)?;
    let methods = [("POST", Method::Post), ("PUT", Method::Put), ("PATCH", Method::Patch), ("DELETE", Method::Delete)];
    let bodies = [("single", BodyForm::Single), ("array", BodyForm::Array), ("ndjson", BodyForm::Ndjson), ("batch", BodyForm::Batch)];
    let path = section.require("path", findings).and_then(|node| {
        let path = located(node, findings)?;
        if !path.value.starts_with('/') && !path.value.starts_with("{%") && !path.value.starts_with("{{") {
            findings.push(node.error("bad-path", "a request's path starts with `/`; it is relative to the sink's `base_url`"));
        }
        Some(path)
    });
    let headers = section.get("headers");
    if let Some(headers) = headers {
        refuse_named(headers, "header", findings);
    }
    Some(Request {
        method: section.one_of("method", &methods, findings).unwrap_or(Method::Post),
        query: templates(section.get("query"), "query", |_| Ok(()), findings),
        headers: templates(headers, "headers", check_header, findings),
        body: section.one_of("body", &bodies, findings).unwrap_or(BodyForm::Single),
        path: path?,
    })
}

fn templates(
    node: Option<&Node>,
    what: &str,
    check: fn(&str) -> Result<(), &'static str>,
    findings: &mut Findings,
) -> IndexMap<String, Located<String>> {
    let mut templates = IndexMap::new();
    for (key, node) in node.and_then(|node| entries(node, what, findings)).into_iter().flatten() {
        if let Err(why) = check(&key.name) {
            findings.push(Finding::error("bad-header", key.at.clone(), why).width(key.width as usize));
        }
        if let Some(template) = located(node, findings) {
            templates.insert(key.name.clone(), template);
        }
    }
    templates
}

fn table(node: &Node, render: Option<&Render>, findings: &mut Findings) -> Option<Table> {
    let section = Section::open(node, "a table", &["name", "key", "on_conflict", "newer_by"], findings)?;
    let name = section.require("name", findings).and_then(|node| identifier(node, "a table", findings));
    let mut key: Vec<String> = Vec::new();
    for node in section.get("key").map(one_or_many).unwrap_or_default() {
        let Some(column) = identifier(node, "a column", findings) else { continue };
        is_column(node, &column, render, findings);
        match key.contains(&column) {
            true => findings.push(node.error("double-key", format!("`{}` is in the key twice", cut(&column)))),
            false => key.push(column),
        }
    }
    let newer_by = section.get("newer_by").and_then(|node| {
        let column = identifier(node, "a column", findings)?;
        is_column(node, &column, render, findings);
        Some(column)
    });
    let update =
        section.get("on_conflict").and_then(|node| one_of(node, &[("ignore", false), ("update", true)], findings)).unwrap_or(false);
    if !update && newer_by.is_some() {
        findings.push(
            section
                .error("newer_by", "contradiction", "`newer_by` says which row wins an update; this table ignores conflicts")
                .hint("say `on_conflict: update`"),
        );
    }
    if update && section.get("key").is_none() {
        findings.push(
            section
                .error("on_conflict", "no-key", "without a `key` no row conflicts with another")
                .hint("name the columns that make a row the same row"),
        );
    }
    let on_conflict = if update { OnConflict::Update { newer_by } } else { OnConflict::Ignore };
    Some(Table { name: name?, key, on_conflict })
}

/// A column that the table's settings name must be one that the route fills; a transform's row is known only when it is rendered.
fn is_column(node: &Node, column: &str, render: Option<&Render>, findings: &mut Findings) {
    let Some(Render::Columns(columns)) = render else { return };
    if columns.contains_key(column) {
        return;
    }
    let names = || columns.keys().map(String::as_str);
    let finding = node.error("unknown-column", format!("`{}` is not among the columns", cut(column)));
    findings.push(match closest(column, names()) {
        Some(name) => finding.hint(format!("did you mean `{name}`?")),
        None => finding.hint(format!("the columns are {}", listed(names()))),
    });
}

fn identifier(node: &Node, what: &str, findings: &mut Findings) -> Option<String> {
    let name = string(node, findings)?;
    match check_identifier(name) {
        Ok(()) => Some(name.to_owned()),
        Err(why) => {
            findings.push(node.error("bad-identifier", format!("the name of {what} {why}")));
            None
        }
    }
}

fn check_identifier(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("is empty"),
        _ if name.len() > LONGEST_IDENTIFIER => Err("has more than 63 bytes"),
        _ if name.trim() != name => Err("starts or ends with a space"),
        _ if name.chars().any(char::is_control) => Err("holds a character that cannot be printed"),
        _ => Ok(()),
    }
}

fn topic(node: &Node, findings: &mut Findings) -> Option<Topic> {
    let (name, key) = match &node.kind {
        Kind::Map(_) => {
            let section = Section::open(node, "a topic", &["name", "key"], findings)?;
            (section.require("name", findings)?, section.get("key").and_then(|node| expression(node, findings)))
        }
        _ => (node, None),
    };
    let text = located(name, findings)?;
    if !is_topic(&text.value, false) {
        findings.push(
            name.error("bad-topic", format!("`{}` is not the name of a topic", cut(&text.value)))
                .hint("letters, digits, `.`, `_` and `-`, at most 249"),
        );
    }
    Some(Topic { name: text, key })
}

fn path(node: &Node, findings: &mut Findings) -> Option<Located<String>> {
    let path = located(node, findings)?;
    if path.value.is_empty() || path.value.starts_with('/') || path.value.contains('\\') || path.value.split('/').any(|part| part == "..") {
        findings.push(node.error("bad-path", "a file's path stays inside the sink's `directory`: relative, with `/`, without `..`"));
    }
    Some(path)
}

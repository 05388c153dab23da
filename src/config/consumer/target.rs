//! A route's target: a request, a table, a topic or a path, by the type of its consumer's sink.

use indexmap::IndexMap;

use super::columns::check_identifier;
use super::expression;
use super::secrets::refuse_named;
use super::sink::{KINDS, check_header};
use crate::config::findings::{Finding, Findings, Located};
use crate::config::node::{Kind, Node};
use crate::config::section::{Section, closest, cut, entries, listed, located, one_of, one_or_many, string};
use crate::config::set::{BodyForm, Method, OnConflict, Render, Request, Table, Target, Topic};
use crate::config::sinks::{Sink, SinkKind};
use crate::config::sources::is_topic;

const TARGETS: [(&str, SinkKind); 4] =
    [("request", SinkKind::Http), ("table", SinkKind::Warehouse), ("topic", SinkKind::Kafka), ("path", SinkKind::File)];

/// The target of a route. None where it cannot be read, or where the sink cannot.
pub(super) fn target(section: &Section<'_>, sink: Option<&Sink>, render: Option<&Render>, findings: &mut Findings) -> Option<Target> {
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

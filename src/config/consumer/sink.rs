//! A consumer's `sink`: where it delivers to. Strings keep their variables until `resolve`; the few settings that are no strings are filled in first.

use indexmap::IndexMap;

use crate::config::fill::Fill;
use crate::config::findings::{Findings, Place};
use crate::config::node::{Kind, Node};
use crate::config::section::{Section, entries, one_of, one_or_many, text};
use crate::config::sinks::{FileSink, HttpAuth, HttpSink, KafkaSink, Migrate, Sink, SinkKind, SinkSettings, WarehouseSink};
use crate::config::text::{ResolveError, Resolved, Text};
use crate::config::variables::Variables;

pub(super) const KINDS: [(&str, SinkKind); 5] = [
    ("http", SinkKind::Http),
    ("warehouse", SinkKind::Warehouse),
    ("kafka", SinkKind::Kafka),
    ("file", SinkKind::File),
    ("queue", SinkKind::Queue),
];
/// Settings that are no strings in the end.
const TYPED: [&str; 3] = ["gzip", "migrate", "stdout"];

pub(super) fn decode(node: &Node, fill: Fill<'_>, findings: &mut Findings) -> Option<Sink> {
    let mut node = node.clone();
    for name in TYPED {
        if let Some(value) = node.get_mut(name) {
            *value = fill.fill(value, findings);
        }
    }
    let node = &node;
    if !matches!(node.kind, Kind::Map(_)) {
        entries(node, "a sink", findings);
        return None;
    }
    let Some(kind) = node.get("type") else {
        findings.push(
            node.error("missing-key", "`type` is missing: what kind of sink is it?").hint("one of http, warehouse, kafka, file, queue"),
        );
        return None;
    };
    match one_of(kind, &KINDS, findings)? {
        SinkKind::Http => http(node, findings).map(Sink::Http),
        SinkKind::Warehouse => warehouse(node, findings).map(Sink::Warehouse),
        SinkKind::Kafka => kafka(node, findings).map(Sink::Kafka),
        SinkKind::File => file(node, findings).map(Sink::File),
        SinkKind::Queue => Section::open(node, "a queue sink", &["type"], findings).map(|_| Sink::Queue),
    }
}

fn http(node: &Node, findings: &mut Findings) -> Option<HttpSink<Text>> {
    let section = Section::open(node, "an http sink", &["type", "base_url", "auth", "headers", "gzip", "ca_file"], findings)?;
    let base_url = section.require("base_url", findings).and_then(|node| url(node, check_http_url, findings));
    Some(HttpSink {
        auth: section.get("auth").and_then(|node| auth(node, findings)),
        headers: section.get("headers").map(|node| texts(node, "headers", check_header, findings)).unwrap_or_default(),
        gzip: section.bool("gzip", findings).unwrap_or(false),
        ca_file: section.text("ca_file", findings),
        base_url: base_url?,
    })
}

fn auth(node: &Node, findings: &mut Findings) -> Option<HttpAuth<Text>> {
    let section = Section::open(node, "`auth`", &["basic", "bearer", "header"], findings)?;
    let given: Vec<&str> = ["basic", "bearer", "header"].into_iter().filter(|name| section.get(name).is_some()).collect();
    if given.len() != 1 {
        findings.push(node.error("bad-auth", "`auth` has exactly one of `basic`, `bearer` and `header`"));
        return None;
    }
    if let Some(basic) = section.text("basic", findings) {
        return Some(HttpAuth::Basic(basic));
    }
    if let Some(bearer) = section.text("bearer", findings) {
        return Some(HttpAuth::Bearer(bearer));
    }
    let header = Section::open(section.get("header")?, "`header`", &["name", "value"], findings)?;
    let name = header.require("name", findings).and_then(|node| crate::config::section::string(node, findings));
    let value = header.require("value", findings).and_then(|node| text(node, findings));
    if let Some(name) = name
        && let Err(why) = check_header(name)
    {
        findings.push(header.error("name", "bad-header", why));
    }
    Some(HttpAuth::Header { name: name?.to_owned(), value: value? })
}

fn warehouse(node: &Node, findings: &mut Findings) -> Option<WarehouseSink<Text>> {
    let section = Section::open(node, "a warehouse sink", &["type", "url", "migrate"], findings)?;
    let url = section.require("url", findings).and_then(|node| url(node, check_warehouse_url, findings));
    let migrate = section.one_of("migrate", &[("additive", Migrate::Additive), ("none", Migrate::None)], findings);
    Some(WarehouseSink { url: url?, migrate: migrate.unwrap_or(Migrate::Additive) })
}

fn kafka(node: &Node, findings: &mut Findings) -> Option<KafkaSink<Text>> {
    let section = Section::open(node, "a kafka sink", &["type", "brokers", "properties"], findings)?;
    let brokers = section.get("brokers").map(|node| one_or_many(node).iter().filter_map(|node| text(node, findings)).collect::<Vec<_>>());
    if brokers.as_ref().is_some_and(Vec::is_empty) {
        findings.push(section.error("brokers", "no-brokers", "no broker").hint("leave `brokers` out for those of analytica.yaml"));
    }
    let properties = section.get("properties").map(|node| texts(node, "properties", |_| Ok(()), findings)).unwrap_or_default();
    Some(KafkaSink { brokers, properties })
}

fn file(node: &Node, findings: &mut Findings) -> Option<FileSink<Text>> {
    let section = Section::open(node, "a file sink", &["type", "directory", "stdout"], findings)?;
    let sink = FileSink { directory: section.text("directory", findings), stdout: section.bool("stdout", findings).unwrap_or(false) };
    if sink.stdout && sink.directory.is_some() {
        findings.push(
            section
                .error("directory", "contradiction", "what goes to stdout has no directory")
                .hint("keep one of `directory` and `stdout`"),
        );
    }
    Some(sink)
}

/// A map of strings with variables; `check` says what is wrong with a name.
fn texts(node: &Node, what: &str, check: fn(&str) -> Result<(), &'static str>, findings: &mut Findings) -> IndexMap<String, Text> {
    let mut map = IndexMap::new();
    for (key, node) in entries(node, what, findings).into_iter().flatten() {
        if let Err(why) = check(&key.name) {
            findings.push(crate::config::Finding::error("bad-header", key.at.clone(), why).width(key.width as usize));
        }
        if let Some(text) = text(node, findings) {
            map.insert(key.name.clone(), text);
        }
    }
    map
}

/// A URL, checked as far as it can be without variables.
fn url(node: &Node, check: fn(&str) -> Result<(), &'static str>, findings: &mut Findings) -> Option<Text> {
    let text = text(node, findings)?;
    if let Some(value) = text.with_defaults()
        && let Err(why) = check(&value)
    {
        findings.push(node.error("bad-url", why));
    }
    Some(text)
}

fn check_http_url(value: &str) -> Result<(), &'static str> {
    match url::Url::parse(value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        _ => Err("`base_url` is not a URL that starts with http:// or https://"),
    }
}

fn check_warehouse_url(value: &str) -> Result<(), &'static str> {
    match value.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => Ok(()),
        Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => Ok(()),
        Some(("clickhouse" | "clickhouses", _)) => {
            Err("`clickhouse://` is not supported in this version: write sqlite:<path> or postgres://<host>/<database>")
        }
        _ => Err("`url` is not the URL of a warehouse: write sqlite:<path> or postgres://<host>/<database>"),
    }
}

/// RFC 9110: a token.
pub(super) fn check_header(name: &str) -> Result<(), &'static str> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    match !name.is_empty() && name.bytes().all(token) {
        true => Ok(()),
        false => Err("this is not the name of an HTTP header"),
    }
}

/// Why something in a sink has no value on this machine, and where it stands.
type Unresolved = (Place, String);

/// Fills the variables of a sink in.
pub(super) fn resolve(sink: &Sink, node: &Node, variables: &dyn Variables) -> Result<SinkSettings, Unresolved> {
    // A walk before, for the place of the first one that is missing: the sink itself no longer knows where its strings stood.
    let mut missing = None;
    node.each_text(&mut |node, source| {
        if missing.is_none()
            && let Ok(text) = Text::new(source)
            && let Err(error) = text.resolve(variables)
        {
            missing = Some((node.at.clone(), error.to_string()));
        }
    });
    if let Some(missing) = missing {
        return Err(missing);
    }
    let here = |error: ResolveError| (node.at.clone(), error.to_string());
    let fill = |text: &Text| text.resolve(variables).map_err(here);
    let fill_option = |text: &Option<Text>| text.as_ref().map(fill).transpose();
    let fill_map = |map: &IndexMap<String, Text>| -> Result<IndexMap<String, Resolved>, Unresolved> {
        map.iter().map(|(name, text)| Ok((name.clone(), fill(text)?))).collect()
    };
    let checked = |name: &str, value: Resolved, check: fn(&str) -> Result<(), &'static str>| match check(value.expose()) {
        Ok(()) => Ok(value),
        Err(why) => Err((node.get(name).unwrap_or(node).at.clone(), why.to_owned())),
    };
    Ok(match sink {
        Sink::Http(sink) => SinkSettings::Http(HttpSink {
            base_url: checked("base_url", fill(&sink.base_url)?, check_http_url)?,
            auth: match &sink.auth {
                None => None,
                Some(HttpAuth::Basic(text)) => Some(HttpAuth::Basic(fill(text)?)),
                Some(HttpAuth::Bearer(text)) => Some(HttpAuth::Bearer(fill(text)?)),
                Some(HttpAuth::Header { name, value }) => Some(HttpAuth::Header { name: name.clone(), value: fill(value)? }),
            },
            headers: fill_map(&sink.headers)?,
            gzip: sink.gzip,
            ca_file: fill_option(&sink.ca_file)?,
        }),
        Sink::Warehouse(sink) => {
            SinkSettings::Warehouse(WarehouseSink { url: checked("url", fill(&sink.url)?, check_warehouse_url)?, migrate: sink.migrate })
        }
        Sink::Kafka(sink) => SinkSettings::Kafka(KafkaSink {
            brokers: sink.brokers.as_ref().map(|brokers| brokers.iter().map(fill).collect::<Result<_, _>>()).transpose()?,
            properties: fill_map(&sink.properties)?,
        }),
        Sink::File(sink) => SinkSettings::File(FileSink { directory: fill_option(&sink.directory)?, stdout: sink.stdout }),
        Sink::Queue => SinkSettings::Queue,
    })
}

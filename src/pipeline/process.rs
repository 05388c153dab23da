//! The pipeline itself: compiled from a config set, then record → outcome.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use super::event::Event;
use super::ids::{ORIGIN_HEADER, parse_origin};
use super::json::Kind;
use super::reads;
use super::render::Render;
use super::route::{self, EventPlan, VersionPlan};
use super::schema::{self, bounded};
use super::source::{EventSource, Sources};
use super::tables;
use super::template::Templates;
use super::view::Seen;
use super::{Accepted, Origin, Outcome, Reason, Record, Rejection, RouteInfo, TableDefinition, Violation};
use crate::config::{ConfigSet, Digest, Findings, Limits, Loaded};

/// A compiled config set. Immutable; shared by all threads.
pub struct Pipeline {
    digest: Digest,
    revision: Arc<str>,
    /// Tells pipelines apart in a `Scratch`.
    serial: u64,
    pub(super) limits: Limits,
    pub(super) templates: Templates,
    sources: Sources,
    plans: HashMap<Arc<str>, EventPlan>,
    routes: Vec<Arc<RouteInfo>>,
    tables: HashMap<Arc<str>, Vec<TableDefinition>>,
}

/// Buffers that one thread keeps from record to record, whichever pipeline it runs.
#[derive(Debug, Default)]
pub struct Scratch {
    event: Option<Arc<Event>>,
    /// Of the topic seen last: the pipeline's serial, the topic, its source.
    source: Option<(u64, Arc<str>, Option<usize>)>,
    pub(super) text: Vec<u8>,
}

/// Everything that is wrong with what was read, for `validate`: schemas, templates, expressions and what binds them, in every environment.
pub fn check(loaded: &Loaded) -> Findings {
    on_a_deep_stack(|| {
        let shared = ConfigSet { consumers: BTreeMap::new(), ..loaded.draft().clone() };
        let (mut pipeline, mut findings) = compiled(&shared);
        for variants in loaded.variants().values() {
            let of_each = variants.iter().map(|variant| {
                let mut findings = Findings::default();
                route::compile_consumer(&shared, &variant.consumer, &mut pipeline.templates, &mut findings);
                (variant.environments.clone(), findings)
            });
            findings.extend(Findings::across(of_each.collect()));
        }
        findings.extend(reads::check(loaded, &pipeline.templates));
        findings.sorted()
    })
}

impl Pipeline {
    /// Compiles a set.
    ///
    /// # Errors
    /// All findings, where one of them is an error.
    pub fn compile(set: &ConfigSet) -> Result<Pipeline, Findings> {
        let (pipeline, findings) = on_a_deep_stack(|| compiled(set));
        if findings.has_errors() { Err(findings) } else { Ok(pipeline) }
    }

    /// The set's.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Every route of every consumer, draining ones too, in the order of consumers' names.
    pub fn routes(&self) -> &[Arc<RouteInfo>] {
        &self.routes
    }

    /// The tables that a consumer's routes fill, in the order they are first named; none where it is no warehouse.
    pub fn tables(&self, consumer: &str) -> Vec<TableDefinition> {
        self.tables.get(consumer).cloned().unwrap_or_default()
    }

    /// The routes that take an event of this name and version: none of a draining consumer.
    pub fn takers(&self, event: &str, version: u32) -> impl Iterator<Item = &Arc<RouteInfo>> {
        let plan = self.plans.get(event).and_then(|plan| plan.version(Some(version)));
        plan.into_iter().flat_map(|plan| plan.routes.iter().map(|planned| &planned.route.info))
    }

    /// The files that a transform includes, imports or extends, and those that they do, by name.
    pub fn parts(&self, transform: &str) -> &[Arc<str>] {
        self.templates.parts(transform)
    }

    /// What becomes of one record. `now` is when it was taken up.
    pub fn process(&self, record: &Record<'_>, now: Timestamp, scratch: &mut Scratch) -> Outcome {
        let source = self.source(&record.origin.topic, scratch).map(|index| self.sources.get(index));
        let mut event = scratch.event.take().unwrap_or_default();
        // The last record's values are gone by now; should one be kept somewhere, it keeps its event.
        if Arc::get_mut(&mut event).is_none() {
            event = Arc::default();
        }
        let outcome = match self.admit(record, source, &mut event) {
            Ok(source) => self.checked(record, source, &event, now, scratch),
            Err(rejection) => Outcome::Rejected(rejection),
        };
        scratch.event = Some(event);
        outcome
    }

    fn source(&self, topic: &Arc<str>, scratch: &mut Scratch) -> Option<usize> {
        if let Some((serial, seen, source)) = &scratch.source
            && *serial == self.serial
            && (Arc::ptr_eq(seen, topic) || seen == topic)
        {
            return *source;
        }
        let source = self.sources.find(topic);
        scratch.source = Some((self.serial, topic.clone(), source));
        source
    }

    /// The record's value as an event: one JSON object of a known source.
    fn admit<'a>(
        &self,
        record: &Record<'_>,
        source: Option<&'a EventSource>,
        event: &mut Arc<Event>,
    ) -> Result<&'a EventSource, Rejection> {
        let refuse = |reason: Reason, message: String| Rejection {
            reason,
            source: source.map(|source| source.name.clone()),
            event: None,
            version: None,
            errors: vec![Violation { path: String::new(), keyword: reason.name().to_owned(), message }],
        };
        let Some(known) = source else {
            return Err(refuse(Reason::BadEnvelope, "no source listens to this topic".to_owned()));
        };
        let value = record.value;
        if value.len() > self.limits.max_event_bytes {
            let message = format!("{} bytes, more than the {} of `limits.event`", value.len(), self.limits.max_event_bytes);
            return Err(refuse(Reason::TooLarge, message));
        }
        if let Some(framing) = framing(value) {
            return Err(refuse(Reason::UnsupportedFraming, format!("{framing}: the value must be plain JSON")));
        }
        let filled = match (value, Arc::get_mut(event)) {
            ([], _) => return Err(refuse(Reason::Malformed, "the value is empty".to_owned())),
            (value, Some(event)) => event.fill(value),
            (value, None) => Event::parse(value).map(|parsed| *event = Arc::new(parsed)),
        };
        if let Err(error) = filled {
            return Err(refuse(Reason::Malformed, error.to_string()));
        }
        if event.root().kind() != Kind::Object {
            return Err(refuse(Reason::Malformed, "the value is JSON but not an object".to_owned()));
        }
        Ok(known)
    }

    fn checked(&self, record: &Record<'_>, source: &EventSource, event: &Arc<Event>, now: Timestamp, scratch: &mut Scratch) -> Outcome {
        let refuse = |reason: Reason, name: Option<&str>, version: Option<u32>, errors: Vec<Violation>| {
            Outcome::Rejected(Rejection {
                reason,
                source: Some(source.name.clone()),
                event: name.map(|name| bounded(name, MAX_NAME)),
                version,
                errors,
            })
        };
        let said = |reason: Reason, message: &str| {
            vec![Violation { path: String::new(), keyword: reason.name().to_owned(), message: message.to_owned() }]
        };
        let root = event.root();
        let header = match source.envelope.read(root) {
            Ok(header) => header,
            Err(violation) => {
                let (name, version) = source.envelope.glimpse(root);
                return refuse(Reason::BadEnvelope, name, version, vec![violation]);
            }
        };
        let name = Some(header.name);
        let Some(plan) = self.plans.get(header.name) else {
            let reason = Reason::UnknownEvent;
            return refuse(reason, name, header.version, said(reason, "no schema has this event's name"));
        };
        let Some(version) = plan.version(header.version) else {
            let reason = Reason::UnknownVersion;
            return refuse(reason, name, header.version, said(reason, "this event has no schema of this version"));
        };
        if !version.schema.is_valid(root) {
            return refuse(Reason::SchemaViolation, name, Some(version.version), version.schema.violations(root));
        }
        let first_origin = replayed(record);
        let seen = Seen {
            event,
            header: &header,
            record,
            origin: first_origin.as_ref().unwrap_or(record.origin),
            source: &source.name,
            version: version.version,
            revision: &self.revision,
            now,
            meta: OnceCell::new(),
        };
        Outcome::Accepted(self.routed(plan, version, &seen, scratch))
    }

    fn routed(&self, plan: &EventPlan, version: &VersionPlan, seen: &Seen<'_>, scratch: &mut Scratch) -> Accepted {
        let mut accepted = Accepted {
            source: seen.source.clone(),
            event: plan.name.clone(),
            version: version.version,
            deprecated: version.deprecated,
            event_time: seen.header.time,
            deliveries: Vec::with_capacity(version.routes.len()),
            dead: Vec::new(),
        };
        for planned in &version.routes {
            Render { pipeline: self, planned, seen }.run(scratch, &mut accepted);
        }
        accepted
    }
}

/// Bytes of an event's name that a rejection repeats.
const MAX_NAME: usize = 256 - '…'.len_utf8();

/// What a value that is no text at all looks like: a control character first (0 is Confluent's magic byte, 3 AWS Glue's, 0x1f gzip's) or the marks of an
/// Avro file or a zstd frame. Text that is merely not JSON is malformed.
fn framing(value: &[u8]) -> Option<&'static str> {
    match value {
        [0, ..] => Some("a schema registry's framing"),
        [b'\t' | b'\n' | b'\r', ..] => None,
        [0x01..0x20, ..] => Some("binary framing"),
        [b'O', b'b', b'j', 1, ..] => Some("an Avro file"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("a zstd frame"),
        _ => None,
    }
}

/// The origin that a replay passes on.
fn replayed(record: &Record<'_>) -> Option<Origin> {
    let (_, value) = record.headers.iter().find(|(name, _)| name == ORIGIN_HEADER)?;
    parse_origin(std::str::from_utf8(value).ok()?) // not text: not ours, so the record's own coordinates hold
}

/// Templates are parsed and walked recursively, one frame an operator: a long one must not end the process that looks at it. Only what is used of a stack
/// costs memory.
const STACK_BYTES: usize = 256 << 20;

/// `compiled`, on a thread with a deep stack.
fn on_a_deep_stack<T: Send>(work: impl Fn() -> T + Send + Sync) -> T {
    std::thread::scope(|scope| {
        match std::thread::Builder::new().name("compile".to_owned()).stack_size(STACK_BYTES).spawn_scoped(scope, &work) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // no thread to be had: this one will do for any set but a strange one
            Err(_) => work(),
        }
    })
}

fn compiled(set: &ConfigSet) -> (Pipeline, Findings) {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let mut findings = Findings::default();
    let sources = Sources::compile(set);
    let schemas = schema::compile(set, &mut findings);
    let (mut templates, more) = Templates::compile(&set.transforms, set.limits.max_payload_bytes);
    findings.extend(more);
    let routes = route::plan(set, schemas, &mut templates, &mut findings);
    let pipeline = Pipeline {
        digest: set.digest.clone(),
        revision: set.digest.0.clone(),
        // Relaxed: only has to differ.
        serial: SERIAL.fetch_add(1, Ordering::Relaxed),
        limits: set.limits,
        tables: tables::of_set(set, &templates),
        templates,
        sources,
        plans: routes.plans,
        routes: routes.infos,
    };
    (pipeline, findings.sorted())
}

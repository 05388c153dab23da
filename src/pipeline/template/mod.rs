//! JSON-aware Jinja: transforms and request paths, compiled once a set, checked statically, rendered within bounds.

pub(super) mod arity;
mod check;
mod error;
mod functions;
mod json;
mod json_text;
mod layout;
mod payload;
mod print;
mod rewrite;
mod scope;
mod source;
mod time;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use minijinja::State;

use super::json::check_json;
use crate::config::{Finding, Findings, Located, Place, Transform};
use check::Check;
use rewrite::{FileEdits, Map, Mode};
use source::{File, Prints, Text};

pub use error::RenderError;
pub use layout::{captures, same_but_layout};
pub use scope::{Digits, Meta, Parts, ROOTS, Scope, consumer_value};

/// All templates of a config set, compiled. Immutable while events are rendered, shared by threads.
pub struct Templates {
    env: minijinja::Environment<'static>,
    max_payload_bytes: usize,
    entries: Vec<Entry>,
    /// By the name that a text is compiled under.
    origins: HashMap<String, Origin>,
    inlines: usize,
}

/// A transform, ready to render: from `Templates::template`, once a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateId(usize);

/// Where the text of an inline template goes, and so how what it prints is kept in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// Percent-encodes all that could end a path segment.
    Path,
    /// Percent-encodes a query value.
    Query,
    /// Refuses line breaks and control characters.
    Header,
}

/// A request path, query value or header value: from `Templates::compile_inline`.
#[derive(Debug, Clone)]
pub struct Inline {
    name: Arc<str>,
}

/// What a render came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendered {
    /// Checked JSON was appended.
    Payload,
    /// Only white space: this consumer gets nothing of this event. Nothing was appended.
    Nothing,
}

/// One path that a template reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// Its names from the root, such as `event`, `properties`, `step`; `*` for an element.
    pub path: Vec<Arc<str>>,
    pub at: Place,
    /// In characters of its first line.
    pub width: usize,
    /// Whether the template copes with its absence (`is defined`, `default`).
    pub guarded: bool,
}

/// A transform that a route may name.
struct Entry {
    name: Arc<str>,
    reads: Vec<Read>,
    roots: Vec<(&'static str, Place)>,
    /// Names of the other files that take part.
    parts: Vec<Arc<str>>,
    usable: bool,
}

/// Where the errors of a compiled text are for people.
struct Origin {
    text: Text,
    map: Map,
    prints: Prints,
}

impl Templates {
    /// Compiles and checks all transforms. The findings are of all templates; those with errors cannot be rendered.
    pub fn compile(transforms: &BTreeMap<Arc<str>, Transform>, max_payload_bytes: usize) -> (Templates, Findings) {
        let mut templates =
            Templates { env: functions::environment(), max_payload_bytes, entries: Vec::new(), origins: HashMap::new(), inlines: 0 };
        let mut findings = Findings::default();
        let texts: Vec<Text> =
            transforms.values().map(|transform| Text::new(Place::new(transform.file.clone(), 1, 1), transform.source.clone())).collect();
        let files: Vec<File<'_>> = transforms.keys().zip(&texts).map(|(name, text)| File::parse(name, text, &mut findings)).collect();
        let by_name: BTreeMap<&str, usize> = files.iter().enumerate().map(|(at, file)| (file.name, at)).collect();
        let mut edits: Vec<FileEdits> = files.iter().map(|_| FileEdits::default()).collect();
        let mut macro_modes = HashMap::new();
        let mut needed = BTreeSet::new();
        for (at, transform) in transforms.values().enumerate().filter(|(_, transform)| !transform.is_partial()) {
            let checked = Check::new(&files, &by_name, &mut edits, &mut macro_modes).entry(at, Mode::Json);
            let mut usable = files[at].tree.is_some() && !checked.findings.has_errors();
            findings.extend(checked.findings);
            // what is wrong with its strings is said already
            if usable && let Some(finding) = check::never_json(&files, &by_name, at) {
                findings.push(finding);
                usable = false;
            }
            let parts: BTreeSet<Arc<str>> =
                checked.needed.iter().filter(|(file, _)| *file != at).map(|(file, _)| files[*file].name.into()).collect();
            needed.extend(checked.needed);
            let (reads, roots) = (checked.reads.into_iter().collect(), checked.roots.into_iter().collect());
            templates.entries.push(Entry { name: transform.name.clone(), reads, roots, parts: parts.into_iter().collect(), usable });
        }
        for (at, _) in files.iter().enumerate().filter(|(_, file)| file.tree.is_some()) {
            let reached = [Mode::Json, Mode::InString, Mode::Text].iter().any(|mode| needed.contains(&(at, *mode)));
            if reached && !files[at].has_macros() {
                continue;
            }
            // edits for no one: nothing is compiled from a glance
            let (mut unused, mut modes) = (files.iter().map(|_| FileEdits::default()).collect::<Vec<_>>(), macro_modes.clone());
            findings.extend(Check::new(&files, &by_name, &mut unused, &mut modes).glance(at, !reached));
        }
        for (file, mode) in needed.into_iter().filter(|(file, _)| files[*file].tree.is_some()) {
            let name = format!("{}{}", files[file].name, mode.suffix());
            templates.add(name, &files[file], &edits[file], mode, &mut findings);
        }
        (templates, findings)
    }

    fn add(&mut self, name: String, file: &File<'_>, edits: &FileEdits, mode: Mode, findings: &mut Findings) {
        let rewritten = edits.rewrite(&file.text.text, mode);
        if let Err(error) = self.env.add_template_owned(name.clone(), rewritten.text) {
            // the text as written parses, so this is about what was put around its prints
            let at = rewritten.map.original(error.range().unwrap_or_default().start);
            findings.push(Finding::error(
                "template-syntax",
                file.text.place(at),
                error.detail().unwrap_or("cannot be compiled").to_owned(),
            ));
        }
        self.origins.insert(name, Origin { text: file.text.clone(), map: rewritten.map, prints: file.prints.clone() });
    }

    /// Compiles a request path, query value or header value; `roots` as for `check`.
    pub fn compile_inline(&mut self, context: Context, text: &Located<String>, roots: &[&str]) -> Result<Inline, Findings> {
        let written = Text::new(text.at.clone(), text.value.as_str().into());
        // no transform has such a name
        let name = format!("inline#{}", self.inlines);
        self.inlines += 1;
        let mut findings = Findings::default();
        let files = [File::parse(&name, &written, &mut findings)];
        let (by_name, mut edits, mut macro_modes) = (BTreeMap::new(), [FileEdits::default()], HashMap::new());
        let mode = match context {
            Context::Path => Mode::Path,
            Context::Query => Mode::Query,
            Context::Header => Mode::Header,
        };
        let checked = Check::new(&files, &by_name, &mut edits, &mut macro_modes).entry(0, mode);
        findings.extend(checked.findings);
        findings.extend(unknown_roots(checked.roots.iter(), roots));
        if !findings.has_errors() {
            self.add(name.clone(), &files[0], &edits[0], mode, &mut findings);
        }
        if findings.has_errors() { Err(findings) } else { Ok(Inline { name: name.into() }) }
    }

    /// None for a name that is not there, is a partial or has findings.
    pub fn template(&self, name: &str) -> Option<TemplateId> {
        self.entries.iter().position(|entry| entry.usable && &*entry.name == name).map(TemplateId)
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| &*entry.name == name)
    }

    /// What is wrong with using this template where only these root names are known (`ROOTS`, without `item` and `index` outside `each`).
    pub fn check(&self, template: &str, roots: &[&str]) -> Findings {
        self.entry(template).map_or_else(Findings::default, |entry| unknown_roots(entry.roots.iter(), roots))
    }

    /// The paths that a template reads, its partials included.
    pub fn reads(&self, template: &str) -> &[Read] {
        self.entry(template).map_or(&[], |entry| &entry.reads)
    }

    /// The files that a template includes, imports or extends, and those that they do, by name.
    pub fn parts(&self, template: &str) -> &[Arc<str>] {
        self.entry(template).map_or(&[], |entry| &entry.parts)
    }

    /// Appends the payload of one delivery: checked JSON without white space between its tokens.
    pub fn render(&self, template: TemplateId, scope: &Scope, out: &mut Vec<u8>) -> Result<Rendered, RenderError> {
        let name = &*self.entries[template.0].name;
        let start = out.len();
        let rendered = self.render_bounded(name, scope, out);
        if let Err(error) = rendered {
            out.truncate(start);
            return Err(self.explain(name, &error));
        }
        payload::compact(out, start);
        if out.len() == start {
            return Ok(Rendered::Nothing);
        }
        // both halves of what was written, the template's text and what `print` wrote, are text
        let checked = std::str::from_utf8(&out[start..])
            .map_err(|_| "not UTF-8".to_owned())
            .and_then(|text| check_json(text).map_err(|e| e.to_string()));
        if let Err(why) = checked {
            out.truncate(start);
            let at = self.origins.get(name).map_or_else(|| Place::file(name), |origin| origin.text.place(0));
            return Err(RenderError { at, message: format!("the output is not JSON: {why}") });
        }
        Ok(Rendered::Payload)
    }

    /// Appends the text of a path, query value or header value.
    pub fn render_inline(&self, inline: &Inline, scope: &Scope, out: &mut String) -> Result<(), RenderError> {
        let mut text = Vec::new();
        self.render_bounded(&inline.name, scope, &mut text).map_err(|error| self.explain(&inline.name, &error))?;
        out.push_str(&String::from_utf8_lossy(&text));
        Ok(())
    }

    fn render_bounded(&self, name: &str, scope: &Scope, out: &mut Vec<u8>) -> Result<(), minijinja::Error> {
        scope.rewind();
        let bounded = payload::Bounded { left: self.max_payload_bytes, out };
        self.env.get_template(name)?.render_captured_to(scope.as_value(), bounded).map(drop)
    }

    /// The innermost error, at its place in the file as it was written.
    fn explain(&self, entry: &str, error: &minijinja::Error) -> RenderError {
        let inner = error::innermost(error);
        let name = inner.name().unwrap_or(entry);
        let Some(origin) = self.origins.get(name) else {
            return RenderError { at: Place::file(name), message: error::message(inner, None, self.max_payload_bytes) };
        };
        let range = inner.range().map(|range| origin.map.original(range.start)..origin.map.original(range.end));
        // what people know it by: the whole of the print, or else the part of a statement that failed
        let shown = range.clone().map(|range| origin.prints.around(range.start).map_or(range, |(begin, end)| begin..end));
        let expression = shown.and_then(|range| origin.text.text.get(range)).map(str::trim).filter(|text| !text.is_empty());
        let at = match (&range, inner.line()) {
            (Some(range), _) => origin.text.place(range.start),
            (None, Some(line)) => Place::new(origin.text.place(0).file, line as u32, 1),
            (None, None) => origin.text.place(0),
        };
        RenderError { at, message: error::message(inner, expression, self.max_payload_bytes) }
    }

    /// A state in which the filters, tests and functions of templates work for an expression: `state.apply_filter(name, args)`,
    /// `state.perform_test(name, args)`, `function(name)?.call(&mut state, args)`, `value.call_method(&mut state, name, args)`.
    pub fn state(&self, scope: &Scope) -> State<'_, '_> {
        let mut state = self.env.empty_state();
        state.get_or_insert_extension(scope.clone());
        state
    }

    /// A function of templates (`now`, `uuid4`, `range`, …) by name, for an expression to call; None where there is none.
    pub fn function(&self, name: &str) -> Option<minijinja::Value> {
        self.env.globals().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Whether templates and expressions have such a filter.
    pub fn has_filter(&self, name: &str) -> bool {
        !matches!(self.env.empty_state().apply_filter(name, &[]), Err(error) if error.kind() == minijinja::ErrorKind::UnknownFilter)
    }

    /// Whether templates and expressions have such a test.
    pub fn has_test(&self, name: &str) -> bool {
        !matches!(self.env.empty_state().perform_test(name, &[]), Err(error) if error.kind() == minijinja::ErrorKind::UnknownTest)
    }
}

fn unknown_roots<'a>(used: impl Iterator<Item = &'a (&'static str, Place)>, known: &[&str]) -> Findings {
    let mut findings = Findings::default();
    for (root, at) in used.filter(|(root, _)| !known.contains(root)) {
        let finding = Finding::error("unknown-variable", at.clone(), format!("`{root}` is not known here")).width(root.len());
        findings.push(finding.hint("a route with `each` has item and index"));
    }
    findings
}

//! The static check: walks a template's syntax tree through includes, imports, macros and blocks, finds what cannot work, works out the context of every
//! print, and notes the edits that put each into its place.

mod exprs;
mod names;
mod prints;
mod shape;
mod stmts;
mod templates;

#[cfg(test)]
pub(super) use names::{FILTERS, TESTS};

pub(super) use shape::never_json;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use minijinja::machinery::Span;
use minijinja::machinery::ast::{Block, Expr, Macro, Spanned};

use super::json_text::{JsonText, Lexical};
use super::rewrite::{FileEdits, Mode};
use super::source::File;
use super::{Context, ROOTS, Read};
use crate::config::{Finding, Findings, Place};

/// What the walk of one entry template found.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) findings: Findings,
    /// The paths read, each place once.
    pub(super) reads: BTreeSet<Read>,
    /// The root names used, and where.
    pub(super) roots: BTreeSet<(&'static str, Place)>,
    /// Every file that takes part, with what it is compiled for.
    pub(super) needed: BTreeSet<(usize, Mode)>,
}

/// Where what is printed now goes.
#[derive(Debug, Clone, Copy)]
enum Flow {
    Json(JsonText),
    Text,
    Inline(Context),
    /// Nowhere: what stands outside the blocks of a template that extends another, or in an imported one.
    Nowhere,
}

impl Flow {
    /// The mode in which a piece that starts here is compiled. None in the middle of an escape.
    fn mode(self) -> Option<Mode> {
        Some(match self {
            Flow::Json(JsonText { state: Lexical::Outside, .. }) | Flow::Nowhere => Mode::Json,
            Flow::Json(JsonText { state: Lexical::Inside, .. }) => Mode::InString,
            Flow::Json(_) => return None,
            Flow::Text => Mode::Text,
            Flow::Inline(Context::Path) => Mode::Path,
            Flow::Inline(Context::Query) => Mode::Query,
            Flow::Inline(Context::Header) => Mode::Header,
        })
    }

    fn start(mode: Mode) -> Flow {
        match mode {
            Mode::Json => Flow::Json(JsonText::outside()),
            Mode::InString => Flow::Json(JsonText::inside(0)),
            Mode::Text => Flow::Text,
            Mode::Path => Flow::Inline(Context::Path),
            Mode::Query => Flow::Inline(Context::Query),
            Mode::Header => Flow::Inline(Context::Header),
        }
    }

    fn same(self, other: Flow) -> bool {
        match (self, other) {
            (Flow::Json(a), Flow::Json(b)) => a.state == b.state,
            _ => true,
        }
    }
}

/// What is known of a value before any event is there.
#[derive(Clone, Default)]
struct Known<'s> {
    /// Paths from a root that it may be.
    paths: Vec<Rc<[&'s str]>>,
    callee: Option<MacroRef<'s>>,
    /// An imported file.
    module: Option<usize>,
}

#[derive(Clone, Copy)]
struct MacroRef<'s> {
    file: usize,
    decl: &'s Spanned<Macro<'s>>,
}

type Frame<'s> = Vec<(&'s str, Known<'s>)>;

/// Whose edits are noted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Region {
    /// A file's own text, compiled for a mode.
    Body(Mode),
    /// One of its macros.
    Macro,
}

/// A block of a child, and the template it stands in.
#[derive(Clone, Copy)]
struct Override<'s> {
    file: usize,
    region: Region,
    block: &'s Spanned<Block<'s>>,
}

pub(super) struct Check<'c, 's> {
    files: &'s [File<'s>],
    by_name: &'c BTreeMap<&'s str, usize>,
    edits: &'c mut [FileEdits],
    /// How each macro is used, by file and offset: all of a set's templates share its one compiled body.
    macro_modes: &'c mut HashMap<(usize, u32), Mode>,
    out: Checked,
    file: usize,
    region: Region,
    flow: Flow,
    scopes: Vec<Frame<'s>>,
    /// The flow at the start of each loop around this place.
    loops: Vec<Flow>,
    /// Blocks by name, the youngest child's first; what is behind the first is what `super()` prints.
    blocks: BTreeMap<&'s str, Vec<Override<'s>>>,
    /// The blocks that are being walked: name and how many overrides deep.
    in_block: Vec<(&'s str, usize)>,
    /// Files, and macros by offset, that are being walked: what would walk for ever.
    stack: Vec<(usize, Option<u32>)>,
    guarded: Vec<Rc<[&'s str]>>,
}

impl<'c, 's> Check<'c, 's> {
    pub(super) fn new(
        files: &'s [File<'s>],
        by_name: &'c BTreeMap<&'s str, usize>,
        edits: &'c mut [FileEdits],
        macro_modes: &'c mut HashMap<(usize, u32), Mode>,
    ) -> Check<'c, 's> {
        let roots = ROOTS.iter().map(|root| (*root, Known { paths: vec![Rc::from([*root].as_slice())], ..Known::default() })).collect();
        Check {
            files,
            by_name,
            edits,
            macro_modes,
            out: Checked::default(),
            file: 0,
            region: Region::Body(Mode::Json),
            flow: Flow::Nowhere,
            scopes: vec![roots],
            loops: Vec::new(),
            blocks: BTreeMap::new(),
            in_block: Vec::new(),
            stack: Vec::new(),
            guarded: Vec::new(),
        }
    }

    /// Walks a template that a route or a request names.
    pub(super) fn entry(mut self, file: usize, mode: Mode) -> Checked {
        self.flow = Flow::start(mode);
        self.scopes.push(Frame::new());
        self.template(file, mode);
        if let Flow::Json(JsonText { state, opened }) = self.flow
            && state != Lexical::Outside
            && !self.out.findings.has_errors()
        {
            let at = self.files[file].text.place(opened);
            self.find(
                Finding::error("json-context", at, "a JSON string is still open at the end of the template").hint("close it with `\"`"),
            );
        }
        self.out
    }

    /// Looks at what no entry reached, a partial that nobody includes (`whole`) or macros that nobody calls: what is wrong with it wherever it may be used one day.
    pub(super) fn glance(mut self, file: usize, whole: bool) -> Findings {
        self.scopes.push(Frame::new());
        if whole {
            self.flow = Flow::start(Mode::Json);
            self.template(file, Mode::Json);
        }
        self.file = file;
        for callee in self.macros_of(file) {
            if !self.macro_modes.contains_key(&(file, callee.decl.span().start_offset)) {
                self.macro_body(callee, Mode::Json);
            }
        }
        // which variables are known, and whether a string is open, is up to who uses it
        let anywhere =
            ["unknown-filter", "arguments", "unknown-test", "unknown-function", "missing-template", "macro-arguments", "unsupported"];
        let mut findings = Findings::default();
        self.out.findings.iter().filter(|finding| anywhere.contains(&finding.code)).for_each(|finding| findings.push(finding.clone()));
        findings
    }

    fn place(&self, offset: usize) -> Place {
        self.files[self.file].text.place(offset)
    }

    fn find(&mut self, finding: Finding) {
        self.out.findings.push(finding);
    }

    /// A finding about a stretch of the current file.
    fn wrong(&self, code: &'static str, start: usize, end: usize, message: impl Into<String>) -> Finding {
        Finding::error(code, self.place(start), message).width(self.files[self.file].text.width(start, end))
    }

    fn wrong_at(&self, code: &'static str, span: Span, message: impl Into<String>) -> Finding {
        self.wrong(code, span.start_offset as usize, span.end_offset as usize, message)
    }

    /// Notes an insertion into the current file.
    fn insert(&mut self, at: usize, text: &str) {
        let file = &mut self.edits[self.file];
        let edits = match self.region {
            Region::Body(mode) => file.by_mode.entry(mode).or_default(),
            Region::Macro => &mut file.macros,
        };
        let before = edits.insert(at, text.to_owned());
        if before.is_some_and(|before| before != text) {
            let finding = self.wrong(
                "json-context",
                at,
                at + 1,
                "this stands inside a JSON string in one place that uses it, and outside in another",
            );
            self.find(finding.hint("use two templates, or two blocks"));
        }
    }

    fn look(&self, name: &str) -> Option<&Known<'s>> {
        self.scopes.iter().rev().find_map(|frame| frame.iter().rev().find(|(known, _)| *known == name).map(|(_, known)| known))
    }

    fn bind(&mut self, name: &'s str, known: Known<'s>) {
        if let Some(frame) = self.scopes.last_mut() {
            match frame.iter_mut().find(|(bound, _)| *bound == name) {
                Some((_, before)) => *before = known,
                None => frame.push((name, known)),
            }
        }
    }

    /// Binds the names of a target: `x`, `a, b`; an attribute of a namespace binds nothing.
    fn assign(&mut self, target: &'s Expr<'s>, known: Known<'s>) {
        match target {
            Expr::Var(name) => self.bind(name.id, known),
            Expr::List(list) => list.items.iter().for_each(|item| self.assign(item, Known::default())),
            Expr::Tuple(list) => list.items.iter().for_each(|item| self.assign(item, Known::default())),
            _ => {}
        }
    }

    fn read(&mut self, path: &Rc<[&'s str]>, span: Span, optional: bool) {
        let guarded = optional || self.guarded.iter().any(|guard| path.starts_with(guard));
        let at = self.place(span.start_offset as usize);
        let width = self.files[self.file].text.width(span.start_offset as usize, span.end_offset as usize);
        self.out.reads.insert(Read { path: path.iter().map(|name| (*name).into()).collect(), at, width, guarded });
    }
}

impl<'s> Known<'s> {
    fn of_paths(paths: Vec<Rc<[&'s str]>>) -> Known<'s> {
        Known { paths, ..Known::default() }
    }

    fn child(&self, name: &'s str) -> Known<'s> {
        Known::of_paths(self.paths.iter().map(|path| path.iter().copied().chain([name]).collect()).collect())
    }
}

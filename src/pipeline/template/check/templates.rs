//! Statements that bring in other files: include, import, extends and blocks.

use std::collections::BTreeMap;
use std::rc::Rc;

use minijinja::machinery::Span;
use minijinja::machinery::ast::{Block, Expr, FromImport, Include, Spanned, Stmt};

use super::super::json_text::JsonText;
use super::super::rewrite::{Mode, Region, TEXT_MACRO};
use super::super::source::bodies;
use super::names::closest;
use super::{Chain, Check, Flow, Frame, Known, Link};
use crate::config::Finding;

impl<'s> Check<'_, 's> {
    /// Walks a whole file in the flow that holds. Its region is the current one.
    pub(super) fn template(&mut self, file: usize, mode: Mode) {
        let Some(Stmt::Template(tree)) = &self.files[file].tree else { return };
        self.stack.push(self.region);
        self.regions.entry(self.region).or_default();
        let first = self.captures.len();
        match tree.children.iter().position(|statement| matches!(statement, Stmt::Extends(_))) {
            Some(at) => self.child(&tree.children, at, mode),
            None => self.body(&tree.children),
        }
        self.finish_captures(first);
        self.stack.pop();
    }

    /// A template that extends another: only its blocks are written, in the places of the other.
    fn child(&mut self, statements: &'s [Stmt<'s>], extends: usize, mode: Mode) {
        for statement in &statements[..extends] {
            let before = match statement {
                Stmt::EmitRaw(raw) if raw.raw.trim().is_empty() => continue,
                Stmt::EmitRaw(raw) => raw.span(),
                Stmt::EmitExpr(emit) => emit.span(),
                _ => continue,
            };
            let finding = self.wrong_at("not-allowed", before, "stands before `extends`, so it would be written before the whole payload");
            self.find(finding.hint("start the template with `extends`"));
        }
        let flow = std::mem::replace(&mut self.flow, Flow::Module);
        let mut blocks = BTreeMap::new();
        find_blocks(statements, &mut blocks);
        for statement in statements {
            if !matches!(statement, Stmt::Block(_) | Stmt::Extends(_)) {
                self.body(std::slice::from_ref(statement));
            }
        }
        self.flow = flow;
        let Stmt::Extends(extends) = &statements[extends] else { return };
        let link = Link { region: self.region, blocks: Rc::new(blocks) };
        self.chain.links.push(link.clone());
        let last = self.chain.links.len() - 1;
        for (parent, span) in self.named(&extends.name, false) {
            if let Some(parent) = self.enter(parent, span, mode) {
                let region = std::mem::replace(&mut self.region, Region { file: parent, part: None, mode });
                self.template(parent, mode);
                self.region = region;
            }
        }
        self.chain.links.truncate(last);
        for (name, block) in link.blocks.iter() {
            if !self.seen_blocks.contains(name) {
                let start = block.span().start_offset as usize;
                let finding = self.wrong("unused-block", start, start + "block".len(), format!("block `{name}` is not in the template that this one extends, so it is never written"));
                let known: Vec<&str> = self.seen_blocks.iter().copied().collect();
                let finding = Finding { severity: crate::config::Severity::Warning, ..finding };
                self.unknown(finding, name, &known, None);
            }
        }
    }

    /// A place that children may fill: each version is walked in the context of this place.
    pub(super) fn block(&mut self, block: &'s Spanned<Block<'s>>) {
        self.seen_blocks.insert(block.name);
        let mut versions: Vec<(Region, &'s Spanned<Block<'s>>)> =
            self.chain.links.iter().filter_map(|link| link.blocks.get(block.name).map(|block| (link.region, *block))).collect();
        // the version of the template that the block was met in closes the chain
        if !versions.iter().any(|(_, version)| std::ptr::eq(*version, block)) {
            versions.push((self.region, block));
        }
        let (start, region, had_super) = (self.flow, self.region, self.has_super);
        let mut end = None;
        for (n, (of, version)) in versions.iter().enumerate() {
            self.flow = start;
            self.region = *of;
            self.has_super = n + 1 < versions.len();
            self.scopes.push(Frame::new());
            self.body(&version.body);
            self.scopes.pop();
            if end.is_some_and(|end: Flow| !end.same(self.flow)) {
                let at = version.span().start_offset as usize;
                let finding = self.wrong("json-context", at, at + "block".len(), format!("the versions of block `{}` leave a JSON string open differently", block.name));
                self.find(finding.hint("open and close each string inside the block"));
            }
            end = end.or(Some(self.flow));
        }
        (self.region, self.has_super) = (region, had_super);
        if let Some(end) = end {
            self.flow = end;
        }
    }

    pub(super) fn include(&mut self, include: &'s Spanned<Include<'s>>) {
        let Some(mode) = self.flow.mode() else {
            let finding = self.wrong_at("json-context", include.span(), "included in the middle of an escape of a JSON string");
            self.find(finding);
            return;
        };
        let start = self.flow;
        let mut end = None;
        for (name, span) in self.named(&include.name, include.ignore_missing) {
            let Some(file) = self.enter(name, span, mode) else { continue };
            self.flow = match start {
                Flow::Json(json) => Flow::Json(JsonText { state: json.state, opened: 0 }),
                flow => flow,
            };
            let chain = std::mem::replace(&mut self.chain, Chain::default());
            let has_super = std::mem::replace(&mut self.has_super, false);
            let region = std::mem::replace(&mut self.region, Region { file, part: None, mode });
            self.scopes.push(Frame::new());
            self.template(file, mode);
            self.scopes.pop();
            self.region = region;
            self.chain = chain;
            self.has_super = has_super;
            if let Flow::Json(json) = &mut self.flow {
                json.opened = span.start_offset as usize;
            }
            if end.is_some_and(|end: Flow| !end.same(self.flow)) {
                let finding = self.wrong_at("json-context", span, "the templates named here leave a JSON string open differently");
                self.find(finding);
            }
            end = end.or(Some(self.flow));
        }
        self.flow = end.unwrap_or(start);
    }

    /// The file to walk for a name, its mode noted in the text; None where there is none, or it would never end.
    fn enter(&mut self, file: Option<usize>, span: Span, mode: Mode) -> Option<usize> {
        if !mode.suffix().is_empty() {
            // before the closing quote of the name
            self.insert(span.end_offset as usize - 1, 1, mode.suffix(), span.start_offset as usize);
        }
        let file = file?;
        if self.stack.iter().any(|region| region.file == file && region.part.is_none() && (region.mode == Mode::Module) == (mode == Mode::Module)) {
            let finding = self.wrong_at("template-recursion", span, format!("`{}` includes itself", self.files[file].name));
            self.find(finding);
            return None;
        }
        if matches!(self.flow, Flow::Inline(_)) {
            let finding = self.wrong_at("not-allowed", span, "a path, query or header cannot include or import");
            self.find(finding);
            return None;
        }
        Some(file)
    }

    /// The files that a template name may mean. Names are text: what is computed cannot be checked.
    fn named(&mut self, name: &'s Expr<'s>, may_miss: bool) -> Vec<(Option<usize>, Span)> {
        match name {
            Expr::Const(constant) => match constant.value.as_str() {
                Some(text) => {
                    let file = self.by_name.get(text).copied();
                    if file.is_none() && !may_miss {
                        self.missing(text, name.span());
                    }
                    vec![(file, name.span())]
                }
                None => self.dynamic(name),
            },
            Expr::List(list) => {
                let found: Vec<_> = list.items.iter().flat_map(|item| self.named(item, true)).collect();
                if !may_miss && !found.is_empty() && found.iter().all(|(file, _)| file.is_none()) {
                    let finding = self.wrong_at("missing-template", name.span(), "none of these templates is there");
                    self.find(finding);
                }
                found
            }
            Expr::IfExpr(choice) => {
                self.value(&choice.test_expr, false);
                let mut found = self.named(&choice.true_expr, may_miss);
                match &choice.false_expr {
                    Some(otherwise) => found.extend(self.named(otherwise, may_miss)),
                    None => return self.dynamic(name),
                }
                found
            }
            _ => self.dynamic(name),
        }
    }

    fn dynamic(&mut self, name: &'s Expr<'s>) -> Vec<(Option<usize>, Span)> {
        let finding = self.wrong_at("dynamic-template-name", name.span(), "the name of a template must be written out");
        self.find(finding.hint("choose with `{% if %}` and include by name in each branch"));
        Vec::new()
    }

    fn missing(&mut self, name: &str, span: Span) {
        let finding = self.wrong_at("missing-template", span, format!("there is no transforms/{name}"));
        // a name next to the including file, as other engines take it
        let beside = self.by_name.keys().find(|known| known.rsplit_once('/').is_some_and(|(_, base)| base == name)).copied();
        self.find(match beside.or_else(|| closest(name, self.by_name.keys().copied())) {
            Some(known) => finding.hint(format!("names are relative to transforms/: did you mean `{known}`?")),
            None => finding.hint("names are relative to transforms/"),
        });
    }

    pub(super) fn imported(&mut self, name: &'s Expr<'s>) -> Vec<usize> {
        self.named(name, false).into_iter().filter_map(|(file, span)| self.enter(file, span, Mode::Module)).collect()
    }

    pub(super) fn from_import(&mut self, import: &'s Spanned<FromImport<'s>>) {
        for file in self.imported(&import.expr) {
            let module = self.module(file);
            for (name, alias) in &import.names {
                let Expr::Var(var) = name else { continue };
                let bound = alias.as_ref().unwrap_or(name);
                match module.iter().find(|(known, _)| *known == var.id) {
                    Some((_, known)) => {
                        self.assign(bound, known.clone());
                        if let (false, Expr::Var(bound)) = (known.macros.is_empty(), bound) {
                            let end = bound.span().end_offset as usize;
                            self.insert(end, 1, format!(", {0}{TEXT_MACRO} as {1}{TEXT_MACRO}", var.id, bound.id), end);
                        }
                    }
                    None => {
                        let finding = self.wrong_at("unknown-function", var.span(), format!("`{}` has no `{}`", self.files[file].name, var.id));
                        let known: Vec<&str> = module.iter().map(|(name, _)| *name).collect();
                        self.unknown(finding, var.id, &known, None);
                        self.assign(bound, Known::default());
                    }
                }
            }
        }
    }

    /// The names that a file defines at its top.
    pub(super) fn module(&mut self, file: usize) -> Rc<Frame<'s>> {
        if let Some(known) = self.modules.get(&file) {
            return known.clone();
        }
        self.modules.insert(file, Rc::default());
        let mut frame = Frame::new();
        let scopes = vec![self.scopes[0].clone(), Frame::new()];
        let region = Region { file, part: None, mode: Mode::Module };
        let chain = std::mem::take(&mut self.chain);
        self.elsewhere(region, scopes, Flow::Module, |check| {
            check.template(file, Mode::Module);
            frame = check.scopes.last().cloned().unwrap_or_default();
        });
        self.chain = chain;
        let frame = Rc::new(frame);
        self.modules.insert(file, frame.clone());
        frame
    }
}

fn find_blocks<'s>(statements: &'s [Stmt<'s>], found: &mut BTreeMap<&'s str, &'s Spanned<Block<'s>>>) {
    for statement in statements {
        if let Stmt::Block(block) = statement {
            found.insert(block.name, block);
        }
        for body in bodies(statement) {
            find_blocks(body, found);
        }
    }
}

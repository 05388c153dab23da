//! Statements: scopes, and the rule that branches and loops leave JSON as they found it.

use std::rc::Rc;

use minijinja::machinery::ast::{Expr, ForLoop, IfCond, Spanned, Stmt};

use super::super::rewrite::Region;
use super::{Check, Flow, Frame, Known, MacroRef};

impl<'s> Check<'_, 's> {
    pub(super) fn body(&mut self, statements: &'s [Stmt<'s>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    /// Walks something that stands elsewhere: with its own names and flow, and with its captured blocks finished at its end.
    pub(super) fn elsewhere(&mut self, region: Region, scopes: Vec<Frame<'s>>, flow: Flow, walk: impl FnOnce(&mut Self)) {
        let region = std::mem::replace(&mut self.region, region);
        let scopes = std::mem::replace(&mut self.scopes, scopes);
        let flow = std::mem::replace(&mut self.flow, flow);
        let loops = std::mem::take(&mut self.loops);
        let guarded = std::mem::take(&mut self.guarded);
        let caller = self.caller.take();
        let has_super = std::mem::replace(&mut self.has_super, false);
        let dead = std::mem::replace(&mut self.dead, false);
        self.stack.push(self.region);
        self.regions.entry(self.region).or_default();
        let first = self.captures.len();
        walk(self);
        self.finish_captures(first);
        self.stack.pop();
        self.region = region;
        self.scopes = scopes;
        self.flow = flow;
        self.loops = loops;
        self.guarded = guarded;
        self.caller = caller;
        self.has_super = has_super;
        self.dead = dead;
    }

    fn statement(&mut self, statement: &'s Stmt<'s>) {
        match statement {
            Stmt::Template(template) => self.body(&template.children),
            Stmt::EmitRaw(raw) => self.raw(raw.raw),
            Stmt::EmitExpr(emit) => self.print(emit),
            Stmt::IfCond(condition) => self.condition(condition),
            Stmt::ForLoop(each) => self.for_loop(each),
            Stmt::WithBlock(with) => {
                self.scopes.push(Frame::new());
                for (target, expr) in &with.assignments {
                    self.set(target, expr);
                }
                self.body(&with.body);
                self.scopes.pop();
            }
            Stmt::Set(set) => self.set(&set.target, &set.expr),
            Stmt::SetBlock(block) => self.set_block(block),
            Stmt::FilterBlock(block) => self.filter_block(block),
            Stmt::CallBlock(block) => self.call_block(block),
            Stmt::Macro(decl) => {
                let scope = Rc::new(self.scopes.clone());
                self.bind(decl.name, Known { macros: vec![MacroRef { file: self.region.file, decl, scope }], ..Known::default() });
                if self.lenient {
                    let mut scopes = self.scopes.clone();
                    scopes.push(vec![("caller", Known::default())]);
                    self.elsewhere(self.region, scopes, Flow::Module, |check| check.body(&decl.body));
                }
            }
            Stmt::AutoEscape(block) => {
                let finding = self.wrong("not-allowed", block.span().start_offset as usize, block.span().start_offset as usize + "autoescape".len(), "`autoescape` has no place here");
                self.find(finding.hint("what is printed is escaped for its place, and nothing can switch that off"));
                self.body(&block.body);
            }
            Stmt::Block(block) => self.block(block),
            Stmt::Import(import) => {
                let modules = self.imported(&import.expr);
                self.assign(&import.name, Known { modules, ..Known::default() });
            }
            Stmt::FromImport(import) => self.from_import(import),
            Stmt::Extends(extends) => {
                let finding = self.wrong_at("not-allowed", extends.span(), "`extends` can only stand at the top of a template");
                self.find(finding);
            }
            Stmt::Include(include) => self.include(include),
            Stmt::Continue(_) | Stmt::Break(_) => {
                if self.loops.last().is_some_and(|start| !start.same(self.flow)) {
                    let span = match statement {
                        Stmt::Continue(at) => at.span(),
                        Stmt::Break(at) => at.span(),
                        _ => return,
                    };
                    let finding = self.wrong_at("json-context", span, "leaves the loop's body while a JSON string is open");
                    self.find(finding.hint("close the string first"));
                }
                self.dead = true;
            }
            Stmt::Do(block) => drop(self.call(&block.call)),
        }
    }

    fn set(&mut self, target: &'s Expr<'s>, expr: &'s Expr<'s>) {
        if self.set_call(target, expr) {
            return;
        }
        let known = self.known(expr, false);
        // another name for a captured block or a macro would be hard to follow; a path is not
        self.needs_text(&known, expr.span());
        if !known.macros.is_empty() {
            self.value(expr, false);
        }
        self.assign(target, Known { paths: known.paths, modules: known.modules, ..Known::default() });
    }

    fn condition(&mut self, condition: &'s Spanned<IfCond<'s>>) {
        self.value(&condition.expr, false);
        let (start, dead) = (self.flow, self.dead);
        let frame = self.scopes.last().cloned().unwrap_or_default();
        let guards = self.guarded.len();
        self.guard(&condition.expr);
        self.body(&condition.true_body);
        self.guarded.truncate(guards);
        let (yes, yes_dead) = (self.flow, self.dead);
        let yes_frame = self.scopes.last_mut().map(|top| std::mem::replace(top, frame)).unwrap_or_default();
        (self.flow, self.dead) = (start, dead);
        self.body(&condition.false_body);
        for (name, known) in yes_frame {
            let joined = match self.scopes.last().and_then(|top| top.iter().find(|(bound, _)| *bound == name)) {
                Some((_, other)) => known.join(other),
                None => known,
            };
            self.bind(name, joined);
        }
        match (yes_dead && !dead, self.dead && !dead) {
            (true, false) => {}
            (false, true) => (self.flow, self.dead) = (yes, false),
            (both, _) => {
                if !both && !yes.same(self.flow) {
                    let start = condition.span().start_offset as usize;
                    let finding = self.wrong("json-context", start, start + "if".len(), "the branches of this `if` leave a JSON string open differently");
                    self.find(finding.hint("open and close each string in the same branch, or outside the `if`"));
                }
                self.flow = yes;
            }
        }
    }

    fn for_loop(&mut self, each: &'s Spanned<ForLoop<'s>>) {
        let of = self.value(&each.iter, false);
        let start = self.flow;
        self.scopes.push(vec![("loop", Known::default())]);
        self.assign(&each.target, of.child("*"));
        if let Some(filter) = &each.filter_expr {
            self.value(filter, false);
        }
        self.loops.push(start);
        self.body(&each.body);
        self.loops.pop();
        self.scopes.pop();
        let word = each.span().start_offset as usize;
        if !self.dead && !start.same(self.flow) {
            let finding = self.wrong("json-context", word, word + "for".len(), "the body of this loop leaves a JSON string open, or closes one, each time round");
            self.find(finding.hint("open and close each string inside the body, or outside the loop"));
        }
        self.dead = false;
        self.flow = start;
        self.scopes.push(Frame::new());
        self.body(&each.else_body);
        self.scopes.pop();
        if !start.same(self.flow) {
            let finding = self.wrong("json-context", word, word + "for".len(), "the `else` of this loop leaves a JSON string open differently");
            self.find(finding.hint("open and close each string in the same branch"));
        }
        self.flow = start;
    }
}

//! Statements: how text, branches and loops follow each other, and whether a JSON string is open between them.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{EmitRaw, ForLoop, IfCond, Macro, Set, SetBlock, Spanned, Stmt, WithBlock};

use super::super::json_text::Wrong;
use super::{Check, Flow, Frame, Known, MacroRef};

impl<'s> Check<'_, 's> {
    pub(super) fn body(&mut self, statements: &'s [Stmt<'s>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    pub(super) fn inner(&mut self, statements: &'s [Stmt<'s>]) {
        self.scopes.push(Frame::new());
        self.body(statements);
        self.scopes.pop();
    }

    pub(super) fn statement(&mut self, statement: &'s Stmt<'s>) {
        match statement {
            Stmt::Template(template) => self.body(&template.children),
            Stmt::EmitExpr(emit) => self.print(emit),
            Stmt::EmitRaw(raw) => self.raw(raw),
            Stmt::ForLoop(each) => self.each(each),
            Stmt::IfCond(choice) => self.choice(choice),
            Stmt::WithBlock(with) => self.with(with),
            Stmt::Set(set) => self.set(set),
            Stmt::SetBlock(block) => self.set_block(block),
            Stmt::Block(block) => self.block(block),
            Stmt::Import(import) => self.import(import),
            Stmt::FromImport(import) => self.names_from(import),
            Stmt::Include(include) => self.include(include),
            Stmt::Macro(decl) => self.declare(decl),
            Stmt::Continue(spot) => self.leaves_loop(spot.span()),
            Stmt::Break(spot) => self.leaves_loop(spot.span()),
            Stmt::Do(call) => drop(self.call(&call.call)),
            Stmt::Extends(extends) => self.unsupported(extends.span(), "`extends` inside a block or branch", "put it first in the file"),
            Stmt::AutoEscape(block) => {
                self.unsupported(block.span(), "`autoescape`", "leave it out: what is printed is escaped for its place already");
            }
            Stmt::FilterBlock(block) => {
                self.unsupported(
                    block.span(),
                    "a filter block",
                    "capture the text with `{% set x %}…{% endset %}` and print `x` through the filter",
                );
            }
            Stmt::CallBlock(block) => self.unsupported(block.span(), "a call block", "give the macro an argument, or use an include"),
        }
    }

    pub(super) fn unsupported(&mut self, span: Span, what: &str, hint: &str) {
        let finding = self.wrong_at("unsupported", span, format!("{what} is not supported"));
        self.find(finding.hint(hint));
    }

    fn raw(&mut self, raw: &'s Spanned<EmitRaw<'s>>) {
        let Flow::Json(mut json) = self.flow else { return };
        let start = raw.span().start_offset as usize;
        let wrong = json.feed(raw.raw, start);
        self.flow = Flow::Json(json);
        if let Some(wrong) = wrong {
            let (at, message, hint) = match wrong {
                Wrong::Control(at) => {
                    (at, "a line break or control character inside a JSON string", "close the string with `\"`, or write `\\n`")
                }
                Wrong::BadEscape(at) => (at, "no such escape sequence in a JSON string", "write `\\\\` for a backslash"),
            };
            let finding = self.wrong("json-context", start + at, start + at + 1, message);
            self.find(finding.hint(hint));
        }
    }

    fn choice(&mut self, choice: &'s Spanned<IfCond<'s>>) {
        self.value(&choice.expr, false);
        let start = self.flow;
        let guards = self.guarded.len();
        self.guard(&choice.expr);
        self.inner(&choice.true_body);
        self.guarded.truncate(guards);
        let after_true = std::mem::replace(&mut self.flow, start);
        self.inner(&choice.false_body);
        if !self.flow.same(after_true) {
            let finding = self.wrong_at("json-context", choice.span(), "one branch leaves a JSON string open, the other does not");
            self.find(finding.hint("open and close the string in the same branch, or around both"));
        }
    }

    fn each(&mut self, each: &'s Spanned<ForLoop<'s>>) {
        let of = self.value(&each.iter, false);
        self.scopes.push(vec![("loop", Known::default())]);
        self.assign(&each.target, of.child("*"));
        if let Some(filter) = &each.filter_expr {
            self.value(filter, false);
        }
        let start = self.flow;
        self.loops.push(start);
        self.body(&each.body);
        self.loops.pop();
        self.scopes.pop();
        if !self.flow.same(start) {
            let finding =
                self.wrong_at("json-context", each.span(), "the loop's body leaves a JSON string open or closed for its next turn");
            self.find(finding.hint("open and close the string inside the body, or around the loop"));
        }
        self.flow = start;
        self.inner(&each.else_body);
        if !self.flow.same(start) {
            let finding = self.wrong_at("json-context", each.span(), "the loop's `else` leaves a JSON string open, its body does not");
            self.find(finding);
        }
    }

    fn leaves_loop(&mut self, span: Span) {
        if self.loops.last().is_some_and(|start| !self.flow.same(*start)) {
            let finding = self.wrong_at("json-context", span, "the loop is left while a JSON string is open");
            self.find(finding);
        }
    }

    fn with(&mut self, with: &'s Spanned<WithBlock<'s>>) {
        self.scopes.push(Frame::new());
        for (target, expr) in &with.assignments {
            let known = self.known(expr, false);
            self.assign(target, known);
        }
        self.body(&with.body);
        self.scopes.pop();
    }

    fn set(&mut self, set: &'s Spanned<Set<'s>>) {
        let known = self.known(&set.expr, false);
        self.assign(&set.target, known);
    }

    /// What is captured is text: it is put into its place where it is printed.
    fn set_block(&mut self, block: &'s Spanned<SetBlock<'s>>) {
        let flow = std::mem::replace(&mut self.flow, Flow::Text);
        self.inner(&block.body);
        self.flow = flow;
        if let Some(filter) = &block.filter {
            self.value(filter, false);
        }
        self.assign(&block.target, Known::default());
    }

    fn declare(&mut self, decl: &'s Spanned<Macro<'s>>) {
        self.bind(decl.name, Known { callee: Some(MacroRef { file: self.file, decl }), ..Known::default() });
    }
}

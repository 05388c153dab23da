//! Prints and captured blocks: which context each stands in, and the edit that puts it into its place.

use minijinja::machinery::ast::{Call, CallBlock, CallType, EmitExpr, Expr, FilterBlock, SetBlock, Spanned};

use super::super::json_text::{Lexical, Wrong};
use super::super::rewrite::{Mode, Region};
use super::super::source::{tag_close, tag_open};
use super::super::{Context, print};
use super::{Capture, Captured, Check, Flow, Frame, Known};
use crate::config::Finding;

impl<'s> Check<'_, 's> {
    /// Raw text of the template.
    pub(super) fn raw(&mut self, raw: &'s str) {
        let offset = raw.as_ptr() as usize - self.source().as_ptr() as usize;
        match &mut self.flow {
            Flow::Json(json) => {
                let opened = json.opened;
                let (at, finding) = match json.feed(raw, offset) {
                    None => return,
                    Some(Wrong::Control(at)) => (at, "a JSON string is still open at the end of the line"),
                    Some(Wrong::BadEscape(at)) => (at, "not an escape that JSON knows"),
                };
                let opened = if let Flow::Json(json) = self.flow { json.opened } else { opened };
                let finding = self.wrong("json-context", offset + at, offset + at + 1, finding);
                let line = self.place(opened).line;
                self.find(finding.hint(format!("it was opened on line {line}; a line break inside a string is written `\\n`")));
            }
            Flow::Text => {
                if let Some(at) = memchr::memchr2(b'"', b'\\', raw.as_bytes()) {
                    let finding = self.wrong("json-context", offset + at, offset + at + 1, "this text is used inside a JSON string or as a value: its quotes and backslashes would be escaped");
                    self.find(finding.hint("print a block that writes JSON by itself, outside a string; in text, print such a character: `{{ '\"' }}`"));
                }
            }
            Flow::Module | Flow::Inline(_) => {}
        }
    }

    pub(super) fn print(&mut self, emit: &'s Spanned<EmitExpr<'s>>) {
        let (start, end) = (emit.span().start_offset as usize, emit.span().end_offset as usize);
        let filter = match self.flow {
            Flow::Json(json) => match json.state {
                Lexical::Outside => return self.print_json(&emit.expr),
                Lexical::Inside => print::STRING,
                Lexical::Escape | Lexical::Unicode(_) => {
                    let finding = self.wrong("json-context", start, end, "printed in the middle of an escape of a JSON string");
                    self.find(finding.hint("write `\\\\` where a backslash is meant"));
                    print::STRING
                }
            },
            Flow::Text | Flow::Module => print::TEXT,
            Flow::Inline(Context::Path) => print::PATH,
            Flow::Inline(Context::Query) => print::QUERY,
            Flow::Inline(Context::Header) => print::HEADER,
        };
        if self.is_super(&emit.expr) {
            return self.wrap(start, end, print::RAW);
        }
        self.value(&emit.expr, false);
        self.wrap(start, end, filter);
    }

    fn wrap(&mut self, start: usize, end: usize, filter: &str) {
        self.insert(start, 0, "(", start);
        self.insert(end, 3, format!(")|{filter}"), start);
    }

    /// `super()` of a block that overrides one: it has been written for this very place.
    fn is_super(&self, expr: &'s Expr<'s>) -> bool {
        self.has_super && matches!(expr, Expr::Call(call) if call.args.is_empty() && matches!(call.identify_call(), CallType::Function("super")))
    }

    /// What stands where a JSON value, a key or a piece of JSON is wanted. The formatter writes values; pieces are written as they are.
    fn print_json(&mut self, expr: &'s Expr<'s>) {
        match expr {
            Expr::Filter(filter) if filter.name == "tojson" && filter.expr.is_some() => {
                let (name, end) = (filter.span().start_offset as usize, filter.span().end_offset as usize);
                let pipe = self.source()[..name].rfind('|').unwrap_or(name);
                self.edit(pipe, 1, end, "", pipe);
                filter.args.iter().for_each(|arg| drop(self.argument(arg)));
                if let Some(of) = &filter.expr {
                    self.value(of, false);
                }
            }
            Expr::IfExpr(choice) => {
                self.value(&choice.test_expr, false);
                let guards = self.guarded.len();
                self.guard(&choice.test_expr);
                self.print_json(&choice.true_expr);
                self.guarded.truncate(guards);
                match &choice.false_expr {
                    Some(otherwise) => self.print_json(otherwise),
                    None if self.is_piece(&choice.true_expr) || is_punctuation(&choice.true_expr) => {}
                    None => {
                        let finding = self.wrong_at("json-context", choice.true_expr.span(), "an `if` without `else` prints nothing where a JSON value must stand");
                        self.find(finding.hint("add `else none`, or put `{% if %}` around the key as well"));
                    }
                }
            }
            Expr::Var(var) if self.look(var.id).is_some_and(|known| !known.captures.is_empty()) => {
                let known = self.look(var.id).cloned().unwrap_or_default();
                let at = self.place(var.span().start_offset as usize);
                for capture in known.captures {
                    self.captures[capture].as_json.get_or_insert(at.clone());
                }
            }
            Expr::Call(call) => self.print_call(expr, call),
            _ if is_punctuation(expr) => {
                let finding = self.wrong_at("json-context", expr.span(), "outside a JSON string this prints a JSON string, quotes included");
                self.find(finding.hint("write punctuation as template text: `{% if not loop.last %},{% endif %}`"));
            }
            _ => drop(self.value(expr, false)),
        }
    }

    /// Whether an expression is a piece of JSON that a block of the template wrote.
    fn is_piece(&mut self, expr: &'s Expr<'s>) -> bool {
        match expr {
            Expr::Call(call) => self.macro_call(call).is_some() || matches!(call.identify_call(), CallType::Function("caller")),
            Expr::Var(var) => self.look(var.id).is_some_and(|known| !known.captures.is_empty()),
            _ => false,
        }
    }

    fn print_call(&mut self, expr: &'s Expr<'s>, call: &'s Spanned<Call<'s>>) {
        if let Some(found) = self.macro_call(call) {
            let arguments = self.arguments(call);
            return self.call_macros(&found, call, &arguments, Mode::Json, None);
        }
        match call.identify_call() {
            CallType::Function("caller") if self.look("caller").is_some() => {
                self.arguments(call);
                if let Some(capture) = self.caller {
                    let at = self.place(call.span().start_offset as usize);
                    self.captures[capture].as_json.get_or_insert(at);
                }
            }
            CallType::Function("super") if self.is_super(expr) => {}
            // a recursive loop: its body starts where a value may stand, as this place does
            CallType::Function("loop") if self.loops.last().is_some_and(|start| start.mode() == Some(Mode::Json)) => drop(self.arguments(call)),
            _ => drop(self.value(expr, false)),
        }
    }

    pub(super) fn set_block(&mut self, block: &'s Spanned<SetBlock<'s>>) {
        if let Some(filter) = &block.filter {
            self.filter_chain(filter);
        }
        let capture = self.capture(Captured::Set(block));
        self.assign(&block.target, Known { captures: vec![capture], ..Known::default() });
    }

    /// `{% set x = m() %}`: as the block of that macro's text.
    pub(super) fn set_call(&mut self, target: &'s Expr<'s>, expr: &'s Expr<'s>) -> bool {
        let (Expr::Var(_), Expr::Call(call)) = (target, expr) else { return false };
        if self.macro_call(call).is_none() {
            return false;
        }
        let capture = self.capture(Captured::Call(expr));
        self.assign(target, Known { captures: vec![capture], ..Known::default() });
        true
    }

    pub(super) fn capture(&mut self, what: Captured<'s>) -> usize {
        let scope = self.scopes.clone();
        self.captures.push(Capture { what, region: self.region, scope, as_json: None, as_text: None, done: None });
        self.captures.len() - 1
    }

    /// Walks the captured blocks from `first` on, the last one first: by then it is known how each is used.
    pub(super) fn finish_captures(&mut self, first: usize) {
        for number in (first..self.captures.len()).rev() {
            let capture = &mut self.captures[number];
            if capture.done.is_some() {
                continue;
            }
            let mode = if capture.as_json.is_some() { Mode::Json } else { Mode::Text };
            capture.done = Some(mode);
            let (what, region) = (capture.what, capture.region);
            let scope = std::mem::take(&mut capture.scope);
            if let (Some(json), Some(text)) = (capture.as_json.clone(), capture.as_text.clone()) {
                let at = self.files[region.file].text.place(start_of(what));
                let finding = Finding::error("json-context", at, format!("this is printed as JSON ({json}) and used as text ({text})"));
                self.find(finding.hint("set two variables, one for each"));
            }
            self.finish(what, region, scope, mode);
        }
    }

    fn finish(&mut self, what: Captured<'s>, region: Region, scope: Vec<Frame<'s>>, mode: Mode) {
        let flow = if mode == Mode::Json { Flow::outside() } else { Flow::Text };
        let (loops, caller) = (self.loops.clone(), self.caller);
        self.elsewhere(region, scope, flow, |check| {
            check.loops = loops;
            check.caller = caller;
            match what {
                Captured::Set(block) => check.finish_set(block, mode),
                Captured::Call(expr) => match (expr, mode) {
                    (Expr::Call(call), Mode::Json) => check.print_call(expr, call),
                    _ => drop(check.value(expr, false)),
                },
                Captured::Caller(block) => {
                    let decl = &block.macro_decl;
                    decl.defaults.iter().for_each(|default| drop(check.value(default, false)));
                    check.scopes.push(Frame::new());
                    decl.args.iter().for_each(|arg| check.assign(arg, Known::default()));
                    check.body(&decl.body);
                    check.must_be_balanced(start_of(what), "this call block");
                }
            }
        });
    }

    fn finish_set(&mut self, block: &'s Spanned<SetBlock<'s>>, mode: Mode) {
        let start = block.span().start_offset as usize;
        match &block.filter {
            Some(_) if mode == Mode::Json => {
                let finding = self.wrong_at("json-context", block.target.span(), "a block that went through a filter is text; it cannot be printed as JSON");
                self.find(finding.hint("print it inside a JSON string, or with `| tojson` as one"));
            }
            Some(filter) => self.insert(first_filter(filter), 1, format!("{}|", print::PLAIN), start),
            None if mode == Mode::Text => self.insert(block.target.span().end_offset as usize, 1, format!("|{}", print::PLAIN), start),
            None => {}
        }
        self.body(&block.body);
        self.must_be_balanced(start, "this block");
    }

    /// Text that goes through a filter as a whole. Its result has a place only where text may stand.
    pub(super) fn filter_block(&mut self, block: &'s Spanned<FilterBlock<'s>>) {
        self.filter_chain(&block.filter);
        let (start, end) = (block.filter_span.start_offset as usize, block.filter_span.end_offset as usize);
        if let Some(wrap) = self.text_filter(start, end, "a filter block") {
            self.insert(start, 1, format!("{}|", print::PLAIN), start);
            self.insert(end, 3, format!("|{wrap}"), start);
        }
        let flow = std::mem::replace(&mut self.flow, Flow::Text);
        self.scopes.push(Frame::new());
        self.body(&block.body);
        self.scopes.pop();
        self.flow = flow;
    }

    /// The filter that puts a text into the place that is written now; a finding where no text may stand.
    fn text_filter(&mut self, start: usize, end: usize, what: &str) -> Option<&'static str> {
        Some(match self.flow.mode() {
            Some(Mode::InString) => print::STRING,
            Some(Mode::Text | Mode::Module) => print::TEXT,
            Some(Mode::Path) => print::PATH,
            Some(Mode::Query) => print::QUERY,
            Some(Mode::Header) => print::HEADER,
            Some(Mode::Json) | None => {
                let finding = self.wrong("json-context", start, end, format!("{what} writes text, which can only stand inside a JSON string"));
                self.find(finding.hint("put quotes around it, or filter the printed values"));
                return None;
            }
        })
    }

    fn filter_chain(&mut self, filter: &'s Expr<'s>) {
        if let Expr::Filter(filter) = filter {
            if let Some(inner) = &filter.expr {
                self.filter_chain(inner);
            }
            self.filter_name(filter.name, filter.span());
            filter.args.iter().for_each(|arg| drop(self.argument(arg)));
        }
    }

    /// `{% call m() %}…{% endcall %}`: prints a macro that prints the block.
    pub(super) fn call_block(&mut self, block: &'s Spanned<CallBlock<'s>>) {
        let Some(found) = self.macro_call(&block.call) else {
            let finding = self.wrong_at("unknown-function", block.call.span(), "a call block needs a macro that is defined or imported here");
            self.find(finding);
            return;
        };
        let mode = if self.flow.mode() == Some(Mode::Json) { Mode::Json } else { Mode::Text };
        if mode == Mode::Text {
            let word = block.span().start_offset as usize;
            let (open, close) = (tag_open(self.source(), word), tag_close(self.source(), block.span().end_offset as usize));
            if let Some(filter) = self.text_filter(word, word + "call".len(), "a call block") {
                let source = self.source();
                let trim_before = if source[open..].starts_with("{%-") { "-" } else { "" };
                let trim_after = if source[..close].ends_with("-%}") { "-" } else { "" };
                self.insert(open, 0, format!("{{%{trim_before} filter {}|{filter} %}}", print::PLAIN), word);
                self.insert(close, 3, format!("{{% endfilter {trim_after}%}}"), word);
            }
        }
        let arguments = self.arguments(&block.call);
        let caller = self.capture(Captured::Caller(block));
        self.call_macros(&found, &block.call, &arguments, mode, Some(caller));
    }

    /// A block must leave JSON as it found it: no string open.
    pub(super) fn must_be_balanced(&mut self, at: usize, what: &str) {
        if let Flow::Json(json) = self.flow
            && json.state != Lexical::Outside
        {
            let finding = self.wrong("json-context", json.opened.max(at), json.opened.max(at) + 1, format!("{what} leaves a JSON string open"));
            self.find(finding.hint("close it where it was opened"));
        }
    }
}

/// Text that only makes sense as a piece of JSON.
fn is_punctuation(expr: &Expr<'_>) -> bool {
    let Expr::Const(text) = expr else { return false };
    text.value.as_str().is_some_and(|text| !text.is_empty() && text.chars().all(|c| c.is_whitespace() || "{}[]:,".contains(c)))
}

/// Where the first filter of a chain starts.
fn first_filter(filter: &Expr<'_>) -> usize {
    match filter {
        Expr::Filter(filter) => match &filter.expr {
            Some(inner) => first_filter(inner),
            None => filter.span().start_offset as usize,
        },
        other => other.span().start_offset as usize,
    }
}

fn start_of(what: Captured<'_>) -> usize {
    let span = match what {
        Captured::Set(block) => block.target.span(),
        Captured::Call(expr) => expr.span(),
        Captured::Caller(block) => block.call.span(),
    };
    span.start_offset as usize
}

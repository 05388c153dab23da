//! Prints: what each `{{ … }}` is wrapped in so that it stays in its place, and the macros that are called.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{Call, CallArg, CallType, EmitExpr, Expr, Spanned};

use super::super::arity::Callable;
use super::super::print;
use super::super::rewrite::Mode;
use super::names;
use super::{Check, Flow, Frame, Known, MacroRef, Region};
use crate::config::Finding;

impl<'s> Check<'_, 's> {
    pub(super) fn print(&mut self, emit: &'s Spanned<EmitExpr<'s>>) {
        let Some(mode) = self.flow.mode() else {
            let finding = self.wrong_at("json-context", emit.expr.span(), "a value is printed in the middle of an escape sequence");
            return self.find(finding.hint("`\\` starts an escape in a JSON string: write `\\\\` for a backslash"));
        };
        // what a macro or a parent's block prints is in its place already; `tojson` is JSON already
        let ready = match &emit.expr {
            Expr::Call(call) => self.called_to_print(call, mode),
            Expr::Filter(filter) if filter.name == "tojson" && mode == Mode::Json => {
                self.value(&emit.expr, false);
                true
            }
            other => {
                self.value(other, false);
                false
            }
        };
        if let Some(wrapper) = wrapper(mode, ready)
            && !matches!(self.flow, Flow::Nowhere)
        {
            self.wrap(emit.expr.span(), wrapper);
        }
    }

    fn wrap(&mut self, span: Span, wrapper: &str) {
        let Some((begin, end)) = self.files[self.file].prints.around(span.start_offset as usize) else {
            let finding = self.wrong_at("json-context", span, "the context of this print cannot be worked out");
            return self.find(finding.hint("write it as a `{{ … }}` of its own"));
        };
        self.insert(begin, "(");
        self.insert(end, &format!(")|{wrapper}"));
    }

    /// A call that is the whole of a print. Answers whether what it gives is in its place already.
    fn called_to_print(&mut self, call: &'s Spanned<Call<'s>>, mode: Mode) -> bool {
        if let CallType::Function("super") = call.identify_call() {
            self.parent_block(call.span());
            return true;
        }
        match self.callee(call) {
            Some(callee) => {
                let uses = if mode == Mode::Json { Mode::Json } else { Mode::Text };
                self.call_macro(callee, call, uses);
                uses == Mode::Json
            }
            None => {
                self.call(call);
                false
            }
        }
    }

    /// The macro that is called, if one is.
    fn callee(&mut self, call: &'s Spanned<Call<'s>>) -> Option<MacroRef<'s>> {
        match call.identify_call() {
            CallType::Function(name) => self.look(name)?.callee,
            CallType::Method(Expr::Var(of), name) => {
                let module = self.look(of.id)?.module?;
                let found = self.macro_of(module, name);
                if found.is_none() {
                    let file = self.files[module].name;
                    let finding = self.wrong_at("unknown-function", call.span(), format!("`{file}` has no macro `{name}`"));
                    self.find(finding);
                }
                found
            }
            _ => None,
        }
    }

    /// A call whose result is used otherwise than being printed alone: of a macro, it is text.
    pub(super) fn call(&mut self, call: &'s Spanned<Call<'s>>) -> Known<'s> {
        if let Some(callee) = self.callee(call) {
            self.call_macro(callee, call, Mode::Text);
            return Known::default();
        }
        match call.identify_call() {
            CallType::Function(name) if self.look(name).is_some() => {}
            CallType::Function(name) => {
                self.function(name, call.span());
                self.counted(Callable::Function, name, &call.args, call.span());
            }
            CallType::Method(of, name) => {
                let module = self.known(of, false).module.is_some();
                if !module && !names::is_method(name) {
                    let finding = self.wrong_at("unknown-function", call.span(), format!("unknown method `{name}`"));
                    self.unknown(finding, name, &super::super::functions::METHODS, None);
                }
            }
            CallType::Block(name) => {
                let finding = self.wrong_at("unsupported", call.span(), format!("`self.{name}()` is not supported"));
                self.find(finding.hint("put what is printed twice into a partial and include it"));
            }
            CallType::Object(of) => drop(self.value(of, false)),
        }
        call.args.iter().for_each(|arg| drop(self.argument(arg)));
        Known::default()
    }

    fn function(&mut self, name: &str, span: Span) {
        let why = match name {
            _ if names::FUNCTIONS.contains(&name) => return,
            "caller" | "loop" => Some("call blocks and recursive loops are not supported: use a macro or an include"),
            "super" => Some("print it alone: `{{ super() }}`"),
            _ => None,
        };
        let finding = self.wrong_at("unknown-function", span, format!("unknown function `{name}`"));
        self.unknown(finding, name, &names::FUNCTIONS, why);
    }

    /// Walks a macro's body for the way it is used, once; a macro is either printed as JSON or used as text, never both.
    fn call_macro(&mut self, callee: MacroRef<'s>, call: &'s Spanned<Call<'s>>, mode: Mode) {
        self.macro_arguments(callee, call);
        let at = callee.decl.span().start_offset;
        match self.macro_modes.insert((callee.file, at), mode) {
            Some(before) if before != mode => {
                let message = format!("macro `{}` is printed as JSON in one place and used as text in another", callee.decl.name);
                let finding = self.wrong_at("json-context", call.span(), message);
                self.find(finding.hint("inside a JSON string, or with a filter, a macro gives text: use two macros"));
            }
            _ => self.macro_body(callee, mode),
        }
    }

    pub(super) fn macro_body(&mut self, callee: MacroRef<'s>, mode: Mode) {
        let at = callee.decl.span().start_offset;
        if self.stack.contains(&(callee.file, Some(at))) {
            return;
        }
        self.stack.push((callee.file, Some(at)));
        let around = (self.file, self.region, self.flow, std::mem::take(&mut self.loops), std::mem::take(&mut self.guarded));
        // a macro sees the roots and its own file's names, not its caller's
        let globals = vec![self.scopes[0].clone(), self.module_frame(callee.file), Frame::new()];
        let scopes = std::mem::replace(&mut self.scopes, globals);
        (self.file, self.region, self.flow) = (callee.file, Region::Macro, Flow::start(mode));
        for arg in &callee.decl.args {
            self.assign(arg, Known::default());
        }
        callee.decl.defaults.iter().for_each(|default| drop(self.value(default, false)));
        let start = self.flow;
        self.body(&callee.decl.body);
        if !self.flow.same(start) {
            let finding =
                self.wrong_at("json-context", callee.decl.span(), format!("macro `{}` leaves a JSON string open", callee.decl.name));
            self.find(finding);
        }
        (self.file, self.region, self.flow, self.loops, self.guarded) = around;
        self.scopes = scopes;
        self.stack.pop();
    }

    fn macro_arguments(&mut self, callee: MacroRef<'s>, call: &'s Spanned<Call<'s>>) {
        let names: Vec<&str> =
            callee.decl.args.iter().filter_map(|arg| if let Expr::Var(var) = arg { Some(var.id) } else { None }).collect();
        let positional = call.args.iter().filter(|arg| matches!(arg, CallArg::Pos(_))).count();
        if positional > names.len() {
            let message = format!("macro `{}` takes {} arguments, not {positional}", callee.decl.name, names.len());
            let finding = self.wrong_at("macro-arguments", call.span(), message);
            self.find(finding);
        }
        for arg in &call.args {
            if let CallArg::Kwarg(name, value) = arg
                && !names.contains(name)
            {
                let finding =
                    self.wrong_at("macro-arguments", value.span(), format!("macro `{}` has no argument `{name}`", callee.decl.name));
                self.unknown(finding, name, &names, None);
            }
            self.argument(arg);
        }
    }

    pub(super) fn unknown(&mut self, finding: Finding, name: &str, known: &[&str], refused: Option<&str>) {
        let finding = match (refused, names::closest(name, known.iter().copied())) {
            (Some(why), _) => finding.hint(why),
            (None, Some(name)) => finding.hint(format!("did you mean `{name}`?")),
            (None, None) => finding,
        };
        self.find(finding);
    }
}

/// The internal filter for a place; none where the formatter itself does what is right.
fn wrapper(mode: Mode, ready: bool) -> Option<&'static str> {
    Some(match mode {
        Mode::Json if !ready => return None,
        Mode::Json => print::RAW,
        Mode::InString | Mode::Text if ready => print::RAW,
        Mode::InString => print::STRING,
        Mode::Text => print::TEXT,
        Mode::Path => print::PATH,
        Mode::Query => print::QUERY,
        Mode::Header => print::HEADER,
    })
}

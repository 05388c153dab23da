//! Expressions: what they read, and the names in them that nothing knows.

use std::rc::Rc;

use minijinja::machinery::Span;
use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Filter, Spanned, Test, Var};

use super::super::arity::{Callable, wrong_call};
use super::names::{self, closest};
use super::{Check, Known};

impl<'s> Check<'_, 's> {
    /// An expression whose value is used: its paths are read.
    pub(super) fn value(&mut self, expr: &'s Expr<'s>, optional: bool) -> Known<'s> {
        let known = self.known(expr, optional);
        for path in &known.paths {
            self.read(path, whole(expr), optional);
        }
        if known.callee.is_some() {
            let finding = self.wrong_at("macro-arguments", expr.span(), "a macro can only be called");
            self.find(finding.hint("write its arguments behind it: `name()`"));
        }
        known
    }

    /// What an expression may be, without using it as a whole.
    pub(super) fn known(&mut self, expr: &'s Expr<'s>, optional: bool) -> Known<'s> {
        match expr {
            Expr::Var(var) => self.variable(var),
            Expr::Const(_) => Known::default(),
            Expr::GetAttr(attr) => {
                let of = self.known(&attr.expr, optional);
                self.fields(&of, attr.name, attr.span());
                match of.module {
                    Some(module) => self
                        .module_frame(module)
                        .into_iter()
                        .find(|(name, _)| *name == attr.name)
                        .map(|(_, known)| known)
                        .unwrap_or_default(),
                    None => of.child(attr.name),
                }
            }
            Expr::GetItem(item) => {
                let of = self.known(&item.expr, optional);
                match &item.subscript_expr {
                    Expr::Const(key) if key.value.as_str().is_some() => match key.value.as_str() {
                        Some(name) => of.child(name),
                        None => of,
                    },
                    other => {
                        self.value(other, false);
                        of.child("*")
                    }
                }
            }
            Expr::Slice(slice) => {
                let of = self.known(&slice.expr, optional);
                for part in [&slice.start, &slice.stop, &slice.step].into_iter().flatten() {
                    self.value(part, false);
                }
                Known::of_paths(of.paths)
            }
            Expr::UnaryOp(unary) => {
                self.value(&unary.expr, optional);
                Known::default()
            }
            Expr::BinOp(binary) => {
                let guards = self.guarded.len();
                self.value(&binary.left, false);
                if matches!(binary.op, BinOpKind::ScAnd) {
                    self.guard(&binary.left);
                }
                self.value(&binary.right, false);
                self.guarded.truncate(guards);
                Known::default()
            }
            Expr::Compare(compare) => {
                self.value(&compare.expr, false);
                compare.ops.iter().for_each(|op| drop(self.value(&op.expr, false)));
                Known::default()
            }
            Expr::IfExpr(choice) => {
                self.value(&choice.test_expr, false);
                let guards = self.guarded.len();
                self.guard(&choice.test_expr);
                let yes = self.known(&choice.true_expr, optional);
                self.guarded.truncate(guards);
                match &choice.false_expr {
                    Some(otherwise) => {
                        let no = self.known(otherwise, optional);
                        Known::of_paths(yes.paths.into_iter().chain(no.paths).collect())
                    }
                    None => yes,
                }
            }
            Expr::Filter(filter) => self.filter(filter, optional),
            Expr::Test(test) => self.test(test, optional),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.all(&list.items),
            Expr::Tuple(list) => self.all(&list.items),
            Expr::Map(map) => {
                self.all(&map.keys);
                self.all(&map.values)
            }
        }
    }

    fn all(&mut self, items: &'s [Expr<'s>]) -> Known<'s> {
        items.iter().for_each(|item| drop(self.value(item, false)));
        Known::default()
    }

    fn variable(&mut self, var: &'s Spanned<Var<'s>>) -> Known<'s> {
        if let Some(known) = self.look(var.id) {
            let known = known.clone();
            for path in &known.paths {
                if let [root] = path[..]
                    && let Some(root) = super::ROOTS.iter().find(|known| **known == root)
                {
                    let at = self.place(var.span().start_offset as usize);
                    self.out.roots.insert((root, at));
                }
            }
            return known;
        }
        if names::FUNCTIONS.contains(&var.id) {
            return Known::default();
        }
        let known: Vec<&str> = self.scopes.iter().flatten().map(|(name, _)| *name).collect();
        let hint = closest(var.id, known.iter().copied());
        let finding = self.wrong_at("unknown-variable", var.span(), format!("unknown variable `{}`", var.id));
        self.find(match hint {
            Some(name) => finding.hint(format!("did you mean `{name}`?")),
            None => finding.hint("templates see event, meta, consumer, delivery_id and, under each, item and index"),
        });
        Known::default()
    }

    /// `meta` and `consumer` have no other fields than these.
    fn fields(&mut self, of: &Known<'s>, name: &str, span: Span) {
        for path in &of.paths {
            let fields: &[&str] = match path[..] {
                ["meta"] => &names::META,
                ["consumer"] => &names::CONSUMER,
                _ => continue,
            };
            if !fields.contains(&name) {
                let root = path[0];
                let hint = match closest(name, fields.iter().copied()) {
                    Some(field) => format!("did you mean `{root}.{field}`?"),
                    None => format!("it has {}", fields.join(", ")),
                };
                let finding = self.wrong_at("unknown-variable", span, format!("`{root}` has no `{name}`"));
                self.find(finding.hint(hint));
            }
        }
    }

    pub(super) fn argument(&mut self, arg: &'s CallArg<'s>) -> Known<'s> {
        match arg {
            CallArg::Pos(expr) | CallArg::Kwarg(_, expr) | CallArg::PosSplat(expr) | CallArg::KwargSplat(expr) => self.value(expr, false),
        }
    }

    /// A finding for a call with too many arguments, too few, or unknown ones; what `*` and `**` give is not known.
    pub(super) fn counted(&mut self, of: Callable, name: &str, args: &'s [CallArg<'s>], span: Span) {
        if args.iter().any(|arg| matches!(arg, CallArg::PosSplat(_) | CallArg::KwargSplat(_))) {
            return;
        }
        let named: Vec<&str> = args.iter().filter_map(|arg| if let CallArg::Kwarg(name, _) = arg { Some(*name) } else { None }).collect();
        if let Some(wrong) = wrong_call(of, name, args.len() - named.len(), &named) {
            let finding = self.wrong_at("arguments", span, wrong.message);
            self.find(finding.hint(wrong.hint));
        }
    }

    fn filter(&mut self, filter: &'s Spanned<Filter<'s>>, optional: bool) -> Known<'s> {
        self.filter_name(filter.name, filter.span());
        self.counted(Callable::Filter, filter.name, &filter.args, filter.span());
        let of = filter.expr.as_ref().map(|expr| self.value(expr, optional || matches!(filter.name, "default" | "d"))).unwrap_or_default();
        filter.args.iter().for_each(|arg| drop(self.argument(arg)));
        self.named_in_arguments(filter);
        match filter.name {
            "first" | "last" | "min" | "max" => of.child("*"),
            "default" | "d" | "sort" | "list" | "reverse" | "unique" | "selectattr" | "rejectattr" | "select" | "reject" => {
                Known::of_paths(of.paths)
            }
            _ => Known::default(),
        }
    }

    /// `map("upper")`, `select("defined")`, `selectattr("x", "eq", 1)` name filters and tests as text.
    fn named_in_arguments(&mut self, filter: &'s Spanned<Filter<'s>>) {
        let text = |at: usize| match filter.args.get(at) {
            Some(CallArg::Pos(Expr::Const(name))) => name.value.as_str(),
            _ => None,
        };
        match filter.name {
            "map" => {
                if let Some(name) = text(0) {
                    self.filter_name(name, filter.span());
                }
            }
            "select" | "reject" => {
                if let Some(name) = text(0) {
                    self.test_name(name, filter.span());
                }
            }
            "selectattr" | "rejectattr" => {
                if let Some(name) = text(1) {
                    self.test_name(name, filter.span());
                }
            }
            _ => {}
        }
    }

    fn filter_name(&mut self, name: &str, span: Span) {
        if names::FILTERS.contains(&name) {
            return;
        }
        let finding = self.wrong_at("unknown-filter", span, format!("unknown filter `{name}`"));
        self.unknown(finding, name, &names::FILTERS, names::refused(name));
    }

    fn test_name(&mut self, name: &str, span: Span) {
        if !names::TESTS.contains(&name) {
            let finding = self.wrong_at("unknown-test", span, format!("unknown test `{name}`"));
            self.unknown(finding, name, &names::TESTS, None);
        }
    }

    fn test(&mut self, test: &'s Spanned<Test<'s>>, optional: bool) -> Known<'s> {
        self.test_name(test.name, test.span());
        self.counted(Callable::Test, test.name, &test.args, test.span());
        self.value(&test.expr, optional || matches!(test.name, "defined" | "undefined"));
        test.args.iter().for_each(|arg| drop(self.argument(arg)));
        Known::default()
    }

    /// Notes the paths that a condition shows to be there: `event.x is defined and …`.
    pub(super) fn guard(&mut self, condition: &'s Expr<'s>) {
        match condition {
            Expr::Test(test) if test.name == "defined" => {
                if let Some(path) = self.plain_path(&test.expr) {
                    self.guarded.push(path);
                }
            }
            Expr::BinOp(binary) if matches!(binary.op, BinOpKind::ScAnd) => {
                self.guard(&binary.left);
                self.guard(&binary.right);
            }
            _ => {}
        }
    }

    /// The path that an expression is, without reading it.
    fn plain_path(&self, expr: &'s Expr<'s>) -> Option<Rc<[&'s str]>> {
        match expr {
            Expr::Var(var) => self.look(var.id)?.paths.first().cloned(),
            Expr::GetAttr(attr) => Some(self.plain_path(&attr.expr)?.iter().copied().chain([attr.name]).collect()),
            Expr::GetItem(item) => match &item.subscript_expr {
                Expr::Const(key) => Some(self.plain_path(&item.expr)?.iter().copied().chain([key.value.as_str()?]).collect()),
                _ => None,
            },
            _ => None,
        }
    }
}

/// From where a path starts: the engine's span of a field is about its last name.
fn whole(expr: &Expr<'_>) -> Span {
    let of = match expr {
        Expr::GetAttr(attr) => &attr.expr,
        Expr::GetItem(item) => &item.expr,
        _ => return expr.span(),
    };
    Span { start_offset: whole(of).start_offset, ..expr.span() }
}

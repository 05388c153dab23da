//! Which paths of the event an expression reads, for looking them up in the schemas. Not for evaluating it.

use minijinja::machinery::ast::{BinOpKind, CallArg, CallType, Expr};
use minijinja::machinery::parse_expr;

use super::compile::LONGEST;
use super::place;
use crate::config::Located;
use crate::pipeline::template::Read;

/// The paths that start at `event` or `item`; none of a text that is no expression, or too long for one: those have findings.
pub(in crate::pipeline) fn reads(text: &Located<String>) -> Vec<Read> {
    let mut reader = Reader { text, reads: Vec::new() };
    if text.value.len() <= LONGEST
        && let Ok(parsed) = parse_expr(&text.value)
    {
        reader.walk(&parsed, false);
    }
    reader.reads
}

/// The path that an expression is, if it is one and nothing else.
pub(in crate::pipeline) fn plain_path(text: &Located<String>) -> Option<Vec<String>> {
    // what cannot be parsed has its finding where it is compiled
    let parsed = Some(&text.value).filter(|text| text.len() <= LONGEST).and_then(|text| parse_expr(text).ok())?;
    path(&parsed).map(|(path, _)| path)
}

/// The names of a path, `*` for an element or a member that is worked out, and where the path starts.
fn path(expr: &Expr<'_>) -> Option<(Vec<String>, u32)> {
    let (of, name) = match expr {
        Expr::Var(var) => return Some((vec![var.id.to_owned()], var.span().start_offset)),
        Expr::GetAttr(get) => (&get.expr, get.name),
        Expr::GetItem(get) => (
            &get.expr,
            match &get.subscript_expr {
                Expr::Const(key) => key.value.as_str().unwrap_or("*"),
                _ => "*",
            },
        ),
        _ => return None,
    };
    let (mut names, start) = path(of)?;
    names.push(name.to_owned());
    Some((names, start))
}

struct Reader<'a> {
    text: &'a Located<String>,
    reads: Vec<Read>,
}

impl Reader<'_> {
    /// `optional`: the expression copes with a path that is not there, and says so.
    fn walk(&mut self, expr: &Expr<'_>, optional: bool) {
        if let Some((names, start)) = path(expr) {
            let end = expr.span().end_offset.max(start);
            let width = self.text.value.get(start as usize..end as usize).map_or(1, |part| part.chars().count());
            if matches!(names[0].as_str(), "event" | "item") {
                let path = names.iter().map(|name| name.as_str().into()).collect();
                self.reads.push(Read { path, at: place(self.text, start), width, guarded: optional });
            }
        }
        match expr {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::GetAttr(get) => self.below(&get.expr),
            Expr::GetItem(get) => {
                self.below(&get.expr);
                self.walk(&get.subscript_expr, false);
            }
            Expr::Slice(slice) => {
                self.walk(&slice.expr, optional);
                [&slice.start, &slice.stop, &slice.step].into_iter().flatten().for_each(|part| self.walk(part, false));
            }
            Expr::UnaryOp(unary) => self.walk(&unary.expr, optional),
            Expr::BinOp(binary) => {
                let asks = matches!(binary.op, BinOpKind::Eq | BinOpKind::Ne) && (is_null(&binary.left) || is_null(&binary.right));
                [&binary.left, &binary.right].into_iter().for_each(|side| self.walk(side, asks));
            }
            Expr::Compare(compare) => {
                let asks = is_null(&compare.expr) || compare.ops.iter().any(|part| is_null(&part.expr));
                std::iter::once(&compare.expr).chain(compare.ops.iter().map(|part| &part.expr)).for_each(|side| self.walk(side, asks));
            }
            Expr::IfExpr(choice) => {
                self.walk(&choice.test_expr, false);
                self.walk(&choice.true_expr, optional);
                choice.false_expr.iter().for_each(|otherwise| self.walk(otherwise, optional));
            }
            Expr::Filter(filter) => {
                filter.expr.iter().for_each(|input| self.walk(input, optional || matches!(filter.name, "default" | "d")));
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                self.walk(&test.expr, optional || matches!(test.name, "defined" | "undefined" | "none"));
                self.arguments(&test.args);
            }
            Expr::Call(call) => {
                match call.identify_call() {
                    CallType::Method(of, _) | CallType::Object(of) => self.walk(of, false),
                    CallType::Function(_) | CallType::Block(_) => {}
                }
                self.arguments(&call.args);
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.walk(item, false)),
            Expr::Tuple(list) => list.items.iter().for_each(|item| self.walk(item, false)),
            Expr::Map(map) => map.keys.iter().chain(&map.values).for_each(|part| self.walk(part, false)),
        }
    }

    /// What a path is taken from; a shorter path is read with the longer one.
    fn below(&mut self, expr: &Expr<'_>) {
        match expr {
            Expr::GetItem(get) => {
                self.below(&get.expr);
                self.walk(&get.subscript_expr, false);
            }
            Expr::GetAttr(get) => self.below(&get.expr),
            Expr::Var(_) => {}
            other => self.walk(other, false),
        }
    }

    fn arguments(&mut self, args: &[CallArg<'_>]) {
        for arg in args {
            match arg {
                CallArg::Pos(value) | CallArg::Kwarg(_, value) | CallArg::PosSplat(value) | CallArg::KwargSplat(value) => {
                    self.walk(value, false);
                }
            }
        }
    }
}

/// `x == none` asks whether x is missing.
fn is_null(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Const(constant) => constant.value.is_none(),
        Expr::Var(var) => var.id == "null",
        _ => false,
    }
}

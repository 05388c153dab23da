//! Text → expression: minijinja's parser, then our own checks, each finding at its place in the YAML file.

use minijinja::Value;
use minijinja::machinery::ast::{BinOpKind, Call, CallArg, CallType, CompareOpKind, Expr, UnaryOpKind};
use minijinja::machinery::{Span, parse_expr};

use super::operators::{Arithmetic, Comparison};
use super::{Arguments, Expression, Node, Offset, Root, Step, place};
use crate::config::{Finding, Findings, Located};
use crate::pipeline::json::Hint;
use crate::pipeline::template::Templates;
use crate::pipeline::template::arity::{Callable, wrong_call};

/// Which root names an expression may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Available {
    /// All but `item` and `index`.
    Event,
    /// Under `each`.
    Element,
}

/// Bytes of one expression, far fewer operators than a thread's stack has room for.
pub(super) const LONGEST: usize = 4 << 10;

const META: [&str; 8] = ["source", "topic", "partition", "offset", "timestamp", "headers", "schema_version", "revision"];

/// Compiles an expression; None where it has findings, which are pushed.
pub(in crate::pipeline) fn compile(
    text: &Located<String>,
    available: Available,
    templates: &Templates,
    findings: &mut Findings,
) -> Option<Expression> {
    if text.value.len() > LONGEST {
        let finding = Finding::error("expression-syntax", text.at.clone(), format!("the expression is longer than {LONGEST} bytes"));
        findings.push(finding.hint("a transform has room for more"));
        return None;
    }
    let parsed = match parse_expr(&text.value) {
        Ok(parsed) => parsed,
        Err(error) => {
            let at = place(text, error.range().map_or(0, |range| range.start as u32));
            let detail = error.detail().unwrap_or("it cannot be read");
            findings.push(Finding::error("expression-syntax", at, format!("not an expression: {detail}")));
            return None;
        }
    };
    let mut compiler = Compiler { text, available, templates, findings, uses_element: false, wrong: false };
    let node = compiler.node(&parsed);
    let (uses_element, wrong) = (compiler.uses_element, compiler.wrong);
    (!wrong).then(|| Expression { node, text: text.clone(), uses_element })
}

struct Compiler<'a> {
    text: &'a Located<String>,
    available: Available,
    templates: &'a Templates,
    findings: &'a mut Findings,
    uses_element: bool,
    wrong: bool,
}

impl Compiler<'_> {
    fn wrong(&mut self, code: &'static str, span: Span, message: String, hint: Option<String>) -> Node {
        self.wrong = true;
        let width = self.text.value.get(span.start_offset as usize..span.end_offset as usize).map_or(1, |part| part.chars().count());
        let mut finding = Finding::error(code, place(self.text, span.start_offset), message).width(width);
        finding.hint = hint;
        self.findings.push(finding);
        Node::Constant(Value::UNDEFINED)
    }

    fn boxed(&mut self, expr: &Expr<'_>) -> Box<Node> {
        Box::new(self.node(expr))
    }

    fn node(&mut self, expr: &Expr<'_>) -> Node {
        let at = start(expr);
        match expr {
            Expr::Const(constant) => Node::Constant(constant.value.clone()),
            Expr::Var(name) => self.root(name.id, name.span()),
            Expr::GetAttr(get) => {
                let of = self.node(&get.expr);
                self.known_field(&of, get.name, get.span());
                step(of, Step::Key(Hint::new(get.name)))
            }
            Expr::GetItem(get) => {
                let of = self.node(&get.expr);
                match literal_step(&get.subscript_expr) {
                    Some(key) => step(of, key),
                    None => Node::Item(Box::new(of), self.boxed(&get.subscript_expr)),
                }
            }
            Expr::UnaryOp(unary) => match unary.op {
                UnaryOpKind::Not => Node::Not(self.boxed(&unary.expr)),
                UnaryOpKind::Neg => Node::Negative(self.boxed(&unary.expr), at),
            },
            Expr::BinOp(binary) => {
                let (left, right) = (self.boxed(&binary.left), self.boxed(&binary.right));
                binary_node(binary.op, left, right, at)
            }
            Expr::Compare(compare) => {
                // `a < b < c` is `a < b and b < c`; evaluating b twice shows nowhere.
                let mut left = &compare.expr;
                let mut whole: Option<Node> = None;
                for part in &compare.ops {
                    let link = compare_node(part.op, self.boxed(left), self.boxed(&part.expr), at);
                    whole = Some(match whole {
                        Some(before) => Node::And(Box::new(before), Box::new(link)),
                        None => link,
                    });
                    left = &part.expr;
                }
                whole.unwrap_or_else(|| self.node(&compare.expr))
            }
            Expr::IfExpr(choice) => Node::If {
                test: self.boxed(&choice.test_expr),
                then: self.boxed(&choice.true_expr),
                otherwise: choice.false_expr.as_ref().map(|otherwise| self.boxed(otherwise)),
            },
            Expr::Filter(filter) => {
                if !self.templates.has_filter(filter.name) {
                    let hint = suggestion(filter.name, FILTERS, |name| self.templates.has_filter(name));
                    return self.wrong("unknown-filter", filter.span(), format!("there is no filter `{}`", filter.name), hint);
                }
                let Some(input) = &filter.expr else {
                    return self.wrong("expression-syntax", filter.span(), "a filter needs a value before its `|`".to_owned(), None);
                };
                let input = self.boxed(input);
                let arguments = self.arguments(&filter.args, filter.span());
                self.counted(Callable::Filter, filter.name, &arguments, filter.span());
                Node::Filter { name: filter.name.into(), input, arguments, at }
            }
            Expr::Test(test) => {
                if !self.templates.has_test(test.name) {
                    let hint = suggestion(test.name, TESTS, |name| self.templates.has_test(name));
                    return self.wrong("unknown-test", test.span(), format!("there is no test `{}`", test.name), hint);
                }
                let input = self.boxed(&test.expr);
                let arguments = self.arguments(&test.args, test.span());
                self.counted(Callable::Test, test.name, &arguments, test.span());
                Node::Test { name: test.name.into(), input, arguments, at }
            }
            Expr::Call(call) => self.call(call, call.span()),
            Expr::List(list) => Node::List(list.items.iter().map(|item| self.node(item)).collect()),
            Expr::Tuple(tuple) => Node::List(tuple.items.iter().map(|item| self.node(item)).collect()),
            Expr::Map(map) => Node::Map(map.keys.iter().zip(&map.values).map(|(key, value)| (self.node(key), self.node(value))).collect()),
            Expr::Slice(slice) => self.wrong(
                "expression-syntax",
                slice.span(),
                "an expression takes no slices".to_owned(),
                Some("a transform does: use `transform:` in place of columns".to_owned()),
            ),
        }
    }

    fn root(&mut self, name: &str, span: Span) -> Node {
        let root = match name {
            "event" => Root::Event,
            "meta" => Root::Meta,
            "consumer" => Root::Consumer,
            "delivery_id" => Root::DeliveryId,
            "item" | "index" if self.available == Available::Element => {
                self.uses_element = true;
                if name == "item" { Root::Item } else { Root::Index }
            }
            "item" | "index" => {
                return self.wrong("unknown-name", span, format!("`{name}` is only known under a route's `each`"), None);
            }
            "null" => return Node::Constant(Value::UNDEFINED),
            _ => {
                let roots = ["event", "meta", "consumer", "delivery_id", "item", "index"];
                let hint = suggestion(name, &roots, |_| true).unwrap_or_else(|| format!("a field of the event is `event.{name}`"));
                return self.wrong("unknown-name", span, format!("there is no `{name}` here"), Some(hint));
            }
        };
        Node::Path(root, Vec::new())
    }

    /// `meta` and `consumer` are ours: what they do not have is a slip.
    fn known_field(&mut self, of: &Node, name: &str, span: Span) {
        let known: &[&str] = match of {
            Node::Path(Root::Meta, steps) if steps.is_empty() => &META,
            Node::Path(Root::Consumer, steps) if steps.is_empty() => &["name"],
            _ => return,
        };
        if !known.contains(&name) {
            let hint = suggestion(name, known, |_| true).unwrap_or_else(|| format!("it has {}", known.join(", ")));
            self.wrong("unknown-name", span, format!("there is no `{name}` here"), Some(hint));
        }
    }

    fn call(&mut self, call: &Call<'_>, span: Span) -> Node {
        let at = span.start_offset;
        match call.identify_call() {
            CallType::Function(name) => {
                let Some(function) = self.templates.function(name) else {
                    let hint = suggestion(name, FUNCTIONS, |name| self.templates.function(name).is_some());
                    return self.wrong("unknown-function", span, format!("there is no function `{name}`"), hint);
                };
                let arguments = self.arguments(&call.args, span);
                self.counted(Callable::Function, name, &arguments, span);
                Node::Function { name: name.into(), function, arguments, at }
            }
            CallType::Method(of, name) => {
                let input = self.boxed(of);
                let arguments = self.arguments(&call.args, span);
                Node::Method { name: name.into(), input, arguments, at }
            }
            CallType::Block(_) | CallType::Object(_) => self.wrong("expression-syntax", span, "this cannot be called".to_owned(), None),
        }
    }

    fn counted(&mut self, of: Callable, name: &str, arguments: &Arguments, span: Span) {
        let named: Vec<&str> = arguments.named.iter().map(|(name, _)| &**name).collect();
        if let Some(wrong) = wrong_call(of, name, arguments.positional.len(), &named) {
            self.wrong("arguments", span, wrong.message, Some(wrong.hint));
        }
    }

    fn arguments(&mut self, written: &[CallArg<'_>], span: Span) -> Arguments {
        let mut arguments = Arguments { positional: Vec::new(), named: Vec::new() };
        for argument in written {
            match argument {
                CallArg::Pos(value) => arguments.positional.push(self.node(value)),
                CallArg::Kwarg(name, value) => arguments.named.push(((*name).into(), self.node(value))),
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
                    self.wrong("expression-syntax", span, "an expression takes no `*` arguments".to_owned(), None);
                }
            }
        }
        arguments
    }
}

fn step(of: Node, step: Step) -> Node {
    match of {
        Node::Path(root, mut steps) => {
            steps.push(step);
            Node::Path(root, steps)
        }
        other => Node::Step(Box::new(other), step),
    }
}

/// Where an expression starts: minijinja's span of an operator is about the operator.
fn start(expr: &Expr<'_>) -> Offset {
    match expr {
        Expr::BinOp(binary) => start(&binary.left),
        Expr::Compare(compare) => start(&compare.expr),
        Expr::GetAttr(get) => start(&get.expr),
        Expr::GetItem(get) => start(&get.expr),
        _ => expr.span().start_offset,
    }
}

/// A subscript that is written out.
fn literal_step(subscript: &Expr<'_>) -> Option<Step> {
    let value = subscript.as_const()?;
    match (value.as_str(), value.as_i64()) {
        (Some(key), _) => Some(Step::Key(Hint::new(key))),
        (None, Some(index)) => Some(Step::Index(index)),
        _ => None,
    }
}

fn binary_node(op: BinOpKind, left: Box<Node>, right: Box<Node>, at: Offset) -> Node {
    let how = match op {
        BinOpKind::ScAnd => return Node::And(left, right),
        BinOpKind::ScOr => return Node::Or(left, right),
        BinOpKind::Concat => return Node::Concat(left, right, at),
        BinOpKind::Eq => return compare_node(CompareOpKind::Eq, left, right, at),
        BinOpKind::Ne => return compare_node(CompareOpKind::Ne, left, right, at),
        BinOpKind::Lt => return compare_node(CompareOpKind::Lt, left, right, at),
        BinOpKind::Lte => return compare_node(CompareOpKind::Lte, left, right, at),
        BinOpKind::Gt => return compare_node(CompareOpKind::Gt, left, right, at),
        BinOpKind::Gte => return compare_node(CompareOpKind::Gte, left, right, at),
        BinOpKind::In => return compare_node(CompareOpKind::In, left, right, at),
        BinOpKind::Add => Arithmetic::Add,
        BinOpKind::Sub => Arithmetic::Subtract,
        BinOpKind::Mul => Arithmetic::Multiply,
        BinOpKind::Div => Arithmetic::Divide,
        BinOpKind::FloorDiv => Arithmetic::FloorDivide,
        BinOpKind::Rem => Arithmetic::Remainder,
        BinOpKind::Pow => Arithmetic::Power,
    };
    Node::Arithmetic(how, left, right, at)
}

fn compare_node(op: CompareOpKind, left: Box<Node>, right: Box<Node>, at: Offset) -> Node {
    let how = match op {
        CompareOpKind::In => return Node::In(left, right, at),
        CompareOpKind::NotIn => return Node::Not(Box::new(Node::In(left, right, at))),
        CompareOpKind::Eq => Comparison::Equal,
        CompareOpKind::Ne => Comparison::NotEqual,
        CompareOpKind::Lt => Comparison::Less,
        CompareOpKind::Lte => Comparison::LessOrEqual,
        CompareOpKind::Gt => Comparison::Greater,
        CompareOpKind::Gte => Comparison::GreaterOrEqual,
    };
    Node::Compare(how, left, right, at)
}

/// Names that a slip is looked up in; only those that are really there are suggested.
const FILTERS: &[&str] = &[
    "abs",
    "default",
    "d",
    "first",
    "float",
    "int",
    "join",
    "last",
    "length",
    "count",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "sha256",
    "hmac_sha256",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
    "capitalize",
    "items",
    "keys",
    "values",
    "mask",
    "bool",
    "strftime",
    "dateformat",
    "timeformat",
    "base64",
    "b64encode",
];
const TESTS: &[&str] = &[
    "defined",
    "undefined",
    "none",
    "string",
    "number",
    "integer",
    "float",
    "boolean",
    "true",
    "false",
    "mapping",
    "sequence",
    "iterable",
    "odd",
    "even",
    "divisibleby",
    "startingwith",
    "endingwith",
    "in",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "lower",
    "upper",
    "containing",
];
const FUNCTIONS: &[&str] = &["now", "uuid4", "uuid5", "range", "dict", "namespace", "sha256", "hmac_sha256", "mask"];

fn suggestion(written: &str, names: &[&str], there: impl Fn(&str) -> bool) -> Option<String> {
    let near = |name: &&&str| strsim::normalized_damerau_levenshtein(name, written) >= 0.6 && there(name);
    let best = names
        .iter()
        .filter(near)
        .max_by(|a, b| strsim::normalized_damerau_levenshtein(a, written).total_cmp(&strsim::normalized_damerau_levenshtein(b, written)))?;
    Some(format!("did you mean `{best}`?"))
}

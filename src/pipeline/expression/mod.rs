//! Expressions (`when`, `columns`, `each`, `key`): minijinja's expression syntax with rules of its own, compiled once a set.
//!
//! - A path that is missing at any depth is null, and so is JSON null; null is false.
//! - An operator or filter with a null operand is null. Not so `==`, `!=`, `in`, `not`, `and`, `or`, `is` and the filter `default`, which answer for null:
//!   `x == none` asks whether x is missing, `x is defined` whether it is not.
//! - Comparing different types fails (`"2" < 3`, `true == 1`), numbers with numbers apart; so does doing sums with what is no number. `in` on a list
//!   only looks for an equal element: one of another type is not equal.
//! - Integers are exact; a sum that does not fit 128 bits fails, and so does a division by zero. `a / b` is a float.
//! - A number that is copied keeps its digits.
//!
//! Filters, tests and functions are those of the templates.

mod compile;
mod eval;
mod found;
mod operators;
mod reads;
mod types;

#[cfg(test)]
mod tests;

use minijinja::Value;

use super::json::Hint;
use super::view::View;
use crate::config::{Located, Place};

pub(super) use compile::{Available, compile};
pub(super) use found::Found;
use operators::{Arithmetic, Comparison};
pub(super) use reads::{plain_path, reads};

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Expression {
    node: Node,
    text: Located<String>,
    uses_element: bool,
}

/// Why an expression has no value for one event. The message never holds one of the event's values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub(super) struct Failure {
    pub at: Place,
    pub message: String,
}

/// What a path starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Event,
    Meta,
    Consumer,
    DeliveryId,
    Item,
    Index,
}

#[derive(Debug)]
pub(super) enum Step {
    Key(Hint),
    /// From the end where negative.
    Index(i64),
}

/// `Offset` is where in the text, in bytes.
type Offset = u32;

#[derive(Debug)]
enum Node {
    Constant(Value),
    Path(Root, Vec<Step>),
    Step(Box<Node>, Step),
    Item(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negative(Box<Node>, Offset),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If { test: Box<Node>, then: Box<Node>, otherwise: Option<Box<Node>> },
    Compare(Comparison, Box<Node>, Box<Node>, Offset),
    In(Box<Node>, Box<Node>, Offset),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>, Offset),
    Concat(Box<Node>, Box<Node>, Offset),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Filter { name: Box<str>, input: Box<Node>, arguments: Arguments, at: Offset },
    Test { name: Box<str>, input: Box<Node>, arguments: Arguments, at: Offset },
    Function { name: Box<str>, function: Value, arguments: Arguments, at: Offset },
    Method { name: Box<str>, input: Box<Node>, arguments: Arguments, at: Offset },
}

#[derive(Debug)]
struct Arguments {
    positional: Vec<Node>,
    named: Vec<(Box<str>, Node)>,
}

impl Expression {
    /// Its value for one event.
    pub fn evaluate<'a>(&self, view: &View<'a>) -> Result<Found<'a>, Failure> {
        eval::evaluate(&self.node, view).map_err(|(offset, message)| Failure { at: place(&self.text, offset), message })
    }

    /// Whether it holds; null does not.
    pub fn holds(&self, view: &View<'_>) -> Result<bool, Failure> {
        Ok(self.evaluate(view)?.is_true())
    }

    /// Whether it asks for `item` or `index`.
    pub fn uses_element(&self) -> bool {
        self.uses_element
    }

    /// Where it starts.
    pub fn at(&self) -> &Place {
        &self.text.at
    }

    /// A path and nothing else: from where, and its steps.
    pub fn path(&self) -> Option<(Root, &[Step])> {
        match &self.node {
            Node::Path(root, steps) => Some((*root, steps)),
            _ => None,
        }
    }
}

/// Where a part of an expression stands in its file. A scalar of several lines is placed as a whole: how YAML folded it is not known here.
fn place(text: &Located<String>, offset: Offset) -> Place {
    let before = text.value.get(..offset as usize).unwrap_or_default();
    if text.value.trim_end().contains('\n') || text.at.line == 0 {
        return text.at.clone();
    }
    Place { column: text.at.column + before.chars().count() as u32, ..text.at.clone() }
}

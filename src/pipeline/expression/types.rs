//! What an expression's value will be, as far as the schemas and its operators tell.

use super::operators::Arithmetic;
use super::{Expression, Node, Root, Step};
use crate::pipeline::ColumnType;

impl Expression {
    /// The type of its value; None where nothing tells. `path` knows what the schemas say of a path.
    pub fn result_type(&self, path: &dyn Fn(Root, &[Step]) -> Option<ColumnType>) -> Option<ColumnType> {
        result(&self.node, path)
    }
}

fn result(node: &Node, path: &dyn Fn(Root, &[Step]) -> Option<ColumnType>) -> Option<ColumnType> {
    let of = |node: &Node| result(node, path);
    match node {
        Node::Path(root, steps) => path(*root, steps),
        Node::Constant(value) if value.is_undefined() || value.is_none() => None,
        Node::Constant(value) if value.is_integer() => Some(ColumnType::Integer),
        Node::Constant(value) if value.is_number() => Some(ColumnType::Double),
        Node::Constant(value) if value.as_str().is_some() => Some(ColumnType::Text),
        Node::Constant(_) | Node::Not(_) | Node::Compare(..) | Node::In(..) | Node::Test { .. } => Some(ColumnType::Boolean),
        Node::And(left, right) | Node::Or(left, right) => one_type(of(left), of(right)),
        Node::If { then, otherwise, .. } => one_type(of(then), otherwise.as_ref().and_then(|otherwise| of(otherwise))),
        Node::Filter { name, input, arguments, .. } => match &**name {
            "default" | "d" => one_type(of(input), arguments.positional.first().and_then(of)),
            "int" | "length" | "count" => Some(ColumnType::Integer),
            "float" => Some(ColumnType::Double),
            "bool" => Some(ColumnType::Boolean),
            "list" | "map" | "sort" | "unique" | "split" | "keys" | "values" | "items" | "select" | "reject" => Some(ColumnType::Json),
            _ => Some(ColumnType::Text),
        },
        Node::Negative(operand, _) => of(operand),
        Node::Arithmetic(Arithmetic::Divide, ..) => Some(ColumnType::Double),
        Node::Arithmetic(_, left, right, _) => match (of(left), of(right)) {
            (Some(ColumnType::Integer), Some(ColumnType::Integer)) => Some(ColumnType::Integer),
            (Some(ColumnType::Text), _) | (_, Some(ColumnType::Text)) => Some(ColumnType::Text),
            _ => Some(ColumnType::Double),
        },
        Node::List(_) | Node::Map(_) => Some(ColumnType::Json),
        Node::Concat(..) | Node::Method { .. } | Node::Function { .. } | Node::Step(..) | Node::Item(..) => Some(ColumnType::Text),
    }
}

/// One of two values: a type only where they agree.
fn one_type(a: Option<ColumnType>, b: Option<ColumnType>) -> Option<ColumnType> {
    match (a, b) {
        (Some(a), Some(b)) if a == b => Some(a),
        (Some(ColumnType::Integer), Some(ColumnType::Double)) | (Some(ColumnType::Double), Some(ColumnType::Integer)) => {
            Some(ColumnType::Double)
        }
        (Some(_), Some(_)) => Some(ColumnType::Text),
        (a, b) => a.or(b),
    }
}

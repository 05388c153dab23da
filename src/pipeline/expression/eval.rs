//! An expression's value for one event.

use indexmap::IndexMap;
use minijinja::value::Kwargs;
use minijinja::{Error, State, Value};

use super::found::{Found, Type};
use super::operators;
use super::{Arguments, Node, Offset, Root, Step};
use crate::pipeline::json::Kind;
use crate::pipeline::view::View;

/// Where in the text it failed, and why.
type Failed = (Offset, String);

pub(super) fn evaluate<'a>(node: &Node, view: &View<'a>) -> Result<Found<'a>, Failed> {
    let truth = |holds: bool| Found::Value(Value::from(holds));
    Ok(match node {
        Node::Constant(value) => Found::Value(value.clone()),
        Node::Path(root, steps) => steps.iter().fold(start(*root, view), |at, step| follow(at, step)),
        Node::Step(of, step) => follow(evaluate(of, view)?, step),
        Node::Item(of, key) => item(evaluate(of, view)?, &evaluate(key, view)?),
        Node::Not(operand) => truth(!evaluate(operand, view)?.is_true()),
        Node::Negative(operand, at) => operators::negative(&evaluate(operand, view)?).map(Found::Value).map_err(|why| (*at, why))?,
        Node::And(left, right) => {
            let left = evaluate(left, view)?;
            if left.is_true() { evaluate(right, view)? } else { left }
        }
        Node::Or(left, right) => {
            let left = evaluate(left, view)?;
            if left.is_true() { left } else { evaluate(right, view)? }
        }
        Node::If { test, then, otherwise } => match (evaluate(test, view)?.is_true(), otherwise) {
            (true, _) => evaluate(then, view)?,
            (false, Some(otherwise)) => evaluate(otherwise, view)?,
            (false, None) => Found::NULL,
        },
        Node::Compare(how, left, right, at) => {
            let answer = operators::compare(*how, &evaluate(left, view)?, &evaluate(right, view)?).map_err(|why| (*at, why))?;
            answer.map_or(Found::NULL, truth)
        }
        Node::In(wanted, container, at) => {
            let wanted = evaluate(wanted, view)?;
            truth(operators::contains(&evaluate(container, view)?, &wanted).map_err(|why| (*at, why))?)
        }
        Node::Arithmetic(how, left, right, at) => {
            let result = operators::arithmetic(*how, &evaluate(left, view)?, &evaluate(right, view)?);
            Found::Value(result.map_err(|why| (*at, why))?)
        }
        Node::Concat(left, right, at) => concat(&evaluate(left, view)?, &evaluate(right, view)?, view).map_err(|why| (*at, why))?,
        Node::List(items) => {
            let items: Result<Vec<Value>, Failed> = items.iter().map(|item| value(item, view)).collect();
            Found::Value(Value::from(items?))
        }
        Node::Map(members) => {
            let mut object = IndexMap::with_capacity(members.len());
            for (key, member) in members {
                object.insert(Value::from(value(key, view)?.to_string()), value(member, view)?);
            }
            Found::Value(Value::from(object))
        }
        Node::Filter { name, input, arguments, at } => {
            let input = evaluate(input, view)?;
            // Null in, null out; `default` is there to answer for null.
            if input.is_null() && !matches!(&**name, "default" | "d") {
                return Ok(Found::NULL);
            }
            let arguments = collect(Some(input.into_value(view.event())), arguments, view)?;
            called(&format!("the filter `{name}`"), *at, in_state(view, |state| state.apply_filter(name, &arguments)))?
        }
        Node::Test { name, input, arguments, at } => {
            let input = evaluate(input, view)?;
            match (&**name, input.is_null()) {
                ("defined", null) => return Ok(truth(!null)),
                ("undefined" | "none", null) => return Ok(truth(null)),
                _ => {}
            }
            let arguments = collect(Some(input.into_value(view.event())), arguments, view)?;
            called(&format!("the test `{name}`"), *at, in_state(view, |state| state.perform_test(name, &arguments).map(Value::from)))?
        }
        Node::Function { name, function, arguments, at } => {
            let arguments = collect(None, arguments, view)?;
            called(&format!("the function `{name}`"), *at, in_state(view, |state| function.call(state, &arguments)))?
        }
        Node::Method { name, input, arguments, at } => {
            let input = evaluate(input, view)?;
            if input.is_null() {
                return Ok(Found::NULL);
            }
            let input = input.into_value(view.event());
            let arguments = collect(None, arguments, view)?;
            called(&format!("the method `{name}`"), *at, in_state(view, |state| input.call_method(state, name, &arguments)))?
        }
    })
}

fn value(node: &Node, view: &View<'_>) -> Result<Value, Failed> {
    Ok(evaluate(node, view)?.into_value(view.event()))
}

fn start<'a>(root: Root, view: &View<'a>) -> Found<'a> {
    match root {
        Root::Event => Found::Tape(view.event().root()),
        Root::Meta => Found::Value(view.seen.meta()),
        Root::Consumer => Found::Value(view.consumer.clone()),
        Root::DeliveryId => view.scope().root("delivery_id").map_or(Found::NULL, Found::Value),
        Root::Item => view.element.as_ref().map_or(Found::NULL, |(item, _)| item.clone()),
        Root::Index => view.element.as_ref().map_or(Found::NULL, |(_, index)| Found::Value(Value::from(*index))),
    }
}

fn follow<'a>(of: Found<'a>, step: &Step) -> Found<'a> {
    match (of, step) {
        (Found::Tape(at), Step::Key(key)) => at.get_hinted(key).map_or(Found::NULL, Found::Tape),
        (Found::Tape(at), Step::Index(index)) => element(at, *index),
        (Found::Value(value), Step::Key(key)) => Found::Value(value.get_attr(key.key()).unwrap_or_default()),
        (Found::Value(value), Step::Index(index)) => by_key(&value, &Value::from(*index)),
    }
}

fn element(at: crate::pipeline::json::Cursor<'_>, index: i64) -> Found<'_> {
    if at.kind() != Kind::Array {
        return Found::NULL;
    }
    let from_start = if index < 0 { index + at.len() as i64 } else { index };
    usize::try_from(from_start).ok().and_then(|index| at.element(index)).map_or(Found::NULL, Found::Tape) // before the first: not there
}

fn item<'a>(of: Found<'a>, key: &Found<'a>) -> Found<'a> {
    match (of, key.as_str(), key.as_integer()) {
        (Found::Tape(at), Some(key), _) => at.get(key).map_or(Found::NULL, Found::Tape),
        (Found::Tape(at), None, Some(index)) => i64::try_from(index).map_or(Found::NULL, |index| element(at, index)),
        (Found::Value(value), Some(key), _) => by_key(&value, &Value::from(key)),
        (Found::Value(value), None, Some(index)) => by_key(&value, &Value::from(index)),
        _ => Found::NULL,
    }
}

/// A string has no items here, as it has none in JSON.
fn by_key<'a>(of: &Value, key: &Value) -> Found<'a> {
    if of.as_str().is_some() {
        return Found::NULL;
    }
    Found::Value(of.get_item(key).unwrap_or_default())
}

fn concat<'a>(left: &Found<'a>, right: &Found<'a>, view: &View<'a>) -> Result<Found<'a>, String> {
    if left.is_null() || right.is_null() {
        return Ok(Found::NULL);
    }
    let text = |side: &Found<'a>| match side.kind() {
        Type::List | Type::Object | Type::Other => Err(format!("`~` cannot put {} into a string", side.type_name())),
        _ => side.text(view.event()).map(std::borrow::Cow::into_owned).ok_or_else(|| "`~` met a number that is not finite".to_owned()),
    };
    Ok(Found::Value(Value::from(text(left)? + &text(right)?)))
}

fn collect(first: Option<Value>, arguments: &Arguments, view: &View<'_>) -> Result<Vec<Value>, Failed> {
    let mut values: Vec<Value> = first.into_iter().collect();
    for argument in &arguments.positional {
        values.push(value(argument, view)?);
    }
    if !arguments.named.is_empty() {
        let named: Result<Kwargs, Failed> = arguments.named.iter().map(|(name, node)| Ok((name.to_string(), value(node, view)?))).collect();
        values.push(named?.into());
    }
    Ok(values)
}

fn in_state<T>(view: &View<'_>, call: impl FnOnce(&mut State<'_, '_>) -> T) -> T {
    call(&mut view.templates.state(view.scope()))
}

/// What a filter says of its failure may hold the value it was given: only the kind of it is passed on.
fn called<'a>(what: &str, at: Offset, result: Result<Value, Error>) -> Result<Found<'a>, Failed> {
    match result {
        Ok(value) => Ok(Found::Value(value)),
        Err(error) => Err((at, format!("{what} failed: {}", error.kind()))),
    }
}

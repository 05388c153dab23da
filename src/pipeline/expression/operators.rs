//! What operators do with two values.

use std::cmp::Ordering;

use minijinja::Value;

use super::found::{Found, Type};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
}

/// None: null.
pub(super) fn compare(how: Comparison, left: &Found<'_>, right: &Found<'_>) -> Result<Option<bool>, String> {
    let ordered = |matches: fn(Ordering) -> bool| -> Result<Option<bool>, String> {
        if left.is_null() || right.is_null() {
            return Ok(None);
        }
        match order(left, right) {
            Some(ordering) => Ok(Some(matches(ordering))),
            None => Err(format!("{} cannot be compared with {}", left.type_name(), right.type_name())),
        }
    };
    match how {
        Comparison::Equal => equal(left, right).map(Some),
        Comparison::NotEqual => equal(left, right).map(|same| Some(!same)),
        Comparison::Less => ordered(Ordering::is_lt),
        Comparison::LessOrEqual => ordered(Ordering::is_le),
        Comparison::Greater => ordered(Ordering::is_gt),
        Comparison::GreaterOrEqual => ordered(Ordering::is_ge),
    }
}

fn equal(left: &Found<'_>, right: &Found<'_>) -> Result<bool, String> {
    match (left.kind(), right.kind()) {
        (Type::Null, Type::Null) => Ok(true),
        (Type::Null, _) | (_, Type::Null) => Ok(false),
        (a, b) if a == b => Ok(same(left, right)),
        (a, b) => Err(format!("{} cannot be compared with {}", a.named(), b.named())),
    }
}

/// Equality of any two values, those of different types being unequal.
fn same(left: &Found<'_>, right: &Found<'_>) -> bool {
    match (left.kind(), right.kind()) {
        (Type::Null, Type::Null) => true,
        (Type::Boolean, Type::Boolean) => left.is_true() == right.is_true(),
        (Type::Number, Type::Number) => order(left, right) == Some(Ordering::Equal),
        (Type::String, Type::String) => left.as_str() == right.as_str(),
        (Type::List, Type::List) => match (left.elements(), right.elements()) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same(a, b)),
            _ => false,
        },
        (Type::Object, Type::Object) => match (members(left), members(right)) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().all(|(key, a)| b.iter().any(|(other, b)| key == other && same(a, b))),
            _ => false,
        },
        _ => false,
    }
}

fn members<'a>(of: &Found<'a>) -> Option<Vec<(String, Found<'a>)>> {
    match of {
        Found::Tape(at) => Some(at.members().map(|(key, value)| (key.to_owned(), Found::Tape(value))).collect()),
        Found::Value(value) => {
            let keys = value.try_iter().ok()?; // what cannot be walked equals nothing
            keys.map(|key| Some((key.as_str()?.to_owned(), Found::Value(value.get_item(&key).ok()?)))).collect()
        }
    }
}

/// None for values that have no order: of different types, or of a type without one.
fn order(left: &Found<'_>, right: &Found<'_>) -> Option<Ordering> {
    match (left.kind(), right.kind()) {
        (Type::Number, Type::Number) => match (left.as_integer(), right.as_integer()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        (Type::String, Type::String) => Some(left.as_str()?.cmp(right.as_str()?)),
        _ => None,
    }
}

/// Whether a list has an equal element, an object the key, or a string the part.
pub(super) fn contains(container: &Found<'_>, wanted: &Found<'_>) -> Result<bool, String> {
    match container.kind() {
        Type::Null => Ok(false),
        Type::List => Ok(container.elements().is_some_and(|elements| elements.iter().any(|element| same(element, wanted)))),
        Type::String => match (container.as_str(), wanted.as_str()) {
            (Some(text), Some(part)) => Ok(text.contains(part)),
            _ if wanted.is_null() => Ok(false),
            _ => Err(format!("{} cannot be in a string", wanted.type_name())),
        },
        Type::Object => match (container, wanted.as_str()) {
            (Found::Tape(at), Some(key)) => Ok(at.get(key).is_some()),
            (Found::Value(value), Some(key)) => Ok(value.get_item(&Value::from(key)).is_ok_and(|found| !found.is_undefined())),
            (_, None) if wanted.is_null() => Ok(false),
            (_, None) => Err(format!("{} cannot be a key of an object", wanted.type_name())),
        },
        other => Err(format!("nothing can be in {}", other.named())),
    }
}

/// Sums; `+` also puts strings together. Null with anything is null.
pub(super) fn arithmetic(how: Arithmetic, left: &Found<'_>, right: &Found<'_>) -> Result<Value, String> {
    if left.is_null() || right.is_null() {
        return Ok(Value::UNDEFINED);
    }
    if how == Arithmetic::Add
        && let (Some(a), Some(b)) = (left.as_str(), right.as_str())
    {
        return Ok(Value::from(format!("{a}{b}")));
    }
    if left.kind() != Type::Number || right.kind() != Type::Number {
        return Err(format!("no sums with {} and {}", left.type_name(), right.type_name()));
    }
    if let (Some(a), Some(b)) = (left.as_integer(), right.as_integer())
        && let Some(exact) = integers(how, a, b)?
    {
        return Ok(i64::try_from(exact).map_or_else(|_| Value::from(exact), Value::from));
    }
    let (Some(a), Some(b)) = (left.as_f64(), right.as_f64()) else { return Err("a number that no float comes near".to_owned()) };
    let result = match how {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide | Arithmetic::FloorDivide | Arithmetic::Remainder if b == 0.0 => return Err("a division by zero".to_owned()),
        Arithmetic::Divide => a / b,
        Arithmetic::FloorDivide => (a / b).floor(),
        Arithmetic::Remainder => a.rem_euclid(b),
        Arithmetic::Power => a.powf(b),
    };
    if result.is_finite() { Ok(Value::from(result)) } else { Err("a result that is no finite number".to_owned()) }
}

/// None where the result is a float: `/`, and a negative power.
fn integers(how: Arithmetic, a: i128, b: i128) -> Result<Option<i128>, String> {
    let exact = match how {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::FloorDivide | Arithmetic::Remainder if b == 0 => return Err("a division by zero".to_owned()),
        // Rounds down as Python and Jinja do; `div_euclid` alone would differ for a negative divisor.
        Arithmetic::FloorDivide => a.checked_div(b).map(|q| if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q }),
        Arithmetic::Remainder => a.checked_rem_euclid(b),
        Arithmetic::Power => match u32::try_from(b) {
            Ok(exponent) => a.checked_pow(exponent),
            Err(_) => return Ok(None),
        },
        Arithmetic::Divide => return Ok(None),
    };
    exact.map(Some).ok_or_else(|| "a result too large for an integer".to_owned())
}

pub(super) fn negative(operand: &Found<'_>) -> Result<Value, String> {
    match operand.kind() {
        Type::Null => Ok(Value::UNDEFINED),
        Type::Number => arithmetic(Arithmetic::Subtract, &Found::Value(Value::from(0)), operand),
        other => Err(format!("no sums with {}", other.named())),
    }
}

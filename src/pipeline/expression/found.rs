//! A value that an expression came to: still on the tape where it was only copied.

use std::borrow::Cow;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use crate::pipeline::event::{Event, Part};
use crate::pipeline::json::{Cursor, Kind, write_string, write_value};

#[derive(Debug, Clone)]
pub(in crate::pipeline) enum Found<'a> {
    /// In the event at hand.
    Tape(Cursor<'a>),
    Value(Value),
}

/// The types that comparing tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Boolean,
    Number,
    String,
    List,
    Object,
    /// What JSON has no word for: bytes, functions.
    Other,
}

impl Type {
    /// With its article, for messages.
    pub fn named(self) -> &'static str {
        match self {
            Type::Null => "null",
            Type::Boolean => "a boolean",
            Type::Number => "a number",
            Type::String => "a string",
            Type::List => "a list",
            Type::Object => "an object",
            Type::Other => "a value that is not JSON",
        }
    }
}

impl<'a> Found<'a> {
    pub const NULL: Found<'static> = Found::Value(Value::UNDEFINED);

    pub(super) fn kind(&self) -> Type {
        match self {
            Found::Tape(at) => match at.kind() {
                Kind::Null => Type::Null,
                Kind::True | Kind::False => Type::Boolean,
                Kind::Int | Kind::UInt | Kind::Big | Kind::Float => Type::Number,
                Kind::Plain | Kind::Escaped => Type::String,
                Kind::Array => Type::List,
                Kind::Object => Type::Object,
            },
            Found::Value(value) => match value.kind() {
                ValueKind::Undefined | ValueKind::None => Type::Null,
                ValueKind::Bool => Type::Boolean,
                ValueKind::Number => Type::Number,
                ValueKind::String => Type::String,
                ValueKind::Seq | ValueKind::Iterable => Type::List,
                ValueKind::Map => Type::Object,
                _ => Type::Other,
            },
        }
    }

    /// A type for messages, with its article.
    pub fn type_name(&self) -> &'static str {
        self.kind().named()
    }

    pub fn is_null(&self) -> bool {
        match self {
            Found::Tape(at) => at.is_null(),
            Found::Value(value) => value.is_undefined() || value.is_none(),
        }
    }

    pub fn is_list(&self) -> bool {
        self.kind() == Type::List
    }

    /// Null, false, zero and what is empty do not hold.
    pub fn is_true(&self) -> bool {
        match self {
            Found::Tape(at) => match at.kind() {
                Kind::Null | Kind::False => false,
                Kind::True => true,
                Kind::Int | Kind::UInt | Kind::Big | Kind::Float => at.as_f64() != Some(0.0),
                Kind::Plain | Kind::Escaped => at.as_str() != Some(""),
                Kind::Object | Kind::Array => at.len() > 0,
            },
            Found::Value(value) => value.is_true(),
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Found::Tape(at) => at.as_str(),
            Found::Value(value) => value.as_str(),
        }
    }

    pub(super) fn as_integer(&self) -> Option<i128> {
        match self {
            Found::Tape(at) => at.as_integer(),
            Found::Value(value) if value.is_integer() => i128::try_from(value.clone()).ok(), // past 128 bits: a float will do
            Found::Value(_) => None,
        }
    }

    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Found::Tape(at) => at.as_f64(),
            Found::Value(value) if value.is_number() => f64::try_from(value.clone()).ok(), // no float comes near it: no number
            Found::Value(_) => None,
        }
    }

    /// As templates see it; null is undefined, so that `default` and `is defined` answer for it.
    pub fn into_value(self, event: &Arc<Event>) -> Value {
        match self {
            Found::Tape(at) if at.is_null() => Value::UNDEFINED,
            Found::Tape(at) => event.value_at(at),
            Found::Value(value) if value.is_none() => Value::UNDEFINED,
            Found::Value(value) => value,
        }
    }

    /// The elements of a list; None where it is none.
    pub fn elements(&self) -> Option<Vec<Found<'a>>> {
        match self {
            Found::Tape(at) if at.kind() == Kind::Array => Some(at.elements().map(Found::Tape).collect()),
            Found::Value(value) if self.is_list() => Some(value.try_iter().ok()?.map(Found::Value).collect()), // a list can be walked
            _ => None,
        }
    }

    /// A string as it is, a number's digits, `true` or `false`: what a key is made of. None for null, lists and objects.
    pub fn text(&self, event: &Event) -> Option<Cow<'_, str>> {
        match (self, self.kind()) {
            (_, Type::String) => self.as_str().map(Cow::Borrowed),
            (_, Type::Boolean) => Some(Cow::Borrowed(if self.is_true() { "true" } else { "false" })),
            (Found::Tape(at), Type::Number) => at.number_text().map(Cow::Borrowed),
            (Found::Value(value), Type::Number) => number(value, event).map(Cow::Owned),
            _ => None,
        }
    }

    /// Appends it as JSON.
    ///
    /// # Errors
    /// The name of what JSON cannot say.
    pub fn write(&self, event: &Event, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Found::Tape(at) => {
                write_value(*at, out);
                Ok(())
            }
            Found::Value(value) => write(value, event, out),
        }
    }
}

fn write(value: &Value, event: &Event, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if let Some(part) = value.downcast_object_ref::<Part>() {
        part.write(out);
        return Ok(());
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => out.extend_from_slice(b"null"),
        ValueKind::Bool => out.extend_from_slice(if value.is_true() { b"true" } else { b"false" }),
        ValueKind::Number => out.extend_from_slice(number(value, event).ok_or("a number that is not finite")?.as_bytes()),
        ValueKind::String => write_string(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push(b'[');
            for (position, element) in value.try_iter().map_err(|_| "a list that cannot be walked")?.enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write(&element, event, out)?;
            }
            out.push(b']');
        }
        ValueKind::Map => {
            out.push(b'{');
            for (position, key) in value.try_iter().map_err(|_| "an object that cannot be walked")?.enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_string(key.as_str().ok_or("an object with a key that is no string")?, out);
                out.push(b':');
                write(&value.get_item(&key).unwrap_or_default(), event, out)?;
            }
            out.push(b'}');
        }
        _ => return Err("a value that is not JSON"),
    }
    Ok(())
}

/// A number in JSON: with the event's digits where it has them.
fn number(value: &Value, event: &Event) -> Option<String> {
    if value.is_integer() {
        return Some(value.to_string());
    }
    let float = f64::try_from(value.clone()).ok()?; // every number that is no integer is a float
    match event.digits(float) {
        Some(digits) => Some(digits.to_owned()),
        None => serde_json::Number::from_f64(float).map(|number| number.to_string()),
    }
}

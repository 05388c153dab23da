//! Writes values as JSON, as the inside of a JSON string, or as plain text. Numbers keep the digits of their event.

use std::fmt::{self, Write};

use minijinja::Value;
use minijinja::value::ValueKind;

use super::scope::Scope;

/// How deep lists and objects may nest in a payload.
const MAX_DEPTH: usize = 128;

/// Why a value has no JSON form. Never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwritable {
    /// The writer refused: the payload is over its limit.
    Full,
    Undefined,
    NotFinite,
    NotData,
    BadKey,
    TooDeep,
}

impl Unwritable {
    pub(super) fn message(self) -> &'static str {
        match self {
            Unwritable::Full => "the payload is over the limit",
            Unwritable::Undefined => "undefined value",
            Unwritable::NotFinite => "a number that is not finite has no JSON form",
            Unwritable::NotData => "a function or macro has no JSON form",
            Unwritable::BadKey => "an object's key must be text, a whole number or a boolean",
            Unwritable::TooDeep => "lists and objects are nested too deep",
        }
    }
}

impl From<fmt::Error> for Unwritable {
    fn from(_: fmt::Error) -> Unwritable {
        Unwritable::Full
    }
}

/// Where the digits of a number are looked up; asked for only where a value holds a float.
pub(super) type ScopeOf<'a> = &'a dyn Fn() -> Option<Scope>;

/// Writes a value as JSON, keys in their order.
pub(super) fn value(out: &mut dyn Write, value: &Value, scope: ScopeOf<'_>) -> Result<(), Unwritable> {
    nested(out, value, scope, 0)
}

fn nested(out: &mut dyn Write, value: &Value, scope: ScopeOf<'_>, depth: usize) -> Result<(), Unwritable> {
    if let Some(text) = value.as_str() {
        return Ok(string(out, text)?);
    }
    if depth > MAX_DEPTH {
        return Err(Unwritable::TooDeep);
    }
    match value.kind() {
        ValueKind::None => out.write_str("null")?,
        ValueKind::Bool | ValueKind::Number => scalar(out, value, scope)?,
        ValueKind::Undefined => return Err(Unwritable::Undefined),
        ValueKind::Seq | ValueKind::Iterable => {
            out.write_char('[')?;
            for (n, item) in value.try_iter().map_err(|_| Unwritable::NotData)?.enumerate() {
                if n > 0 {
                    out.write_char(',')?;
                }
                nested(out, &item, scope, depth + 1)?;
            }
            out.write_char(']')?;
        }
        ValueKind::Map => {
            out.write_char('{')?;
            for (n, name) in value.try_iter().map_err(|_| Unwritable::NotData)?.enumerate() {
                if n > 0 {
                    out.write_char(',')?;
                }
                key(out, &name, scope)?;
                out.write_char(':')?;
                nested(out, &value.get_item(&name).map_err(|_| Unwritable::NotData)?, scope, depth + 1)?;
            }
            out.write_char('}')?;
        }
        _ => return Err(Unwritable::NotData),
    }
    Ok(())
}

fn key(out: &mut dyn Write, name: &Value, scope: ScopeOf<'_>) -> Result<(), Unwritable> {
    if let Some(text) = name.as_str() {
        return Ok(string(out, text)?);
    }
    if !(name.kind() == ValueKind::Bool || name.is_integer()) {
        return Err(Unwritable::BadKey);
    }
    out.write_char('"')?;
    scalar(out, name, scope)?;
    Ok(out.write_char('"')?)
}

/// Writes a boolean or a number; whole numbers are exact, a float has the digits of its event or else its shortest.
pub(super) fn scalar(out: &mut dyn Write, value: &Value, scope: ScopeOf<'_>) -> Result<(), Unwritable> {
    if value.kind() == ValueKind::Bool {
        return Ok(out.write_str(if value.is_true() { "true" } else { "false" })?);
    }
    if value.is_integer() {
        return match value.as_i64() {
            Some(small) => Ok(out.write_str(itoa::Buffer::new().format(small))?),
            None => Ok(write!(out, "{value}")?),
        };
    }
    let number = f64::try_from(value.clone()).map_err(|_| Unwritable::NotData)?;
    if !number.is_finite() {
        return Err(Unwritable::NotFinite);
    }
    if let Some(scope) = scope()
        && let Some(digits) = scope.digits(number)
    {
        return Ok(out.write_str(digits)?);
    }
    let shortest = serde_json::Number::from_f64(number).ok_or(Unwritable::NotFinite)?;
    Ok(write!(out, "{shortest}")?)
}

/// Writes text as a JSON string, quotes included.
pub(super) fn string(out: &mut dyn Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    inside_string(out, text)?;
    out.write_char('"')
}

/// Writes text so that it stays inside the JSON string it is put into.
pub(super) fn inside_string(out: &mut dyn Write, text: &str) -> fmt::Result {
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.write_str(&text[done..at])?;
        match byte {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            _ => write!(out, "\\u{byte:04x}")?,
        }
        done = at + 1;
    }
    out.write_str(&text[done..])
}

/// A writer that escapes what it is given into the JSON string around it.
pub(super) struct InsideString<'a>(pub(super) &'a mut dyn Write);

impl Write for InsideString<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        inside_string(self.0, text)
    }
}

/// Writes a value as plain text: a string as it is, a list or object as JSON. Null has no text.
pub(super) fn text(out: &mut dyn Write, of: &Value, scope: ScopeOf<'_>) -> Result<(), Unwritable> {
    match of.as_str() {
        Some(text) => Ok(out.write_str(text)?),
        None => value(out, of, scope),
    }
}

//! How a printed value is kept in its place: the formatter for values, and one internal filter for every other place that `{{ … }}` can stand in.

use minijinja::value::{Object, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::said;
use super::json::{self, Unwritable};
use super::scope::Scope;

/// The names that `rewrite` wraps prints in. No template can call them: the check knows only the public names.
pub(super) const STRING: &str = "__string";
pub(super) const TEXT: &str = "__text";
pub(super) const RAW: &str = "__raw";
pub(super) const PATH: &str = "__path";
pub(super) const QUERY: &str = "__query";
pub(super) const HEADER: &str = "__header";

/// What may stand unencoded in a path segment or a query value: RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A value on its way from an internal filter to the formatter. Made by nothing else, so nothing in an event can pass for one.
#[derive(Debug)]
enum Printed {
    /// Is escaped into the JSON string around it.
    InString(Value),
    /// Is written as it is: its place takes plain text.
    Raw(Value),
    Encoded(String),
}

impl Object for Printed {}

pub(super) fn install(env: &mut Environment<'static>) {
    env.set_formatter(format);
    env.add_filter(STRING, |value: &Value| printable(value).map(|()| Value::from_object(Printed::InString(value.clone()))));
    env.add_filter(TEXT, |value: &Value| printable(value).map(|()| Value::from_object(Printed::Raw(value.clone()))));
    env.add_filter(RAW, |value: &Value| Value::from_object(Printed::Raw(value.clone())));
    env.add_filter(PATH, |state: &State, value: &Value| path(state, value));
    env.add_filter(QUERY, |state: &State, value: &Value| {
        let text = scalar_text(state, value, "a query value")?;
        Ok::<_, Error>(Value::from_object(Printed::Encoded(utf8_percent_encode(&text, RESERVED).to_string())))
    });
    env.add_filter(HEADER, |state: &State, value: &Value| header(state, value));
}

/// Writes what `{{ … }}` came to.
fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if let Some(text) = value.as_str() {
        return json::string(out, text).map_err(Error::from);
    }
    let scope = || Scope::of(state).ok();
    let written = match value.downcast_object_ref::<Printed>() {
        None => json::value(out, value, &scope),
        Some(Printed::InString(value)) => json::text(&mut json::InsideString(out), value, &scope),
        Some(Printed::Raw(value)) => json::text(out, value, &scope),
        Some(Printed::Encoded(text)) => out.write_str(text).map_err(Unwritable::from),
    };
    written.map_err(|why| match why {
        Unwritable::Full => Error::from(std::fmt::Error),
        Unwritable::Undefined => Error::from(ErrorKind::UndefinedError),
        why => said(why.message()),
    })
}

/// Null has no text, and undefined never has.
fn printable(value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => Err(said("null printed into text; write `| default('', true)` where that is meant")),
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        _ => Ok(()),
    }
}

/// The text of a string, number or boolean.
fn scalar_text<'v>(state: &State, value: &'v Value, place: &str) -> Result<std::borrow::Cow<'v, str>, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().into()),
        ValueKind::Number | ValueKind::Bool => {
            let mut text = String::new();
            json::scalar(&mut text, value, &|| Scope::of(state).ok()).map_err(|why| said(why.message()))?;
            Ok(text.into())
        }
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => Err(said(format!("null printed into {place}"))),
        _ => Err(said(format!("only text, numbers and booleans can be printed into {place}"))),
    }
}

fn path(state: &State, value: &Value) -> Result<Value, Error> {
    let text = scalar_text(state, value, "a request path")?;
    if text.is_empty() {
        return Err(said("an empty text printed into a request path"));
    }
    if matches!(&*text, "." | "..") {
        return Err(said("`.` or `..` printed into a request path"));
    }
    Ok(Value::from_object(Printed::Encoded(utf8_percent_encode(&text, RESERVED).to_string())))
}

fn header(state: &State, value: &Value) -> Result<Value, Error> {
    let text = scalar_text(state, value, "a header")?;
    if text.chars().any(char::is_control) {
        return Err(said("a line break or control character printed into a header"));
    }
    Ok(Value::from_object(Printed::Encoded(text.into_owned())))
}

/// `tojson` where it is not the last word of a print: compact JSON as text.
pub(super) fn tojson(state: &State, value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    json::value(&mut text, value, &|| Scope::of(state).ok()).map_err(|why| match why {
        Unwritable::Undefined => Error::from(ErrorKind::UndefinedError),
        why => said(why.message()),
    })?;
    Ok(text)
}

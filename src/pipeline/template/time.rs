//! Times as templates write and read them: RFC 3339 in UTC with milliseconds.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, Value};

use super::error::said;

/// `2026-11-23T18:15:00.000Z`: sorts as text.
pub fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

pub(super) fn install(env: &mut Environment<'static>) {
    env.add_filter("iso", |value: &Value| read(value).map(rfc3339));
    env.add_filter("epoch_ms", |value: &Value| read(value).map(Timestamp::as_millisecond));
    env.add_filter("strftime", strftime);
    env.add_filter("dateformat", |value: &Value, kwargs: Kwargs| strftime(value, "%Y-%m-%d", kwargs));
}

/// `event.timestamp | strftime("%d.%m.%Y", tz="Europe/Amsterdam")`; UTC where no zone is given.
fn strftime(value: &Value, format: &str, kwargs: Kwargs) -> Result<String, Error> {
    let zone = match kwargs.get::<Option<&str>>("tz")? {
        None | Some("UTC") => TimeZone::UTC,
        Some(name) => TimeZone::get(name).map_err(|_| said(format!("unknown time zone `{name}`")))?,
    };
    kwargs.assert_all_used()?;
    let at = read(value)?.to_zoned_datetime(zone);
    jiff::fmt::strtime::format(format, &at).map_err(|_| said(format!("`{format}` is not a time format")))
}

/// A time of an event: RFC 3339 text, or milliseconds since 1970.
fn read(value: &Value) -> Result<Timestamp, Error> {
    let at = match value.kind() {
        ValueKind::String => value.as_str().and_then(|text| text.parse().ok()),
        ValueKind::Number => value.as_i64().and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        ValueKind::Undefined => return Err(Error::from(minijinja::ErrorKind::UndefinedError)),
        _ => None,
    };
    at.ok_or_else(|| said("not a time: RFC 3339 text or whole milliseconds since 1970 are"))
}

//! Where in an event its name, version, id, user and time are, ready to be read.

use jiff::Timestamp;

use super::Violation;
use super::json::{Cursor, Hint, Kind};
use crate::config::{Envelope, JsonPointer};

/// A source's envelope with its pointers prepared.
#[derive(Debug)]
pub(super) struct EnvelopeReader {
    name: Places,
    version: Places,
    id: Places,
    user: Places,
    anonymous: Places,
    time: Places,
}

/// What the envelope says of one event.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub name: &'a str,
    pub version: Option<u32>,
    /// Text, or the digits of a number.
    pub id: Option<&'a str>,
    pub user: Option<&'a str>,
    pub anonymous: Option<&'a str>,
    pub time: Option<Timestamp>,
}

impl EnvelopeReader {
    pub fn new(envelope: &Envelope) -> EnvelopeReader {
        EnvelopeReader {
            name: Places::new(&envelope.name),
            version: Places::new(&envelope.version),
            id: Places::new(&envelope.id),
            user: Places::new(&envelope.user),
            anonymous: Places::new(&envelope.anonymous),
            time: Places::new(&envelope.time),
        }
    }

    /// # Errors
    /// Where there is no usable name, or a version that is none.
    pub fn read<'a>(&self, event: Cursor<'a>) -> Result<Header<'a>, Violation> {
        let name = match self.name.find(event).map(|found| found.as_str()) {
            Some(Some(name)) if !name.is_empty() => name,
            Some(_) => return Err(bad_envelope(&self.name, "the event's name must be a non-empty string")),
            None => return Err(bad_envelope(&self.name, "the event has no name")),
        };
        let version = match self.version.find(event) {
            None => None,
            Some(found) => match version(found) {
                Some(version) => Some(version),
                None => return Err(bad_envelope(&self.version, "the version must be an integer from 1, or a string of its digits")),
            },
        };
        Ok(Header {
            name,
            version,
            id: self.id.find(event).and_then(identifier),
            user: self.user.find(event).and_then(identifier),
            anonymous: self.anonymous.find(event).and_then(identifier),
            time: self.time.find(event).and_then(time),
        })
    }

    /// What can be told of an event's name and version even where the envelope is bad.
    pub fn glimpse<'a>(&self, event: Cursor<'a>) -> (Option<&'a str>, Option<u32>) {
        (self.name.find(event).and_then(|found| found.as_str()), self.version.find(event).and_then(version))
    }
}

fn bad_envelope(places: &Places, message: &str) -> Violation {
    Violation { path: places.first_pointer(), keyword: "bad_envelope".to_owned(), message: message.to_owned() }
}

fn version(at: Cursor<'_>) -> Option<u32> {
    let number = match at.as_str() {
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?, // empty or too long: no version
        Some(_) => return None,
        None => u32::try_from(at.as_integer()?).ok()?, // negative or too large: no version
    };
    (number > 0).then_some(number)
}

/// An id that is empty, or no text and no number, would make different events one: it counts as missing.
fn identifier(at: Cursor<'_>) -> Option<&str> {
    match at.as_str() {
        Some(text) => (!text.is_empty()).then_some(text),
        None => at.number_text(),
    }
}

/// RFC 3339, or a number: seconds since 1970 below 10¹¹ (the year 5138), milliseconds from there (1973). A time that cannot be read counts as missing.
fn time(at: Cursor<'_>) -> Option<Timestamp> {
    const FIRST_MILLISECONDS: f64 = 1e11;
    if let Some(text) = at.as_str() {
        return text.parse().ok();
    }
    if at.kind() == Kind::Int {
        let number = i64::try_from(at.as_integer()?).ok()?; // an Int is an i64
        return if number.unsigned_abs() as f64 >= FIRST_MILLISECONDS {
            Timestamp::from_millisecond(number).ok()
        } else {
            Timestamp::from_second(number).ok()
        };
    }
    let number = at.as_f64()?;
    let milliseconds = if number.abs() >= FIRST_MILLISECONDS { number } else { number * 1000.0 };
    Timestamp::from_millisecond(milliseconds.round() as i64).ok()
}

/// Pointers of which the first that leads to something counts.
#[derive(Debug)]
struct Places(Vec<Vec<Token>>);

#[derive(Debug)]
struct Token {
    key: Hint,
    /// The token as an array's index.
    index: Option<usize>,
}

impl Places {
    fn new(pointers: &[JsonPointer]) -> Places {
        let token = |text: &String| {
            let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
            Token { key: Hint::new(text), index: text.parse().ok().filter(|_| canonical) } // no index: a key only
        };
        Places(pointers.iter().map(|pointer| pointer.0.iter().map(token).collect()).collect())
    }

    #[inline]
    fn find<'a>(&self, event: Cursor<'a>) -> Option<Cursor<'a>> {
        self.0.iter().find_map(|tokens| {
            let mut at = event;
            for token in tokens {
                at = match (at.kind(), token.index) {
                    (Kind::Object, _) => at.get_hinted(&token.key)?,
                    (Kind::Array, Some(index)) => at.element(index)?,
                    _ => return None,
                };
            }
            (!at.is_null()).then_some(at)
        })
    }

    fn first_pointer(&self) -> String {
        let tokens = self.0.first().map_or(&[][..], Vec::as_slice);
        tokens.iter().map(|token| format!("/{}", token.key.key().replace('~', "~0").replace('/', "~1"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Event;

    fn pointer(path: &str) -> JsonPointer {
        JsonPointer(path.split('/').skip(1).map(str::to_owned).collect())
    }

    fn reader() -> EnvelopeReader {
        EnvelopeReader::new(&Envelope {
            name: vec![pointer("/event"), pointer("/type")],
            version: vec![pointer("/v")],
            id: vec![pointer("/messageId")],
            user: vec![pointer("/userId"), pointer("/vars/users/0")],
            anonymous: vec![pointer("/anonymousId")],
            time: vec![pointer("/timestamp"), pointer("/sentAt")],
        })
    }

    #[test]
    fn the_first_place_that_is_there_and_not_null_counts() {
        let event = Event::parse(br#"{"event":null,"type":"page","v":"2","messageId":17,"userId":null,"vars":{"users":["u1"]},"anonymousId":"","timestamp":"2026-01-01T00:00:00Z"}"#).unwrap();
        let reader = reader();
        let header = reader.read(event.root()).unwrap();
        assert_eq!((header.name, header.version, header.id), ("page", Some(2), Some("17")));
        assert_eq!((header.user, header.anonymous), (Some("u1"), None));
        assert_eq!(header.time, Some("2026-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_name_must_be_a_string_and_a_version_a_number() {
        for bad in [
            r#"{}"#,
            r#"{"event":""}"#,
            r#"{"event":1}"#,
            r#"{"event":"a","v":"x"}"#,
            r#"{"event":"a","v":0}"#,
            r#"{"event":"a","v":1.5}"#,
            r#"{"event":"a","v":[1]}"#,
        ] {
            let event = Event::parse(bad.as_bytes()).unwrap();
            let violation = reader().read(event.root()).unwrap_err();
            assert_eq!(violation.keyword, "bad_envelope", "{bad}");
        }
    }

    #[test]
    fn times_are_rfc_3339_or_seconds_or_milliseconds() {
        for (written, expected) in [
            (r#""2026-01-01T01:00:00+01:00""#, Some("2026-01-01T00:00:00Z")),
            ("1767225600", Some("2026-01-01T00:00:00Z")),
            ("1767225600000", Some("2026-01-01T00:00:00Z")),
            ("1767225600.5", Some("2026-01-01T00:00:00.5Z")),
            (r#""yesterday""#, None),
            ("true", None),
            ("1e300", None),
        ] {
            let event = Event::parse(format!(r#"{{"event":"a","timestamp":{written}}}"#).as_bytes()).unwrap();
            let expected: Option<Timestamp> = expected.map(|t| t.parse().unwrap());
            assert_eq!(reader().read(event.root()).unwrap().time, expected, "{written}");
        }
    }
}

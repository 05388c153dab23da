//! What emitters get wrong: ways to break an event, each with the reason that it must be rejected for.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::journey::Emitter;

/// A way in which an event is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The end is missing.
    Truncated,
    NotUtf8,
    KeyTwice,
    /// The envelope's name is missing.
    NoName,
    UnknownEvent,
    UnknownVersion,
    MissingField,
    WrongType,
    BadFormat,
    BadValue,
}

impl Fault {
    /// Weighted by how often such things are seen: schemas are broken far more often than JSON is.
    const WEIGHTS: [(u64, Fault); 10] = [
        (8, Fault::Truncated),
        (2, Fault::NotUtf8),
        (2, Fault::KeyTwice),
        (4, Fault::NoName),
        (12, Fault::UnknownEvent),
        (6, Fault::UnknownVersion),
        (26, Fault::MissingField),
        (22, Fault::WrongType),
        (8, Fault::BadFormat),
        (10, Fault::BadValue),
    ];

    pub(super) fn draw(dice: &mut Dice) -> Fault {
        dice.weighted(&Fault::WEIGHTS)
    }

    /// The reason that the event is rejected for, as `pipeline::Reason` names it.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::Truncated | Fault::NotUtf8 | Fault::KeyTwice => "malformed",
            Fault::NoName => "bad_envelope",
            Fault::UnknownEvent => "unknown_event",
            Fault::UnknownVersion => "unknown_version",
            Fault::MissingField | Fault::WrongType | Fault::BadFormat | Fault::BadValue => "schema_violation",
        }
    }

    /// The event's bytes with this fault in them. Never a line break or a tab: one event stays one line.
    pub(super) fn apply(self, mut event: Map<String, Value>, emitter: Emitter) -> Vec<u8> {
        let (name, time, body) = match emitter {
            Emitter::Web => ("event", "timestamp", "properties"),
            Emitter::Loan => ("activity", "ts", "vars"),
        };
        match self {
            Fault::Truncated => {
                let mut bytes = to_bytes(&event);
                bytes.truncate(bytes.len() * 2 / 3);
                return bytes;
            }
            Fault::NotUtf8 => {
                let mut bytes = to_bytes(&event);
                // Inside the first string's content: `{"messageId":"…`
                if let Some(byte) = bytes.get_mut(4) {
                    *byte = 0xff;
                }
                return bytes;
            }
            Fault::KeyTwice => {
                let mut bytes = to_bytes(&event);
                bytes.pop();
                bytes.extend_from_slice(format!(",\"{time}\":\"1970-01-01T00:00:00Z\"}}").as_bytes());
                return bytes;
            }
            // The Segment spec names what is no track call by its type
            Fault::NoName => event.retain(|key, _| key != name && key != "type"),
            Fault::UnknownEvent => drop(event.insert(name.into(), json!("card_teleported"))),
            Fault::UnknownVersion => match emitter {
                Emitter::Web => set(&mut event, "context", "protocols", json!({ "event_version": 99 })),
                Emitter::Loan => drop(event.insert("v".into(), json!(99))),
            },
            Fault::MissingField => drop(event.shift_remove(body)),
            Fault::WrongType => drop(event.insert(body.into(), json!("[object Object]"))),
            Fault::BadFormat => match emitter {
                Emitter::Web => set(&mut event, "context", "ip", json!("999.1.1.1")),
                Emitter::Loan => set(&mut event, "vars", "application", json!("no application")),
            },
            Fault::BadValue => set(&mut event, body, "channel", json!("carrier_pigeon")),
        }
        to_bytes(&event)
    }
}

fn set(event: &mut Map<String, Value>, object: &str, field: &str, value: Value) {
    if let Some(Value::Object(fields)) = event.get_mut(object) {
        fields.insert(field.into(), value);
    }
}

pub(super) fn to_bytes(event: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(event).expect("a map of strings and JSON values always serialises")
}

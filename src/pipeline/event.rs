//! One parsed event: its text, its tape, and the lazy value that templates and expressions see.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};

use super::json::{Cursor, JsonError, JsonFault, Kind, Tape, write_value};
use super::template::Digits;

/// One JSON document. Refilled, it keeps its buffers.
#[derive(Default)]
pub struct Event {
    source: String,
    tape: Tape,
}

impl Event {
    /// Parses a record's value; any JSON is taken.
    ///
    /// # Errors
    /// Where it is not strict JSON in UTF-8.
    pub fn parse(bytes: &[u8]) -> Result<Event, JsonError> {
        let mut event = Event::default();
        event.fill(bytes)?;
        Ok(event)
    }

    /// `parse` into the buffers of an event that is done with. After an error its content means nothing.
    pub fn fill(&mut self, bytes: &[u8]) -> Result<(), JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|e| JsonError { fault: JsonFault::NotUtf8, offset: e.valid_up_to() })?;
        self.source.clear();
        self.source.push_str(text);
        self.tape.fill(&self.source)
    }

    /// The document as it came.
    pub fn text(&self) -> &str {
        &self.source
    }

    /// What templates see: nothing is converted before it is asked for; members come in document order; integers are exact up to 38 digits.
    pub fn value(self: &Arc<Event>) -> Value {
        self.value_at(self.root())
    }

    /// The digits of the first float in the event with exactly these bits: how a number that is copied stays as it was written (`12.30`).
    pub fn digits(&self, value: f64) -> Option<&str> {
        self.tape.find_float(&self.source, value)
    }

    pub(super) fn root(&self) -> Cursor<'_> {
        self.tape.root(&self.source)
    }

    /// `value` for one value of this event.
    pub(super) fn value_at(self: &Arc<Event>, at: Cursor<'_>) -> Value {
        match at.kind() {
            Kind::Null => Value::from(()),
            Kind::True => Value::from(true),
            Kind::False => Value::from(false),
            Kind::Int | Kind::UInt | Kind::Big => integer(at.as_integer()),
            Kind::Float => Value::from(at.as_f64()),
            Kind::Plain | Kind::Escaped => Value::from(at.as_str().unwrap_or_default()),
            Kind::Object | Kind::Array => Value::from_object(Part { event: Arc::clone(self), index: at.index() }),
        }
    }
}

impl Digits for Event {
    fn digits(&self, number: f64) -> Option<&str> {
        Event::digits(self, number)
    }
}

impl std::fmt::Debug for Event {
    /// Shows how much there is, never what.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Event({} bytes)", self.source.len())
    }
}

fn integer(value: Option<i128>) -> Value {
    match value {
        Some(value) => i64::try_from(value).map_or_else(|_| Value::from(value), Value::from),
        None => Value::from(()),
    }
}

/// An object or array of an event.
#[derive(Debug)]
pub(super) struct Part {
    event: Arc<Event>,
    index: u32,
}

impl Part {
    fn cursor(&self) -> Cursor<'_> {
        self.event.root().at(self.index)
    }

    /// Appends it as JSON, numbers with their digits.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_value(self.cursor(), out);
    }
}

impl Object for Part {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.cursor().kind() == Kind::Array { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some(key) => self.get_value_by_str(key),
            None => self.cursor().element(key.as_usize()?).map(|found| self.event.value_at(found)),
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.cursor().get(key).map(|found| self.event.value_at(found))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let at = self.cursor();
        if at.kind() == Kind::Array {
            return Enumerator::Values(at.elements().map(|element| self.event.value_at(element)).collect());
        }
        Enumerator::Values(at.members().map(|(key, _)| Value::from(key)).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.cursor().len())
    }
}

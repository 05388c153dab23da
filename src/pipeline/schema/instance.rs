//! The tape as jsonschema reads it: what lets an event be validated where it was parsed, with nothing converted.

use std::borrow::Cow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, JsonNumber, Node, NodeIdentity, Object, cmp};
use serde_json::{Number, Value};

use crate::pipeline::json::{Cursor, Elements, Hint, Kind, Members, Tape};

/// The representation: names the types, holds nothing.
pub(super) struct TapeJson;

impl Json for TapeJson {
    type Node<'a> = Cursor<'a>;
    type PreparedKey = Hint;
    type StringBuffer = (String, Tape);
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> Hint {
        Hint::new(key)
    }

    fn with_string_node<T>(buffer: &mut (String, Tape), string: &str, f: impl FnOnce(Cursor<'_>) -> T) -> T {
        let (text, tape) = buffer;
        text.clear();
        text.push_str(string);
        tape.fill_with_string(text);
        f(tape.root(text))
    }
}

/// A number still on the tape.
pub(super) struct TapeNumber<'a>(Cursor<'a>);

impl JsonNumber for TapeNumber<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.as_integer().and_then(|n| u64::try_from(n).ok()) // too large or negative: none, as the trait asks
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.as_integer().and_then(|n| i64::try_from(n).ok()) // too large: none, as the trait asks
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.as_f64()
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0.number_text().unwrap_or_default())
    }

    fn to_number(&self) -> Cow<'_, Number> {
        let number = match (self.as_i64(), self.as_u64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            // A parsed float is finite, so there is a number for it.
            (None, None) => self.as_f64().and_then(Number::from_f64).unwrap_or_else(|| 0.into()),
        };
        Cow::Owned(number)
    }

    fn is_integer(&self) -> bool {
        self.0.kind() != Kind::Float || self.0.as_f64().is_some_and(|n| n.fract() == 0.0)
    }

    fn is_written_as_integer(&self) -> bool {
        self.0.kind() != Kind::Float
    }
}

impl<'a> Node<'a, TapeJson> for Cursor<'a> {
    type Object = Cursor<'a>;
    type Array = Cursor<'a>;
    type Number = TapeNumber<'a>;

    fn as_object(&self) -> Option<Cursor<'a>> {
        (self.kind() == Kind::Object).then_some(*self)
    }

    fn as_array(&self) -> Option<Cursor<'a>> {
        (self.kind() == Kind::Array).then_some(*self)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        self.as_str().map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<TapeNumber<'a>> {
        Cursor::is_number(self).then_some(TapeNumber(*self))
    }

    fn as_boolean(&self) -> Option<bool> {
        self.as_bool()
    }

    fn is_null(&self) -> bool {
        Cursor::is_null(self)
    }

    fn is_number(&self) -> bool {
        Cursor::is_number(self)
    }

    fn is_string(&self) -> bool {
        Cursor::is_string(self)
    }

    fn json_type(&self) -> JsonType {
        match self.kind() {
            Kind::Null => JsonType::Null,
            Kind::True | Kind::False => JsonType::Boolean,
            Kind::Int | Kind::UInt | Kind::Big | Kind::Float => JsonType::Number,
            Kind::Plain | Kind::Escaped => JsonType::String,
            Kind::Object => JsonType::Object,
            Kind::Array => JsonType::Array,
        }
    }

    /// A string has between a quarter as many characters as bytes and as many: mostly that decides.
    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        let text = self.as_str()?;
        let most = text.len() as u64;
        let least = most.div_ceil(4);
        if most < min || least > max {
            return Some(false);
        }
        if min <= least && most <= max {
            return Some(true);
        }
        Some((min..=max).contains(&(text.chars().count() as u64)))
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match (self.as_str(), expected) {
            (Some(text), Value::String(expected)) => text == expected,
            (Some(_), _) => false,
            (None, _) => cmp::equal(&Cursor::to_value(*self), expected),
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(Cursor::to_value(*self))
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::tagged(self.address(), self.index()))
    }
}

impl<'a> Object<'a, TapeJson> for Cursor<'a> {
    type Node = Cursor<'a>;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        Cursor::len(self)
    }

    fn get(&self, key: &Hint) -> Option<Cursor<'a>> {
        self.get_hinted(key)
    }

    fn members(&self) -> Members<'a> {
        Cursor::members(self)
    }
}

impl<'a> Array<'a, TapeJson> for Cursor<'a> {
    type Node = Cursor<'a>;
    type ElementsIter = Elements<'a>;

    fn len(&self) -> usize {
        Cursor::len(self)
    }

    fn elements(&self) -> Elements<'a> {
        Cursor::elements(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tape_keeps_jsonschemas_contract() {
        let document = jsonschema::json::conformance::document().to_string();
        let mut tape = Tape::default();
        tape.fill(&document).unwrap();
        jsonschema::json::conformance::assert_conformance::<TapeJson>(&tape.root(&document));
    }
}

//! The tape: one 16-byte entry for each value and each key, in document order, and a cursor that walks it. No allocation for each value.

use std::sync::atomic::{AtomicU32, Ordering};

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::pipeline) enum Kind {
    Null,
    True,
    False,
    /// Fits an i64.
    Int,
    /// Above that, fits a u64.
    UInt,
    /// A larger integer of at most 38 digits: read from its digits.
    Big,
    Float,
    /// A string that stands in the source as it is.
    Plain,
    /// A string with escapes: it stands unescaped in the tape's own text.
    Escaped,
    Object,
    Array,
}

/// `word`: the number's bits; a string's offset; one past a container's last entry. `at`: a number's offset in the source; a string's bytes; a
/// container's members. For a key, `owner` is the low half of its object's index: what lets a hint be trusted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub word: u64,
    pub at: u32,
    pub owner: u16,
    pub kind: Kind,
    pub is_key: bool,
}

/// A parsed document without its source. Refilled, it keeps its buffers.
#[derive(Debug, Default, Clone)]
pub(in crate::pipeline) struct Tape {
    pub(super) entries: Vec<Entry>,
    pub(super) unescaped: String,
}

impl Tape {
    /// The whole document; `source` must be the text that the tape was filled from.
    pub fn root<'a>(&'a self, source: &'a str) -> Cursor<'a> {
        Cursor { source, tape: self, index: 0 }
    }

    /// A tape of one string, the whole of the source it will be read with.
    pub fn fill_with_string(&mut self, source: &str) {
        self.entries.clear();
        self.unescaped.clear();
        self.entries.push(Entry { word: 0, at: source.len() as u32, owner: 0, kind: Kind::Plain, is_key: false });
    }

    /// Where a float with exactly these bits is first written.
    pub fn find_float<'a>(&'a self, source: &'a str, value: f64) -> Option<&'a str> {
        let bits = value.to_bits();
        let index = self.entries.iter().position(|entry| entry.kind == Kind::Float && entry.word == bits)?;
        Cursor { source, tape: self, index: index as u32 }.number_text()
    }
}

/// One value of a document.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipeline) struct Cursor<'a> {
    source: &'a str,
    tape: &'a Tape,
    index: u32,
}

/// An object key and where it stood the last time: events of one name mostly have one shape.
#[derive(Debug)]
pub(in crate::pipeline) struct Hint {
    key: Box<str>,
    distance: AtomicU32,
}

impl Hint {
    pub fn new(key: &str) -> Hint {
        Hint { key: key.into(), distance: AtomicU32::new(1) }
    }

    pub fn key(&self) -> &str {
        &self.key
    }
}

impl Clone for Hint {
    fn clone(&self) -> Hint {
        Hint::new(&self.key)
    }
}

impl<'a> Cursor<'a> {
    #[inline]
    fn entry(&self) -> &'a Entry {
        &self.tape.entries[self.index as usize]
    }

    /// The value at another index of the same tape.
    #[inline]
    pub fn at(&self, index: u32) -> Cursor<'a> {
        Cursor { index, ..*self }
    }

    pub fn index(&self) -> u32 {
        self.index
    }

    /// What tells this document from another one alive at the same time.
    pub fn address(&self) -> usize {
        self.tape.entries.as_ptr() as usize
    }

    #[inline]
    pub fn kind(&self) -> Kind {
        self.entry().kind
    }

    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    pub fn is_string(&self) -> bool {
        matches!(self.kind(), Kind::Plain | Kind::Escaped)
    }

    pub fn is_number(&self) -> bool {
        matches!(self.kind(), Kind::Int | Kind::UInt | Kind::Big | Kind::Float)
    }

    #[inline]
    pub fn as_str(&self) -> Option<&'a str> {
        let entry = self.entry();
        let text = match entry.kind {
            Kind::Plain => self.source,
            Kind::Escaped => &self.tape.unescaped,
            _ => return None,
        };
        Some(&text[entry.word as usize..entry.word as usize + entry.at as usize])
    }

    /// The bytes of a key, without asking for character boundaries.
    #[inline]
    pub(super) fn key_bytes(&self) -> &'a [u8] {
        let entry = self.entry();
        let text = if entry.kind == Kind::Plain { self.source } else { &self.tape.unescaped };
        &text.as_bytes()[entry.word as usize..entry.word as usize + entry.at as usize]
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self.kind() {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    /// An integer of any size that the tape keeps exactly.
    pub fn as_integer(&self) -> Option<i128> {
        let entry = self.entry();
        match entry.kind {
            Kind::Int => Some(i128::from(entry.word as i64)),
            Kind::UInt => Some(i128::from(entry.word)),
            Kind::Big => self.number_text()?.parse().ok(), // the parser made it Big because it parses
            _ => None,
        }
    }

    /// Any number, to the nearest float.
    pub fn as_f64(&self) -> Option<f64> {
        let entry = self.entry();
        match entry.kind {
            Kind::Int => Some(entry.word as i64 as f64),
            Kind::UInt => Some(entry.word as f64),
            Kind::Big => self.as_integer().map(|n| n as f64),
            Kind::Float => Some(f64::from_bits(entry.word)),
            _ => None,
        }
    }

    /// A number's digits as they were written.
    pub fn number_text(&self) -> Option<&'a str> {
        if !self.is_number() {
            return None;
        }
        let rest = &self.source[self.entry().at as usize..];
        let end = rest.bytes().position(|b| !matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')).unwrap_or(rest.len());
        Some(&rest[..end])
    }

    /// Members of an object or elements of an array.
    #[inline]
    pub fn len(&self) -> usize {
        if matches!(self.kind(), Kind::Object | Kind::Array) { self.entry().at as usize } else { 0 }
    }

    /// One past this value's last entry.
    #[inline]
    fn end(&self) -> u32 {
        let entry = self.entry();
        if matches!(entry.kind, Kind::Object | Kind::Array) { entry.word as u32 } else { self.index + 1 }
    }

    /// The value or key behind this one, past all that it holds.
    pub(super) fn after(&self) -> Cursor<'a> {
        self.at(self.end())
    }

    /// An object's member.
    pub fn get(&self, key: &str) -> Option<Cursor<'a>> {
        if self.kind() != Kind::Object {
            return None;
        }
        let mut name = self.at(self.index + 1);
        for _ in 0..self.len() {
            let value = name.at(name.index + 1);
            if name.entry().at as usize == key.len() && name.key_bytes() == key.as_bytes() {
                return Some(value);
            }
            name.index = value.end();
        }
        None
    }

    /// `get` that looks first where the key stood in the event before.
    #[inline]
    pub fn get_hinted(&self, hint: &Hint) -> Option<Cursor<'a>> {
        let entry = self.entry();
        if entry.kind != Kind::Object {
            return None;
        }
        // Relaxed: a stale distance costs a search, never a wrong answer.
        let candidate = self.index.saturating_add(hint.distance.load(Ordering::Relaxed));
        // `owner` is 16 bits wide, so it only tells objects apart within 65,536 entries.
        if u64::from(candidate) < entry.word && entry.word - u64::from(self.index) < 1 << 16 {
            let name = self.at(candidate);
            let found = name.entry();
            if found.is_key && found.owner == self.index as u16 && name.key_bytes() == hint.key.as_bytes() {
                return Some(self.at(candidate + 1));
            }
        }
        let value = self.get(&hint.key)?;
        hint.distance.store(value.index - 1 - self.index, Ordering::Relaxed);
        Some(value)
    }

    /// An array's element.
    pub fn element(&self, position: usize) -> Option<Cursor<'a>> {
        let entry = self.entry();
        if entry.kind != Kind::Array || position >= entry.at as usize {
            return None;
        }
        // One entry an element: nothing nested, so the place is known.
        if entry.word == u64::from(self.index) + 1 + u64::from(entry.at) {
            return Some(self.at(self.index + 1 + position as u32));
        }
        self.elements().nth(position)
    }

    /// In document order; none where it is no object.
    pub fn members(&self) -> Members<'a> {
        let left = if self.kind() == Kind::Object { self.len() } else { 0 };
        Members { at: *self, index: self.index + 1, left }
    }

    /// In order; none where it is no array.
    pub fn elements(&self) -> Elements<'a> {
        let left = if self.kind() == Kind::Array { self.len() } else { 0 };
        Elements { at: *self, index: self.index + 1, left }
    }

    /// The same value in serde_json's words, for what is not on the hot path.
    pub fn to_value(self) -> serde_json::Value {
        use serde_json::Value;
        match self.kind() {
            Kind::Null => Value::Null,
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Int => Value::from(self.entry().word as i64),
            Kind::UInt => Value::from(self.entry().word),
            Kind::Big | Kind::Float => self.as_f64().map_or(Value::Null, Value::from),
            Kind::Plain | Kind::Escaped => Value::from(self.as_str().unwrap_or_default()),
            Kind::Object => Value::Object(self.members().map(|(key, value)| (key.to_owned(), value.to_value())).collect()),
            Kind::Array => Value::Array(self.elements().map(Cursor::to_value).collect()),
        }
    }
}

pub(in crate::pipeline) struct Members<'a> {
    at: Cursor<'a>,
    index: u32,
    left: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Cursor<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = self.at.at(self.index);
        let value = self.at.at(self.index + 1);
        self.index = value.end();
        Some((name.as_str().unwrap_or_default(), value))
    }
}

pub(in crate::pipeline) struct Elements<'a> {
    at: Cursor<'a>,
    index: u32,
    left: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Cursor<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let value = self.at.at(self.index);
        self.index = value.end();
        Some(value)
    }
}

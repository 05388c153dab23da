//! Text → tape, by RFC 8259 to the letter: one pass, and a key twice in one object is an error wherever it stands.

use std::collections::HashSet;

use super::tape::{Cursor, Entry, Kind, Tape};

/// Nesting that is still taken; the same bound as serde_json's.
const MAX_DEPTH: u32 = 127;

/// Up to here the keys of an object are told apart by comparing; an object with more of them goes through a hash set, so that no event costs n² compares.
const COMPARED_KEYS: u32 = 64;

/// Why a text is not the JSON that we take. Never holds a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {offset}")]
pub struct JsonError {
    pub fault: JsonFault,
    /// Bytes from the start, where it was noticed.
    pub offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("not JSON")]
    Syntax,
    #[error("a number that no 64-bit float can hold")]
    NumberRange,
    #[error("nested deeper than {MAX_DEPTH} levels")]
    Depth,
    #[error("a key that stands twice in one object")]
    DuplicateKey,
    #[error("a document of 4 GiB or more")]
    TooLong,
}

impl Tape {
    /// Parses a text, leaving out nothing: the tape is only to be read with this same text. After an error its content means nothing.
    pub fn fill(&mut self, source: &str) -> Result<(), JsonError> {
        self.entries.clear();
        self.unescaped.clear();
        if u32::try_from(source.len()).is_err() {
            return Err(JsonError { fault: JsonFault::TooLong, offset: 0 });
        }
        let mut parser = Parser { source, bytes: source.as_bytes(), at: 0, depth: 0, tape: self };
        parser.skip_space();
        parser.value()?;
        parser.skip_space();
        if parser.at != parser.bytes.len() {
            return parser.fail(JsonFault::Syntax);
        }
        Ok(())
    }
}

pub(super) struct Parser<'a> {
    pub source: &'a str,
    bytes: &'a [u8],
    pub at: usize,
    depth: u32,
    tape: &'a mut Tape,
}

impl Parser<'_> {
    /// The byte at hand; 0, which no JSON text may hold, at the end.
    #[inline(always)]
    pub(super) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, kind: Kind, at: usize, word: u64) {
        self.tape.entries.push(Entry { word, at: at as u32, owner: 0, kind, is_key: false });
    }

    pub(super) fn fail<T>(&self, fault: JsonFault) -> Result<T, JsonError> {
        Err(JsonError { fault, offset: self.at })
    }

    fn value(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            b'"' => self.string(),
            b'{' => self.object(),
            b'[' => self.array(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", Kind::True),
            b'f' => self.word(b"false", Kind::False),
            b'n' => self.word(b"null", Kind::Null),
            _ => self.fail(JsonFault::Syntax),
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            return self.fail(JsonFault::Syntax);
        }
        self.at += word.len();
        self.push(kind, 0, 0);
        Ok(())
    }

    fn object(&mut self) -> Result<(), JsonError> {
        let opened = self.open(Kind::Object)?;
        let mut count = 0u32;
        let mut seen = 0u64;
        if self.peek() == b'}' {
            self.at += 1;
        } else {
            loop {
                let start = self.at;
                if self.peek() != b'"' {
                    return self.fail(JsonFault::Syntax);
                }
                self.string()?;
                if self.key(opened, count, &mut seen) {
                    return Err(JsonError { fault: JsonFault::DuplicateKey, offset: start });
                }
                self.skip_space();
                if self.peek() != b':' {
                    return self.fail(JsonFault::Syntax);
                }
                self.at += 1;
                self.skip_space();
                self.value()?;
                count += 1;
                self.skip_space();
                match self.peek() {
                    b',' => {
                        self.at += 1;
                        self.skip_space();
                    }
                    b'}' => {
                        self.at += 1;
                        break;
                    }
                    _ => return self.fail(JsonFault::Syntax),
                }
            }
        }
        self.close(opened, count);
        if count > COMPARED_KEYS && self.repeats_a_key(opened) {
            return self.fail(JsonFault::DuplicateKey);
        }
        Ok(())
    }

    /// Makes a key of the string just read, and says whether the object has it already. `seen` is a filter of 64 bits over a hash of the keys: only
    /// where a bit is set already are the keys before compared, about once in an object of a dozen.
    #[inline(always)]
    fn key(&mut self, object: usize, before: u32, seen: &mut u64) -> bool {
        let last = self.tape.entries.len() - 1; // the string just pushed
        let entry = &mut self.tape.entries[last];
        entry.is_key = true;
        entry.owner = object as u16;
        if before >= COMPARED_KEYS {
            return false; // left to the hash set at the object's end
        }
        let root = self.tape.root(self.source);
        let bytes = root.at(last as u32).key_bytes();
        let bit = 1u64 << key_hash(bytes);
        if *seen & bit == 0 {
            *seen |= bit;
            return false;
        }
        has_key(root.at(object as u32 + 1), before, bytes)
    }

    #[cold]
    fn repeats_a_key(&self, object: usize) -> bool {
        let root = self.tape.root(self.source);
        let mut keys = HashSet::new();
        root.at(object as u32).members().any(|(key, _)| !keys.insert(key))
    }

    fn array(&mut self) -> Result<(), JsonError> {
        let opened = self.open(Kind::Array)?;
        let mut count = 0u32;
        if self.peek() == b']' {
            self.at += 1;
        } else {
            loop {
                self.value()?;
                count += 1;
                self.skip_space();
                match self.peek() {
                    b',' => {
                        self.at += 1;
                        self.skip_space();
                    }
                    b']' => {
                        self.at += 1;
                        break;
                    }
                    _ => return self.fail(JsonFault::Syntax),
                }
            }
        }
        self.close(opened, count);
        Ok(())
    }

    fn open(&mut self, kind: Kind) -> Result<usize, JsonError> {
        if self.depth == MAX_DEPTH {
            return self.fail(JsonFault::Depth);
        }
        self.depth += 1;
        self.push(kind, 0, 0);
        self.at += 1;
        self.skip_space();
        Ok(self.tape.entries.len() - 1)
    }

    fn close(&mut self, opened: usize, count: u32) {
        self.depth -= 1;
        let end = self.tape.entries.len() as u64;
        let entry = &mut self.tape.entries[opened];
        entry.at = count;
        entry.word = end;
    }

    #[inline(always)]
    fn string(&mut self) -> Result<(), JsonError> {
        let start = self.at + 1;
        let end = scan_string(self.bytes, start);
        self.at = end;
        if self.peek() == b'"' {
            self.at += 1;
            self.push(Kind::Plain, end - start, start as u64);
            return Ok(());
        }
        self.escaped_string(start)
    }

    /// From the first byte that is not plain text: an escape, a control character or the end of the text.
    #[cold]
    #[inline(never)]
    fn escaped_string(&mut self, start: usize) -> Result<(), JsonError> {
        let offset = self.tape.unescaped.len();
        let mut from = start;
        loop {
            // Both ends stand at ASCII bytes, so the slice is whole characters.
            self.tape.unescaped.push_str(&self.source[from..self.at]);
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    let escaped = self.escape()?;
                    self.tape.unescaped.push(escaped);
                }
                _ => return self.fail(JsonFault::Syntax),
            }
            from = self.at;
            self.at = scan_string(self.bytes, self.at);
        }
        self.at += 1;
        self.push(Kind::Escaped, self.tape.unescaped.len() - offset, offset as u64);
        Ok(())
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.at += 1;
        let escaped = match self.peek() {
            plain @ (b'"' | b'\\' | b'/') => char::from(plain),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return self.fail(JsonFault::Syntax),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let first = self.four_digits()?;
        let scalar = if (0xD800..0xDC00).contains(&first) {
            if self.peek() != b'\\' || self.bytes.get(self.at + 1) != Some(&b'u') {
                return self.fail(JsonFault::Syntax);
            }
            self.at += 1;
            let second = self.four_digits()?;
            if !(0xDC00..0xE000).contains(&second) {
                return self.fail(JsonFault::Syntax);
            }
            0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        } else {
            first
        };
        // A low surrogate alone is no character.
        char::from_u32(scalar).ok_or(JsonError { fault: JsonFault::Syntax, offset: self.at })
    }

    /// The four hexadecimal digits behind the `u` at hand.
    fn four_digits(&mut self) -> Result<u32, JsonError> {
        let mut value = 0;
        for _ in 0..4 {
            self.at += 1;
            match char::from(self.peek()).to_digit(16) {
                Some(digit) => value = value * 16 + digit,
                None => return self.fail(JsonFault::Syntax),
            }
        }
        self.at += 1;
        Ok(value)
    }
}

/// Six bits of a hash over a key's length and its first and last eight bytes: keys that differ mostly differ there.
#[inline(always)]
fn key_hash(key: &[u8]) -> u32 {
    let word = |bytes: Option<&[u8; 8]>| bytes.map(|b| u64::from_le_bytes(*b));
    let (head, tail) = match (word(key.first_chunk()), word(key.last_chunk())) {
        (Some(head), Some(tail)) => (head, tail),
        _ => (key.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)), 0),
    };
    let mixed = (head ^ tail.rotate_left(31) ^ ((key.len() as u64) << 56)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 58) as u32
}

/// Whether one of the object's first `count` keys, of which `first` is the first, is this one.
#[cold]
fn has_key(first: Cursor<'_>, count: u32, key: &[u8]) -> bool {
    let mut name = first;
    for _ in 0..count {
        if name.key_bytes() == key {
            return true;
        }
        name = name.at(name.index() + 1).after();
    }
    false
}

/// Where the first byte stands that is a quote, a backslash or a control character; the length where there is none. Eight bytes at a time: subtracting
/// borrows only upward from a match, so the lowest marked byte is always a true one.
#[inline(always)]
fn scan_string(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let found =
            ((word.wrapping_sub(ONES * 0x20) & !word) | (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash))
                & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if *byte < 0x20 || matches!(byte, b'"' | b'\\') {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

//! A file's values and where each of them is written: what YAML and JSON are both read into, once. It knows nothing of what the values mean.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use super::findings::{Finding, Place};
use super::set::Spot;

/// A value of a file. `at` and `width` are its first line: where a snippet points.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub at: Place,
    /// In characters; 1 where it is not known, as for lists and maps.
    pub width: u32,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    /// A string whose variables are filled in: it takes the type of the field it stands in.
    Filled(String),
    List(Vec<Node>),
    Map(Map),
    /// A variable without a default, seen before this machine's variables are known, or a number that could not be kept and has its finding: any
    /// check of it must wait.
    Pending,
}

/// Members in the order they are written; no name stands twice.
pub(super) type Map = Vec<(Key, Node)>;

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub name: String,
    pub at: Place,
    pub width: u32,
}

impl Node {
    pub fn new(at: Place, width: usize, kind: Kind) -> Node {
        Node { at, width: u32::try_from(width.max(1)).unwrap_or(u32::MAX), kind }
    }

    /// An empty map: a file without content reads as one.
    pub fn empty(at: Place) -> Node {
        Node { at, width: 1, kind: Kind::Map(Map::new()) }
    }

    /// A finding about this value.
    pub fn error(&self, code: &'static str, message: impl Into<String>) -> Finding {
        Finding::error(code, self.at.clone(), message).width(self.width as usize)
    }

    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// What it is, for a message; never its value.
    pub fn what(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) | Kind::Filled(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Pending => "a variable",
        }
    }

    /// The member of a map; None where it is absent or null.
    pub fn get(&self, name: &str) -> Option<&Node> {
        let Kind::Map(map) = &self.kind else { return None };
        map.iter().find(|(key, _)| key.name == name).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        let Kind::Map(map) = &mut self.kind else { return None };
        map.iter_mut().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// The value alone, as JSON.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null | Kind::Pending => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::Text(value) | Kind::Filled(value) => Value::String(value.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Kind::Map(map) => Value::Object(map.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect()),
        }
    }

    /// Whether anything in it is not known.
    pub fn has_pending(&self) -> bool {
        match &self.kind {
            Kind::Pending => true,
            Kind::List(items) => items.iter().any(Node::has_pending),
            Kind::Map(map) => map.iter().any(|(_, node)| node.has_pending()),
            _ => false,
        }
    }

    /// The place of the value at each JSON Pointer.
    pub fn places(&self) -> BTreeMap<String, Spot> {
        let mut places = BTreeMap::new();
        self.collect_places(None, &mut String::new(), &mut places);
        places
    }

    fn collect_places(&self, key: Option<&Key>, pointer: &mut String, places: &mut BTreeMap<String, Spot>) {
        let key = key.map(|key| (key.at.clone(), key.width));
        let holds_others = matches!(self.kind, Kind::List(_) | Kind::Map(_));
        let (value, width) = key.clone().filter(|_| holds_others).unwrap_or_else(|| (self.at.clone(), self.width));
        places.insert(pointer.clone(), Spot { value, width, key });
        let length = pointer.len();
        match &self.kind {
            Kind::Map(map) => {
                for (key, node) in map {
                    pointer.push('/');
                    pointer.push_str(&key.name.replace('~', "~0").replace('/', "~1"));
                    node.collect_places(Some(key), pointer, places);
                    pointer.truncate(length);
                }
            }
            Kind::List(items) => {
                for (index, node) in items.iter().enumerate() {
                    pointer.push('/');
                    pointer.push_str(itoa::Buffer::new().format(index));
                    node.collect_places(None, pointer, places);
                    pointer.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// Lays `over` on this value: maps are merged member by member, anything else is replaced.
    pub fn overlay(&mut self, over: &Node) {
        match (&mut self.kind, &over.kind) {
            (Kind::Map(mine), Kind::Map(theirs)) => {
                for (key, value) in theirs {
                    match mine.iter_mut().find(|(mine, _)| mine.name == key.name) {
                        Some((mine, node)) => {
                            *mine = key.clone();
                            node.overlay(value);
                        }
                        None => mine.push((key.clone(), value.clone())),
                    }
                }
            }
            _ => *self = over.clone(),
        }
    }

    /// Calls `visit` for every scalar string in this value.
    pub fn each_text<'a>(&'a self, visit: &mut dyn FnMut(&'a Node, &'a str)) {
        match &self.kind {
            Kind::Text(text) => visit(self, text),
            Kind::List(items) => items.iter().for_each(|node| node.each_text(visit)),
            Kind::Map(map) => map.iter().for_each(|(_, node)| node.each_text(visit)),
            _ => {}
        }
    }
}

/// The kind of a plain YAML scalar: the core schema of YAML 1.2, where NO is a country. A number with leading zeros (`012`) is somebody's
/// code, not twelve, and stays a string. `Err` says why the number cannot be kept as it stands.
pub(super) fn plain(text: &str) -> Result<Kind, &'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Kind::Null),
        "true" | "True" | "TRUE" => return Ok(Kind::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Kind::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err("infinity and not-a-number have no place in JSON");
    }
    if let Some(digits) = text.strip_prefix("0x")
        && !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return u64::from_str_radix(digits, 16).map(|n| Kind::Number(n.into())).map_err(|_| TOO_LONG);
    }
    if let Some(digits) = text.strip_prefix("0o")
        && !digits.is_empty()
        && digits.bytes().all(|b| (b'0'..=b'7').contains(&b))
    {
        return u64::from_str_radix(digits, 8).map(|n| Kind::Number(n.into())).map_err(|_| TOO_LONG);
    }
    if !is_decimal(unsigned) {
        return Ok(Kind::Text(text.to_owned()));
    }
    let whole = unsigned.split(['.', 'e', 'E']).next().unwrap_or_default();
    if whole.len() > 1 && whole.starts_with('0') {
        return Ok(Kind::Text(text.to_owned()));
    }
    number(text).map(Kind::Number)
}

const TOO_LONG: &str = "an integer beyond 64 bits would lose digits";

/// A decimal number in YAML's or JSON's notation, its digits kept: integers must fit 64 bits.
pub(super) fn number(text: &str) -> Result<Number, &'static str> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        if let Ok(n) = text.parse::<u64>() {
            return Ok(n.into());
        }
        return text.parse::<i64>().map(Number::from).map_err(|_| TOO_LONG);
    }
    text.parse::<f64>().ok().and_then(Number::from_f64).ok_or("a number beyond the range of 64-bit floats")
}

/// `[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?` or `\.[0-9]+(…)?`
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    exponent && digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
}

//! Reading typed values out of `Node`s. A map is opened with the closed list of the keys it may have, every other key is a finding, and so is
//! every value of the wrong type: each one by itself, so that one look finds all of them. A value that is `Pending` reads as absent.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::fill::bad_variable;
use super::findings::{Finding, Findings, Located, Place};
use super::node::{Key, Kind, Map, Node, plain};
use super::text::Text;

/// The version of our own file formats.
const FORMAT: u64 = 1;

/// The code of findings about keys that nothing reads.
pub(super) const UNKNOWN_KEY: &str = "unknown-key";

/// A map with a closed list of keys.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub node: &'a Node,
    known: &'static [&'static str],
}

impl<'a> Section<'a> {
    /// Opens a map. None, and a finding, where it is no map; a finding for each key that is not `known`. `what` names it: "a consumer".
    pub fn open(node: &'a Node, what: &str, known: &'static [&'static str], findings: &mut Findings) -> Option<Section<'a>> {
        let map = entries(node, what, findings)?;
        for (key, _) in map.iter().filter(|(key, _)| !known.contains(&key.name.as_str())) {
            findings.push(unknown_key(key, what, known));
        }
        Some(Section { node, known })
    }

    /// Opens a file of ours, which must say `version: 1`.
    pub fn file(node: &'a Node, what: &str, known: &'static [&'static str], findings: &mut Findings) -> Option<Section<'a>> {
        let section = Section::open(node, what, known, findings)?;
        match section.get("version") {
            None => findings.push(
                Finding::error("missing-version", node.at.clone(), format!("{what} without `version`"))
                    .hint(format!("say `version: {FORMAT}`: the version of the file's format")),
            ),
            Some(version) if matches!(&version.kind, Kind::Number(n) if n.as_u64() == Some(FORMAT)) => {}
            Some(version) => {
                findings.push(
                    version
                        .error("unknown-version", "a format version that this analytica does not know")
                        .hint(format!("say `version: {FORMAT}`")),
                );
            }
        }
        Some(section)
    }

    /// The value of a key; None where it is absent or null.
    pub fn get(&self, name: &str) -> Option<&'a Node> {
        debug_assert!(self.known.contains(&name), "`{name}` is not among the keys that the section was opened with");
        self.node.get(name)
    }

    /// The value of a key that must be there.
    pub fn require(&self, name: &str, findings: &mut Findings) -> Option<&'a Node> {
        let node = self.get(name);
        if node.is_none() {
            findings.push(Finding::error("missing-key", self.node.at.clone(), format!("`{name}` is missing")));
        }
        node
    }

    /// Finds those of these keys that are written without a value: a condition that was forgotten is not one that always holds.
    pub fn with_values(&self, names: &[&str], findings: &mut Findings) {
        let Kind::Map(map) = &self.node.kind else { return };
        for (key, _) in map.iter().filter(|(key, value)| names.contains(&key.name.as_str()) && matches!(value.kind, Kind::Null)) {
            let finding = Finding::error("empty-value", key.at.clone(), format!("`{}` has no value", key.name));
            findings.push(finding.width(key.width as usize).hint(format!("write one, or leave `{}` out", key.name)));
        }
    }

    /// Where the key is written; the section's own place where it is not.
    pub fn place(&self, name: &str) -> Place {
        match &self.node.kind {
            Kind::Map(map) => map.iter().find(|(key, _)| key.name == name).map(|(key, _)| key.at.clone()),
            _ => None,
        }
        .unwrap_or_else(|| self.node.at.clone())
    }

    /// A finding about a key.
    pub fn error(&self, name: &str, code: &'static str, message: impl Into<String>) -> Finding {
        Finding::error(code, self.place(name), message).width(name.chars().count())
    }

    pub fn string(&self, name: &str, findings: &mut Findings) -> Option<String> {
        self.get(name).and_then(|node| string(node, findings)).map(str::to_owned)
    }

    pub fn located(&self, name: &str, findings: &mut Findings) -> Option<Located<String>> {
        self.get(name).and_then(|node| located(node, findings))
    }

    pub fn bool(&self, name: &str, findings: &mut Findings) -> Option<bool> {
        self.get(name).and_then(|node| boolean(node, findings))
    }

    pub fn integer(&self, name: &str, range: RangeInclusive<u64>, findings: &mut Findings) -> Option<u64> {
        self.get(name).and_then(|node| integer(node, range, findings))
    }

    /// A value in human units, such as `200ms`.
    pub fn unit<T: FromStr<Err: Display>>(&self, name: &str, findings: &mut Findings) -> Option<T> {
        self.get(name).and_then(|node| unit(node, findings))
    }

    pub fn one_of<T: Copy>(&self, name: &str, choices: &[(&'static str, T)], findings: &mut Findings) -> Option<T> {
        self.get(name).and_then(|node| one_of(node, choices, findings))
    }

    pub fn text(&self, name: &str, findings: &mut Findings) -> Option<Text> {
        self.get(name).and_then(|node| text(node, findings))
    }
}

fn unknown_key(key: &Key, what: &str, known: &[&str]) -> Finding {
    let finding = Finding::error(UNKNOWN_KEY, key.at.clone(), format!("unknown key `{}` in {what}", key.name)).width(key.width as usize);
    match closest(&key.name, known.iter().copied()) {
        Some(name) => finding.hint(format!("did you mean `{name}`?")),
        None => finding.hint(format!("the keys are {}", listed(known.iter().copied()))),
    }
}

fn wrong_type(node: &Node, expected: &str) -> Finding {
    node.error("wrong-type", format!("{expected} is expected here, this is {}", node.what()))
}

/// The members of a map whose keys are free.
pub(super) fn entries<'a>(node: &'a Node, what: &str, findings: &mut Findings) -> Option<&'a Map> {
    match &node.kind {
        Kind::Map(map) => Some(map),
        Kind::Pending => None,
        _ => {
            findings.push(wrong_type(node, &format!("{what} (a map)")));
            None
        }
    }
}

/// The items of a list.
pub(super) fn items<'a>(node: &'a Node, findings: &mut Findings) -> &'a [Node] {
    match &node.kind {
        Kind::List(items) => items,
        Kind::Pending => &[],
        _ => {
            findings.push(wrong_type(node, "a list"));
            &[]
        }
    }
}

/// The items of a list, or the one value that stands in its place.
pub(super) fn one_or_many(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

pub(super) fn string<'a>(node: &'a Node, findings: &mut Findings) -> Option<&'a str> {
    match &node.kind {
        Kind::Text(text) | Kind::Filled(text) => Some(text),
        Kind::Pending => None,
        Kind::Number(_) | Kind::Bool(_) => {
            findings.push(wrong_type(node, "a string").hint("quote it"));
            None
        }
        _ => {
            findings.push(wrong_type(node, "a string"));
            None
        }
    }
}

pub(super) fn located(node: &Node, findings: &mut Findings) -> Option<Located<String>> {
    string(node, findings).map(|text| Located::new(text.to_owned(), node.at.clone()))
}

/// A filled-in variable as what it would be if it stood there plainly.
fn typed(node: &Node) -> Cow<'_, Kind> {
    match &node.kind {
        Kind::Filled(text) => Cow::Owned(plain(text).unwrap_or_else(|_| Kind::Text(text.clone()))),
        kind => Cow::Borrowed(kind),
    }
}

pub(super) fn boolean(node: &Node, findings: &mut Findings) -> Option<bool> {
    match typed(node).as_ref() {
        Kind::Bool(value) => Some(*value),
        Kind::Pending => None,
        _ => {
            findings.push(wrong_type(node, "`true` or `false`"));
            None
        }
    }
}

pub(super) fn integer(node: &Node, range: RangeInclusive<u64>, findings: &mut Findings) -> Option<u64> {
    let number = match typed(node).as_ref() {
        Kind::Number(number) => number.as_u64(),
        Kind::Pending => return None,
        _ => {
            findings.push(wrong_type(node, "an integer"));
            return None;
        }
    };
    let found = number.filter(|number| range.contains(number));
    if found.is_none() {
        let (low, high) = (range.start(), range.end());
        findings.push(node.error(
            "out-of-range",
            match *high {
                u64::MAX => format!("an integer of at least {low} is expected here"),
                high => format!("an integer from {low} to {high} is expected here"),
            },
        ));
    }
    found
}

/// A value in human units: written as a string, or as a number without a unit, which the type then refuses with the units it knows.
pub(super) fn unit<T: FromStr<Err: Display>>(node: &Node, findings: &mut Findings) -> Option<T> {
    let written = match &node.kind {
        Kind::Text(text) | Kind::Filled(text) => text.clone(),
        Kind::Number(number) => number.to_string(),
        Kind::Pending => return None,
        _ => {
            findings.push(wrong_type(node, "a quantity with its unit"));
            return None;
        }
    };
    match written.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            findings.push(node.error("bad-unit", error.to_string()));
            None
        }
    }
}

/// One of some words.
pub(super) fn one_of<T: Copy>(node: &Node, choices: &[(&'static str, T)], findings: &mut Findings) -> Option<T> {
    let word = string(node, findings)?;
    let found = choices.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    if found.is_none() {
        let names = || choices.iter().map(|(name, _)| *name);
        let finding = node.error("unknown-value", format!("`{}` is none of {}", cut(word), listed(names())));
        findings.push(match closest(word, names()) {
            Some(name) => finding.hint(format!("did you mean `{name}`?")),
            None => finding,
        });
    }
    found
}

/// A string with variables; a number or boolean stands for its digits or name.
pub(super) fn text(node: &Node, findings: &mut Findings) -> Option<Text> {
    let source = match &node.kind {
        Kind::Text(source) | Kind::Filled(source) => source.clone(),
        Kind::Number(number) => number.to_string(),
        Kind::Bool(value) => value.to_string(),
        Kind::Pending => return None,
        _ => {
            findings.push(wrong_type(node, "a string"));
            return None;
        }
    };
    match Text::new(source) {
        Ok(text) => Some(text),
        Err(error) => {
            findings.push(bad_variable(node, &error.to_string()));
            None
        }
    }
}

/// A name that becomes part of topics, groups and keys: `[a-z0-9][a-z0-9_-]*`, at most 63 characters.
pub(super) fn name(name: &str, what: &str, at: Place, findings: &mut Findings) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = name.len() <= 63 && name.bytes().next().is_some_and(plain) && name.bytes().all(|b| plain(b) || b == b'_' || b == b'-');
    if !good {
        findings.push(
            Finding::error("bad-name", at, format!("`{}` cannot be the name of {what}", cut(name)))
                .width(name.chars().count())
                .hint("lower-case letters, digits, `_` and `-`, starting with a letter or digit, at most 63"),
        );
    }
    good
}

/// The name that somebody probably meant.
pub fn closest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count().max(word.chars().count()) / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

/// "`a`, `b` and `c`", at most a dozen of them.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.len() > 12 {
        let more = names.len() - 12;
        names.truncate(12);
        return format!("{} and {more} more", names.join(", "));
    }
    match names.pop() {
        None => "none".to_owned(),
        Some(last) if names.is_empty() => last,
        Some(last) => format!("{} and {last}", names.join(", ")),
    }
}

/// At most forty characters of somebody's text, on one line.
pub(super) fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(41).collect();
    match line.chars().count() {
        41 => line.chars().take(39).chain(['…']).collect(),
        _ => line,
    }
}

//! JSON → `Node`: strict RFC 8259, every value with its place, every double key a finding (the JSON crate gives neither).

use std::collections::HashSet;
use std::sync::Arc;

use super::findings::{Finding, Findings, Place};
use super::node::{Key, Kind, Map, Node, number};

/// Arrays and objects in each other, as deep as the JSON crate goes.
const DEEPEST: usize = 128;

/// Reads one document. None where it is not JSON.
pub(super) fn read(file: &Arc<str>, source: &str, findings: &mut Findings) -> Option<Node> {
    let mut reader = Reader { file, rest: source, line: 1, column: 1, depth: 0, findings };
    reader.space();
    let node = reader.value().and_then(|node| {
        reader.space();
        match reader.rest.is_empty() {
            true => Ok(node),
            false => Err(reader.error("something stands after the end of the document")),
        }
    });
    node.map_err(|finding| reader.findings.push(finding)).ok()
}

struct Reader<'a> {
    file: &'a Arc<str>,
    rest: &'a str,
    line: u32,
    column: u32,
    depth: usize,
    findings: &'a mut Findings,
}

impl<'a> Reader<'a> {
    fn place(&self) -> Place {
        Place::new(self.file.clone(), self.line, self.column)
    }

    fn error(&self, message: &str) -> Finding {
        Finding::error("json-syntax", self.place(), format!("not valid JSON: {message}"))
    }

    fn peek(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    /// Goes on by `bytes`, which hold no line break and end at a character's end.
    fn skip(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.column += taken.chars().count() as u32;
        self.rest = rest;
        taken
    }

    fn space(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => {
                    self.rest = &self.rest[1..];
                    (self.line, self.column) = (self.line + 1, 1);
                }
                b' ' | b'\t' | b'\r' => {
                    self.rest = &self.rest[1..];
                    self.column += 1;
                }
                _ => return,
            }
        }
    }

    fn value(&mut self) -> Result<Node, Finding> {
        let at = self.place();
        match self.peek() {
            Some(b'{') => self.object(at),
            Some(b'[') => self.array(at),
            Some(b'"') => {
                let (text, width) = self.string()?;
                Ok(Node::new(at, width, Kind::Text(text)))
            }
            Some(b'-' | b'0'..=b'9') => self.number(at),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => {
                let word = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
                let kind = match &self.rest[..word] {
                    "null" => Kind::Null,
                    "true" => Kind::Bool(true),
                    "false" => Kind::Bool(false),
                    other => {
                        let message = format!("`{}` is not a value", other.chars().take(40).collect::<String>());
                        return Err(self.error(&message).width(word).hint("strings stand in double quotes"));
                    }
                };
                self.skip(word);
                Ok(Node::new(at, word, kind))
            }
            Some(b'}' | b']' | b',') => Err(self.error("a value is missing here").hint("JSON has no comma after the last member")),
            Some(b'\'') => Err(self.error("a value cannot start like this").hint("strings stand in double quotes")),
            Some(b'/' | b'#') => {
                Err(self.error("a value cannot start like this").hint("JSON has no comments; YAML has: name the file .yaml"))
            }
            Some(_) => Err(self.error("a value cannot start like this")),
            None => Err(self.error("the document ends too early")),
        }
    }

    fn descend(&mut self) -> Result<(), Finding> {
        self.depth += 1;
        match self.depth <= DEEPEST {
            true => Ok(()),
            false => Err(Finding::error("too-deep", self.place(), format!("more than {DEEPEST} arrays and objects in each other"))),
        }
    }

    fn array(&mut self, at: Place) -> Result<Node, Finding> {
        self.descend()?;
        self.skip(1);
        let mut items = Vec::new();
        self.space();
        while self.peek() != Some(b']') || !items.is_empty() {
            items.push(self.value()?);
            if self.ends(b']', "`,` or `]` is missing here")? {
                break;
            }
        }
        self.skip(1);
        self.depth -= 1;
        Ok(Node::new(at, 1, Kind::List(items)))
    }

    fn object(&mut self, at: Place) -> Result<Node, Finding> {
        self.descend()?;
        self.skip(1);
        let mut map = Map::new();
        let mut names = HashSet::new();
        self.space();
        while self.peek() != Some(b'}') || !names.is_empty() {
            let at = self.place();
            match self.peek() {
                Some(b'"') => {}
                Some(b'}') => return Err(self.error("a member is missing here").hint("JSON has no comma after the last member")),
                Some(_) => return Err(self.error("a key stands in double quotes")),
                None => return Err(self.error("the document ends too early")),
            }
            let (name, width) = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.error("`:` is missing here"));
            }
            self.skip(1);
            self.space();
            let value = self.value()?;
            let key = Key { name, at, width: width as u32 };
            match names.insert(key.name.clone()) {
                true => map.push((key, value)),
                false => self.findings.push(
                    Finding::error("duplicate-key", key.at, format!("`{}` stands twice in one object", key.name))
                        .width(width)
                        .hint("keep one of them"),
                ),
            }
            if self.ends(b'}', "`,` or `}` is missing here")? {
                break;
            }
        }
        self.skip(1);
        self.depth -= 1;
        Ok(Node::new(at, 1, Kind::Map(map)))
    }

    /// After a member: whether the closing bracket is next; a comma is taken.
    fn ends(&mut self, close: u8, missing: &str) -> Result<bool, Finding> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.skip(1);
                self.space();
                Ok(false)
            }
            Some(byte) if byte == close => Ok(true),
            Some(_) => Err(self.error(missing)),
            None => Err(self.error("the document ends too early")),
        }
    }

    fn number(&mut self, at: Place) -> Result<Node, Finding> {
        let length = self.rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(self.rest.len());
        let text = &self.rest[..length];
        if serde_json::from_str::<f64>(text).is_err() {
            return Err(self.error(&format!("`{}` is not a number", text.chars().take(40).collect::<String>())).width(length));
        }
        let kind = number(text).map(Kind::Number).unwrap_or_else(|why| {
            self.findings
                .push(Finding::error("bad-number", at.clone(), why).width(length).hint("quote it where it is a name, not a number"));
            Kind::Pending
        });
        self.skip(length);
        Ok(Node::new(at, length, kind))
    }

    /// A string and its width in the file, quotes included.
    fn string(&mut self) -> Result<(String, usize), Finding> {
        let bytes = self.rest.as_bytes();
        let mut end = 1;
        let mut escaped = false;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    end += 2;
                }
                Some(byte) if *byte < 0x20 => {
                    return Err(self
                        .error("a string holds a line break or another control character")
                        .hint("close the string, or write \\n"));
                }
                Some(_) => end += 1,
                None => return Err(self.error("a string is not closed")),
            }
        }
        let raw = &self.rest[..=end];
        let text = match escaped {
            // Escapes are the JSON crate's business: surrogate pairs and all.
            true => serde_json::from_str(raw).map_err(|_| self.error("a string holds an escape that does not exist"))?,
            false => raw[1..end].to_owned(),
        };
        let before = self.column;
        self.skip(end + 1);
        Ok((text, (self.column - before) as usize))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(source: &str) -> (Option<Node>, Findings) {
        let mut findings = Findings::default();
        let node = read(&"a.json".into(), source, &mut findings);
        (node, findings)
    }

    #[test]
    fn every_value_keeps_its_place() {
        let (node, findings) = parse("{\n\t\"é\": [1, {\"b\": null}]\n}");
        assert!(findings.is_empty());
        let places = node.unwrap().places();
        let at = |pointer: &str| places[pointer].value.to_string();
        assert_eq!(
            (at(""), at("/é"), at("/é/0"), at("/é/1/b")),
            ("a.json:1:1".into(), "a.json:2:2".into(), "a.json:2:8".into(), "a.json:2:17".into())
        );
    }

    #[test]
    fn double_keys_are_findings_of_their_own() {
        let (node, findings) = parse(r#"{"a": 1, "a": 2, "b": {"c": 1, "c": 1}}"#);
        assert_eq!(findings.len(), 2);
        assert_eq!(node.unwrap().to_json(), serde_json::json!({"a": 1, "b": {"c": 1}}));
    }

    #[test]
    fn what_only_yaml_knows_is_refused() {
        for source in [
            "{a: 1}",
            "{\"a\": 1,}",
            "[1,]",
            "{\"a\": 'b'}",
            "# no\n{}",
            "{\"a\": 01}",
            "",
            "{} {}",
            "[1 2]",
            "{\"a\" 1}",
            "\"\\x\"",
            "+1",
            ".5",
            "[",
            "{",
        ] {
            let (node, findings) = parse(source);
            assert!(node.is_none() && findings.has_errors(), "{source}");
        }
    }

    #[test]
    fn an_integer_that_would_lose_digits_is_a_finding() {
        let (_, findings) = parse(r#"{"maximum": 18446744073709551616}"#);
        assert_eq!(findings.iter().next().map(|f| f.code), Some("bad-number"));
        let (node, findings) = parse("[18446744073709551615, -9223372036854775808, 1.0, 1]");
        assert!(findings.is_empty());
        assert_eq!(node.unwrap().to_json().to_string(), "[18446744073709551615,-9223372036854775808,1.0,1]");
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(".{0,6}", inner, 0..6).prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_what_the_json_crate_reads(value in any_json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let (node, findings) = parse(&text);
                prop_assert!(findings.is_empty());
                prop_assert_eq!(node.unwrap().to_json(), serde_json::from_str::<serde_json::Value>(&text).unwrap());
            }
        }

        #[test]
        fn it_refuses_what_the_json_crate_refuses(text in "[\\[\\]{}\",:\\\\0-9a-z .eE+-]{0,24}") {
            let (node, findings) = parse(&text);
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(_) => prop_assert!(node.is_some()),
                Err(_) => prop_assert!(node.is_none() || findings.has_errors()),
            }
        }
    }
}

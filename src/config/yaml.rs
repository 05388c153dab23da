//! YAML → `Node`. The syntax is the YAML crate's business; the core schema of YAML 1.2, aliases, merge keys and double keys are ours, because
//! each value must keep its place and every double key is a finding of its own.

use std::collections::HashMap;
use std::sync::Arc;

use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::findings::{Finding, Findings, Place};
use super::node::{Key, Kind, Map, Node, plain};

/// Values in one file, aliases written out. The largest file that people keep has some ten thousand; a bomb of aliases has billions.
const MOST_NODES: usize = 1_000_000;
/// Lists and maps in each other.
const DEEPEST: usize = 128;

/// Reads one document. None where nothing of it can be used; findings are complete either way.
pub(super) fn read(file: &Arc<str>, source: &str, findings: &mut Findings) -> Option<Node> {
    let mut reader = Reader { file, findings, anchors: HashMap::new(), open: Vec::new(), root: None, documents: 0, nodes: 0 };
    for next in Parser::new_from_str(source) {
        let stop = match next {
            Ok((event, span)) => reader.take(event, span),
            Err(error) => {
                let mark = error.marker();
                let at = Place::new(file.clone(), mark.line() as u32, mark.col() as u32 + 1);
                Err(Finding::error("yaml-syntax", at, format!("not valid YAML: {}", error.info())))
            }
        };
        if let Err(finding) = stop {
            reader.findings.push(finding);
            return None;
        }
    }
    Some(reader.root.unwrap_or_else(|| Node::empty(Place::new(file.clone(), 1, 1))))
}

struct Reader<'a> {
    file: &'a Arc<str>,
    findings: &'a mut Findings,
    anchors: HashMap<usize, Node>,
    /// The lists and maps that are not closed yet, outermost first.
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
}

/// A list or map that is being read, with its anchor (0: none).
enum Open {
    List { at: Place, anchor: usize, items: Vec<Node> },
    Map { at: Place, anchor: usize, map: Map, key: Option<Key>, merged: Vec<Node> },
}

impl Reader<'_> {
    fn place(&self, span: &Span) -> Place {
        Place::new(self.file.clone(), span.start.line() as u32, span.start.col() as u32 + 1)
    }

    /// Err: nothing after this can be made sense of.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Finding> {
        let at = self.place(&span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                match self.documents {
                    1 => Ok(()),
                    _ => Err(Finding::error("yaml-documents", at, "more than one YAML document in a file")
                        .hint("one file holds one definition: split it")),
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let width = match span.end.line() == span.start.line() {
                    true => span.end.col().saturating_sub(span.start.col()),
                    false => 1,
                };
                let kind = self.scalar(&text, style, tag.as_deref(), &at)?;
                let node = Node::new(at, width, kind);
                // A key keeps the text that stands there, so that `1:` and `no:` are names too.
                let name = matches!(style, ScalarStyle::Plain).then(|| text.into_owned());
                self.value(node, anchor, name)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.descend(&at, tag.as_deref())?;
                self.open.push(Open::List { at, anchor, items: Vec::new() });
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.descend(&at, tag.as_deref())?;
                self.open.push(Open::Map { at, anchor, map: Map::new(), key: None, merged: Vec::new() });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { at, anchor, items }) => self.value(Node::new(at, 1, Kind::List(items)), anchor, None),
                Some(Open::Map { at, anchor, map, merged, .. }) => {
                    let map = self.merge(map, merged);
                    self.value(Node::new(at, 1, Kind::Map(map)), anchor, None)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some(mut node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Finding::error("yaml-alias", at, "this alias stands inside of what it repeats"));
                };
                self.count(&node, &at)?;
                node.at = at;
                let name = match &node.kind {
                    Kind::Text(text) => Some(text.clone()),
                    _ => None,
                };
                self.value(node, 0, name)
            }
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: &Place) -> Result<Kind, Finding> {
        let text = match tag {
            Some(tag) if tag.is_yaml_core_schema_tag("str") => return Ok(Kind::Text(text.to_owned())),
            Some(tag) => return Err(strange_tag(tag, at)),
            None if !matches!(style, ScalarStyle::Plain) => return Ok(Kind::Text(text.to_owned())),
            None => text,
        };
        Ok(plain(text).unwrap_or_else(|why| {
            self.findings.push(
                Finding::error("bad-number", at.clone(), why).width(text.chars().count()).hint("quote it where it is a name, not a number"),
            );
            Kind::Pending
        }))
    }

    fn descend(&self, at: &Place, tag: Option<&Tag>) -> Result<(), Finding> {
        if let Some(tag) = tag
            && !tag.is_yaml_core_schema_tag("map")
            && !tag.is_yaml_core_schema_tag("seq")
        {
            return Err(strange_tag(tag, at));
        }
        match self.open.len() < DEEPEST {
            true => Ok(()),
            false => Err(Finding::error("too-deep", at.clone(), format!("more than {DEEPEST} lists and maps in each other"))),
        }
    }

    /// Counts what an alias writes out against the budget of the file.
    fn count(&mut self, node: &Node, at: &Place) -> Result<(), Finding> {
        fn size(node: &Node) -> usize {
            match &node.kind {
                Kind::List(items) => items.iter().map(size).sum::<usize>() + 1,
                Kind::Map(map) => map.iter().map(|(_, node)| size(node)).sum::<usize>() + 1,
                _ => 1,
            }
        }
        self.nodes = self.nodes.saturating_add(size(node));
        match self.nodes <= MOST_NODES {
            true => Ok(()),
            false => {
                Err(Finding::error("too-large", at.clone(), format!("more than {MOST_NODES} values in one file, aliases written out")))
            }
        }
    }

    /// Puts a finished value where it belongs. `name` is its text, should it turn out to be a key.
    fn value(&mut self, node: Node, anchor: usize, name: Option<String>) -> Result<(), Finding> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(Finding::error("too-large", node.at, format!("more than {MOST_NODES} values in one file")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { map, key, merged, .. }) => match key.take() {
                None => {
                    let name = match (name, node.kind) {
                        (Some(name), _) | (None, Kind::Text(name)) => name,
                        _ => return Err(Finding::error("bad-key", node.at, "a key must be a plain name")),
                    };
                    *key = Some(Key { name, at: node.at, width: node.width });
                }
                Some(key) if key.name == "<<" => merged.push(node),
                Some(key) => match map.iter().find(|(there, _)| there.name == key.name) {
                    Some((there, _)) => self.findings.push(
                        Finding::error("duplicate-key", key.at, format!("`{}` stands twice in one map", key.name))
                            .width(key.width as usize)
                            .hint(format!("the first is in line {}: keep one of them", there.at.line)),
                    ),
                    None => map.push((key, node)),
                },
            },
        }
        Ok(())
    }

    /// `<<: *defaults`: members that the map itself does not have.
    fn merge(&mut self, mut map: Map, merged: Vec<Node>) -> Map {
        for node in merged {
            let parts = match node.kind {
                Kind::List(parts) => parts,
                _ => vec![node],
            };
            for part in parts {
                let Kind::Map(members) = part.kind else {
                    self.findings.push(Finding::error("yaml-merge", part.at, "`<<` merges a map or a list of maps"));
                    continue;
                };
                for (key, value) in members {
                    if map.iter().all(|(there, _)| there.name != key.name) {
                        map.push((key, value));
                    }
                }
            }
        }
        map
    }
}

fn strange_tag(tag: &Tag, at: &Place) -> Finding {
    Finding::error("yaml-tag", at.clone(), format!("the tag `{}` means nothing here", tag.original())).hint("take it away")
}

//! sources.yaml: what comes in, and the limits.

use super::fill::forbid_variables;
use super::findings::{Finding, Findings, Located};
use super::node::{Kind, Node};
use super::section::{Section, cut, entries, located, name, one_or_many};
use super::set::{Envelope, JsonPointer, Limits, Source};
use super::units::Size;

/// Sources in the order of the file.
pub(super) fn decode(node: &Node, findings: &mut Findings) -> (Vec<Source>, Limits) {
    forbid_variables(node, "sources.yaml", findings);
    let Some(file) = Section::file(node, "sources.yaml", &["version", "sources", "limits"], findings) else {
        return (Vec::new(), Limits::default());
    };
    let mut sources = Vec::new();
    if let Some(map) = file.require("sources", findings).and_then(|node| entries(node, "sources", findings)) {
        for (key, node) in map {
            if name(&key.name, "a source", key.at.clone(), findings)
                && let Some(source) = source(&key.name, node, findings)
            {
                sources.push(Source { at: key.at.clone(), ..source });
            }
        }
        if map.is_empty() {
            findings.push(file.error("sources", "no-sources", "no source: nothing comes in"));
        }
    }
    refuse_double_claims(&sources, findings);
    (sources, limits(&file, findings))
}

fn source(source: &str, node: &Node, findings: &mut Findings) -> Option<Source> {
    let section = Section::open(node, "a source", &["topics", "envelope", "description", "owner"], findings)?;
    let mut topics = Vec::new();
    if let Some(node) = section.require("topics", findings) {
        let written = one_or_many(node);
        if written.is_empty() {
            findings.push(section.error("topics", "no-topics", format!("the source `{source}` has no topics")));
        }
        for node in written {
            let Some(topic) = located(node, findings) else { continue };
            match is_topic(&topic.value, true) {
                true => topics.push(topic),
                false => findings.push(
                    Finding::error("bad-topic", topic.at, format!("`{}` is not the name of a topic", cut(&topic.value)))
                        .width(topic.value.chars().count())
                        .hint("letters, digits, `.`, `_` and `-`, at most 249; `*` stands for any of them"),
                ),
            }
        }
    }
    let envelope = section.require("envelope", findings).and_then(|node| envelope(node, findings))?;
    Some(Source { name: source.into(), topics, envelope, at: node.at.clone() })
}

/// A name that Kafka takes for a topic; `*` where patterns are allowed.
pub(super) fn is_topic(name: &str, pattern: bool) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-') || pattern && b == b'*';
    !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.bytes().all(good)
}

fn envelope(node: &Node, findings: &mut Findings) -> Option<Envelope> {
    if let Kind::Text(preset) = &node.kind {
        if preset == "segment" {
            return Some(segment());
        }
        findings.push(
            node.error("unknown-value", format!("`{}` is no preset of an envelope", cut(preset)))
                .hint("the preset is `segment`; or say where each part is: { name: /type, id: /id, user: /user, time: /time }"),
        );
        return None;
    }
    let section = Section::open(node, "an envelope", &["name", "version", "id", "user", "anonymous", "time"], findings)?;
    let mut pointers = |part: &str| section.get(part).map(|node| self::pointers(node, findings)).unwrap_or_default();
    let envelope = Envelope {
        name: pointers("name"),
        version: pointers("version"),
        id: pointers("id"),
        user: pointers("user"),
        anonymous: pointers("anonymous"),
        time: pointers("time"),
    };
    section.require("name", findings)?;
    Some(envelope)
}

/// The Segment spec: `track` calls carry their name in `event`, the others (`page`, `screen`, `identify`, `group`, `alias`) are named by `type`.
/// The version is where Segment's Protocols put it; the spec's own top-level `version` is that of the tracking API, not of the event.
fn segment() -> Envelope {
    let at = |tokens: &[&str]| JsonPointer(tokens.iter().map(|token| (*token).to_owned()).collect());
    Envelope {
        name: vec![at(&["event"]), at(&["type"])],
        version: vec![at(&["context", "protocols", "event_version"])],
        id: vec![at(&["messageId"])],
        user: vec![at(&["userId"])],
        anonymous: vec![at(&["anonymousId"])],
        time: vec![at(&["timestamp"])],
    }
}

fn pointers(node: &Node, findings: &mut Findings) -> Vec<JsonPointer> {
    one_or_many(node).iter().filter_map(|node| located(node, findings).and_then(|text| pointer(text, findings))).collect()
}

fn pointer(text: Located<String>, findings: &mut Findings) -> Option<JsonPointer> {
    let token = |token: &str| {
        let bad_escape = token.split('~').skip(1).any(|after| !after.starts_with(['0', '1']));
        (!bad_escape).then(|| token.replace("~1", "/").replace("~0", "~"))
    };
    let pointer = text.value.strip_prefix('/').and_then(|rest| rest.split('/').map(token).collect::<Option<Vec<_>>>());
    if pointer.is_none() {
        findings.push(
            Finding::error("bad-pointer", text.at, format!("`{}` is not a JSON Pointer", cut(&text.value)))
                .width(text.value.chars().count())
                .hint("write `/properties/step`, starting with `/`"),
        );
    }
    pointer.map(JsonPointer)
}

fn limits(file: &Section<'_>, findings: &mut Findings) -> Limits {
    let mut limits = Limits::default();
    let Some(section) = file.get("limits").and_then(|node| Section::open(node, "limits", &["event", "payload"], findings)) else {
        return limits;
    };
    for (key, limit) in [("event", &mut limits.max_event_bytes), ("payload", &mut limits.max_payload_bytes)] {
        match section.unit(key, findings) {
            Some(Size(0)) => findings.push(section.error(key, "out-of-range", format!("a limit of zero bytes lets no {key} through"))),
            Some(Size(bytes)) => *limit = bytes,
            None => {}
        }
    }
    limits
}

/// A topic is read by one source: two envelopes for one event would be a contradiction.
fn refuse_double_claims(sources: &[Source], findings: &mut Findings) {
    let claims: Vec<_> = sources.iter().flat_map(|source| source.topics.iter().map(move |topic| (source, topic))).collect();
    for (index, (source, topic)) in claims.iter().enumerate() {
        if let Some((other, first)) = claims[..index].iter().find(|(_, first)| overlap(first.value.as_bytes(), topic.value.as_bytes())) {
            findings.push(
                Finding::error(
                    "topic-claimed-twice",
                    topic.at.clone(),
                    match topic.value == first.value {
                        true => format!("the topic `{}` is also a topic of the source `{}`", topic.value, other.name),
                        false => format!("`{}` and `{}` of the source `{}` can match the same topic", topic.value, first.value, other.name),
                    },
                )
                .width(topic.value.chars().count())
                .hint(match source.name == other.name {
                    true => "name it once".to_owned(),
                    false => format!("a topic has one source; the other claim is in line {}", first.at.line),
                }),
            );
        }
    }
}

/// Whether a name exists that both patterns match. Worked out from the ends on, so that stars cost no more than their number squared.
fn overlap(a: &[u8], b: &[u8]) -> bool {
    // what[i][j]: whether `a[i..]` and `b[j..]` overlap
    let mut what = vec![vec![false; b.len() + 1]; a.len() + 1];
    for i in (0..=a.len()).rev() {
        for j in (0..=b.len()).rev() {
            what[i][j] = match (a.get(i), b.get(j)) {
                (None, None) => true,
                // a star stands for nothing, or for one more of the other's
                (Some(b'*'), other) => what[i + 1][j] || (other.is_some() && what[i][j + 1]),
                (other, Some(b'*')) => what[i][j + 1] || (other.is_some() && what[i + 1][j]),
                (Some(x), Some(y)) => x == y && what[i + 1][j + 1],
                _ => false,
            };
        }
    }
    what[0][0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_overlap_where_one_name_fits_both() {
        for (a, b, expected) in [
            ("web.events", "web.events", true),
            ("web.*", "web.events", true),
            ("web.*", "*.events", true),
            ("web.*", "app.*", false),
            ("*a", "*b", false),
            ("a*c", "ab*", true),
            ("*", "x", true),
            ("a", "ab", false),
            ("", "*", true),
            ("", "a", false),
            ("*a*", "b*b", true),
            ("a**", "*", true),
            ("ab*", "a*c", true),
            ("ab*", "ac*", false),
        ] {
            assert_eq!(overlap(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
            assert_eq!(overlap(b.as_bytes(), a.as_bytes()), expected, "{b} {a}");
        }
    }

    #[test]
    fn many_stars_cost_little() {
        let (a, b) = ("*a".repeat(50) + "*b", "*a".repeat(50) + "*c");
        assert!(!overlap(a.as_bytes(), b.as_bytes()));
    }
}

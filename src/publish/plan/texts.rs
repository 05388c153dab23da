//! Which files differ, and how: as text, line ends aside.

use std::borrow::Cow;

use similar::TextDiff;

use super::{Action, Change};
use crate::config::{Entry, Files, Findings, say_the_same};
use crate::pipeline::template::{captures, same_but_layout};

/// Lines around a change.
const CONTEXT: usize = 2;

/// How a file differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// It is added or removed whole.
    Whole,
    /// Unified, without the two lines of names; control characters are replaced.
    Diff { text: String, layout_only: bool },
    /// It changed and is not shown; why.
    Withheld(&'static str),
}

impl Content {
    /// Whether only comments and layout changed.
    pub fn is_layout(&self) -> bool {
        matches!(self, Content::Diff { layout_only: true, .. })
    }

    pub fn diff(&self) -> Option<&str> {
        match self {
            Content::Diff { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// By path. `faults` is what is wrong with `old`.
pub(super) fn changes(old: &Files, new: &Files, faults: &Findings) -> Vec<Change> {
    let change = |action, path: &std::sync::Arc<str>, content| Change { action, path: path.clone(), content, touches: None };
    let captured = captures_text(old) || captures_text(new);
    let mut changes: Vec<Change> = Vec::new();
    for (path, bytes) in new.iter() {
        match old.get(path) {
            None => changes.push(change(Action::Add, path, Content::Whole)),
            Some(before) if lines(before) == lines(bytes) => {}
            Some(_) if may_hide_a_secret(path, faults) => changes.push(change(
                Action::Change,
                path,
                Content::Withheld("not shown: this version finds fault with the published file, and what it cannot read may be a secret"),
            )),
            Some(before) => changes.push(change(Action::Change, path, content(path, before, bytes, captured))),
        }
    }
    changes.extend(old.iter().filter(|(path, _)| new.get(path).is_none()).map(|(path, _)| change(Action::Remove, path, Content::Whole)));
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}

/// Only a set that was published unchecked has such: `validate` refuses secrets in clear, and a plan must not print what it finds there.
fn may_hide_a_secret(path: &str, faults: &Findings) -> bool {
    matches!(Entry::of(path), Entry::Consumer { .. } | Entry::Environment { .. }) && faults.iter().any(|finding| *finding.at.file == *path)
}

fn content(path: &str, old: &[u8], new: &[u8], captured: bool) -> Content {
    let (Ok(before), Ok(after)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        return Content::Withheld("not shown: it is no text");
    };
    let layout_only = match Entry::of(path) {
        Entry::Transform { .. } => !captured && same_but_layout(before, after),
        _ => say_the_same(path, old, new),
    };
    Content::Diff { text: diff(&lines(old), &lines(new)), layout_only }
}

/// In such a set a line break of a template may be content, wherever it is included.
fn captures_text(files: &Files) -> bool {
    files.iter().any(|(path, bytes)| matches!(Entry::of(path), Entry::Transform { .. }) && std::str::from_utf8(bytes).is_ok_and(captures))
}

/// With LF at each line's end.
fn lines(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains("\r\n") { text.replace("\r\n", "\n").into() } else { text }
}

fn diff(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let text = diff.unified_diff().context_radius(CONTEXT).to_string();
    let lines: Vec<String> = text.lines().map(harmless).collect();
    lines.join("\n")
}

/// Text of others on one line of a terminal: no control character but the tab, and nothing that turns the direction of writing, so that what is
/// reviewed is what is there.
pub(super) fn harmless(line: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    line.chars().map(|c| if (c.is_control() && c != '\t') || turns(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Finding, Place};

    fn files(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(path, text)| (*path, text.as_bytes().to_vec())).collect()
    }

    fn one(path: &str, old: &str, new: &str) -> Option<Change> {
        changes(&files(&[(path, old)]), &files(&[(path, new)]), &Findings::default()).pop()
    }

    #[test]
    fn a_change_is_shown_with_two_lines_around_it() {
        let change = one("sources.yaml", "a: 1\nb: 2\nc: 3\nd: 4\ne: 5\nf: 6\n", "a: 1\nb: 2\nc: 3\nd: 5\ne: 5\nf: 6\n");
        assert_eq!(change.unwrap().content.diff(), Some("@@ -2,5 +2,5 @@\n b: 2\n c: 3\n-d: 4\n+d: 5\n e: 5\n f: 6"));
    }

    #[test]
    fn line_ends_are_no_change() {
        assert_eq!(one("sources.yaml", "a: 1\nb: 2\n", "a: 1\r\nb: 2\r\n"), None);
        let change = one("sources.yaml", "a: 1\r\nb: 2\r\n", "a: 1\nb: 3\n").unwrap();
        assert_eq!(change.content.diff(), Some("@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3"));
    }

    #[test]
    fn comments_and_layout_are_told_from_changes() {
        for (path, old, new, layout) in [
            ("consumers/a.yaml", "a: 1 # one\nb: [x]\n", "# note\nb:\n  - x\na: 1\n", true),
            ("consumers/a.yaml", "a: 1\n", "a: \"1\"\n", false),
            ("consumers/a.yaml", "a: [\n", "a: [ \n", false),
            ("schemas/a/1.json", "{\"a\": 1, \"b\": 2}", "{\n  \"b\": 2,\n  \"a\": 1\n}", true),
            ("transforms/a.j2", "{# x #}{}", "{# y #}{}", true),
            ("transforms/a.j2", "{}", "[]", false),
        ] {
            assert_eq!(one(path, old, new).unwrap().content.is_layout(), layout, "{path}: {new}");
        }
    }

    #[test]
    fn a_line_break_counts_where_text_is_captured() {
        let (old, new) = ("{% set x %}a\nb{% endset %}", "{% set x %}a\n\nb{% endset %}");
        assert!(!one("transforms/a.j2", old, new).unwrap().content.is_layout());
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_printed() {
        let change = one("transforms/a.j2", "{}", "\u{1b}]0;owned\u{7}\u{202e}{}").unwrap();
        assert!(!change.content.diff().unwrap().contains(['\u{1b}', '\u{7}', '\u{202e}']));
    }

    #[test]
    fn a_published_definition_with_faults_is_not_shown() {
        let mut faults = Findings::default();
        faults.push(Finding::error("secret-in-clear", Place::new("consumers/a.yaml", 1, 1), "credentials in clear"));
        let found = changes(&files(&[("consumers/a.yaml", "key: hunter2\n")]), &files(&[("consumers/a.yaml", "key: x\n")]), &faults);
        assert!(matches!(found[0].content, Content::Withheld(_)));
    }

    #[test]
    fn what_is_no_text_is_said_to_change() {
        let set = |byte| Files::from_iter([("transforms/a.j2", vec![byte, 0xff])]);
        assert!(matches!(changes(&set(1), &set(2), &Findings::default())[0].content, Content::Withheld(_)));
    }
}

//! The files of a compile: their text, their syntax trees, and where in them people read an offset.

use std::sync::Arc;

use minijinja::machinery::ast::Stmt;
use minijinja::machinery::{Token, parse, tokenize};

use crate::config::{Finding, Findings, Place};

/// Where the offsets of a text are for people.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// The place of the first character: 1:1 in a file of its own.
    start: Place,
    pub(super) text: Arc<str>,
    /// The offset of each line's first byte.
    lines: Arc<[usize]>,
}

impl Text {
    pub(super) fn new(start: Place, text: Arc<str>) -> Text {
        let lines = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
        Text { start, text, lines }
    }

    /// The line and column, in characters, of a byte offset.
    pub(super) fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset) - 1;
        let column = self.text.get(self.lines[line]..offset).map_or(0, |before| before.chars().count());
        match line {
            0 => Place::new(self.start.file.clone(), self.start.line, self.start.column + column as u32),
            _ => Place::new(self.start.file.clone(), self.start.line + line as u32, 1 + column as u32),
        }
    }

    /// How many characters a stretch has, up to the end of its line.
    pub(super) fn width(&self, start: usize, end: usize) -> usize {
        self.text.get(start..end).map_or(1, |text| text.chars().take_while(|c| *c != '\n').count())
    }
}

/// One template or partial.
pub(super) struct File<'s> {
    /// The name that includes use.
    pub(super) name: &'s str,
    pub(super) text: &'s Text,
    pub(super) prints: Prints,
    /// None where it does not parse.
    pub(super) tree: Option<Stmt<'s>>,
}

impl<'s> File<'s> {
    pub(super) fn parse(name: &'s str, text: &'s Text, findings: &mut Findings) -> File<'s> {
        let tree = match parse(&text.text, name, Default::default()) {
            Ok(tree) => Some(tree),
            Err(error) => {
                let range = error.range().unwrap_or_default();
                let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
                let width = text.width(range.start, range.end);
                findings.push(Finding::error("template-syntax", text.place(range.start), detail).width(width));
                None
            }
        };
        File { name, text, prints: Prints::find(&text.text), tree }
    }

    /// Whether it defines a macro for others or itself.
    pub(super) fn has_macros(&self) -> bool {
        matches!(&self.tree, Some(Stmt::Template(tree)) if tree.children.iter().any(|statement| matches!(statement, Stmt::Macro(_))))
    }
}

/// Of each `{{ … }}` of a text, in order: where what it prints begins and ends.
#[derive(Debug, Clone)]
pub(super) struct Prints(Vec<(usize, usize)>);

impl Prints {
    fn find(text: &str) -> Prints {
        let (mut found, mut begin) = (Vec::new(), None);
        // a text that cannot be read to its end has a finding of its own
        for (token, span) in tokenize(text, false, Default::default()).map_while(Result::ok) {
            match token {
                Token::VariableStart => begin = Some(span.end_offset as usize),
                Token::VariableEnd => found.extend(begin.take().map(|begin| (begin, span.start_offset as usize))),
                _ => {}
            }
        }
        Prints(found)
    }

    /// The inside of the `{{ … }}` that holds this offset.
    pub(super) fn around(&self, offset: usize) -> Option<(usize, usize)> {
        let at = self.0.partition_point(|(begin, _)| *begin <= offset).checked_sub(1)?;
        self.0.get(at).copied().filter(|(_, end)| offset <= *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inside_of_a_print_is_found_whatever_its_braces_and_strings() {
        let text = r#"{"a": {{- event.a -}}, {# {{ no }} #}"b": "{{ {"x": "}}"}["x"] }}"}"#;
        let inside: Vec<&str> = Prints::find(text).0.into_iter().map(|(begin, end)| text[begin..end].trim()).collect();
        assert_eq!(inside, ["event.a", r#"{"x": "}}"}["x"]"#]);
    }
}

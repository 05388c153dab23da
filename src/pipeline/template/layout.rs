//! Whether two texts of a template differ in more than comments and layout.

use minijinja::machinery::{Token, tokenize};

/// Whether both say the same, comments and the size of line breaks aside: a line break never stands inside a JSON string, so outside a text that is captured
/// it is layout. Where one of them cannot be read they differ.
pub fn same_but_layout(old: &str, new: &str) -> bool {
    matches!((shape(old), shape(new)), (Some(old), Some(new)) if old == new)
}

/// Whether it captures text (`{% set x %}…{% endset %}`): a line break in it, or in what it includes there, is content.
pub fn captures(text: &str) -> bool {
    tokenize(text, false, Default::default()).map_while(Result::ok).any(|(token, _)| matches!(token, Token::Ident("endset")))
}

#[derive(PartialEq)]
enum Piece {
    Text(String),
    /// As `Debug` writes it.
    Token(String),
}

fn shape(text: &str) -> Option<Vec<Piece>> {
    let mut pieces: Vec<Piece> = Vec::new();
    for token in tokenize(text, false, Default::default()) {
        match (token.ok()?.0, pieces.last_mut()) {
            // a comment stood between them
            (Token::TemplateData(more), Some(Piece::Text(text))) => text.push_str(more),
            (Token::TemplateData(text), _) => pieces.push(Piece::Text(text.to_owned())),
            (token, _) => pieces.push(Piece::Token(format!("{token:?}"))),
        }
    }
    for piece in &mut pieces {
        if let Piece::Text(text) = piece {
            *text = without_layout(text);
        }
    }
    pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
    Some(pieces)
}

/// Each run of white space that holds a line break becomes one line break.
fn without_layout(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(char::is_whitespace) {
        let (before, from) = rest.split_at(at);
        let (run, after) = from.split_at(from.find(|c: char| !c.is_whitespace()).unwrap_or(from.len()));
        kept.push_str(before);
        kept.push_str(if run.contains('\n') { "\n" } else { run });
        rest = after;
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_line_breaks_are_layout_and_nothing_else_is() {
        let template = "{# a note -#}\n{\n  \"a\": {{ event.x }},\n  \"b c\": 1\n}";
        for same in [
            "{\n      \"a\": {{event.x}},\n\n  \"b c\": 1\n}",
            "{# another\nnote -#}\n\n{\n  {# here too #}\n  \"a\": {{ event.x }},\n  \"b c\": 1\n}",
        ] {
            assert!(same_but_layout(template, same), "{same}");
        }
        for other in [
            "{\n  \"a\": {{ event.y }},\n  \"b c\": 1\n}",
            "{\n  \"a\": {{ event.x }},\n  \"b  c\": 1\n}",
            "{\n  \"a\": {{ event.x }},\n  \"b c\": 2\n}",
            "{\n  \"a\": {{ event.x | upper }},\n  \"b c\": 1\n}",
            "{\n  \"a\": {{ event.x",
        ] {
            assert!(!same_but_layout(template, other), "{other}");
        }
    }

    #[test]
    fn a_captured_text_is_seen() {
        assert!(captures("{% set x %}a\nb{% endset %}{{ x }}"));
        assert!(!captures("{% set x = 'endset' %}endset {# endset #}{{ x }}"));
    }
}

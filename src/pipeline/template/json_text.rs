//! Follows the text of a template as JSON, only as far as it matters here: whether a string is open.

/// Where in JSON a place of a template is.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonText {
    pub(super) state: Lexical,
    /// The offset of the quote that opened the string.
    pub(super) opened: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lexical {
    /// Outside a string: a value, a key or punctuation may stand here.
    Outside,
    Inside,
    /// After a backslash inside a string.
    Escape,
    /// Inside `\u`, this many hex digits to come.
    Unicode(u8),
}

/// What cannot be right, and where in the piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A line break or another control character inside a string.
    Control(usize),
    BadEscape(usize),
}

impl JsonText {
    pub(super) fn outside() -> JsonText {
        JsonText { state: Lexical::Outside, opened: 0 }
    }

    /// In a string that the template around this one opened.
    pub(super) fn inside(opened: usize) -> JsonText {
        JsonText { state: Lexical::Inside, opened }
    }

    /// Reads a piece of raw text that starts at `offset` of its file. After something wrong it goes on as if the string were closed.
    pub(super) fn feed(&mut self, text: &str, offset: usize) -> Option<Wrong> {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            match self.state {
                Lexical::Outside => match memchr::memchr(b'"', &bytes[at..]) {
                    Some(quote) => {
                        at += quote;
                        self.state = Lexical::Inside;
                        self.opened = offset + at;
                    }
                    None => return None,
                },
                Lexical::Inside => match byte {
                    b'"' => self.state = Lexical::Outside,
                    b'\\' => self.state = Lexical::Escape,
                    0..0x20 => {
                        self.state = Lexical::Outside;
                        return Some(Wrong::Control(at));
                    }
                    _ => {}
                },
                Lexical::Escape => match byte {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.state = Lexical::Inside,
                    b'u' => self.state = Lexical::Unicode(4),
                    _ => {
                        self.state = Lexical::Outside;
                        return Some(Wrong::BadEscape(at));
                    }
                },
                Lexical::Unicode(left) => {
                    if !byte.is_ascii_hexdigit() {
                        self.state = Lexical::Outside;
                        return Some(Wrong::BadEscape(at));
                    }
                    self.state = if left == 1 { Lexical::Inside } else { Lexical::Unicode(left - 1) };
                }
            }
            at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> (Lexical, Option<Wrong>) {
        let mut json = JsonText::outside();
        let wrong = json.feed(text, 0);
        (json.state, wrong)
    }

    #[test]
    fn knows_whether_a_string_is_open() {
        assert_eq!(after(r#"{"a": "#), (Lexical::Outside, None));
        assert_eq!(after(r#"{"a": "b "#), (Lexical::Inside, None));
        assert_eq!(after(r#"{"a": "b \" "#), (Lexical::Inside, None));
        assert_eq!(after(r#"{"a": "b \\""#), (Lexical::Outside, None));
        assert_eq!(after(r#"{"a": "b \"#), (Lexical::Escape, None));
        assert_eq!(after(r#"{"a": "\u00"#), (Lexical::Unicode(2), None));
        assert_eq!(after(r#"{"a": "\u00e9é"#), (Lexical::Inside, None));
    }

    #[test]
    fn a_line_break_inside_a_string_is_wrong() {
        assert_eq!(after("{\"a\n").1, Some(Wrong::Control(3)));
        assert_eq!(after(r#"{"a\x"#).1, Some(Wrong::BadEscape(4)));
    }
}

//! Making refusals and verdicts: answers in one line, bounded.

use std::error::Error;
use std::time::Duration;

use super::{Blame, Refusal, Verdict};
use crate::pipeline::Target;

/// Bytes of a sink's answer that are kept.
pub(super) const MAX_ANSWER_BYTES: usize = 1024;

impl Refusal {
    pub(crate) fn new(blame: Blame, answer: impl AsRef<str>) -> Refusal {
        Refusal { blame, code: None, answer: one_line(answer.as_ref()), retry_after: None }
    }

    pub(crate) fn code(mut self, code: impl Into<String>) -> Refusal {
        self.code = Some(code.into());
        self
    }

    /// The sink did not answer in time.
    pub(crate) fn timeout(after: Duration) -> Refusal {
        Refusal::new(Blame::Sink, format!("no answer within {after:?}")).code("timeout")
    }

    /// A target of another sink's kind: delivery looks before it asks, so this is a definition that changed under a record.
    pub(crate) fn unfit(target: &Target, sink: &str) -> Refusal {
        let kind = match target {
            Target::Request(_) => "request",
            Target::Table(_) => "table",
            Target::Topic(_) => "topic",
            Target::Path(_) => "path",
            Target::Queue => "queue",
        };
        Refusal::new(Blame::Configuration, format!("a target of kind {kind} does not fit a sink of type {sink}"))
    }
}

/// The same verdict for a whole batch.
pub(super) fn refuse_all(items: usize, refusal: Refusal) -> Vec<Verdict> {
    vec![Verdict::Refused(refusal); items]
}

/// Text without line breaks and other control characters, at most `MAX_ANSWER_BYTES` long.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_ANSWER_BYTES));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MAX_ANSWER_BYTES {
            break;
        }
    }
    let end = (0..=MAX_ANSWER_BYTES.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    line.truncate(end);
    line
}

/// An error with its causes. Libraries repeat a cause in the error that it caused: what has been said is not said again.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// Appends JSON as one line: a line break in valid JSON is white space between its parts, so a space does as well.
pub(super) fn push_json_line(buffer: &mut Vec<u8>, json: &[u8]) {
    let start = buffer.len();
    buffer.extend_from_slice(json);
    for byte in &mut buffer[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    buffer.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_bounded_line() {
        assert_eq!(one_line("a\r\n  b\u{0}c\t d "), "a b c d");
        let long = one_line(&"é".repeat(2000));
        assert_eq!(long.len(), MAX_ANSWER_BYTES);
        assert!(one_line(&format!("x{}", "é".repeat(2000))).len() < MAX_ANSWER_BYTES);
    }

    #[test]
    fn a_pretty_printed_payload_becomes_one_line() {
        let mut buffer = Vec::new();
        push_json_line(&mut buffer, b"{\n  \"a\": \"x\\ny\"\r\n}");
        assert_eq!(buffer, b"{   \"a\": \"x\\ny\"  }\n");
    }
}

//! A finding with the line it is about. Nothing that was found to be a secret is shown.

use std::borrow::Cow;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use super::consumer::CLEAR_SECRET;
use super::findings::{Finding, Findings, Severity};
use super::section::UNKNOWN_KEY;

/// One of `all` findings as people read it; `source` is the text of its file, where that can be shown.
pub fn human(finding: &Finding, all: &Findings, source: Option<&str>, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let line = source.and_then(|source| shown_line(finding, all, source));
    let title = level.primary_title(finding.message.as_str()).id(finding.code);
    let mut group = match &line {
        Some(line) => {
            let span = span(line, finding.at.column, finding.width);
            let snippet = Snippet::source(&**line).line_start(finding.at.line as usize).path(&*finding.at.file);
            title.element(snippet.annotation(AnnotationKind::Primary.span(span)))
        }
        // a file that is empty or cannot be read has no line to show
        None => title.element(Origin::path(finding.at.to_string())),
    };
    if let Some(hint) = &finding.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    renderer.render(&[group])
}

/// The line a finding is about, made harmless: control characters become visible, secrets do not, whichever finding they belong to.
fn shown_line<'a>(finding: &Finding, all: &Findings, source: &'a str) -> Option<Cow<'a, str>> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let index = finding.at.line.checked_sub(1)? as usize;
    // `lines` knows no line after the last break; a finding about the end of a file is there.
    let line = source.lines().nth(index).or_else(|| (index > 0 && source.lines().count() == index).then_some(""))?;
    let mut shown = Cow::Borrowed(line);
    if line.contains(|c: char| c.is_control() && c != '\t') {
        shown = line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect::<String>().into();
    }
    let here: Vec<&Finding> = all.iter().filter(|other| other.at.file == finding.at.file && other.at.line == finding.at.line).collect();
    for secret in here.iter().filter(|other| other.code == CLEAR_SECRET) {
        let start = secret.at.column.saturating_sub(1) as usize;
        let end = if secret.width > 1 { start + secret.width as usize } else { usize::MAX };
        shown = shown.chars().enumerate().map(|(at, c)| if (start..end).contains(&at) { '*' } else { c }).collect::<String>().into();
    }
    // nobody knows what stands behind a misspelt key: it may be a secret
    let unknown = here
        .iter()
        .filter(|other| other.code == UNKNOWN_KEY)
        .map(|key| key.at.column.saturating_sub(1) as usize + key.width as usize)
        .min();
    if let Some(end) = unknown.filter(|end| shown.chars().count() > *end) {
        shown = shown.chars().take(end).chain(": …".chars()).collect::<String>().into();
    }
    Some(shown)
}

/// Columns count characters, spans bytes. Never empty, so that something is marked.
fn span(line: &str, column: u32, width: u32) -> std::ops::Range<usize> {
    let byte = |character: usize| line.char_indices().nth(character).map_or(line.len(), |(at, _)| at);
    let start = column.saturating_sub(1) as usize;
    byte(start)..byte(start.saturating_add(width as usize))
}

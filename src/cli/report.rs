//! How findings are printed: for people with a snippet, or as JSON for machines. Nothing that was found to be a secret is shown.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde_json::json;

use super::Exit;
use crate::config::{Finding, Findings, Severity, human};

/// Where findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// With file, line, column, the line itself and a hint
    #[default]
    Human,
    /// One JSON object with a list of findings
    Json,
}

/// Prints findings in their order. `source` gives a file's text by its path in the root; `files` is how many were looked at.
pub fn print(
    findings: &Findings,
    source: &dyn Fn(&str) -> Option<String>,
    files: usize,
    format: Format,
    out: &mut dyn Write,
    colour: bool,
) -> io::Result<()> {
    match format {
        Format::Human => print_human(findings, source, files, out, colour),
        Format::Json => print_json(findings, files, out),
    }
}

/// Whether a stream is a terminal that shows colours; NO_COLOR is honoured.
pub fn colour_on(stream: &dyn IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    stream.is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// Says on stderr why a verb cannot start: findings about the files of `root`.
pub fn refuse(root: &Path, findings: &Findings) -> anyhow::Result<Exit> {
    let colour = colour_on(&io::stderr());
    let mut err = io::stderr().lock();
    for finding in findings.iter() {
        writeln!(err, "{}\n", human(finding, findings, read(root, &finding.at.file).as_deref(), colour))?;
    }
    Ok(Exit::Failure)
}

/// The text of a file of a root, as far as it is text.
pub fn read(root: &Path, file: &str) -> Option<String> {
    // A finding about a file that is not there, or about a setting, has no snippet.
    std::fs::read(root.join(file)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// `3 errors, 1 warning in 214 files`
pub fn closing(findings: &Findings, files: usize) -> String {
    let (errors, warnings) = counts(findings);
    format!("{}, {} in {}", counted(errors, "error"), counted(warnings, "warning"), counted(files, "file"))
}

fn counts(findings: &Findings) -> (usize, usize) {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    (errors, findings.len() - errors)
}

fn counted(number: usize, noun: &str) -> String {
    match number {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

fn print_human(
    findings: &Findings,
    source: &dyn Fn(&str) -> Option<String>,
    files: usize,
    out: &mut dyn Write,
    colour: bool,
) -> io::Result<()> {
    for finding in findings.iter() {
        writeln!(out, "{}\n", human(finding, findings, source(&finding.at.file).as_deref(), colour))?;
    }
    writeln!(out, "{}", closing(findings, files))
}

fn print_json(findings: &Findings, files: usize, out: &mut dyn Write) -> io::Result<()> {
    let (errors, warnings) = counts(findings);
    let list: Vec<_> = findings.iter().map(json_finding).collect();
    let report = json!({ "errors": errors, "warnings": warnings, "files": files, "findings": list });
    writeln!(out, "{report:#}")
}

/// Fields that scripts may rely on. `line` and `column` are null where the finding is about the file as a whole.
fn json_finding(finding: &Finding) -> serde_json::Value {
    let place = |number: u32| (finding.at.line > 0).then_some(number);
    json!({
        "severity": match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "code": finding.code,
        "file": &*finding.at.file,
        "line": place(finding.at.line),
        "column": place(finding.at.column),
        "message": finding.message,
        "hint": finding.hint,
    })
}

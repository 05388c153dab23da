//! What is wrong with a config root, for the person who must mend it: where, why, and what to do. Not how it is printed (`report`).

use std::fmt;
use std::sync::Arc;

use super::section::listed;

/// A place in a file of the config root. Lines and columns are 1-based, columns count characters; line 0 means the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Path relative to the root, with `/` between its parts.
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
}

impl Place {
    pub fn file(file: impl Into<Arc<str>>) -> Place {
        Place { file: file.into(), line: 0, column: 0 }
    }

    pub fn new(file: impl Into<Arc<str>>, line: u32, column: u32) -> Place {
        Place { file: file.into(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file),
            line => write!(f, "{}:{}:{}", self.file, line, self.column),
        }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub struct Located<T> {
    pub value: T,
    pub at: Place,
}

impl<T> Located<T> {
    pub fn new(value: T, at: Place) -> Located<T> {
        Located { value, at }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The set is refused.
    Error,
    /// The set is taken; somebody should look.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// Stable, kebab-case name of the kind of finding, such as `unknown-key`.
    pub code: &'static str,
    pub at: Place,
    /// How many characters of the line the finding is about; 1 where that is not known.
    pub width: u32,
    /// What and why: starts in lower case, ends without a full stop, never holds a secret.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Finding {
    pub fn error(code: &'static str, at: Place, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Error, code, at, width: 1, message: message.into(), hint: None }
    }

    pub fn warning(code: &'static str, at: Place, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(code, at, message) }
    }

    /// The same, to be looked at only.
    pub fn as_warning(self) -> Finding {
        Finding { severity: Severity::Warning, ..self }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.hint = Some(hint.into());
        self
    }

    pub fn width(mut self, characters: usize) -> Finding {
        self.width = characters.max(1) as u32;
        self
    }
}

/// All findings of one look at a config root.
#[derive(Debug, Clone, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub fn extend(&mut self, more: Findings) {
        self.0.extend(more.0);
    }

    /// Whether the set must be refused.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|f| f.severity == Severity::Error)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What was found in each group of environments as one list: what is in all of them stands there once, what is in some says in which.
    pub fn across(groups: Vec<(Vec<Arc<str>>, Findings)>) -> Findings {
        let mut all: Vec<(Finding, Vec<usize>)> = Vec::new();
        for (group, (_, findings)) in groups.iter().enumerate() {
            for finding in findings.iter() {
                match all.iter_mut().find(|(known, _)| known == finding) {
                    Some((_, holds)) if holds.last() == Some(&group) => {}
                    Some((_, holds)) => holds.push(group),
                    None => all.push((finding.clone(), vec![group])),
                }
            }
        }
        let whole = groups.len();
        let said = all.into_iter().map(|(mut finding, holds)| {
            // an environment's own file says of itself which one it is
            if holds.len() < whole && !finding.at.file.starts_with("environments/") {
                let mut names: Vec<&str> = holds.iter().flat_map(|group| groups[*group].0.iter().map(|name| &**name)).collect();
                names.sort_unstable();
                let noun = if names.len() == 1 { "environment" } else { "environments" };
                finding.message.push_str(&format!(" (only in the {noun} {})", listed(names)));
            }
            finding
        });
        Findings(said.collect())
    }

    /// By file and place, each once: the order people read them in.
    pub fn sorted(mut self) -> Findings {
        self.0.sort_by(|a, b| (&a.at, a.severity, &a.message).cmp(&(&b.at, b.severity, &b.message)));
        self.0.dedup();
        self
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }
}

//! Strings with variables: `${VAR}`, `${VAR:-default}`, `${secret:VAR}`, `${file:path}`; `$${` stands for a literal `${`. Kept as written until
//! the worker that needs them resolves them.

use std::fmt;

use super::variables::Variables;

/// A string of a config file as it was written, variables and all. `Display` and `Debug` show it unresolved, so it may be logged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Text {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Literal(String),
    /// `${VAR}` or `${VAR:-default}`: as in a shell, the default also stands for an empty variable.
    Variable {
        name: String,
        default: Option<String>,
    },
    /// `${secret:VAR}`
    Secret {
        name: String,
    },
    /// `${file:path}`: the file's content without one line break at its end.
    File {
        path: String,
    },
}

/// What is wrong with a variable as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("`${{` without `}}`")]
    Open,
    #[error("`${{{0}}}` is no variable: write ${{NAME}}, ${{NAME:-default}}, ${{secret:NAME}} or ${{file:path}}")]
    Name(String),
}

/// Why a variable has no value on this machine. Holds names, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("the variable {0} is not set")]
    Missing(String),
    #[error("the secret {0} is not set, or is empty")]
    MissingSecret(String),
    #[error("cannot read the file {path}: {reason}")]
    File { path: String, reason: String },
}

impl Text {
    /// Finds the variables in a string.
    pub fn new(source: impl Into<String>) -> Result<Text, TextError> {
        let source = source.into();
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = source.as_str();
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$${") {
                literal.push_str("${");
                rest = after;
            } else if let Some(after) = rest.strip_prefix("${") {
                let end = after.find('}').ok_or(TextError::Open)?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(variable(&after[..end])?);
                rest = &after[end + 1..];
            } else {
                literal.push('$');
                rest = &rest[1..];
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Text { source, parts })
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether anything in it has to be resolved.
    pub fn has_variables(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Part::Literal(_)))
    }

    /// Whether it holds a secret or a file.
    pub fn has_secrets(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Secret { .. } | Part::File { .. }))
    }

    /// The files that it reads, as written: what to watch.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::File { path } => Some(path.as_str()),
            _ => None,
        })
    }

    /// What is written in clear: everything but the variables, their defaults included. `mark` stands for a variable, `empty` for one whose
    /// default is to be nothing.
    pub fn in_clear(&self, mark: &str, empty: &str) -> String {
        self.parts.iter().fold(String::new(), |mut clear, part| {
            clear.push_str(match part {
                Part::Literal(text) => text,
                Part::Variable { default: Some(default), .. } if default.is_empty() => empty,
                Part::Variable { default: Some(default), .. } => default,
                _ => mark,
            });
            clear
        })
    }

    /// The value with nothing but defaults; None where something has none.
    pub(super) fn with_defaults(&self) -> Option<String> {
        self.parts.iter().try_fold(String::new(), |mut value, part| match part {
            Part::Literal(text) | Part::Variable { default: Some(text), .. } => {
                value.push_str(text);
                Some(value)
            }
            _ => None,
        })
    }

    /// The value on this machine.
    pub fn resolve(&self, variables: &dyn Variables) -> Result<Resolved, ResolveError> {
        let mut value = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => value.push_str(text),
                Part::Variable { name, default } => match (variables.variable(name), default) {
                    (Some(text), None) => value.push_str(&text),
                    (Some(text), Some(_)) if !text.is_empty() => value.push_str(&text),
                    (_, Some(default)) => value.push_str(default),
                    (None, None) => return Err(ResolveError::Missing(name.clone())),
                },
                Part::Secret { name } => match variables.variable(name).filter(|text| !text.is_empty()) {
                    Some(text) => value.push_str(&text),
                    None => return Err(ResolveError::MissingSecret(name.clone())),
                },
                Part::File { path } => {
                    let text = variables.file(path).map_err(|reason| ResolveError::File { path: path.clone(), reason })?;
                    let text = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).unwrap_or(&text);
                    value.push_str(text);
                }
            }
        }
        Ok(Resolved::new(self.source.clone(), value))
    }
}

fn variable(inside: &str) -> Result<Part, TextError> {
    let is_name = |name: &str| {
        name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let wrong = || TextError::Name(super::section::cut(inside));
    if let Some(name) = inside.strip_prefix("secret:") {
        return is_name(name).then(|| Part::Secret { name: name.to_owned() }).ok_or_else(wrong);
    }
    if let Some(path) = inside.strip_prefix("file:") {
        return (!path.is_empty()).then(|| Part::File { path: path.to_owned() }).ok_or_else(wrong);
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default.to_owned())),
        None => (inside, None),
    };
    is_name(name).then(|| Part::Variable { name: name.to_owned(), default }).ok_or_else(wrong)
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// A `Text` with its variables filled in. It may hold a secret: `Debug` and `Display` show the unresolved text.
#[derive(Clone)]
pub struct Resolved {
    source: String,
    value: secrecy::SecretString,
}

impl Resolved {
    pub fn new(source: impl Into<String>, value: impl Into<String>) -> Resolved {
        Resolved { source: source.into(), value: value.into().into() }
    }

    /// The real value. Only for handing it to the client library that needs it; never for a message.
    pub fn expose(&self) -> &str {
        use secrecy::ExposeSecret;
        self.value.expose_secret()
    }
}

/// Equal where text and value are: a secret that was changed makes another one.
impl PartialEq for Resolved {
    fn eq(&self, other: &Resolved) -> bool {
        self.source == other.source && self.expose() == other.expose()
    }
}

impl fmt::Display for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::super::variables::FixedVariables;
    use super::*;

    fn resolve(source: &str) -> Result<String, String> {
        let variables = FixedVariables::new([("HOST", "example.org"), ("KEY", "s3cret"), ("EMPTY", "")]).file("key.pem", "line\n\n");
        let text = Text::new(source).map_err(|error| error.to_string())?;
        text.resolve(&variables).map(|resolved| resolved.expose().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_are_filled_in() {
        for (source, value) in [
            ("plain $5 {x}", "plain $5 {x}"),
            ("https://${HOST}/v1", "https://example.org/v1"),
            ("${PORT:-9092}", "9092"),
            ("${HOST:-other}", "example.org"),
            ("${EMPTY:-filled}", "filled"),
            ("[${EMPTY}]", "[]"),
            ("${PORT:-}", ""),
            ("${secret:KEY}:", "s3cret:"),
            ("${file:key.pem}", "line\n"),
            ("$${HOST} costs $", "${HOST} costs $"),
        ] {
            assert_eq!(resolve(source).as_deref(), Ok(value), "{source}");
        }
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_is_shown() {
        assert_eq!(resolve("${secret:KEY}${NOPE}").unwrap_err(), "the variable NOPE is not set");
        assert_eq!(resolve("${secret:EMPTY}").unwrap_err(), "the secret EMPTY is not set, or is empty");
        assert!(resolve("${file:nope}").unwrap_err().starts_with("cannot read the file nope"));
        for source in ["${", "${}", "${a b}", "${1A}", "${secret:}", "${secret:A:-x}", "${file:}"] {
            assert!(Text::new(source).is_err(), "{source}");
        }
    }

    #[test]
    fn a_resolved_text_prints_as_it_was_written() {
        let resolved = Text::new("key ${secret:KEY}").unwrap().resolve(&FixedVariables::new([("KEY", "s3cret")])).unwrap();
        assert_eq!(format!("{resolved} {resolved:?}"), "key ${secret:KEY} \"key ${secret:KEY}\"");
    }
}

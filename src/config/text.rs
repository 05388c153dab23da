//! Strings with variables: `${VAR}`, `${VAR:-default}`, `${secret:VAR}`, `${file:path}`. Kept as written until the worker that needs them resolves them.

use std::fmt;

/// A string of a config file as it was written, variables and all. `Display` and `Debug` show it unresolved, so it may be logged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Text {
    pub(super) source: String,
}

impl Text {
    /// The text as written.
    pub fn source(&self) -> &str {
        &self.source
    }
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

//! Where the values of `${…}` come from on this machine.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// This machine's variables and secret files.
pub trait Variables: Send + Sync {
    /// The value of a variable; None where it is not set (or is not UTF-8, which no config file could say either).
    fn variable(&self, name: &str) -> Option<String>;

    /// The content of a file; Err says why not, for people.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// The process's environment; paths of files are relative to the config root.
#[derive(Debug, Clone)]
pub struct ProcessVariables {
    root: PathBuf,
}

impl ProcessVariables {
    pub fn new(root: impl AsRef<Path>) -> ProcessVariables {
        ProcessVariables { root: root.as_ref().to_owned() }
    }
}

impl Variables for ProcessVariables {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok() // not set and not UTF-8 are the same here, as the trait says
    }

    fn file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.root.join(path)).map_err(|error| error.to_string())
    }
}

/// Variables that are given, for tests and for the demo.
#[derive(Debug, Clone, Default)]
pub struct FixedVariables {
    variables: HashMap<String, String>,
    files: HashMap<String, String>,
}

impl FixedVariables {
    pub fn new<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> FixedVariables {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        FixedVariables { variables, files: HashMap::new() }
    }

    pub fn file(mut self, path: impl Into<String>, content: impl Into<String>) -> FixedVariables {
        self.files.insert(path.into(), content.into());
        self
    }
}

impl Variables for FixedVariables {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

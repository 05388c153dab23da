//! What every verb takes: the config root and the environment.

use std::path::{Path, PathBuf};

use crate::config::{DEFAULT_ENVIRONMENT, ROOT_FILE, discover};

/// Global flags.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// The config root [default: the nearest folder upward that holds analytica.yaml]
    #[arg(long, global = true, value_name = "DIR", env = "ANALYTICA_ROOT")]
    pub root: Option<PathBuf>,
    /// The environment, a file in environments/
    #[arg(long, global = true, value_name = "NAME", env = "ANALYTICA_ENV", default_value = DEFAULT_ENVIRONMENT)]
    pub env: String,
}

/// Why there is no config root: a usage error.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    #[error("no {ROOT_FILE} in {} or in any folder above it", .0.display())]
    NotFound(PathBuf),
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
}

impl RootError {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            RootError::NotFound(_) => "go into a config root, or name one with --root DIR",
            RootError::NotAFolder(_) => "--root names the folder that holds analytica.yaml",
        }
    }
}

impl Common {
    /// The root that `--root` names, else the nearest one upward from the working folder.
    pub fn root(&self) -> Result<PathBuf, RootError> {
        self.root_from(Path::new("."))
    }

    /// The same, upward from `start`.
    pub fn root_from(&self, start: &Path) -> Result<PathBuf, RootError> {
        match &self.root {
            Some(root) if root.is_dir() => Ok(root.clone()),
            Some(root) => Err(RootError::NotAFolder(root.clone())),
            None => discover(start).ok_or_else(|| RootError::NotFound(start.canonicalize().unwrap_or_else(|_| start.to_owned()))),
        }
    }
}

//! Where a config set comes from: a folder, followed as it changes.

mod files;

use std::path::PathBuf;

use crate::config::ReadError;

pub use files::{Watch, watch};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot watch {}: {source}", root.display())]
    Watch { root: PathBuf, source: notify_debouncer_full::notify::Error },
}

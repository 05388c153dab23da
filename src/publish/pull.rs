//! A published set, written back as files.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::Published;
use crate::config::{Digest, Files, ReadError};

/// What writing a set back did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    pub written: usize,
    /// Config files that the set does not have.
    pub removed: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    #[error("the published set has a file `{0}`, which would stand outside the folder: nothing was written")]
    Outside(String),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the folder has the digest {found} and the published set {wanted}: something else writes there")]
    Differs { found: String, wanted: String },
}

impl PullError {
    /// What to do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            PullError::NotEmpty(_) => Some(
                "name a new folder; or --force, which replaces the set's files, removes config files that the set does not have and leaves everything else",
            ),
            _ => None,
        }
    }
}

/// Writes the set's files to `folder`, byte for byte, so that the folder's digest is the set's. Blocks.
pub fn pull(published: &Published, environment: &str, folder: &Path, force: bool) -> Result<Pulled, PullError> {
    let files = &published.files;
    if let Some((path, _)) = files.iter().find(|(path, _)| !stays_inside(path)) {
        return Err(PullError::Outside(path.to_string()));
    }
    make_room(folder, force)?;
    let removed = remove_others(folder, files, environment)?;
    for (path, bytes) in files.iter() {
        write(&folder.join(&**path), bytes)?;
    }
    check(folder, environment, &published.publication.digest)?;
    Ok(Pulled { written: files.len(), removed })
}

fn stays_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn make_room(folder: &Path, force: bool) -> Result<(), PullError> {
    let failed = |source| PullError::Write { path: folder.to_owned(), source };
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(false) if !force => Err(PullError::NotEmpty(folder.to_owned())),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(folder).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(PullError::NotAFolder(folder.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

/// Files that would make another set of the folder. Notes and other environments' overlays would not.
fn remove_others(folder: &Path, files: &Files, environment: &str) -> Result<Vec<String>, PullError> {
    let there = Files::read(folder)?.of_environment(environment);
    let others: Vec<String> = there.iter().map(|(path, _)| path.to_string()).filter(|path| files.get(path).is_none()).collect();
    for path in &others {
        let path = folder.join(path);
        fs::remove_file(&path).map_err(|source| PullError::Write { path, source })?;
    }
    Ok(others)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), PullError> {
    let failed = |source| PullError::Write { path: path.to_owned(), source };
    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
    fs::write(path, bytes).map_err(failed)
}

fn check(folder: &Path, environment: &str, wanted: &Digest) -> Result<(), PullError> {
    let found = Files::read(folder)?.digest(environment);
    match found == *wanted {
        true => Ok(()),
        false => Err(PullError::Differs { found: found.short().to_owned(), wanted: wanted.short().to_owned() }),
    }
}

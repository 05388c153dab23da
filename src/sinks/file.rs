//! The file sink: payloads as NDJSON, appended to files under one folder, or printed on stdout.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::refusal::{push_json_line, refuse_all};
use super::{Batch, Blame, Refusal, Sink, Verdict};
use crate::config::{FileSink, Resolved};
use crate::pipeline::Target;

/// Appends to files, or prints.
pub(super) struct Files {
    place: Place,
    /// One batch at a time: a batch that could not be written whole is taken back, which two writers of one file cannot do.
    turn: Arc<Mutex<()>>,
}

enum Place {
    Stdout,
    Folder(PathBuf),
}

impl Files {
    pub(super) fn new(settings: &FileSink<Resolved>, root: &Path) -> Files {
        let place = match (&settings.directory, settings.stdout) {
            (_, true) => Place::Stdout,
            (Some(directory), false) => Place::Folder(root.join(directory.expose())),
            (None, false) => Place::Folder(root.to_owned()),
        };
        Files { place, turn: Arc::default() }
    }

    async fn write(&self, batch: &Batch) -> Result<(), Refusal> {
        let Target::Path(path) = &*batch.target else { return Err(Refusal::unfit(&batch.target, "file")) };
        let mut lines = Vec::with_capacity(batch.items.iter().map(|item| item.payload.len() + 1).sum());
        for item in &batch.items {
            push_json_line(&mut lines, &item.payload);
        }
        let file = match &self.place {
            Place::Stdout => None,
            Place::Folder(folder) => Some(inside(folder, path)?),
        };
        // Held by the blocking thread: a call that is cancelled still finishes its write before the next one begins.
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let written = spawn_blocking(move || {
            let result = match &file {
                None => print(&lines).map_err(|error| refusal(&error, "stdout")),
                Some(file) => append(file, &lines).map_err(|error| refusal(&error, &file.display().to_string())),
            };
            drop(turn);
            result
        });
        written.await.unwrap_or_else(|error| Err(Refusal::new(Blame::Sink, format!("the writing thread failed: {error}"))))
    }
}

impl Sink for Files {
    fn deliver<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            match self.write(batch).await {
                Ok(()) => vec![Verdict::Delivered; batch.items.len()],
                Err(refusal) => refuse_all(batch.items.len(), refusal),
            }
        })
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(async move {
            match &self.place {
                Place::Stdout => Ok(()),
                Place::Folder(folder) => {
                    tokio::fs::create_dir_all(folder).await.map_err(|error| refusal(&error, &folder.display().to_string()))
                }
            }
        })
    }
}

/// The file that a target names. It may not leave the folder: targets come from records on a topic.
fn inside(folder: &Path, path: &str) -> Result<PathBuf, Refusal> {
    let relative = Path::new(path);
    let mut names = relative.components().filter(|part| !matches!(part, Component::CurDir)).peekable();
    if names.peek().is_none() || path.ends_with('/') || names.any(|part| !matches!(part, Component::Normal(_))) {
        return Err(Refusal::new(Blame::Configuration, format!("path {path} does not name a file inside the sink's directory")));
    }
    Ok(folder.join(relative))
}

fn print(lines: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(lines)?;
    stdout.flush()
}

/// One write a batch. The data is synced, because the answer commits the records' offsets: after a power cut nobody would send them again.
fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
    let length = file.metadata()?.len();
    let mut whole = Vec::new();
    let lines = match ends_in_a_line(&mut file, length)? {
        true => lines,
        // A writer died in the middle of a line: it stays broken, the next one does not join it.
        false => {
            whole.push(b'\n');
            whole.extend_from_slice(lines);
            &whole
        }
    };
    file.write_all(lines).and_then(|()| file.sync_data()).inspect_err(|_| {
        // The disk may be full: half a batch is taken back, so that its retry does not double it. Where that fails too, lines come twice, which at least once allows.
        let _ = file.set_len(length);
    })
}

/// Whether the next line can begin at the end of the file. A pipe or device has no length and no end to look at.
fn ends_in_a_line(file: &mut File, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn refusal(error: &io::Error, place: &str) -> Refusal {
    use io::ErrorKind::{InvalidFilename, IsADirectory, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    let blame = match error.kind() {
        PermissionDenied | IsADirectory | NotADirectory | ReadOnlyFilesystem | InvalidFilename => Blame::Configuration,
        _ => Blame::Sink,
    };
    Refusal::new(blame, format!("{place}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_leaves_the_directory() {
        let folder = Path::new("out");
        for good in ["a.ndjson", "a/b.ndjson", "./a", "..a"] {
            assert!(inside(folder, good).is_ok_and(|path| path.starts_with(folder)), "{good}");
        }
        for bad in ["../a", "a/../../b", "/etc/passwd", "", ".", "a/"] {
            assert_eq!(inside(folder, bad).map_err(|refusal| refusal.blame), Err(Blame::Configuration), "{bad}");
        }
    }

    #[test]
    fn a_torn_line_does_not_swallow_the_next_one() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("events.ndjson");
        std::fs::write(&path, b"{\"a\":1}\n{\"a\":")?;
        append(&path, b"{\"a\":3}\n")?;
        append(&path, b"{\"a\":4}\n")?;
        assert_eq!(std::fs::read_to_string(&path)?, "{\"a\":1}\n{\"a\":\n{\"a\":3}\n{\"a\":4}\n");
        Ok(())
    }
}

//! A config root on disk, followed: each new content of it is given once, whoever wrote it and however (rename, checkout, Kubernetes' `..data` swap).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify_debouncer_full::notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::sync::mpsc;
use tracing::warn;

use super::StoreError;
use crate::config::{Digest, Files};

/// Events this close together are one change: an editor's rename, a checkout's files.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How often the content is looked at although nothing was notified: network mounts and swapped parents notify nobody.
const POLL: Duration = Duration::from_secs(5);
/// Folders that are watched; the root's other folders (target/, var/, .git/) change all the time.
const WATCHED: [&str; 4] = ["schemas", "transforms", "consumers", "environments"];

/// A followed root. Dropping it ends the following.
pub struct Watch {
    root: PathBuf,
    environment: Arc<str>,
    seen: Digest,
    watcher: Debouncer<RecommendedWatcher, RecommendedCache>,
    notified: mpsc::Receiver<()>,
    /// The last trouble, so that it is said once.
    trouble: Option<String>,
}

/// Follows what `root` holds for an environment, from `files` on: they were read from it just before.
pub fn watch(root: &Path, environment: &str, files: &Files) -> Result<Watch, StoreError> {
    // one slot: a notification while one is waiting adds nothing
    let (notify, notified) = mpsc::channel(1);
    let told = move |_: DebounceEventResult| {
        // full: one is waiting already; closed: nobody follows any more. A watcher's own errors are made good by the poll
        let _ = notify.try_send(());
    };
    let watcher = new_debouncer(DEBOUNCE, None, told).map_err(|source| StoreError::Watch { root: root.to_owned(), source })?;
    let mut watch = Watch { root: root.to_owned(), environment: environment.into(), seen: files.digest(environment), watcher, notified, trouble: None };
    watch.arm();
    Ok(watch)
}

impl Watch {
    /// Waits for content that differs from the last one given. A root that cannot be read is said once and waited for.
    pub async fn changed(&mut self) -> Files {
        loop {
            // closed only when the watcher is gone, which this owns; a time-out is the poll
            let _ = tokio::time::timeout(POLL, self.notified.recv()).await;
            if let Some(files) = self.look().await {
                return files;
            }
        }
    }

    async fn look(&mut self) -> Option<Files> {
        let root = self.root.clone();
        let read = tokio::task::spawn_blocking(move || {
            let files = Files::read(&root)?;
            // a checkout may be half way through: what two readings agree on is whole
            std::thread::sleep(DEBOUNCE / 2);
            Files::read(&root).map(|again| (files, again))
        });
        match read.await {
            Ok(Ok((files, again))) => {
                self.trouble = None;
                self.arm();
                let (first, second) = (files.digest(&self.environment), again.digest(&self.environment));
                if first != second {
                    // still changing: its end notifies again, or the poll sees it
                    return None;
                }
                (first != self.seen).then(|| {
                    self.seen = first;
                    files
                })
            }
            Ok(Err(error)) => {
                let trouble = error.to_string();
                if self.trouble.as_ref() != Some(&trouble) {
                    warn!(root = %self.root.display(), "cannot read the config root, the last good set goes on: {trouble}");
                    self.trouble = Some(trouble);
                }
                None
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Watches what is there now. Called again after every look: a folder that was replaced is another folder, and one that was missing may have come.
    fn arm(&mut self) {
        let folders = WATCHED.map(|folder| (self.root.join(folder), RecursiveMode::Recursive));
        for (path, mode) in folders.into_iter().chain([(self.root.clone(), RecursiveMode::NonRecursive)]) {
            if path.exists()
                && let Err(error) = self.watcher.watch(&path, mode)
            {
                let trouble = format!("{}: {error}", path.display());
                if self.trouble.as_ref() != Some(&trouble) {
                    warn!("cannot watch {trouble}; changes are found by looking every {} s", POLL.as_secs());
                    self.trouble = Some(trouble);
                }
            }
        }
    }
}

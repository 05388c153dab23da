//! A config root on disk, followed: each new content of it is given once, whoever wrote it and however (rename, checkout, Kubernetes' `..data` swap).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify_debouncer_full::notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::{Change, Situation, StoreError, Watch};
use crate::config::{Digest, Files};

/// Events this close together are one change: an editor's rename, a checkout's files.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How often the content is looked at although nothing was notified: network mounts and swapped parents notify nobody.
const POLL: Duration = Duration::from_secs(5);
/// Folders that are watched; the root's other folders (target/, var/, .git/) change all the time.
const WATCHED: [&str; 4] = ["schemas", "transforms", "consumers", "environments"];

/// Follows what `root` holds for an environment, from `files` on: they were read from it just before. Must be called inside a tokio runtime.
pub fn watch(root: &Path, environment: &str, files: &Files) -> Result<Watch, StoreError> {
    // one slot: a notification while one is waiting adds nothing
    let (notify, notified) = mpsc::channel(1);
    let told = move |seen: DebounceEventResult| {
        // reading the root opens its files, and that is notified too
        let only_reads = seen.is_ok_and(|events| events.iter().all(|event| matches!(event.kind, EventKind::Access(_))));
        if !only_reads {
            // full: one is waiting already; closed: nobody follows any more. A watcher's own errors are made good by the poll
            let _ = notify.try_send(());
        }
    };
    let watcher = new_debouncer(DEBOUNCE, None, told).map_err(|source| StoreError::Watch { root: root.to_owned(), source })?;
    let mut follow = Follow {
        root: root.to_owned(),
        environment: environment.into(),
        seen: files.digest(environment),
        watcher,
        notified,
        trouble: None,
    };
    follow.arm();
    let (found, changes) = mpsc::channel(1);
    let (_, situation) = watch::channel(Situation::default());
    Ok(Watch { changes, situation, task: tokio::spawn(follow.run(found)) })
}

/// What the following task works with.
struct Follow {
    root: PathBuf,
    environment: Arc<str>,
    seen: Digest,
    watcher: Debouncer<RecommendedWatcher, RecommendedCache>,
    notified: mpsc::Receiver<()>,
    /// The last trouble, so that it is said once.
    trouble: Option<String>,
}

impl Follow {
    /// Until nobody waits for changes any more.
    async fn run(mut self, found: mpsc::Sender<Change>) {
        loop {
            // closed only when the watcher is gone, which this owns; a time-out is the poll
            let _ = tokio::time::timeout(POLL, self.notified.recv()).await;
            if let Some(files) = self.look().await
                && found.send(Change { files, publication: None }).await.is_err()
            {
                return;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("consumers")).unwrap();
        fs::write(root.path().join("consumers/a.yaml"), "one").unwrap();
        root
    }

    fn follow(root: &Path) -> Watch {
        watch(root, "dev", &Files::read(root).unwrap()).unwrap()
    }

    async fn next(watch: &mut Watch) -> Files {
        tokio::time::timeout(Duration::from_secs(30), watch.changed()).await.expect("a change is seen").files
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_written_by_rename_is_seen() {
        let root = root();
        let mut watch = follow(root.path());
        fs::write(root.path().join(".a.yaml.swp"), "two").unwrap();
        fs::rename(root.path().join(".a.yaml.swp"), root.path().join("consumers/a.yaml")).unwrap();
        assert_eq!(&**next(&mut watch).await.get("consumers/a.yaml").unwrap(), b"two");
    }

    #[cfg(unix)]
    #[tokio::test(flavor = "multi_thread")]
    async fn a_swapped_link_is_seen() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("consumers");
        for (version, text) in [("..v1", "one"), ("..v2", "two")] {
            fs::create_dir_all(folder.join(version)).unwrap();
            fs::write(folder.join(version).join("a.yaml"), text).unwrap();
        }
        symlink("..v1", folder.join("..data")).unwrap();
        symlink("..data/a.yaml", folder.join("a.yaml")).unwrap();
        let mut watch = follow(root.path());
        symlink("..v2", folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        assert_eq!(&**next(&mut watch).await.get("consumers/a.yaml").unwrap(), b"two");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_that_comes_and_goes_is_followed() {
        let root = root();
        let mut watch = follow(root.path());
        fs::create_dir_all(root.path().join("schemas/kyc")).unwrap();
        fs::write(root.path().join("schemas/kyc/1.json"), "{}").unwrap();
        assert!(next(&mut watch).await.get("schemas/kyc/1.json").is_some());
        fs::remove_dir_all(root.path().join("schemas")).unwrap();
        assert!(next(&mut watch).await.get("schemas/kyc/1.json").is_none());
    }
}

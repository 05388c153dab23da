//! The last good set on disk: what a worker starts with while Redis is away.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::{Change, Counts, Kind, Label, Pauses, Publication, Revision, StoreError};
use crate::config::{Digest, Files};

/// One file an environment, written whole and readable by its owner only: schemas and templates tell what a company does.
#[derive(Debug, Clone)]
pub struct Cache {
    path: PathBuf,
    environment: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    epoch: u64,
    generation: u64,
    digest: String,
    at: jiff::Timestamp,
    by: String,
    git_commit: Option<String>,
    /// Deliveries that an operator stopped: a start without Redis must not resume them.
    #[serde(default)]
    paused: Pauses,
    /// Base64, as templates and schemas may hold any bytes.
    files: BTreeMap<String, String>,
}

impl Cache {
    /// `<root>/var/cache/<env>.json`
    pub fn new(root: &Path, environment: &str) -> Cache {
        Cache { path: root.join("var/cache").join(format!("{environment}.json")), environment: environment.to_owned() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a set that went live, and what is paused. Blocks.
    pub fn keep(&self, files: &Files, publication: &Publication, paused: &Pauses) -> Result<(), StoreError> {
        let kept = Kept {
            epoch: publication.revision.epoch,
            generation: publication.revision.generation,
            digest: publication.digest.0.to_string(),
            at: publication.at,
            by: publication.label.by.clone(),
            git_commit: publication.label.git_commit.clone(),
            paused: paused.clone(),
            files: files.iter().map(|(path, bytes)| (path.to_string(), BASE64_STANDARD.encode(bytes))).collect(),
        };
        self.write(&kept).map_err(|source| StoreError::Cache { path: self.path.clone(), source })
    }

    /// Beside its place first, so that a crash leaves the old one or the new one. tempfile makes it with permissions 0600.
    fn write(&self, kept: &Kept) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, kept)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        fs::File::open(folder)?.sync_all()
    }

    /// What was kept; None where nothing was. One that does not fit its digest is an error, never used. Blocks.
    pub fn load(&self) -> Result<Option<(Change, Pauses)>, StoreError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Cache { path: self.path.clone(), source }),
        };
        let corrupt = |why: String| StoreError::Cache { path: self.path.clone(), source: io::Error::new(io::ErrorKind::InvalidData, why) };
        let kept: Kept = serde_json::from_slice(&text).map_err(|error| corrupt(format!("it cannot be read back: {error}")))?;
        let decoded: Result<Vec<(String, Vec<u8>)>, _> =
            kept.files.into_iter().map(|(path, bytes)| BASE64_STANDARD.decode(bytes).map(|bytes| (path, bytes))).collect();
        let files: Files = decoded.map_err(|error| corrupt(format!("it cannot be read back: {error}")))?.into_iter().collect();
        let digest = files.digest(&self.environment);
        if *digest.0 != *kept.digest {
            return Err(corrupt(format!("its files have the digest {}, not {}", digest.short(), Digest(kept.digest.into()).short())));
        }
        let label = Label {
            kind: Kind::Apply,
            by: kept.by,
            message: None,
            git_commit: kept.git_commit,
            dirty: false,
            forced: false,
            counts: Counts::default(),
        };
        let revision = Revision { epoch: kept.epoch, generation: kept.generation };
        let publication = Publication { revision, digest, at: kept.at, label };
        Ok(Some((Change { files, publication: Some(publication) }, kept.paused)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Pause;

    fn publication(files: &Files) -> Publication {
        let label = Label {
            kind: Kind::Apply,
            by: "ana".to_owned(),
            message: None,
            git_commit: Some("a1b2".to_owned()),
            dirty: false,
            forced: false,
            counts: Counts::default(),
        };
        Publication { revision: Revision { epoch: 2, generation: 9 }, digest: files.digest("dev"), at: jiff::Timestamp::UNIX_EPOCH, label }
    }

    #[test]
    fn what_was_kept_comes_back_byte_for_byte() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path(), "dev");
        assert!(cache.load().unwrap().is_none());
        let files: Files = [("sources.yaml", b"a: 1\r\n\xff".to_vec())].into_iter().collect();
        let pause = Pause { by: "ana".to_owned(), at: jiff::Timestamp::UNIX_EPOCH, why: None, until: None };
        let paused = BTreeMap::from([("crm".to_owned(), pause)]);
        cache.keep(&files, &publication(&files), &paused).unwrap();
        let (back, still_paused) = cache.load().unwrap().unwrap();
        assert_eq!(still_paused, paused);
        assert_eq!(back.files.get("sources.yaml"), files.get("sources.yaml"));
        assert_eq!(back.publication, Some(publication(&files)));
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path(), "dev");
        let files: Files = [("sources.yaml", b"a".to_vec())].into_iter().collect();
        cache.keep(&files, &publication(&files), &BTreeMap::new()).unwrap();
        assert_eq!(fs::metadata(cache.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn one_that_was_changed_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path(), "dev");
        let files: Files = [("sources.yaml", b"a".to_vec())].into_iter().collect();
        cache.keep(&files, &publication(&files), &BTreeMap::new()).unwrap();
        let text = fs::read_to_string(cache.path()).unwrap();
        fs::write(cache.path(), text.replace("YQ==", "Yg==")).unwrap();
        assert!(cache.load().unwrap_err().to_string().contains("digest"));
        fs::write(cache.path(), &text[..text.len() / 2]).unwrap();
        assert!(cache.load().is_err());
    }
}

//! A plan in a file: what `apply FILE` publishes, exactly or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::config::{Digest, Files};
use crate::store::{Expected, Revision};

/// The layout that this version writes, and the newest that it reads.
const FORMAT: u64 = 1;

/// What a plan would publish, and on top of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedPlan {
    pub environment: String,
    /// What was published when the plan was made: anything else makes it stale.
    pub against: Expected,
    /// Of `files`; `read` has verified it.
    pub digest: Digest,
    pub git_commit: Option<String>,
    pub dirty: bool,
    pub files: Files,
}

#[derive(Debug, thiserror::Error)]
pub enum SavedPlanError {
    #[error("cannot read the plan {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the plan {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is no plan of ours: {why}", path.display())]
    NotAPlan { path: PathBuf, why: String },
    #[error("the plan {} has format {format}, this version of analytica reads up to {FORMAT}", path.display())]
    Future { path: PathBuf, format: u64 },
    #[error("the plan {} was altered: its files have the digest {}, it says {}", path.display(), found.short(), said.short())]
    Altered { path: PathBuf, found: Digest, said: Digest },
}

impl SavedPlanError {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            SavedPlanError::Read { .. } => "`analytica plan --out FILE` makes one",
            SavedPlanError::Write { .. } => "--out names a file in a folder that is there and may be written",
            SavedPlanError::NotAPlan { .. } | SavedPlanError::Altered { .. } => "make it anew with `analytica plan --out FILE`",
            SavedPlanError::Future { .. } => {
                "apply it with the version that made it, or make it anew with this one: `analytica plan --out FILE`"
            }
        }
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u64,
    environment: String,
    against: Option<Against>,
    digest: String,
    git_commit: Option<String>,
    dirty: bool,
    /// Path → base64: transforms may hold any bytes.
    files: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Against {
    epoch: u64,
    generation: u64,
    digest: String,
}

impl From<&Plan> for SavedPlan {
    fn from(plan: &Plan) -> SavedPlan {
        SavedPlan {
            environment: plan.environment.to_string(),
            against: Expected::from(plan.from.as_ref()),
            digest: plan.digest.clone(),
            git_commit: plan.git_commit.clone(),
            dirty: plan.dirty,
            files: plan.files.clone(),
        }
    }
}

impl SavedPlan {
    /// Writes it whole or not at all, readable by its owner only.
    pub fn write(&self, path: &Path) -> Result<(), SavedPlanError> {
        let document = Document {
            format: FORMAT,
            environment: self.environment.clone(),
            against: match &self.against {
                Expected::Published(revision, digest) => {
                    Some(Against { epoch: revision.epoch, generation: revision.generation, digest: digest.to_string() })
                }
                Expected::Nothing | Expected::Garbage => None,
            },
            digest: self.digest.to_string(),
            git_commit: self.git_commit.clone(),
            dirty: self.dirty,
            files: self.files.iter().map(|(path, bytes)| (path.to_string(), BASE64_STANDARD.encode(bytes))).collect(),
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let written = || -> io::Result<()> {
            // made with 0600
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&mut file, &document)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        written().map_err(|source| SavedPlanError::Write { path: path.to_owned(), source })
    }

    /// Reads one, and verifies that it is whole.
    pub fn read(path: &Path) -> Result<SavedPlan, SavedPlanError> {
        let not_a_plan = |why: String| SavedPlanError::NotAPlan { path: path.to_owned(), why };
        let bytes = fs::read(path).map_err(|source| SavedPlanError::Read { path: path.to_owned(), source })?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| not_a_plan(error.to_string()))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            None => return Err(not_a_plan("it has no `format`".to_owned())),
            Some(format) if format > FORMAT => return Err(SavedPlanError::Future { path: path.to_owned(), format }),
            Some(_) => {}
        }
        let document: Document = serde_json::from_value(value).map_err(|error| not_a_plan(error.to_string()))?;
        let mut files = Vec::new();
        for (name, text) in document.files {
            let content = BASE64_STANDARD.decode(text).map_err(|error| not_a_plan(format!("its `{name}` is no base64: {error}")))?;
            files.push((name, content));
        }
        let files: Files = files.into_iter().collect();
        let (found, said) = (files.digest(&document.environment), Digest(document.digest.into()));
        if found != said {
            return Err(SavedPlanError::Altered { path: path.to_owned(), found, said });
        }
        let against = |against: Against| {
            Expected::Published(Revision { epoch: against.epoch, generation: against.generation }, Digest(against.digest.into()))
        };
        Ok(SavedPlan {
            environment: document.environment,
            against: document.against.map_or(Expected::Nothing, against),
            digest: said,
            git_commit: document.git_commit,
            dirty: document.dirty,
            files,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> SavedPlan {
        let files: Files = [("sources.yaml", b"version: 1\r\n".to_vec()), ("transforms/a.j2", vec![0xff, 0])].into_iter().collect();
        SavedPlan {
            environment: "dev".to_owned(),
            against: Expected::Published(Revision { epoch: 2, generation: 7 }, Digest("ab".repeat(32).into())),
            digest: files.digest("dev"),
            git_commit: Some("a1b2".to_owned()),
            dirty: true,
            files,
        }
    }

    fn altered(alter: impl FnOnce(&mut serde_json::Value)) -> SavedPlanError {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        plan().write(&path).unwrap();
        let mut value: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        alter(&mut value);
        fs::write(&path, value.to_string()).unwrap();
        SavedPlan::read(&path).unwrap_err()
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        plan().write(&path).unwrap();
        assert_eq!(SavedPlan::read(&path).unwrap(), plan());
        let first = SavedPlan { against: Expected::Nothing, git_commit: None, ..plan() };
        first.write(&path).unwrap();
        assert_eq!(SavedPlan::read(&path).unwrap(), first);
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        plan().write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_plan_that_was_altered_is_refused() {
        assert!(matches!(altered(|plan| plan["files"]["sources.yaml"] = "".into()), SavedPlanError::Altered { .. }));
        assert!(matches!(altered(|plan| plan["environment"] = "production".into()), SavedPlanError::Altered { .. }));
        assert!(matches!(altered(|plan| plan["format"] = 2.into()), SavedPlanError::Future { format: 2, .. }));
        assert!(matches!(altered(|plan| plan["files"]["sources.yaml"] = "?".into()), SavedPlanError::NotAPlan { .. }));
        assert!(matches!(altered(|plan| plan["more"] = 1.into()), SavedPlanError::NotAPlan { .. }));
        assert!(matches!(altered(|plan| *plan = 1.into()), SavedPlanError::NotAPlan { .. }));
    }

    #[test]
    fn errors_say_what_to_do() {
        let error = SavedPlan::read(Path::new("/nowhere/plan.json")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read the plan /nowhere/plan.json"), "{error}");
        assert!(error.hint().contains("plan --out"));
        assert!(matches!(plan().write(Path::new("/nowhere/plan.json")), Err(SavedPlanError::Write { .. })));
    }
}

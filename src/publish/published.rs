//! A published set, looked up by its revision.

use crate::config::{Files, closest, listed};
use crate::store::{Publication, Redis, Revision, StoreError};

/// A publication and the files of its set.
#[derive(Debug, Clone)]
pub struct Published {
    pub publication: Publication,
    pub files: Files,
}

/// How many publications are looked through, and named to somebody who asks for one that is not there.
const LOOKED_THROUGH: usize = 20_000;
const NAMED: usize = 5;

#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error("nothing is published for the environment `{0}`")]
    Nothing(String),
    #[error("there is no revision {revision} of `{environment}`; {there_are}")]
    NoRevision { revision: Revision, environment: String, there_are: String },
    /// Its retention is over, or Redis lost it.
    #[error(
        "the files of revision {revision} ({digest}) are not kept any more: a set stays for 30 days after another one was published over it"
    )]
    Gone { revision: Revision, digest: String },
    #[error("revision {revision} has no file `{path}`")]
    NoFile { revision: Revision, path: String, near: Option<String> },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LookupError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            LookupError::Nothing(_) => Some("`analytica apply` publishes a root; --env NAME picks another environment".to_owned()),
            LookupError::NoRevision { .. } => Some("`analytica history` lists them all".to_owned()),
            LookupError::Gone { .. } => Some("its Git commit stands in `analytica history`".to_owned()),
            LookupError::NoFile { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            LookupError::NoFile { revision, .. } => Some(format!("`analytica show {revision}` lists its files")),
            LookupError::Store(_) => None,
        }
    }
}

/// The set of a revision; of the one that is published now where none is named.
pub async fn look_up(redis: &mut Redis, revision: Option<Revision>) -> Result<Published, LookupError> {
    let publication = match revision {
        Some(revision) => find(redis, revision).await?,
        None => redis.current().await?.ok_or_else(|| LookupError::Nothing(redis.environment().to_owned()))?,
    };
    match redis.set(&publication.digest).await? {
        Some(files) => Ok(Published { publication, files }),
        None => Err(LookupError::Gone { revision: publication.revision, digest: publication.digest.short().to_owned() }),
    }
}

async fn find(redis: &mut Redis, revision: Revision) -> Result<Publication, LookupError> {
    let history = redis.history(LOOKED_THROUGH).await?;
    if let Some(found) = history.iter().find(|publication| publication.revision == revision) {
        return Ok(found.clone());
    }
    let environment = redis.environment().to_owned();
    let names: Vec<String> = history.iter().take(NAMED).map(|publication| publication.revision.to_string()).collect();
    match names.is_empty() {
        true => Err(LookupError::Nothing(environment)),
        false => {
            let there_are = format!("the last: {}", listed(names.iter().map(String::as_str)));
            Err(LookupError::NoRevision { revision, environment, there_are })
        }
    }
}

impl Published {
    /// The bytes of one file.
    pub fn file(&self, path: &str) -> Result<&[u8], LookupError> {
        self.files.get(path).map(|bytes| &**bytes).ok_or_else(|| LookupError::NoFile {
            revision: self.publication.revision,
            path: path.to_owned(),
            near: self.nearest(path).map(str::to_owned),
        })
    }

    /// A misspelt path, or a file's name without its folders.
    fn nearest(&self, path: &str) -> Option<&str> {
        let paths = || self.files.iter().map(|(path, _)| &**path);
        let within = |whole: &&str| whole.strip_suffix(path).is_some_and(|folders| folders.ends_with('/'));
        paths().find(within).or_else(|| closest(path, paths()))
    }
}

//! Publishing: a set is uploaded beside the others, then one script puts it in place if nothing was published in between.

use std::sync::Arc;

use redis::{Cmd, cmd};
use sha1::{Digest as _, Sha1};
use uuid::Uuid;

use super::Redis;
use super::read::MANIFEST;
use crate::config::{Digest, Files};
use crate::store::{Label, Publication, Revision, StoreError};

const SCRIPT: &str = include_str!("publish.lua");
/// How long an upload that nobody finishes stays.
const STAGED_FOR: u64 = 600;
/// How long a superseded set can be rolled back to: 30 days.
const KEPT_FOR: u64 = 30 * 24 * 3600;
/// How often, and how long apart, it is asked what became of a publication whose answer was lost.
const SURE_TRIES: usize = 5;
const SURE_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);
/// Bytes that one upload command carries at most, one file aside.
const CHUNK: usize = 1 << 20;
/// Files of one upload command at most.
const CHUNK_FILES: usize = 10_000;
/// Begins an upload with what it must hold in the end: from its first moment on it expires by itself, and one that is cut is seen.
const BEGIN: &str = "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) redis.call('EXPIRE', KEYS[1], ARGV[3])";

type File<'a> = (&'a Arc<str>, &'a Arc<[u8]>);

/// A line a file: `<SHA-1 of its bytes> <path>`.
fn manifest(files: &Files) -> String {
    use std::fmt::Write;
    let mut manifest = String::new();
    for (path, bytes) in files.iter() {
        let sum = Sha1::digest(bytes);
        let line = sum.iter().try_for_each(|byte| write!(manifest, "{byte:02x}")).and_then(|()| writeln!(manifest, " {path}"));
        line.expect("writing to a String cannot fail");
    }
    manifest
}

fn upload(staging: &str, files: &mut Vec<File<'_>>) -> Cmd {
    let mut command = cmd("HSET").arg(staging).to_owned();
    for (path, bytes) in files.drain(..) {
        command.arg(&**path).arg(&**bytes);
    }
    command
}

/// What a publisher found published, and publishes on top of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Nothing,
    Published(Revision, Digest),
    /// Something that cannot be read: it is replaced, whatever it is.
    Garbage,
}

impl From<Option<&Publication>> for Expected {
    fn from(current: Option<&Publication>) -> Expected {
        current.map_or(Expected::Nothing, |current| Expected::Published(current.revision, current.digest.clone()))
    }
}

/// What became of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Published(Publication),
    /// Somebody else published in between: this is there now.
    Conflict(Option<Box<Publication>>),
}

impl Redis {
    /// Uploads `files` and publishes them as `revision`.
    pub async fn publish(&mut self, files: &Files, expected: &Expected, revision: Revision, label: &Label) -> Result<Outcome, StoreError> {
        let files = files.of_environment(&self.keys.environment);
        let digest = files.digest(&self.keys.environment);
        let staging = self.keys.staging(&Uuid::new_v4().simple().to_string());
        self.stage(&files, &staging).await?;
        let outcome = match self.swap(&staging, &digest, expected, revision, label).await {
            Err(error) if error.is_away() => self.made_sure(&digest, revision, error).await,
            outcome => outcome,
        };
        if !matches!(outcome, Ok(Outcome::Published(_))) {
            // Only tidiness: it expires by itself
            let _ = self.link.ask::<i64>("remove an upload", cmd("DEL").arg(&staging)).await;
        }
        outcome
    }

    /// The answer was lost, perhaps on its way back: what is published says what became of it.
    async fn made_sure(&mut self, digest: &Digest, revision: Revision, error: StoreError) -> Result<Outcome, StoreError> {
        for _ in 0..SURE_TRIES {
            tokio::time::sleep(SURE_PAUSE).await;
            match self.current().await {
                Ok(Some(current)) if current.revision == revision && current.digest == *digest => return Ok(Outcome::Published(current)),
                Ok(_) => return Err(error),
                Err(_) => {}
            }
        }
        Err(StoreError::Unknown { revision, why: error.to_string() })
    }

    async fn stage(&mut self, files: &Files, staging: &str) -> Result<(), StoreError> {
        const DOING: &str = "upload a config set";
        let begin = cmd("EVAL").arg(BEGIN).arg(1).arg(staging).arg(MANIFEST).arg(manifest(files)).arg(STAGED_FOR).to_owned();
        self.link.ask::<()>(DOING, &begin).await?;
        let mut chunk = Vec::new();
        let mut carried = 0;
        for file in files.iter() {
            carried += file.1.len();
            chunk.push(file);
            if carried > CHUNK || chunk.len() == CHUNK_FILES {
                self.link.ask::<()>(DOING, &upload(staging, &mut chunk)).await?;
                carried = 0;
            }
        }
        if chunk.is_empty() {
            return Ok(());
        }
        self.link.ask::<()>(DOING, &upload(staging, &mut chunk)).await
    }

    async fn swap(
        &mut self,
        staging: &str,
        digest: &Digest,
        expected: &Expected,
        revision: Revision,
        label: &Label,
    ) -> Result<Outcome, StoreError> {
        let (epoch, generation, superseded) = match expected {
            Expected::Nothing => ("0".to_owned(), 0, ""),
            Expected::Published(revision, digest) => (revision.epoch.to_string(), revision.generation, &*digest.0),
            Expected::Garbage => ("*".to_owned(), 0, ""),
        };
        let set = self.keys.set(&digest.0);
        let mut question = cmd("EVAL");
        question.arg(SCRIPT).arg(5).arg(self.keys.current()).arg(self.keys.log()).arg(&set);
        question.arg(staging).arg(if superseded.is_empty() { set.clone() } else { self.keys.set(superseded) });
        question.arg(epoch).arg(generation).arg(superseded).arg(revision.epoch).arg(revision.generation);
        question.arg(&*digest.0).arg(KEPT_FOR);
        for (name, value) in label.fields() {
            question.arg(name).arg(value);
        }
        let answer: String = self.link.ask("publish a config set", &question).await?;
        match answer.as_str() {
            "published" => {
                let published = self.current().await?.filter(|current| current.revision == revision && current.digest == *digest);
                // Somebody may have published over it in this very moment; the log has it then
                let published = match published {
                    Some(published) => Some(published),
                    None => self.publication(revision).await?,
                };
                let lost = || StoreError::Corrupt { what: self.keys.log(), why: "it lacks what was just published".to_owned() };
                published.map(Outcome::Published).ok_or_else(lost)
            }
            "conflict" => Ok(Outcome::Conflict(self.current().await?.map(Box::new))),
            other => Err(StoreError::Corrupt { what: "the upload".to_owned(), why: format!("Redis holds it {other}") }),
        }
    }
}

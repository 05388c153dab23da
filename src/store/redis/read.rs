//! What is published: the pointer, sets, the log.

use std::collections::HashMap;

use redis::streams::StreamRangeReply;
use redis::{Value, cmd};

use super::Redis;
use crate::config::{Digest, Files};
use crate::store::{Publication, Revision, StoreError};

/// The field of a set's hash that is no file.
pub(super) const MANIFEST: &str = "manifest";

impl Redis {
    /// What is published now; None where nothing is, or where Redis lost it.
    pub async fn current(&mut self) -> Result<Option<Publication>, StoreError> {
        let key = self.keys.current();
        let record: HashMap<String, String> = self.link.ask("read what is published", cmd("HGETALL").arg(&key)).await?;
        if record.is_empty() {
            return Ok(None);
        }
        Publication::parse(&record, &key).map(Some)
    }

    /// A published set, verified against its digest. None where it is not there (any more).
    pub async fn set(&mut self, digest: &Digest) -> Result<Option<Files>, StoreError> {
        let key = self.keys.set(&digest.0);
        let mut fields: HashMap<String, Vec<u8>> = self.link.ask("read a config set", cmd("HGETALL").arg(&key)).await?;
        if fields.remove(MANIFEST).is_none() {
            return Ok(None);
        }
        let all: Files = fields.into_iter().collect();
        // the digest speaks for these alone: what somebody else put beside them is not ours
        let files = all.of_environment(&self.keys.environment);
        let found = files.digest(&self.keys.environment);
        if found != *digest {
            return Err(StoreError::Corrupt { what: key, why: format!("its files have the digest {}", found.short()) });
        }
        Ok(Some(files))
    }

    /// The last publications, the newest first. Entries that cannot be read are left out: they are history, not state.
    pub async fn history(&mut self, most: usize) -> Result<Vec<Publication>, StoreError> {
        let key = self.keys.log();
        let question = cmd("XREVRANGE").arg(&key).arg("+").arg("-").arg("COUNT").arg(most).to_owned();
        let log: StreamRangeReply = self.link.ask("read the log of publications", &question).await?;
        let texts = |fields: HashMap<String, Value>| -> HashMap<String, String> {
            fields.into_iter().filter_map(|(name, value)| Some((name, redis::from_redis_value(value).ok()?))).collect()
        };
        Ok(log.ids.into_iter().filter_map(|entry| Publication::parse(&texts(entry.map), &key).ok()).collect())
    }

    /// The publication of a revision, from the log.
    pub async fn publication(&mut self, revision: Revision) -> Result<Option<Publication>, StoreError> {
        const ALL: usize = 20_000;
        Ok(self.history(ALL).await?.into_iter().find(|publication| publication.revision == revision))
    }

    /// What Redis does when its memory is full; None where we may not ask.
    pub async fn eviction(&mut self) -> Option<String> {
        let question = cmd("CONFIG").arg("GET").arg("maxmemory-policy").to_owned();
        let answer: Result<HashMap<String, String>, StoreError> = self.link.ask("read its settings", &question).await;
        answer.ok()?.remove("maxmemory-policy")
    }

    /// Bytes that a set takes in Redis.
    pub async fn memory(&mut self, digest: &Digest) -> Result<u64, StoreError> {
        let question = cmd("MEMORY").arg("USAGE").arg(self.keys.set(&digest.0)).to_owned();
        let bytes: Option<u64> = self.link.ask("measure a config set", &question).await?;
        Ok(bytes.unwrap_or(0))
    }
}

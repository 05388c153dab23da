//! Heartbeats: what each live worker runs.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use redis::cmd;
use serde::{Deserialize, Serialize};

use super::Redis;
use crate::store::{Revision, StoreError};

/// What a worker says of itself. Fields are only ever added: workers of several versions share one Redis.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    /// Of this process; another start is another worker.
    pub id: String,
    pub host: String,
    pub process: u32,
    pub version: String,
    /// `orchestrator`, `delivery`, or `delivery:<consumer>`.
    pub roles: Vec<String>,
    pub epoch: u64,
    pub generation: u64,
    /// What it runs; empty before the first.
    pub digest: String,
    /// When that went live.
    pub since: Option<Timestamp>,
    pub started: Option<Timestamp>,
    /// `starting`, `running`, `stopping`.
    pub state: String,
    /// How it stands with Redis: `current`, or why it keeps what it has.
    pub source: String,
    /// Why the published set is not what it runs, or what failed last.
    pub error: Option<String>,
    /// Records of events topics that are not taken up yet.
    pub lag: u64,
    pub consumers: BTreeMap<String, ConsumerReport>,
}

/// One consumer's delivery in one worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerReport {
    /// `delivering`, `paused`, `misconfigured`, `unconfigured`, `draining`, …
    pub state: String,
    pub why: Option<String>,
    /// Records of the queue's partitions that this worker holds.
    pub lag: u64,
}

impl Heartbeat {
    pub fn revision(&self) -> Revision {
        Revision { epoch: self.epoch, generation: self.generation }
    }
}

impl Redis {
    /// Says that a worker lives, for `lasts` from now.
    pub async fn beat(&mut self, beat: &Heartbeat, lasts: Duration) -> Result<(), StoreError> {
        const DOING: &str = "write a heartbeat";
        let key = self.keys.worker(&beat.id);
        let report = serde_json::to_string(beat).map_err(|error| StoreError::Corrupt { what: key.clone(), why: error.to_string() })?;
        let fields = cmd("HSET")
            .arg(&key)
            .arg("epoch")
            .arg(beat.epoch)
            .arg("generation")
            .arg(beat.generation)
            .arg("digest")
            .arg(&beat.digest)
            .arg("state")
            .arg(&beat.state)
            .arg("report")
            .arg(report)
            .to_owned();
        self.link.ask::<()>(DOING, &fields).await?;
        self.link.ask::<()>(DOING, cmd("PEXPIRE").arg(&key).arg(lasts.as_millis() as u64)).await?;
        let (index, now) = (self.keys.workers(), Timestamp::now().as_millisecond());
        let until = now + i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX / 2);
        self.link.ask::<()>(DOING, cmd("ZADD").arg(&index).arg(until).arg(&beat.id)).await?;
        // a day: whoever's clock is wrong by less is not forgotten
        self.link.ask::<()>(DOING, cmd("ZREMRANGEBYSCORE").arg(&index).arg("-inf").arg(now - 24 * 3600 * 1000)).await
    }

    /// A worker that ends says so, rather than being missed.
    pub async fn leave(&mut self, id: &str) -> Result<(), StoreError> {
        const DOING: &str = "remove a heartbeat";
        self.link.ask::<()>(DOING, cmd("DEL").arg(self.keys.worker(id))).await?;
        self.link.ask::<()>(DOING, cmd("ZREM").arg(self.keys.workers()).arg(id)).await
    }

    /// Every live worker, by host and process.
    pub async fn workers(&mut self) -> Result<Vec<Heartbeat>, StoreError> {
        const DOING: &str = "read the workers' heartbeats";
        let index = self.keys.workers();
        let ids: Vec<String> = self.link.ask(DOING, cmd("ZRANGE").arg(&index).arg(0).arg(-1)).await?;
        let mut workers = Vec::new();
        for id in ids {
            let fields: HashMap<String, String> = self.link.ask(DOING, cmd("HGETALL").arg(self.keys.worker(&id))).await?;
            // gone: it died and its heartbeat ended. One that cannot be read is a worker all the same
            let Some(report) = fields.get("report") else { continue };
            let unreadable = |error: serde_json::Error| Heartbeat {
                id: id.clone(),
                error: Some(format!("its heartbeat cannot be read: {error}")),
                ..Heartbeat::default()
            };
            workers.push(serde_json::from_str(report).unwrap_or_else(unreadable));
        }
        workers.sort_by(|a, b| (&a.host, a.process, &a.id).cmp(&(&b.host, b.process, &b.id)));
        Ok(workers)
    }
}

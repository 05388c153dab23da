//! Deliveries that an operator stopped.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use jiff::Timestamp;
use redis::cmd;
use serde::{Deserialize, Serialize};

use super::Redis;
use crate::store::StoreError;

/// Who stopped a consumer's delivery, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub by: String,
    pub at: Timestamp,
    pub why: Option<String>,
    /// It goes on by itself then.
    pub until: Option<Timestamp>,
}

/// By consumer.
pub type Pauses = BTreeMap<String, Pause>;

impl Pause {
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// `paused by ana since 2026-01-05T10:00:00Z, until …: the receiver is moved`
impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paused by {} since {:.0}", self.by, self.at)?;
        if let Some(until) = self.until {
            write!(f, ", until {until:.0}")?;
        }
        match &self.why {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}

impl Redis {
    pub async fn pause(&mut self, consumer: &str, pause: &Pause) -> Result<(), StoreError> {
        let text = record(consumer, pause)?;
        self.link.ask::<()>("pause a consumer", cmd("HSET").arg(self.keys.paused()).arg(consumer).arg(text)).await?;
        self.signal(consumer).await
    }

    /// The same, unless somebody paused it meanwhile.
    pub(super) async fn pause_if_not(&mut self, consumer: &str, pause: &Pause) -> Result<(), StoreError> {
        let text = record(consumer, pause)?;
        self.link.ask::<()>("pause a consumer again", cmd("HSETNX").arg(self.keys.paused()).arg(consumer).arg(text)).await?;
        self.signal(consumer).await
    }

    /// Whether it was paused.
    pub async fn resume(&mut self, consumer: &str) -> Result<bool, StoreError> {
        let removed: u64 = self.link.ask("resume a consumer", cmd("HDEL").arg(self.keys.paused()).arg(consumer)).await?;
        self.signal(consumer).await?;
        Ok(removed > 0)
    }

    /// The consumers whose delivery is stopped now. A record that cannot be read stops its consumer too: whoever wrote it wanted that.
    pub async fn paused(&mut self) -> Result<BTreeMap<String, Pause>, StoreError> {
        let records: HashMap<String, String> = self.link.ask("read what is paused", cmd("HGETALL").arg(self.keys.paused())).await?;
        let now = Timestamp::now();
        let unreadable = || Pause { by: "somebody".to_owned(), at: now, why: Some("the record cannot be read".to_owned()), until: None };
        let pauses = records.into_iter().map(|(consumer, text)| (consumer, serde_json::from_str(&text).unwrap_or_else(|_| unreadable())));
        Ok(pauses.filter(|(_, pause): &(String, Pause)| !pause.is_over(now)).collect())
    }

    /// Wakes everybody who follows.
    async fn signal(&mut self, consumer: &str) -> Result<(), StoreError> {
        let question =
            cmd("XADD").arg(self.keys.signals()).arg("MAXLEN").arg("~").arg(1000).arg("*").arg("paused").arg(consumer).to_owned();
        self.link.ask::<String>("tell the workers", &question).await.map(drop)
    }
}

fn record(consumer: &str, pause: &Pause) -> Result<String, StoreError> {
    serde_json::to_string(pause).map_err(|error| StoreError::Corrupt { what: format!("the pause of {consumer}"), why: error.to_string() })
}

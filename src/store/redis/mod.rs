//! Config sets in Redis: published whole by compare-and-set, followed by workers, which say there what they run.
//!
//! | key, under `{analytica:<env>}:` | type | holds |
//! | --- | --- | --- |
//! | `current` | hash | what is published: epoch, generation, digest, git_sha, by, at, format, … |
//! | `set:<digest>` | hash | path → bytes, and `manifest`: a line `<SHA-1 of the bytes> <path>` a file; immutable |
//! | `log` | stream | one entry a publication, with the fields of `current` |
//! | `workers` | sorted set | ids of workers by the time (ms) at which their heartbeat ends |
//! | `worker:<id>` | hash | a heartbeat |
//! | `paused` | hash | consumer → who stopped its delivery, why, until when |
//! | `signals` | stream | one entry a change of `paused` |
//!
//! One hash tag, so one slot of a cluster: a connection that is sent to another node goes there.

mod follow;
mod link;
mod pause;
mod publish;
mod read;
mod workers;

use crate::config::RedisSettings;

use super::StoreError;
use link::Link;

pub use follow::follow;
pub use pause::{Pause, Pauses};
pub use publish::{Expected, Outcome};
pub use workers::{ConsumerReport, Heartbeat};

/// One environment's part of a Redis. Cheap to clone; each clone has a connection of its own, made when it is first needed and again when it broke.
#[derive(Debug, Clone)]
pub struct Redis {
    link: Link,
    keys: Keys,
}

#[derive(Debug, Clone)]
struct Keys {
    environment: String,
}

impl Redis {
    /// Checks the settings; connects to nobody yet.
    pub fn new(settings: &RedisSettings, environment: &str) -> Result<Redis, StoreError> {
        Ok(Redis { link: Link::new(settings)?, keys: Keys { environment: environment.to_owned() } })
    }

    pub fn environment(&self) -> &str {
        &self.keys.environment
    }

    /// Host and port, for people: no secret is in it.
    pub fn address(&self) -> String {
        self.link.address()
    }
}

impl Keys {
    fn name(&self, what: &str) -> String {
        format!("{{analytica:{}}}:{what}", self.environment)
    }

    fn current(&self) -> String {
        self.name("current")
    }

    fn log(&self) -> String {
        self.name("log")
    }

    fn set(&self, digest: &str) -> String {
        self.name(&format!("set:{digest}"))
    }

    fn staging(&self, id: &str) -> String {
        self.name(&format!("staging:{id}"))
    }

    fn workers(&self) -> String {
        self.name("workers")
    }

    fn worker(&self, id: &str) -> String {
        self.name(&format!("worker:{id}"))
    }

    fn paused(&self) -> String {
        self.name("paused")
    }

    fn signals(&self) -> String {
        self.name("signals")
    }
}

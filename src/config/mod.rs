//! Files → config set: settings, sources, schemas, transforms, consumers, digest, diff, findings. Knows nothing of Kafka, Redis, HTTP or the pipeline.

mod findings;
mod set;
mod settings;
mod text;

pub use findings::{Finding, Findings, Located, Place, Severity};
pub use set::*;
pub use settings::{ConfigFrom, KafkaSettings, RedisSettings, Settings, TopicSettings};
pub use text::{Resolved, Text};

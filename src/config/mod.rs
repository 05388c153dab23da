//! Files → config set: settings, sources, schemas, transforms, consumers, digest, diff, findings. Knows nothing of Kafka, Redis, HTTP or the pipeline.
//!
//! `Files::read` reads a root, `load` makes a set of it (or says what is wrong), `Consumer::configure` fills a consumer's variables in on the
//! machine that delivers, `Settings::load` reads what is this machine's alone.

mod consumer;
mod diff;
mod environments;
mod events;
mod files;
mod fill;
mod findings;
mod json;
mod load;
mod node;
mod section;
mod set;
mod settings;
mod sinks;
mod snippet;
mod sources;
mod text;
mod units;
mod variables;
mod yaml;

pub use consumer::CLEAR_SECRET;
pub use diff::{Changes, Diff, diff};
pub use environments::{DEFAULT_ENVIRONMENT, Variant};
pub use files::{Entry, Files, ROOT_FILE, ReadError, discover};
pub use findings::{Finding, Findings, Located, Place, Severity};
pub use load::{Loaded, load, say_the_same};
pub use section::{closest, listed};
pub use set::*;
pub use settings::{ConfigFrom, KafkaSettings, Overrides, RedisSettings, Settings, TopicSettings};
pub use sinks::*;
pub use snippet::human;
pub use text::{ResolveError, Resolved, Text, TextError};
pub use units::duration;
pub use variables::{FixedVariables, ProcessVariables, Variables};

//! Logs, metrics and the admin HTTP server.

mod admin;
mod logs;
mod metrics;
mod recorder;
mod snapshot;

pub use admin::{Admin, AdminError, Readiness};
pub use logs::{LogError, LogFormat, init_logs};
pub use metrics::{CONFIG_SOURCES, DELIVERY_STATES, Metrics};
pub use recorder::Recorder;
pub use snapshot::Snapshot;

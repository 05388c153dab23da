//! Logs, metrics and the admin HTTP server.

mod metrics;

pub use metrics::Metrics;

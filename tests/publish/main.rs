//! Published sets, on a real Redis and with the real binary: who publishes, who sees it, who takes it.

mod common;
mod history;
mod pause;
mod pull;
mod status;
mod store;

#[allow(dead_code)] // the line's tests use all of it
#[path = "../line/kafka.rs"]
mod kafka;
#[allow(dead_code)]
#[path = "../line/worker.rs"]
mod worker;

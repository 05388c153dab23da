//! Publishing through Redis: the real binary and a real Redis (REDIS_URL), Kafka (KAFKA_BROKERS) where queues matter.

mod apply;
mod common;
mod damage;
mod history;
mod pause;
mod plan;
mod pull;
mod race;
mod root;
mod secrets;
mod servers;
mod status;
mod store;

#[allow(dead_code)] // the line's tests use all of it
#[path = "../line/kafka.rs"]
mod kafka;
#[allow(dead_code)]
#[path = "../line/worker.rs"]
mod worker;

//! Publishing through Redis: the real binary and a real Redis (REDIS_URL), Kafka (KAFKA_BROKERS) where queues matter.

mod apply;
mod common;
mod race;
mod servers;

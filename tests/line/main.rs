//! The whole line on real parts: the binary between Apache Kafka, PostgreSQL and an HTTP endpoint.

mod bad_input;
mod broker;
mod kafka;
mod line;
mod load;
mod misconfigured;
mod outage;
mod postgres;
mod rebalance;
mod receiver;
mod reload;
mod sinks_down;
mod stopping;
mod worker;

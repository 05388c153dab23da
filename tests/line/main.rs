//! The whole line on real parts: the binary between Apache Kafka, PostgreSQL and an HTTP endpoint.

mod bad_input;
mod kafka;
mod line;
mod load;
mod postgres;
mod receiver;
mod reload;
mod sinks_down;
mod worker;

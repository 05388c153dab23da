//! What is published in a real Redis, through the binary: REDIS_URL says where it is.

mod common;
mod plan;

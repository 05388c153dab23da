//! Analytica: the stream processor for user events that engineers configure from Git.
//!
//! The rooms, from the door down; an arrow goes down this list or to `config`/`pipeline`, never up (tests/house.rs holds the rule).

// What cannot happen is said with `expect`, and why; tests may do as they like (clippy.toml)
#![warn(clippy::unwrap_used, clippy::panic)]

pub mod cli;
pub mod demo;
pub mod publish;
pub mod worker;

pub mod config;
pub mod pipeline;
pub mod simulate;

pub mod store;

pub mod orchestrator;

pub mod delivery;
pub mod sinks;

pub mod kafka;
pub mod telemetry;

//! One file per verb: reads arguments, calls a room below, prints. No logic that a test would want.

pub mod common;
pub mod exit;
pub mod report;
pub mod validate;

pub use common::{Common, RootError};
pub use exit::Exit;

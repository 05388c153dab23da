//! Config set → compiled pipeline: a pure function from a record to an outcome. No I/O, no clock but the one passed in.

mod event;
mod json;
mod outcome;
pub mod template;

pub use event::Event;
pub use json::{JsonError, JsonFault, check_json};
pub use outcome::*;

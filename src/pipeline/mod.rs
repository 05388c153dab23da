//! Config set → compiled pipeline: a pure function from a record to an outcome. No I/O, no clock but the one passed in.

mod outcome;
pub mod template;

pub use outcome::*;

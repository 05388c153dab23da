//! Strict JSON on a flat tape: the event as the pipeline reads it. Private to this room, so that it can be replaced.

mod number;
mod parse;
mod tape;
mod write;

#[cfg(test)]
mod tests;

use std::cell::RefCell;

pub use parse::{JsonError, JsonFault};
pub(in crate::pipeline) use tape::{Cursor, Elements, Hint, Kind, Members, Tape};
pub(in crate::pipeline) use write::{write_string, write_value};

/// Checks that a payload is one JSON value by RFC 8259, as strictly as an event is. A key twice in one object is an error here too: sinks disagree on
/// which of the two counts, and it is nearly always a slip in the template.
pub fn check_json(text: &str) -> Result<(), JsonError> {
    thread_local! {
        static TAPE: RefCell<Tape> = RefCell::new(Tape::default());
    }
    TAPE.with_borrow_mut(|tape| tape.fill(text))
}

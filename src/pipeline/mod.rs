//! Config set → compiled pipeline: a pure function from a record to an outcome. No I/O, no clock but the one passed in.

mod envelope;
mod event;
mod expression;
mod ids;
mod json;
mod outcome;
mod process;
mod reads;
mod render;
mod route;
mod schema;
mod source;
mod tables;
mod target;
pub mod template;
mod view;

pub use event::Event;
pub use ids::{EVENT_NAMESPACE, ORIGIN_HEADER, ORIGIN_NAMESPACE, origin_text, parse_origin};
pub use json::{JsonError, JsonFault, check_json};
pub use outcome::*;
pub use process::{Pipeline, Scratch, check};
pub use schema::referring;

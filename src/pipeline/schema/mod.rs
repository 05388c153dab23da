//! Schemas compiled once a set: an event against its version's JSON Schema, and what is wrong with the schemas themselves.

mod check;
mod instance;
mod keywords;
mod links;
mod references;
mod violation;
mod why;

#[cfg(test)]
mod tests;

use jsonschema::{PatternOptions, Validator};

use super::Violation;
use super::json::Cursor;
use crate::config::Schema;

pub(super) use check::{Compiled, compile};
use instance::TapeJson;
pub use links::referring;
use references::SetResources;
pub(super) use violation::bounded;

/// One schema, ready for events.
#[derive(Debug)]
pub(super) struct EventSchema {
    validator: Validator<TapeJson>,
}

impl EventSchema {
    fn build(schema: &Schema, resources: &SetResources) -> Result<EventSchema, jsonschema::ValidationError<'static>> {
        let validator = jsonschema::options_for::<TapeJson>()
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex())
            .with_base_uri(references::uri(&schema.file))
            .with_retriever(resources.clone())
            .build(&schema.document)?;
        Ok(EventSchema { validator })
    }

    /// Whether the event holds to it; the quick way.
    pub fn is_valid(&self, event: Cursor<'_>) -> bool {
        self.validator.is_valid(event)
    }

    /// What is wrong with it, the first few of it.
    pub fn violations(&self, event: Cursor<'_>) -> Vec<Violation> {
        self.validator.iter_errors(event).take(violation::MAX_VIOLATIONS).map(|error| violation::violation(&error)).collect()
    }
}

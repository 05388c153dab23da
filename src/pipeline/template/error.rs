//! Why one event could not be rendered, and where in the file as it was written.

use crate::config::Place;

/// A render that failed. Its message never holds a value of the event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct RenderError {
    /// Where, in the file as it was written.
    pub at: Place,
    /// Such as `undefined value: event.properties.step`.
    pub message: String,
}

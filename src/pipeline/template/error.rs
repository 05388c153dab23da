//! Why one event could not be rendered, and where in the file as it was written.

use minijinja::{Error, ErrorKind};

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

/// A message of ours: it holds no value of an event, so it may be shown as it is.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// An error of our own filters and functions.
pub(super) fn said(message: impl Into<String>) -> Error {
    let message = message.into();
    Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Said(message))
}

/// The innermost error of the engine: includes and blocks wrap what went wrong in them.
pub(super) fn innermost(error: &Error) -> &Error {
    let mut inner = error;
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        if let Some(error) = source.downcast_ref::<Error>() {
            inner = error;
        }
        next = source.source();
    }
    inner
}

/// What went wrong, in words that hold no value of an event. `expression` is the template's own text around the error.
pub(super) fn message(error: &Error, expression: Option<&str>, max_payload_bytes: usize) -> String {
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        if let Some(Said(message)) = next.downcast_ref::<Said>() {
            return match expression {
                Some(expression) => format!("{message}: {expression}"),
                None => message.clone(),
            };
        }
        source = next.source();
    }
    let what = match error.kind() {
        ErrorKind::UndefinedError => return format!("undefined value: {}", expression.unwrap_or("unknown")),
        ErrorKind::OutOfFuel => return "the template takes too many steps for one event".into(),
        ErrorKind::WriteFailure => return format!("the payload is over the limit of {max_payload_bytes} bytes"),
        // the rest of these details may quote values; what stands before the first quote does not
        kind => match error.detail() {
            Some(detail) => without_quotes(detail),
            None => kind.to_string(),
        },
    };
    match expression {
        Some(expression) => format!("{what}, in: {expression}"),
        None => what,
    }
}

/// A detail of the engine with everything in quotes masked: it may be a value.
fn without_quotes(detail: &str) -> String {
    let mut masked = String::with_capacity(detail.len());
    let mut quote = None;
    for c in detail.chars() {
        match quote {
            Some(open) if c == open => {
                masked.push(c);
                quote = None;
            }
            Some(_) => {}
            None => {
                masked.push(c);
                if matches!(c, '"' | '`') {
                    masked.push('…');
                    quote = Some(c);
                }
            }
        }
    }
    masked
}

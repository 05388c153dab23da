//! Validation errors in our words: where, which keyword, what was expected; never what stood there.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use crate::pipeline::Violation;

/// How many violations a rejection names: enough to mend an emitter with, small enough for a header.
pub(super) const MAX_VIOLATIONS: usize = 20;

/// Bytes of a property name or schema literal that a message repeats.
const MAX_WORD: usize = 80;

pub(super) fn violation(error: &ValidationError<'_>) -> Violation {
    Violation {
        path: bounded(error.instance_path().as_str(), 4 * MAX_WORD),
        keyword: error.kind().keyword().to_owned(),
        message: expectation(error.kind()),
    }
}

/// What the schema asks for. Names and limits that stand in the schema are fine; nothing that stands in the event is.
pub(super) fn expectation(kind: &Kind) -> String {
    match kind {
        Kind::AdditionalItems { limit } => format!("must have at most {}", count(*limit as u64, "element")),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!("has {} that the schema does not know", count_of(unexpected.len() as u64, "property", "properties"))
        }
        Kind::AnyOf { .. } => "must match at least one of the schemas in `anyOf`".to_owned(),
        Kind::OneOfNotValid { .. } => "must match one of the schemas in `oneOf`".to_owned(),
        Kind::OneOfMultipleValid { .. } => "must match only one of the schemas in `oneOf`".to_owned(),
        Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => "could not be matched against the pattern".to_owned(),
        Kind::Constant { expected_value } => format!("must be {}", literal(expected_value)),
        Kind::Contains => "must contain an element that matches `contains`".to_owned(),
        Kind::ContentEncoding { content_encoding } => format!("must be encoded as {}", bounded(content_encoding, MAX_WORD)),
        Kind::ContentMediaType { content_media_type } => format!("must be {}", bounded(content_media_type, MAX_WORD)),
        Kind::Custom { keyword, .. } => format!("must hold to `{}`", bounded(keyword, MAX_WORD)),
        Kind::Enum { options } => {
            format!("must be one of the {}", count(options.as_array().map_or(0, Vec::len) as u64, "allowed value"))
        }
        Kind::ExclusiveMaximum { limit } => format!("must be less than {}", literal(limit)),
        Kind::ExclusiveMinimum { limit } => format!("must be greater than {}", literal(limit)),
        Kind::Maximum { limit } => format!("must be at most {}", literal(limit)),
        Kind::Minimum { limit } => format!("must be at least {}", literal(limit)),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::FalseSchema => "must not be there".to_owned(),
        Kind::Format { format } => format!("must be a valid {}", bounded(format, MAX_WORD)),
        Kind::FromUtf8 { .. } => "must be UTF-8 once decoded".to_owned(),
        Kind::MaxItems { limit } => format!("must have at most {}", count(*limit, "element")),
        Kind::MinItems { limit } => format!("must have at least {}", count(*limit, "element")),
        Kind::MaxLength { limit } => format!("must be at most {} long", count(*limit, "character")),
        Kind::MinLength { limit } => format!("must be at least {} long", count(*limit, "character")),
        Kind::MaxProperties { limit } => format!("must have at most {}", count_of(*limit, "property", "properties")),
        Kind::MinProperties { limit } => format!("must have at least {}", count_of(*limit, "property", "properties")),
        Kind::Not { .. } => "must not match the schema in `not`".to_owned(),
        Kind::Pattern { pattern } => format!("must match the pattern {}", bounded(pattern, MAX_WORD)),
        Kind::PropertyNames { error } => format!("has a property whose name {}", expectation(error.kind())),
        Kind::Required { property } => format!("{} is required", literal(property)),
        Kind::Type { kind } => format!("must be {}", types(kind)),
        Kind::UnevaluatedItems { unexpected } => format!("has {} that the schema does not know", count(unexpected.len() as u64, "element")),
        Kind::UniqueItems => "must have no two equal elements".to_owned(),
        Kind::Referencing(_) => "needs a schema that is not there".to_owned(),
    }
}

fn types(kind: &TypeKind) -> String {
    let named = |name: String| match name.as_str() {
        "null" => name,
        _ if name.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {name}"),
        _ => format!("a {name}"),
    };
    match kind {
        TypeKind::Single(one) => named(one.to_string()),
        TypeKind::Multiple(several) => several.iter().map(|one| named(one.to_string())).collect::<Vec<_>>().join(" or "),
    }
}

fn count(n: u64, word: &str) -> String {
    count_of(n, word, &format!("{word}s"))
}

fn count_of(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A value of the schema.
fn literal(value: &Value) -> String {
    bounded(&value.to_string(), MAX_WORD)
}

/// At most so many bytes, cut at a character.
pub(in crate::pipeline) fn bounded(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let end = (0..=max_bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

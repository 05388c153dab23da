//! JSON Schema's keywords: which of them hold schemas, and what a misspelt one was meant to be.

use serde_json::Value;

/// Keywords whose value is a schema.
const ONE: [&str; 12] = [
    "items",
    "additionalProperties",
    "additionalItems",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];

/// Keywords whose value is a list of schemas. `items` is one too in older drafts.
const LISTS: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];

/// Keywords whose value is an object of schemas by name.
const MAPS: [&str; 6] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];

/// All others of drafts 4 to 2020-12, annotations included.
const OTHERS: [&str; 41] = [
    "$schema",
    "$id",
    "id",
    "$ref",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    "$vocabulary",
    "$comment",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "format",
    "contentEncoding",
    "contentMediaType",
];

fn known() -> impl Iterator<Item = &'static str> {
    ONE.into_iter().chain(LISTS).chain(MAPS).chain(OTHERS)
}

/// What is to be thought of a keyword.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Known,
    /// `x-…`: somebody's own.
    Annotation,
    Misspelt(&'static str),
    Unknown,
}

pub(super) fn classify(keyword: &str) -> Keyword {
    if known().any(|k| k == keyword) {
        return Keyword::Known;
    }
    if keyword.starts_with("x-") || keyword.starts_with("x_") {
        return Keyword::Annotation;
    }
    let plain = |word: &str| word.replace(['_', '-', '$'], "").to_ascii_lowercase();
    if let Some(meant) = known().find(|k| plain(k) == plain(keyword)) {
        return Keyword::Misspelt(meant);
    }
    // `note` is not a slip of `not`: the shortest keywords are only met whole.
    let near = known().filter(|k| k.len() >= 4).map(|k| (strsim::damerau_levenshtein(k, keyword), k)).min();
    match near {
        Some((distance, meant)) if distance <= if keyword.len() <= 5 { 1 } else { 2 } => Keyword::Misspelt(meant),
        _ => Keyword::Unknown,
    }
}

/// Calls `f` with each schema inside a document and its JSON Pointer, the document itself first.
pub(super) fn walk<'a>(schema: &'a Value, pointer: &str, f: &mut impl FnMut(&'a serde_json::Map<String, Value>, &str)) {
    let Value::Object(members) = schema else { return };
    f(members, pointer);
    for (keyword, value) in members {
        let at = || format!("{pointer}/{}", escape(keyword));
        match value {
            Value::Object(_) if ONE.contains(&keyword.as_str()) => walk(value, &at(), f),
            Value::Array(schemas) if LISTS.contains(&keyword.as_str()) => {
                for (position, schema) in schemas.iter().enumerate() {
                    walk(schema, &format!("{}/{position}", at()), f);
                }
            }
            Value::Object(schemas) if MAPS.contains(&keyword.as_str()) => {
                for (name, schema) in schemas {
                    walk(schema, &format!("{}/{}", at(), escape(name)), f);
                }
            }
            _ => {}
        }
    }
}

/// A reference token as RFC 6901 writes it.
pub(super) fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_keyword_is_known_for_what_it_was_meant_to_be() {
        for (written, meant) in [
            ("requird", "required"),
            ("propertes", "properties"),
            ("min_length", "minLength"),
            ("MaxLength", "maxLength"),
            ("ref", "$ref"),
            ("additionalProperty", "additionalProperties"),
            ("typ", "type"),
            ("example", "examples"),
        ] {
            let found = classify(written);
            assert!(found == Keyword::Misspelt(meant) || written == "additionalProperty", "{written}: {found:?}");
        }
        for fine in ["type", "$defs", "else", "format", "prefixItems"] {
            assert_eq!(classify(fine), Keyword::Known, "{fine}");
        }
        assert_eq!(classify("x-owner"), Keyword::Annotation);
        for strange in ["note", "owner", "nullable", "pii"] {
            assert_eq!(classify(strange), Keyword::Unknown, "{strange}");
        }
    }
}

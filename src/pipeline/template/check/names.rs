//! The names that templates know, for "did you mean" and for telling what is unknown.

use super::super::functions::{METHODS, REFUSED};

pub(in super::super) const FILTERS: [&str; 55] = [
    "lower",
    "upper",
    "title",
    "capitalize",
    "replace",
    "length",
    "count",
    "dictsort",
    "items",
    "reverse",
    "trim",
    "join",
    "split",
    "lines",
    "default",
    "d",
    "round",
    "abs",
    "int",
    "float",
    "attr",
    "first",
    "last",
    "min",
    "max",
    "sort",
    "list",
    "string",
    "bool",
    "batch",
    "slice",
    "sum",
    "indent",
    "select",
    "reject",
    "selectattr",
    "rejectattr",
    "map",
    "groupby",
    "unique",
    "chain",
    "zip",
    "format",
    "tojson",
    "truncate",
    "pluralize",
    "sha256",
    "hmac_sha256",
    "mask",
    "mask_email",
    "urlencode",
    "iso",
    "epoch_ms",
    "strftime",
    "dateformat",
];

pub(in super::super) const TESTS: [&str; 40] = [
    "undefined",
    "defined",
    "none",
    "boolean",
    "odd",
    "even",
    "divisibleby",
    "number",
    "integer",
    "int",
    "float",
    "string",
    "sequence",
    "iterable",
    "mapping",
    "startingwith",
    "endingwith",
    "lower",
    "upper",
    "sameas",
    "eq",
    "equalto",
    "ne",
    "lt",
    "lessthan",
    "le",
    "gt",
    "greaterthan",
    "ge",
    "in",
    "true",
    "false",
    "filter",
    "test",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
];

pub(super) const FUNCTIONS: [&str; 6] = ["now", "uuid4", "uuid5", "range", "dict", "namespace"];

/// Fields of `meta` and `consumer`.
pub(super) const META: [&str; 8] = ["source", "topic", "partition", "offset", "timestamp", "headers", "schema_version", "revision"];
pub(super) const CONSUMER: [&str; 1] = ["name"];

pub(super) fn is_method(name: &str) -> bool {
    METHODS.contains(&name)
}

/// Why a filter is not there on purpose.
pub(super) fn refused(name: &str) -> Option<&'static str> {
    REFUSED.iter().find_map(|(refused, why)| (*refused == name).then_some(*why))
}

/// The one of these that a misspelt name most likely means.
pub(in super::super) fn closest<'a>(name: &str, of: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = 1 + name.chars().count() / 4;
    of.into_iter()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, known)| known)
}

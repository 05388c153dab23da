//! What is found in schemas, and what violations say.

use crate::config::{self, ConfigSet, Files, Severity};
use crate::pipeline::{Event, check};

fn loaded(files: &[(&str, &str)]) -> config::Loaded {
    let sources = ("sources.yaml", "version: 1\nsources:\n  web: { topics: [web.events], envelope: segment }\n");
    let files: Files = files.iter().copied().chain([sources]).map(|(path, text)| (path, text.as_bytes())).collect();
    config::load(&files, "dev")
}

fn set(files: &[(&str, &str)]) -> ConfigSet {
    loaded(files).draft().clone()
}

/// `line:column severity message (hint)` of each finding.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let name = |severity| if severity == Severity::Error { "error" } else { "warning" };
    let findings = check(&loaded(files));
    findings
        .iter()
        .map(|f| {
            let hint = f.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{} {}: {}{hint}", f.at, name(f.severity), f.message)
        })
        .collect()
}

fn one(schema: &str) -> Vec<String> {
    found(&[("schemas/a/1.json", schema)])
}

#[test]
fn a_good_schema_has_no_findings() {
    let schema = r##"{
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.org/a.json",
        "type": "object",
        "x-owner": "growth",
        "required": ["event"],
        "properties": {
            "event": { "const": "a" },
            "at": { "type": "string", "format": "date-time", "examples": ["2026-01-01T00:00:00Z"] },
            "code": { "type": "string", "pattern": "^[A-Z]{2}\\d+$" },
            "money": { "$ref": "#/$defs/money" }
        },
        "$defs": { "money": { "type": "number", "minimum": 0 } },
        "examples": [{ "event": "a", "money": 1.5 }]
    }"##;
    assert_eq!(one(schema), [""; 0]);
}

#[test]
fn a_misspelt_keyword_is_found_where_it_stands() {
    assert_eq!(
        one("{\n  \"type\": \"object\",\n  \"requird\": [\"a\"],\n  \"nullable\": true\n}"),
        [
            "schemas/a/1.json:3:3 error: `requird` is not a keyword of JSON Schema (did you mean `required`?)",
            "schemas/a/1.json:4:3 warning: `nullable` is not a keyword of JSON Schema (an annotation of your own is written `x-…`)",
        ]
    );
    // A property of that name is no keyword.
    assert_eq!(one(r#"{ "properties": { "requird": {}, "nullable": {} }, "enum": [{ "typ": 1 }] }"#), [""; 0]);
}

#[test]
fn what_is_no_json_schema_is_found() {
    let found = one("{\n  \"type\": \"strng\",\n  \"properties\": {\n    \"a\": { \"minLength\": -1 }\n  }\n}");
    assert_eq!(
        found,
        [
            "schemas/a/1.json:2:11 error: `strng` is not a type of JSON (did you mean `string`?)",
            "schemas/a/1.json:4:25 error: `minLength` must be at least 0 (json-schema.org/understanding-json-schema says what each keyword takes)",
        ]
    );
    assert!(one(r#"{ "$schema": "https://example.org/own" }"#)[0].contains("not a draft of JSON Schema"));
}

#[test]
fn a_reference_stays_inside_the_set() {
    assert_eq!(
        one("{\n  \"$ref\": \"https://example.org/other.json\"\n}"),
        [
            "schemas/a/1.json:2:11 error: `$ref: https://example.org/other.json` would be fetched over the network: it is not in the config set (references stay inside the config set: copy that schema into `schemas/` and name it by a relative path)"
        ]
    );
    let local = one(r##"{ "properties": { "a": { "$ref": "#/$defs/gone" } } }"##);
    assert!(local.len() == 1 && local[0].contains("`$ref: #/$defs/gone` leads to nothing"), "{local:?}");
    let file = one(r##"{ "properties": { "a": { "$ref": "../b/2.json" } } }"##);
    assert!(file.len() == 1 && file[0].contains("leads to schemas/b/2.json, which is not in the config set"), "{file:?}");
    let disk = one(r##"{ "$ref": "file:///etc/passwd" }"##);
    assert!(disk.len() == 1 && disk[0].contains("not in the config set"), "{disk:?}");
}

#[test]
fn a_reference_to_another_file_of_the_set_is_followed() {
    let files = [
        ("schemas/a/1.json", r##"{ "properties": { "m": { "$ref": "../b/1.yaml#/$defs/money" }, "n": { "$ref": "../c/1.json" } } }"##),
        ("schemas/b/1.yaml", "$defs: { money: { type: number } }\n"),
        ("schemas/c/1.json", r##"{ "type": "string" }"##),
    ];
    assert_eq!(found(&files), [""; 0]);
    let set = set(&files);
    let compiled = super::compile(&set, &mut crate::config::Findings::default());
    let schema = &compiled[&("a".into(), 1)];
    assert!(schema.is_valid(Event::parse(br#"{"m":1,"n":"x"}"#).unwrap().root()));
    assert!(!schema.is_valid(Event::parse(br#"{"m":"1"}"#).unwrap().root()));
    assert!(!schema.is_valid(Event::parse(br#"{"n":1}"#).unwrap().root()));
}

#[test]
fn a_pattern_that_is_not_linear_is_found() {
    let found = one("{\n  \"properties\": {\n    \"a\": {\n      \"pattern\": \"^(?=.*x)y\"\n    }\n  }\n}");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("schemas/a/1.json:4:18 error: the pattern `^(?=.*x)y` cannot be run in linear time"), "{found:?}");
    assert!(one(r##"{ "pattern": "(a)\\1" }"##)[0].contains("back references"));
    assert!(one(r##"{ "patternProperties": { "(?<!x)y": {} } }"##)[0].contains("lookbehind"));
}

#[test]
fn examples_that_break_their_schema_are_found() {
    assert_eq!(
        one(
            "{\n  \"properties\": {\n    \"a\": {\n      \"type\": \"string\",\n      \"examples\": [\"x\", 5]\n    }\n  },\n  \"required\": [\"a\"],\n  \"examples\": [{\"a\": \"x\"}, {}, {\"a\": 1}]\n}"
        ),
        [
            "schemas/a/1.json:5:25 error: example 2 breaks its own schema: must be a string (mend the example, or the schema that refuses it)",
            "schemas/a/1.json:9:28 error: example 2 breaks its own schema: \"a\" is required (mend the example, or the schema that refuses it)",
            "schemas/a/1.json:9:32 error: example 3 breaks its own schema: /a must be a string (mend the example, or the schema that refuses it)",
        ]
    );
}

#[test]
fn violations_say_what_was_expected_and_never_what_came() {
    let schema = r##"{
        "type": "object",
        "required": ["id", "gone"],
        "additionalProperties": false,
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "n": { "type": ["integer", "null"], "minimum": 5 },
            "e": { "enum": ["x", "y", "z"] },
            "c": { "const": "fixed" },
            "p": { "pattern": "^a+$" },
            "l": { "type": "array", "maxItems": 1, "uniqueItems": true },
            "s": { "minLength": 3, "maxLength": 4 },
            "at": { "type": "string", "format": "date-time" },
            "any": { "anyOf": [{ "type": "string" }, { "type": "number" }] },
            "one": { "oneOf": [{ "type": "string" }, { "minLength": 2 }] }
        }
    }"##;
    let set = set(&[("schemas/a/1.json", schema)]);
    let compiled = super::compile(&set, &mut crate::config::Findings::default());
    let event = br#"{"id":"SECRET","n":"SECRET","e":"SECRET","c":"SECRET","p":"SECRET","l":["SECRET","SECRET"],"s":"SECRET","at":"SECRET","any":["SECRET"],"one":"SECRET","SECRETKEY":1}"#;
    let event = Event::parse(event).unwrap();
    let mut violations: Vec<String> =
        compiled[&("a".into(), 1)].violations(event.root()).iter().map(|v| format!("{} {}: {}", v.path, v.keyword, v.message)).collect();
    violations.sort();
    assert_eq!(
        violations,
        [
            " additionalProperties: has 1 property that the schema does not know",
            " required: \"gone\" is required",
            "/any anyOf: must match at least one of the schemas in `anyOf`",
            "/at format: must be a valid date-time",
            "/c const: must be \"fixed\"",
            "/e enum: must be one of the 3 allowed values",
            "/id format: must be a valid uuid",
            "/l maxItems: must have at most 1 element",
            "/l uniqueItems: must have no two equal elements",
            "/n type: must be null or an integer",
            "/one oneOf: must match only one of the schemas in `oneOf`",
            "/p pattern: must match the pattern ^a+$",
            "/s maxLength: must be at most 4 characters long",
        ]
    );
}

#[test]
fn violations_are_bounded() {
    let set = set(&[("schemas/a/1.json", r##"{ "additionalProperties": { "type": "string" } }"##)]);
    let compiled = super::compile(&set, &mut crate::config::Findings::default());
    let members: Vec<String> = (0..500).map(|n| format!("\"{}{n}\":1", "k".repeat(1000))).collect();
    let event = Event::parse(format!("{{{}}}", members.join(",")).as_bytes()).unwrap();
    let violations = compiled[&("a".into(), 1)].violations(event.root());
    assert_eq!(violations.len(), 20);
    assert!(violations.iter().all(|violation| violation.path.len() < 400));
}

#[test]
fn numbers_past_64_bits_are_validated() {
    let set =
        set(&[("schemas/a/1.json", r##"{ "properties": { "n": { "type": "integer", "maximum": 10 }, "m": { "multipleOf": 0.01 } } }"##)]);
    let compiled = super::compile(&set, &mut crate::config::Findings::default());
    let schema = &compiled[&("a".into(), 1)];
    for (event, valid) in [
        (r#"{"n":5}"#, true),
        (r#"{"n":5.0}"#, true),
        (r#"{"n":123456789012345678901234567890}"#, false),
        (r#"{"n":-123456789012345678901234567890}"#, true),
        (r#"{"m":12.34}"#, true),
    ] {
        assert_eq!(schema.is_valid(Event::parse(event.as_bytes()).unwrap().root()), valid, "{event}");
    }
}

//! What is found in schemas: at the value that is wrong, and nothing that only follows from it.

use super::{WAREHOUSE, root};

const SCHEMA: &str = "schemas/kyc_started/1.json";

#[test]
fn a_finding_marks_the_whole_value() {
    for (text, place, marked) in [
        ("{\"type\": \"objekt\"}", "schemas/kyc_started/1.json:1:10", "^^^^^^^^\n"),
        ("{\"properties\": {\"a\": {\"minLength\": -12}}}", "schemas/kyc_started/1.json:1:36", "^^^\n"),
        ("{\"properties\": {\"a\": {\"pattern\": \"(?=a)\"}}}", "schemas/kyc_started/1.json:1:34", "^^^^^^^\n"),
        ("{\"patternProperties\": {\"(a\": {}}}", "schemas/kyc_started/1.json:1:24", "^^^^\n"),
        ("{\"$ref\": \"#/$defs/a\"}", "schemas/kyc_started/1.json:1:10", "^^^^^^^^^^^\n"),
        ("{\"required\": {\"a\": 1}}", "schemas/kyc_started/1.json:1:2", "^^^^^^^^^^\n"),
    ] {
        let validated = root().file(SCHEMA, text).validate(&[]);
        validated.fails_with(place, marked);
        validated.counts("1 error");
    }
}

#[test]
fn a_schema_that_cannot_be_read_brings_no_second_finding() {
    let events = "kyc_started, \"kyc_started@1\", \"kyc_*\"";
    let consumer = WAREHOUSE.replace("\"*\"", events);
    let refers = "{\"properties\": {\"x\": {\"$ref\": \"../kyc_started/1.json\"}}}";
    for text in ["{\"type\": \"object\",}", "{\"type\": \"objekt\"}", "# nothing yet\n", "{\"maximum\": 99999999999999999999999}"] {
        let validated = root().consumer(&consumer).file(SCHEMA, text).file("schemas/other/1.json", refers).validate(&[]);
        validated.fails_with(SCHEMA, "");
        validated.counts("1 error, no warnings");
    }
    let nameless = root().consumer(&consumer.replace("\"kyc_*\"", "kyc")).file("schemas/kyc_started/event.yaml", "name: [").validate(&[]);
    nameless.fails_with("schemas/kyc_started/event.yaml:1:7", "not valid YAML");
    nameless.counts("1 error, no warnings");
    let still = root().consumer(&WAREHOUSE.replace("\"*\"", "kyc_stared")).file(SCHEMA, "{").validate(&[]);
    still.fails_with("consumers/a.yaml:5:14", "did you mean `kyc_started`?");
}

#[test]
fn a_default_must_hold_to_its_schema() {
    let inner = "{\"properties\": {\"a\": {\"type\": \"string\", \"default\": 17}}}";
    root()
        .file(SCHEMA, inner)
        .validate(&[])
        .warns_of("schemas/kyc_started/1.json:1:52", "the default breaks its own schema: must be a string");
    let outer = "{\"required\": [\"a\"], \"default\": {}}";
    root().file(SCHEMA, outer).validate(&[]).warns_of("schemas/kyc_started/1.json:1:21", "\"a\" is required");
    root()
        .file(SCHEMA, "{\"properties\": {\"default\": {\"type\": \"string\", \"default\": \"x\"}}}")
        .validate(&[])
        .counts("no errors, no warnings");
}

#[test]
fn a_format_that_is_not_checked_is_found() {
    let with = |format: &str| format!("{{\"properties\": {{\"a\": {{\"format\": \"{format}\"}}}}}}");
    root().file(SCHEMA, &with("datetime")).validate(&[]).warns_of("schemas/kyc_started/1.json:1:33", "did you mean `date-time`?");
    root().file(SCHEMA, &with("postcode")).validate(&[]).warns_of("schemas/kyc_started/1.json:1:33", "the formats are");
    let old = "{\"$schema\": \"http://json-schema.org/draft-07/schema#\", \"format\": \"FORMAT\"}";
    root().file(SCHEMA, &old.replace("FORMAT", "uuid")).validate(&[]).warns_of(SCHEMA, "this draft of JSON Schema does not know `uuid`");
    root().file(SCHEMA, &old.replace("FORMAT", "date-time")).validate(&[]).counts("no errors, no warnings");
}

#[test]
fn a_bad_pattern_says_what_is_bad_about_it() {
    for (pattern, words) in [
        ("(?=a)b", "cannot be run in linear time"),
        ("(a)\\\\1", "cannot be run in linear time"),
        ("(a", "is not a regular expression: unclosed group"),
        ("[a", "is not a regular expression: unclosed character class"),
        ("\\\\\\\\1(", "is not a regular expression: unclosed group"),
    ] {
        let validated = root().file(SCHEMA, &format!("{{\"pattern\": \"{pattern}\"}}")).validate(&[]);
        validated.fails_with("schemas/kyc_started/1.json:1:13", words);
        validated.counts("1 error");
    }
}

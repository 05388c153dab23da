//! Paths that no schema defines: warnings, and none where a schema may define them after all.

use super::{QUEUE, Root, root};

const SCHEMA: &str = r##"{
  "type": "object",
  "properties": {
    "messageId": { "type": "string" },
    "properties": {
      "type": "object",
      "properties": {
        "step": { "type": "string" },
        "docs": { "type": "array", "items": { "type": "object", "properties": { "kind": {} } } },
        "free": { "type": "object" },
        "open": { "type": "object", "properties": { "a": {} }, "additionalProperties": true },
        "typed": { "type": "object", "properties": { "a": {} }, "additionalProperties": { "type": "string" } },
        "matched": { "type": "object", "properties": { "a": {} }, "patternProperties": { "^x_": {} } },
        "any": { "properties": { "a": {} }, "anyOf": [{ "properties": { "b": {} } }] },
        "ref": { "$ref": "#/$defs/money" }
      }
    }
  },
  "$defs": { "money": { "type": "object", "properties": { "amount": {} } } }
}"##;

fn with(route: &str) -> Root {
    let routes = format!("  - name: all\n    events: [\"*\"]\n    table: {{ name: events }}\n{route}");
    root()
        .file("schemas/kyc_started/1.json", SCHEMA)
        .consumer(&format!("version: 1\nsink: {{ type: warehouse, url: \"sqlite:w.db\" }}\nroutes:\n{routes}"))
}

fn column(expression: &str) -> Root {
    with(&format!("    columns: {{ a: '{expression}' }}\n"))
}

#[test]
fn a_path_that_no_schema_defines_is_a_warning() {
    for (expression, place, hint) in [
        ("event.properties.stpe", "7:20", "did you mean `event.properties.step`?"),
        ("event.userId or event.propertes.step", "7:36", "did you mean `event.properties`?"),
        ("event.properties[\"stpe\"].upper()", "7:20", "did you mean `event.properties.step`?"),
        ("event.properties.docs[0].knd", "7:20", "did you mean `event.properties.docs[…].kind`?"),
        ("event.properties.docs.kind", "7:20", "defines `event.properties.docs.kind`"),
        ("event.properties.step.sub", "7:20", "`| default(…)`"),
        ("event.usrId", "7:20", "did you mean `event.userId`?"),
    ] {
        let validated = column(expression).validate(&[]);
        validated.warns_of(&format!("consumers/a.yaml:{place}"), hint);
        validated.counts("no errors, 1 warning");
    }
}

#[test]
fn what_a_schema_may_define_is_no_warning() {
    for expression in [
        "event.messageId",
        "event.userId",
        "event.properties",
        "event.properties.free.x.y",
        "event.properties.open.x",
        "event.properties.typed.x",
        "event.properties.matched.x_1",
        "event.properties.any.b",
        "event.properties.ref.amount",
        "event.properties[event.properties.step]",
        "event.properties.nope | default(1)",
        "event.properties.nope.deep if event.properties.nope is defined else 1",
        "event.properties.nope == none",
        "meta.headers.nope",
    ] {
        column(expression).validate(&[]).counts("no errors, no warnings");
    }
}

#[test]
fn elements_conditions_and_keys_are_looked_up_too() {
    with("    each: event.properties.docs\n    columns: { a: item.knd }\n")
        .validate(&[])
        .warns_of("consumers/a.yaml:8:19", "did you mean `item.kind`?");
    with("    each: event.properties.docs\n    columns: { a: item.kind }\n").validate(&[]).counts("no errors, no warnings");
    with("    when: event.properties.stpe\n    columns: { a: 'event.messageId' }\n")
        .validate(&[])
        .warns_of("consumers/a.yaml:7:11", "step");
    with("    when: event.properties.nope is defined\n    columns: { a: event.properties.nope.x }\n")
        .validate(&[])
        .counts("no errors, no warnings");
    with("    columns: { a: event.messageId }\nqueue: { key: event.properties.stpe }\n")
        .validate(&[])
        .warns_of("consumers/a.yaml:8:15", "step");
}

#[test]
fn one_event_that_defines_a_path_is_enough() {
    let other = "{\"type\": \"object\", \"properties\": {\"other\": {\"type\": \"string\"}}}";
    column("event.other").file("schemas/b/1.json", other).validate(&[]).counts("no errors, no warnings");
    column("event.other").file("schemas/b/1.json", "{").validate(&[]).counts("1 error, no warnings");
}

#[test]
fn a_template_is_looked_up_once_in_the_events_of_all_its_routes() {
    let template = |text: &str| root().file("schemas/kyc_started/1.json", SCHEMA).file("transforms/a.json.j2", text);
    let text = "{\"a\": [{% for d in event.properties.docs %}{{ d.knd }}{% endfor %}], \"b\": {{ event.properties.stpe }}}";
    let validated = template(text).consumer(QUEUE).file("consumers/b.yaml", QUEUE).validate(&[]);
    validated.warns_of("transforms/a.json.j2:1:47", "did you mean `event.properties.docs[…].kind`?");
    validated.warns_of("transforms/a.json.j2:1:78", "did you mean `event.properties.step`?");
    validated.counts("no errors, 2 warnings");

    let guarded = "{\"a\": {% if event.properties.x is defined %}{{ event.properties.x.y }}{% else %}{{ event.properties.z | default(1) }}{% endif %}}";
    template(guarded).consumer(QUEUE).validate(&[]).counts("no errors, no warnings");

    let here = QUEUE.replace("\"*\"", "kyc_started");
    let other = "{\"type\": \"object\", \"properties\": {\"other\": {\"type\": \"string\"}}}";
    let shared = template("{\"a\": {{ event.other }}}").file("schemas/b/1.json", other).consumer(&here);
    shared.validate(&[]).warns_of("transforms/a.json.j2:1:10", "defines `event.other`");
    shared.file("consumers/b.yaml", QUEUE).validate(&[]).counts("no errors, no warnings");
}

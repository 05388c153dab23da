//! Transforms: what is printed stays in its place, whatever an event holds; what cannot work is found before any event comes.

use std::collections::BTreeMap;
use std::sync::Arc;

use analytica::config::{Findings, Transform};
use analytica::pipeline::Event;
use analytica::pipeline::template::{Meta, Parts, Rendered, Scope, Templates, consumer_value};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

fn compile(files: &[(&str, &str)]) -> (Templates, Findings) {
    let transforms: BTreeMap<Arc<str>, Transform> = files
        .iter()
        .map(|(name, source)| {
            let transform = Transform { name: (*name).into(), file: format!("transforms/{name}").into(), source: (*source).into() };
            (transform.name.clone(), transform)
        })
        .collect();
    Templates::compile(&transforms, 64 << 10)
}

fn scope(event: &str) -> Scope {
    let event = Arc::new(Event::parse(event.as_bytes()).expect("an event"));
    Scope::new(Parts {
        event: Event::value(&event),
        digits: Some(event),
        meta: Meta {
            source: "web".into(),
            topic: "web.events".into(),
            partition: 3,
            offset: 7,
            timestamp_ms: 1_767_600_000_000,
            headers: vec![("trace".into(), b"t1".to_vec())],
            schema_version: 1,
            revision: "abc".into(),
        }
        .into_value(),
        consumer: consumer_value("engagement"),
        element: None,
        delivery_id: Uuid::from_u128(7),
        taken_up: "2026-03-01T10:00:00Z".parse().expect("a time"),
    })
}

/// The payload of one template over one event; panics on findings.
fn render(source: &str, event: &str) -> Result<String, String> {
    render_files(&[("t.json.j2", source)], event)
}

fn render_files(files: &[(&str, &str)], event: &str) -> Result<String, String> {
    let (templates, findings) = compile(files);
    assert!(!findings.has_errors(), "{findings:?}");
    let mut out = Vec::new();
    let id = templates.template("t.json.j2").expect("usable");
    match templates.render(id, &scope(event), &mut out) {
        Ok(Rendered::Payload) => Ok(String::from_utf8(out).expect("text")),
        Ok(Rendered::Nothing) => Ok(String::new()),
        Err(error) => Err(error.to_string()),
    }
}

/// The one finding of a template, as `line:column: message`.
fn finding(source: &str) -> String {
    finding_of(&[("t.json.j2", source)])
}

fn finding_of(files: &[(&str, &str)]) -> String {
    let (_, findings) = compile(files);
    let all: Vec<String> =
        findings.iter().map(|f| format!("{}:{}: {} [{}]", f.at.line, f.at.column, f.message, f.hint.as_deref().unwrap_or(""))).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

const EVENT: &str = r#"{"name":"Ada \"the\" first\n","step":3,"amount":12.30,"big":123456789012345678901234567890,"none":null,"yes":true,
    "list":[1,{"a":0.10}],"id":"a b/c?d"}"#;

#[test]
fn an_imported_file_may_import_others() {
    let files = [
        ("_inner.j2", "{% macro two(x) %}{{ x }}{% endmacro %}"),
        ("_outer.j2", "{% from \"_inner.j2\" import two %}{% macro one(x) %}[{{ two(x) }}]{% endmacro %}"),
        ("t.json.j2", "{% from \"_outer.j2\" import one %}{\"a\": {{ one(event.a) }}}"),
    ];
    assert_eq!(render_files(&files, r#"{"a": 1}"#).as_deref(), Ok(r#"{"a":[1]}"#));
}

#[test]
fn a_value_stands_as_json_and_inside_a_string_as_its_text() {
    let source = r#"{"a": {{ event.name }}, "b": "Dear {{ event.name }}!", "c": {{ event.step }}, "d": "step {{ event.step }}", "e": {{ event.list }}, "f": {{ event.yes }}}"#;
    let payload: Value = serde_json::from_str(&render(source, EVENT).expect("rendered")).expect("JSON");
    assert_eq!(payload["a"], "Ada \"the\" first\n");
    assert_eq!(payload["b"], "Dear Ada \"the\" first\n!");
    assert_eq!((&payload["c"], &payload["d"], &payload["f"]), (&json!(3), &json!("step 3"), &json!(true)));
    assert_eq!(payload["e"], json!([1, {"a": 0.1}]));
}

#[test]
fn a_copied_number_keeps_its_digits() {
    let source = r#"{"a": {{ event.amount }}, "b": {{ event.big }}, "c": {{ event.list }}, "d": "{{ event.amount }}"}"#;
    assert_eq!(
        render(source, EVENT).expect("rendered"),
        r#"{"a":12.30,"b":123456789012345678901234567890,"c":[1,{"a":0.10}],"d":"12.30"}"#
    );
}

#[test]
fn tojson_is_allowed_and_never_doubled() {
    assert_eq!(render(r#"{"a": {{ event.name | tojson }}}"#, EVENT), render(r#"{"a": {{ event.name }}}"#, EVENT));
    let inside: Value = serde_json::from_str(&render(r#"{"a": "{{ event.list | tojson }}"}"#, EVENT).expect("rendered")).expect("JSON");
    assert_eq!(inside["a"], r#"[1,{"a":0.10}]"#);
}

#[test]
fn null_is_json_and_has_no_text() {
    assert_eq!(render(r#"{"a": {{ event.none }}}"#, EVENT).expect("rendered"), r#"{"a":null}"#);
    let error = render("{\"a\":\n \"{{ event.none }}\"}", EVENT).expect_err("null has no text");
    assert!(error.starts_with("transforms/t.json.j2:2:") && error.contains("null") && error.contains("event.none"), "{error}");
}

#[test]
fn undefined_is_an_error_at_its_place_without_a_value() {
    let error = render("{\"a\": 1,\n \"b\": \"x {{ event.nmae.first }}\"}", EVENT).expect_err("undefined");
    assert!(error.starts_with("transforms/t.json.j2:2:") && error.contains("event.nmae") && !error.contains("Ada"), "{error}");
}

#[test]
fn partials_macros_sets_and_parents_keep_their_places() {
    let files = [
        (
            "t.json.j2",
            r#"{% extends "_base.j2" %}{% import "_m.j2" as m %}{% from "_m.j2" import pair %}
               {% block body %}{% set who %}{{ event.name }} ({{ event.step }}){% endset %}
               "who": {{ who }}, "again": "<{{ who }}>", {{ pair("k", event.amount) }}, "up": "{{ m.loud(event.name) }}",
               "part": {% include "_part.j2" %}, "text": "{% include "_text.j2" %}", {{ super() }}{% endblock %}"#,
        ),
        ("_base.j2", r#"{ {% block body %}"base": {{ event.step }}{% endblock %} }"#),
        ("_m.j2", r#"{% macro pair(k, v) %}"{{ k }}": {{ v }}{% endmacro %}{% macro loud(x) %}{{ x | upper }}!{% endmacro %}"#),
        ("_part.j2", r#"{"n": {{ event.name }}}"#),
        ("_text.j2", "[{{ event.name }}]"),
    ];
    let payload: Value = serde_json::from_str(&render_files(&files, EVENT).expect("rendered")).expect("JSON");
    let name = "Ada \"the\" first\n";
    assert_eq!(
        payload,
        json!({ "who": format!("{name} (3)"), "again": format!("<{name} (3)>"), "k": 12.30, "up": format!("{}!", name.to_uppercase()),
                "part": { "n": name }, "text": format!("[{name}]"), "base": 3 })
    );
}

#[test]
fn branches_and_loops_hold_their_places() {
    let source = r#"{"l": [{% for x in event.list %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}], "s": "{% if event.yes %}y {{ event.name }}{% else %}n{% endif %}"}"#;
    assert_eq!(render(source, EVENT).expect("rendered"), r#"{"l":[1,{"a":0.10}],"s":"y Ada \"the\" first\n"}"#);
}

#[test]
fn an_empty_output_is_nothing_and_broken_json_is_an_error() {
    assert_eq!(render("{% if event.step > 5 %}{}{% endif %}\n", EVENT).expect("rendered"), "");
    let error = render(r#"{"a": {{ event.step }}{% if event.step %},{% endif %}}"#, EVENT).expect_err("not JSON");
    assert!(error.contains("not JSON"), "{error}");
}

#[test]
fn uuid4_is_the_same_for_the_same_delivery_and_now_stands_still() {
    let source = r#"["{{ uuid4() }}", {{ uuid4() }}, {{ now() }}, {{ delivery_id }}]"#;
    let first: Vec<String> = serde_json::from_str(&render(source, EVENT).expect("rendered")).expect("JSON");
    let second: Vec<String> = serde_json::from_str(&render(source, EVENT).expect("rendered")).expect("JSON");
    assert_eq!(first, second);
    assert_ne!(first[0], first[1]);
    assert_eq!(first[2], "2026-03-01T10:00:00.000Z");
    assert_eq!(first[3], Uuid::from_u128(7).to_string());
}

#[test]
fn rendering_is_bounded() {
    let endless = "[{% for a in range(10000) %}{% for b in range(10000) %}1,{% endfor %}{% endfor %}1]";
    assert!(render(endless, EVENT).is_err());
    let error = render(r#"["{% for a in range(9000) %}{{ event.name }}{% endfor %}"]"#, EVENT).expect_err("over the limit");
    assert!(error.contains("limit"), "{error}");
}

#[test]
fn findings_say_where_and_what_was_meant() {
    assert!(finding("{\n \"a\": {{ event.name | uper }}}").contains("unknown filter `uper` [did you mean `upper`?]"));
    assert!(finding(r#"{"a": {{ uid4() }}}"#).contains("did you mean `uuid4`?"));
    assert!(finding(r#"{"a": {{ evnt.a }}}"#).contains("did you mean `event`?"));
    assert!(finding(r#"{"a": {% if event.x is definde %}1{% endif %}}"#).contains("did you mean `defined`?"));
    assert!(finding(r#"{"a": {{ meta.topc }}}"#).contains("`meta` has no `topc`"));
    assert!(finding(r#"{% include "_nope.j2" %}"#).contains("no template `_nope.j2`"));
    assert!(finding("{\"a\": {{ event.x }").starts_with("1:"));
    assert!(finding(r#"{"a": {{ event.name | safe }}}"#).contains("leave it out"));
}

#[test]
fn what_leaves_a_string_open_is_found() {
    assert!(finding(r#"{"a": "{% if event.x %}b"{% else %}c{% endif %}}"#).contains("one branch leaves a JSON string open"));
    assert!(finding(r#"{"a": "x{% for i in event.list %}"{% endfor %}}"#).contains("loop's body"));
    assert!(finding(r#"{"a": "x"#).contains("still open at the end"));
    assert!(finding("{\"a\": \"x\n\"}").contains("line break"));
    assert!(finding(r#"{"a": "\{{ event.x }}"}"#).contains("escape sequence"));
}

#[test]
fn a_macro_is_json_or_text_never_both() {
    let source = r#"{% macro m(x) %}{{ x }}{% endmacro %}{"a": {{ m(event.a) }}, "b": "{{ m(event.b) }}"}"#;
    assert!(finding(source).contains("printed as JSON in one place and used as text in another"));
}

#[test]
fn mistakes_in_partials_and_macros_are_found_in_their_files() {
    let (_, findings) = compile(&[
        ("t.json.j2", r#"{% from "_m.j2" import m, nope %}{"a": {{ m(event.a, y=1) }}, "b": {% include "_p.j2" %}}"#),
        ("_m.j2", r#"{% macro m(x) %}{{ x | lowr }}{% endmacro %}"#),
        ("_p.j2", r#"{{ evnt }}"#),
    ]);
    let all: Vec<String> = findings.iter().map(|f| format!("{} {}", f.at.file, f.message)).collect();
    for wanted in [
        "transforms/_m.j2 unknown filter `lowr`",
        "transforms/_p.j2 unknown variable `evnt`",
        "transforms/t.json.j2 macro `m` has no argument `y`",
        "has no macro `nope`",
    ] {
        assert!(all.iter().any(|found| found.contains(wanted)), "{wanted} not in {all:?}");
    }
}

#[test]
fn what_nobody_uses_yet_is_looked_at_too() {
    let (_, findings) = compile(&[
        ("t.json.j2", "{}"),
        ("_unused.j2", "{{ known_by_the_includer | uper }}"),
        ("_macros.j2", "{% macro never_called(x) %}{{ x | lowr }}{% endmacro %}"),
    ]);
    let all: Vec<&str> = findings.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(all, ["unknown filter `lowr`", "unknown filter `uper`"]);
}

proptest! {
    /// Whatever strings an event holds, the payload parses and has the same shape.
    #[test]
    fn nothing_in_an_event_breaks_out_of_its_place(name in any::<String>(), key in any::<String>(), list in proptest::collection::vec(any::<String>(), 0..4)) {
        let event = json!({ "name": name, "list": list, "map": { key.clone(): name.clone() } }).to_string();
        let files = [
            ("t.json.j2", r#"{% from "_m.j2" import pair, text %}{% set t %}<{{ event.name }}>{% endset %}{"value": {{ event.name }}, "string": "a {{ event.name }} b",
                "set": {{ t }}, "set_inside": "{{ t }}", {{ pair(event.name) }}, "macro_text": "{{ text(event.name) }}", "list": {{ event.list }}, "map": {{ event.map }},
                "joined": "{{ event.list | join(',') }}", "include": "{% include "_p.j2" %}", "each": [{% for x in event.list %}"{{ x }}"{% if not loop.last %},{% endif %}{% endfor %}]}"#),
            ("_m.j2", r#"{% macro pair(v) %}"macro": {{ v }}{% endmacro %}{% macro text(v) %}({{ v }}){% endmacro %}"#),
            ("_p.j2", r#"{{ event.name }}"#),
        ];
        let payload: Value = serde_json::from_str(&render_files(&files, &event).expect("rendered")).expect("JSON");
        prop_assert_eq!(payload, json!({
            "value": name, "string": format!("a {name} b"), "set": format!("<{name}>"), "set_inside": format!("<{name}>"), "macro": name,
            "macro_text": format!("({name})"), "list": list, "map": { key: name.clone() }, "joined": list.join(","), "include": name, "each": list,
        }));
    }
}

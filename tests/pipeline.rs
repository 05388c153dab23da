//! Record → outcome: what is rejected, what is routed where, with which id, key, target and payload, and what fails for one consumer alone.

use std::collections::BTreeMap;

use analytica::config::{self, ConfigSet, Files};
use analytica::pipeline::{
    Accepted, ColumnType, DeadLetter, Delivery, Origin, Outcome, Pipeline, QueueKey, Reason, Record, Rejection, Scratch, origin_text,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

const SOURCES: &str = "version: 1
sources:
  web: { topics: [web.events], envelope: segment }
  engine:
    topics: [\"engine.*\"]
    envelope: { name: /activity, id: /eventId, user: /vars/user, time: /ts, version: /v }
limits: { event: 2KiB, payload: 1KiB }
";

/// A config root in memory.
#[derive(Clone)]
struct Root(BTreeMap<String, String>);

fn root() -> Root {
    Root(BTreeMap::new()).file("sources.yaml", SOURCES).file("schemas/step_done/1.json", r#"{ "required": ["event"] }"#)
}

impl Root {
    fn file(mut self, path: &str, text: &str) -> Root {
        self.0.insert(path.to_owned(), text.to_owned());
        self
    }

    /// A warehouse consumer `w` with one route `r` of these lines (`events` apart).
    fn warehouse(self, route: &str) -> Root {
        self.consumer("w", "{ type: warehouse, url: \"sqlite:x.db\" }", &format!("table: {{ name: t, key: [] }}\n{route}"), "")
    }

    fn consumer(self, name: &str, sink: &str, route: &str, more: &str) -> Root {
        let lines: String = route.lines().map(|line| format!("    {line}\n")).collect();
        let events = if route.contains("events:") { "" } else { "    events: [step_done]\n" };
        let text = format!("version: 1\nsink: {sink}\nroutes:\n  - name: r\n{events}{lines}{more}");
        self.file(&format!("consumers/{name}.yaml"), &text)
    }

    fn loaded(&self) -> config::Loaded {
        let files: Files = self.0.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        config::load(&files, "dev")
    }

    fn set(&self) -> ConfigSet {
        let loaded = self.loaded();
        loaded.set.clone().unwrap_or_else(|| panic!("{}", listed(&loaded.findings)))
    }

    fn pipeline(&self) -> Pipeline {
        Pipeline::compile(&self.set()).unwrap_or_else(|findings| panic!("{}", listed(&findings)))
    }

    /// The findings of a set that does not compile.
    fn findings(&self) -> Vec<String> {
        let findings = analytica::pipeline::check(&self.loaded());
        findings.iter().map(|f| format!("{} {}", f.at, f.message)).collect()
    }
}

fn listed(findings: &config::Findings) -> String {
    findings.iter().map(|f| format!("{} {} {:?}\n", f.at, f.message, f.hint)).collect()
}

fn origin(topic: &str) -> Origin {
    Origin { topic: topic.into(), partition: 3, offset: 42, timestamp_ms: 1_767_225_600_000 }
}

fn now() -> Timestamp {
    "2026-01-01T00:00:01Z".parse().unwrap()
}

/// A record of `web.events` with no key and no headers.
fn process(pipeline: &Pipeline, value: impl AsRef<[u8]>) -> Outcome {
    let origin = origin("web.events");
    pipeline.process(&Record { origin: &origin, key: None, headers: &[], value: value.as_ref() }, now(), &mut Scratch::default())
}

fn accepted(outcome: Outcome) -> Accepted {
    match outcome {
        Outcome::Accepted(accepted) => accepted,
        Outcome::Rejected(rejection) => panic!("rejected: {rejection:?}"),
    }
}

fn rejected(outcome: Outcome) -> Rejection {
    match outcome {
        Outcome::Rejected(rejection) => rejection,
        Outcome::Accepted(accepted) => panic!("accepted: {accepted:?}"),
    }
}

fn deliveries(root: &Root, event: &Value) -> Vec<Delivery> {
    let accepted = accepted(process(&root.pipeline(), event.to_string()));
    assert!(accepted.dead.is_empty(), "{:?}", accepted.dead);
    accepted.deliveries
}

fn dead(root: &Root, event: &Value) -> Vec<DeadLetter> {
    let accepted = accepted(process(&root.pipeline(), event.to_string()));
    assert!(accepted.deliveries.is_empty(), "{:?}", accepted.deliveries);
    accepted.dead
}

fn payload(delivery: &Delivery) -> &str {
    std::str::from_utf8(&delivery.payload).unwrap()
}

fn event(properties: Value) -> Value {
    json!({ "type": "track", "event": "step_done", "messageId": "m-1", "userId": "u-1", "properties": properties })
}

#[test]
fn each_kind_of_bad_input_has_its_reason() {
    let pipeline = root()
        .file(
            "schemas/strict/2.json",
            r#"{ "properties": { "properties": { "required": ["a"], "properties": { "b": { "type": "string" } } } } }"#,
        )
        .pipeline();
    let large = json!({ "event": "step_done", "x": "y".repeat(3000) }).to_string();
    let cases: Vec<(&[u8], Reason, &str)> = vec![
        (b"", Reason::Malformed, "parse"),
        (b"{", Reason::Malformed, "parse"),
        (b"hello", Reason::Malformed, "parse"),
        (b"{\"event\":\"step_done\",\"x\":\"\xff\"}", Reason::Malformed, "parse"),
        (br#"{"event":"step_done","a":{"b":1,"b":2}}"#, Reason::Malformed, "parse"),
        (br#"["event"]"#, Reason::Malformed, "parse"),
        (b"null", Reason::Malformed, "parse"),
        (b"\xef\xbb\xbf{}", Reason::Malformed, "parse"),
        (large.as_bytes(), Reason::TooLarge, "parse"),
        (b"\x00\x00\x00\x00\x07{}", Reason::UnsupportedFraming, "parse"),
        (b"\x1f\x8b\x08", Reason::UnsupportedFraming, "parse"),
        (b"Obj\x01", Reason::UnsupportedFraming, "parse"),
        (br#"{"x":1}"#, Reason::BadEnvelope, "envelope"),
        (br#"{"type":"track","event":"nobody_knows"}"#, Reason::UnknownEvent, "schema"),
        (br#"{"type":"track","event":"strict","properties":{"b":1}}"#, Reason::SchemaViolation, "schema"),
    ];
    for (value, reason, stage) in cases {
        let shown = String::from_utf8_lossy(&value[..value.len().min(60)]).into_owned();
        let rejection = rejected(process(&pipeline, value));
        assert_eq!(rejection.reason, reason, "{shown}: {:?}", rejection.errors);
        assert_eq!(rejection.reason.stage(), stage);
        assert!(!rejection.errors.is_empty(), "{shown}");
        assert_eq!(rejection.source.as_deref(), Some("web"));
    }
}

#[test]
fn a_rejection_says_what_is_known_of_the_event() {
    let root = root().file("schemas/loan/1.json", "{}").file("schemas/loan/3.json", r#"{ "properties": { "n": { "type": "number" } } }"#);
    let pipeline = root.pipeline();
    let engine = |value: &str| {
        let origin = origin("engine.loans");
        pipeline.process(&Record { origin: &origin, key: None, headers: &[], value: value.as_bytes() }, now(), &mut Scratch::default())
    };
    let rejection = rejected(engine(r#"{"activity":"loan","v":2}"#));
    assert_eq!((rejection.reason, rejection.event.as_deref(), rejection.version), (Reason::UnknownVersion, Some("loan"), Some(2)));
    let rejection = rejected(engine(r#"{"activity":"loan","v":"3","n":"SECRET"}"#));
    assert_eq!((rejection.reason, rejection.version), (Reason::SchemaViolation, Some(3)));
    assert_eq!((rejection.errors[0].path.as_str(), rejection.errors[0].keyword.as_str()), ("/n", "type"));
    assert!(!format!("{rejection:?}").contains("SECRET"));
    let rejection = rejected(engine(&json!({ "activity": "x".repeat(1000), "v": 1 }).to_string()));
    assert!(rejection.event.is_some_and(|name| name.len() <= 256));
    // Without a version: the lowest.
    assert_eq!(accepted(engine(r#"{"activity":"loan","n":"any"}"#)).version, 1);
}

#[test]
fn a_topic_that_no_source_listens_to_is_rejected() {
    let pipeline = root().pipeline();
    let origin = origin("somewhere.else");
    let record = Record { origin: &origin, key: None, headers: &[], value: b"{}" };
    let rejection = rejected(pipeline.process(&record, now(), &mut Scratch::default()));
    assert_eq!((rejection.reason, rejection.source), (Reason::BadEnvelope, None));
}

#[test]
fn columns_become_one_row_in_their_order_with_digits_kept() {
    let root = root().warehouse(
        "columns:\n  z: event.properties.amount\n  a: event.properties.nothing\n  source: { const: web }\n  n: { const: 1 }\n  all: event.properties.deep\n  sum: event.properties.amount + 1\n  user: event.userId or event.anonymousId",
    );
    let value = r#"{"type":"track","event":"step_done","userId":null,"anonymousId":"an-1","properties":{"amount":12.30, "deep": { "x": [1.50, "é\n"] } }}"#;
    let found = accepted(process(&root.pipeline(), value)).deliveries;
    assert_eq!(payload(&found[0]), r#"{"z":12.30,"a":null,"source":"web","n":1,"all":{"x":[1.50,"é\n"]},"sum":13.3,"user":"an-1"}"#);
}

#[test]
fn a_required_column_that_is_null_is_a_dead_letter() {
    let root = root().warehouse("columns:\n  a: { expr: event.properties.a, required: true }");
    let letters = dead(&root, &event(json!({})));
    assert_eq!(letters[0].stage.name(), "columns");
    assert!(letters[0].error.contains("column `a` is required, and null"), "{}", letters[0].error);
    assert!(letters[0].error.starts_with("consumers/w.yaml:"), "{}", letters[0].error);
    assert_eq!(deliveries(&root, &event(json!({ "a": false }))).len(), 1);
}

#[test]
fn what_fails_for_one_consumer_leaves_the_others_alone() {
    let root = root().warehouse("columns: { id: event.messageId }").consumer(
        "broken",
        "{ type: warehouse, url: \"sqlite:x.db\" }",
        "when: event.properties.n > 3\ntable: { name: t, key: [] }\ncolumns: { id: event.messageId }",
        "",
    );
    let accepted = accepted(process(&root.pipeline(), event(json!({ "n": "SECRET" })).to_string()));
    assert_eq!(accepted.deliveries.len(), 1);
    assert_eq!(&*accepted.deliveries[0].route.consumer, "w");
    assert_eq!(accepted.dead.len(), 1);
    let letter = &accepted.dead[0];
    assert_eq!((&*letter.route.consumer, letter.stage.name()), ("broken", "when"));
    assert_eq!(letter.key, QueueKey::Bytes(b"u-1".to_vec()));
    assert!(!letter.error.contains("SECRET"), "{}", letter.error);
}

#[test]
fn a_condition_that_does_not_hold_delivers_nothing() {
    let root = root().warehouse("when: event.properties.yes\ncolumns: { id: event.messageId }");
    assert_eq!(deliveries(&root, &event(json!({}))).len(), 0);
    assert_eq!(deliveries(&root, &event(json!({ "yes": null }))).len(), 0);
    assert_eq!(deliveries(&root, &event(json!({ "yes": 1 }))).len(), 1);
}

#[test]
fn each_makes_a_delivery_of_every_element() {
    let root = root().warehouse("each: event.properties.docs\ncolumns: { id: event.messageId, index: index, kind: item.kind }");
    let found = deliveries(&root, &event(json!({ "docs": [{ "kind": "a" }, { "kind": "b" }, null] })));
    let rows: Vec<&str> = found.iter().map(payload).collect();
    assert_eq!(
        rows,
        [r#"{"id":"m-1","index":0,"kind":"a"}"#, r#"{"id":"m-1","index":1,"kind":"b"}"#, r#"{"id":"m-1","index":2,"kind":null}"#]
    );
    assert_ne!(found[0].id, found[1].id);
    for nothing in [json!({}), json!({ "docs": null }), json!({ "docs": [] })] {
        assert_eq!(deliveries(&root, &event(nothing)).len(), 0);
    }
    let letters = dead(&root, &event(json!({ "docs": "SECRET" })));
    assert_eq!(letters[0].stage.name(), "each");
    assert!(letters[0].error.contains("needs a list, not a string"), "{}", letters[0].error);
}

#[test]
fn a_condition_on_the_element_picks_elements() {
    let root = root().warehouse("each: event.properties.docs\nwhen: item.ok\ncolumns: { index: index }");
    let found = deliveries(&root, &event(json!({ "docs": [{ "ok": true }, {}, { "ok": true }] })));
    let rows: Vec<&str> = found.iter().map(payload).collect();
    assert_eq!(rows, [r#"{"index":0}"#, r#"{"index":2}"#]);
}

fn v5(parts: [&str; 3], namespace: &str) -> Uuid {
    let names = parts.iter().map(|part| part.as_bytes());
    names.fold(Uuid::new_v5(&Uuid::NAMESPACE_URL, namespace.as_bytes()), |inner, name| Uuid::new_v5(&inner, name))
}

#[test]
fn ids_are_made_of_route_event_and_event_id_or_origin() {
    let root = root().warehouse("columns: { id: event.messageId }");
    let id = |value: &Value, headers: &[(String, Vec<u8>)]| {
        let origin = origin("web.events");
        let text = value.to_string();
        let record = Record { origin: &origin, key: None, headers, value: text.as_bytes() };
        accepted(root.pipeline().process(&record, now(), &mut Scratch::default())).deliveries[0].id
    };
    assert_eq!(id(&event(json!({})), &[]), v5(["w/r", "step_done", "m-1"], "urn:analytica:delivery:event"));
    let mut without = event(json!({}));
    without["messageId"] = Value::Null;
    let coordinates = "web.events/3/42/1767225600000";
    assert_eq!(id(&without, &[]), v5(["w/r", "step_done", coordinates], "urn:analytica:delivery:origin"));
    // A replayed record carries its first origin.
    let first = Origin { topic: "first".into(), partition: 1, offset: 7, timestamp_ms: 5 };
    let header = |text: &str| vec![(analytica::pipeline::ORIGIN_HEADER.to_owned(), text.as_bytes().to_vec())];
    assert_eq!(id(&without, &header(&origin_text(&first))), v5(["w/r", "step_done", "first/1/7/5"], "urn:analytica:delivery:origin"));
    assert_eq!(id(&without, &header("nonsense")), v5(["w/r", "step_done", coordinates], "urn:analytica:delivery:origin"));
    // An element has its number behind the id.
    let each = self::root().warehouse("each: event.properties.l\ncolumns: { i: index }");
    let found = deliveries(&each, &event(json!({ "l": [1, 2] })));
    assert_eq!(found[1].id, v5(["w/r", "step_done", "m-1#1"], "urn:analytica:delivery:event"));
}

#[test]
fn the_queue_key_falls_back_step_by_step() {
    let with_key = root().consumer(
        "w",
        "{ type: warehouse, url: \"sqlite:x.db\" }",
        "table: { name: t, key: [] }\ncolumns: { a: event.event }",
        "queue: { partitions: 4, key: event.properties.k }\n",
    );
    let key = |value: Value, record_key: Option<&[u8]>| {
        let origin = origin("web.events");
        let text = value.to_string();
        let record = Record { origin: &origin, key: record_key, headers: &[], value: text.as_bytes() };
        let mut accepted = accepted(with_key.pipeline().process(&record, now(), &mut Scratch::default()));
        accepted.deliveries.pop().map(|delivery| delivery.key).ok_or_else(|| accepted.dead.pop().unwrap())
    };
    let bytes = |text: &str| QueueKey::Bytes(text.as_bytes().to_vec());
    assert_eq!(key(event(json!({ "k": "own" })), None).unwrap(), bytes("own"));
    assert_eq!(key(event(json!({ "k": 12 })), None).unwrap(), bytes("12"));
    assert_eq!(key(event(json!({})), None).unwrap(), bytes("u-1"));
    let nobody = json!({ "type": "track", "event": "step_done" });
    assert_eq!(key(json!({ "type": "track", "event": "step_done", "anonymousId": "an" }), Some(b"rk")).unwrap(), bytes("an"));
    assert_eq!(key(nobody.clone(), Some(b"rk")).unwrap(), bytes("rk"));
    assert_eq!(key(nobody, None).unwrap(), QueueKey::Partition(3));
    let letter = key(event(json!({ "k": [1] })), None).unwrap_err();
    assert_eq!((letter.stage.name(), letter.key), ("key", bytes("u-1")));
}

#[test]
fn patterns_and_versions_pick_their_routes() {
    let schema = |version: u32| format!(r#"{{ "properties": {{ "properties": {{ "v": {{ "const": {version} }} }} }} }}"#);
    let route = |name: &str, events: &str| {
        format!("  - name: {name}\n    events: {events}\n    table: {{ name: t, key: [] }}\n    columns: {{ a: event.event }}\n")
    };
    let consumer = format!(
        "version: 1\nsink: {{ type: warehouse, url: \"sqlite:x.db\" }}\nroutes:\n{}{}{}{}",
        route("all", "[\"*\"]"),
        route("globbed", "[\"kyc_*\"]"),
        route("second", "[\"kyc_done@2\"]"),
        route("twice", "[kyc_done, \"kyc_*\"]"),
    );
    let root = root()
        .file("schemas/kyc_done/1.json", &schema(1))
        .file("schemas/kyc_done/2.json", &schema(2))
        .file("schemas/kyc_done/event.yaml", "version: 1\ndefault_version: 2\ndeprecated: { 1: old }\n")
        .file("consumers/w.yaml", &consumer);
    let pipeline = root.pipeline();
    let routes = |value: Value| {
        let accepted = accepted(process(&pipeline, value.to_string()));
        (accepted.version, accepted.deprecated, accepted.deliveries.iter().map(|d| d.route.route.to_string()).collect::<Vec<_>>())
    };
    let kyc = json!({ "type": "track", "event": "kyc_done" });
    assert_eq!(routes(kyc), (2, false, ["all", "globbed", "second", "twice"].map(str::to_owned).to_vec()));
    let old = json!({ "type": "track", "event": "kyc_done", "context": { "protocols": { "event_version": 1 } } });
    assert_eq!(routes(old), (1, true, ["all", "globbed", "twice"].map(str::to_owned).to_vec()));
    assert_eq!(routes(json!({ "type": "track", "event": "step_done" })), (1, false, vec!["all".to_owned()]));
    assert_eq!(pipeline.routes().len(), 4);
}

#[test]
fn a_draining_consumer_routes_nothing() {
    let root = root().consumer(
        "w",
        "{ type: warehouse, url: \"sqlite:x.db\" }",
        "table: { name: t, key: [] }\ncolumns: { a: event.event }",
        "state: draining\n",
    );
    assert_eq!(deliveries(&root, &event(json!({}))).len(), 0);
    assert_eq!(root.pipeline().routes().len(), 1);
}

#[test]
fn targets_are_whole_and_tagged_by_their_kind() {
    let target = |root: Root| -> Value { serde_json::from_str(&deliveries(&root, &event(json!({ "city": "x" })))[0].target).unwrap() };
    assert_eq!(
        target(root().warehouse("columns: { a: event.event }")),
        json!({ "table": { "name": "t", "key": [], "on_conflict": "ignore" } })
    );
}

#[test]
fn a_payload_over_the_limit_is_a_dead_letter() {
    let root = root().warehouse("columns: { a: event.properties.x, b: event.properties.x }");
    let letters = dead(&root, &event(json!({ "x": "y".repeat(700) })));
    assert!(letters[0].error.contains("more than the 1024 of `limits.payload`"), "{}", letters[0].error);
}

#[test]
fn tables_take_their_types_from_the_schemas() {
    let schema = r##"{ "properties": { "event": { "type": "string" }, "at": { "type": "string", "format": "date-time" },
        "properties": { "properties": {
            "n": { "type": ["integer", "null"] }, "amount": { "type": "number" }, "day": { "type": "string", "format": "date" },
            "yes": { "type": "boolean" }, "o": { "type": "object" }, "mixed": { "type": ["string", "integer"] }, "e": { "enum": ["a", "b"] },
            "r": { "$ref": "#/$defs/money" }, "docs": { "type": "array", "items": { "properties": { "pages": { "type": "integer" } } } } } } },
        "$defs": { "money": { "type": "number" } } }"##;
    let root = root().file("schemas/step_done/1.json", schema).file(
        "consumers/w.yaml",
        "version: 1
sink: { type: warehouse, url: \"sqlite:x.db\" }
routes:
  - name: r
    events: [step_done]
    table: { name: t, key: [id], on_conflict: ignore }
    columns:
      id: event.messageId
      at: event.at
      n: event.properties.n
      amount: event.properties.amount
      exact: { expr: event.properties.amount, type: \"numeric(18,2)\" }
      day: event.properties.day
      yes: event.properties.yes
      o: event.properties.o
      mixed: event.properties.mixed
      e: event.properties.e
      r: event.properties.r
      fixed: { const: 1.5 }
      either: event.properties.n or 0
      has: event.properties.n is defined
      offset: meta.offset
  - name: docs
    events: [step_done]
    each: event.properties.docs
    table: { name: d, key: [id, index], on_conflict: ignore }
    columns: { id: event.messageId, index: index, pages: item.pages, doc: item }
",
    );
    use ColumnType::{Boolean, Custom, Date, Double, Integer, Json, Text, Timestamp};
    let tables = root.pipeline().tables("w");
    let types: Vec<(&str, &ColumnType)> = tables[0].columns.iter().map(|(name, kind)| (name.as_str(), kind)).collect();
    assert_eq!(
        types,
        [
            ("id", &Text),
            ("at", &Timestamp),
            ("n", &Integer),
            ("amount", &Double),
            ("exact", &Custom("numeric(18,2)".to_owned())),
            ("day", &Date),
            ("yes", &Boolean),
            ("o", &Json),
            ("mixed", &Text),
            ("e", &Text),
            ("r", &Double),
            ("fixed", &Double),
            ("either", &Integer),
            ("has", &Boolean),
            ("offset", &Integer),
        ]
    );
    assert_eq!(tables[1].table.name, "d");
    let types: Vec<&ColumnType> = tables[1].columns.iter().map(|(_, kind)| kind).collect();
    assert_eq!(types, [&Text, &Integer, &Integer, &Text]);
    assert!(root.pipeline().tables("nobody").is_empty());
}

#[test]
fn everything_wrong_with_a_set_is_found_at_once() {
    let root = root()
        .file("schemas/bad/1.json", r#"{ "type": "strng" }"#)
        .warehouse("when: evnt.x\ncolumns:\n  a: event.x |\n  b: event.x | nope\n  c: item.x");
    let found = root.findings();
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(found.iter().any(|f| f.starts_with("consumers/w.yaml:7:11 there is no `evnt` here")), "{found:#?}");
    assert!(Pipeline::compile(&root.set()).is_err());
}

#[test]
fn the_outcome_carries_source_event_version_and_time() {
    let pipeline = root().pipeline();
    let mut value = event(json!({}));
    value["timestamp"] = json!("2026-01-01T00:00:00.250Z");
    let accepted = accepted(process(&pipeline, value.to_string()));
    assert_eq!((&*accepted.source, &*accepted.event, accepted.version, accepted.deprecated), ("web", "step_done", 1, false));
    assert_eq!(accepted.event_time, Some("2026-01-01T00:00:00.25Z".parse().unwrap()));
}

#[test]
fn buffers_kept_from_record_to_record_change_nothing() {
    let first = root().warehouse("columns: { a: event.properties.a }").pipeline();
    let second = root().file("sources.yaml", &SOURCES.replace("web:", "other:")).warehouse("columns: { b: event.properties.b }").pipeline();
    let mut scratch = Scratch::default();
    let origin = origin("web.events");
    for round in 0..3 {
        for (pipeline, source) in [(&first, "web"), (&second, "other")] {
            let text = event(json!({ "a": format!("a{round}"), "b": "b\"" })).to_string();
            let record = Record { origin: &origin, key: None, headers: &[], value: text.as_bytes() };
            let kept = accepted(pipeline.process(&record, now(), &mut scratch));
            assert_eq!(&*kept.source, source);
            let fresh = accepted(pipeline.process(&record, now(), &mut Scratch::default()));
            assert_eq!(kept.deliveries[0].payload, fresh.deliveries[0].payload);
            let broken = Record { value: b"{\"a\":", ..record };
            rejected(pipeline.process(&broken, now(), &mut scratch));
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_row_parses_and_holds_what_the_event_held(a in any_json(), b in any_json(), text in any::<String>()) {
        let root = root()
            .file("sources.yaml", &SOURCES.replace("2KiB", "1MiB").replace("1KiB", "1MiB"))
            .warehouse("columns: { a: event.properties.a, list: \"[event.properties.b, event.properties.text]\", text: \"event.properties.text ~ ''\" }");
        let sent = event(json!({ "a": a, "b": b, "text": text }));
        let found = deliveries(&root, &sent);
        let row: Value = serde_json::from_slice(&found[0].payload).unwrap();
        prop_assert_eq!(&row, &json!({ "a": a, "list": [b, text], "text": text }));
    }

    #[test]
    fn no_bytes_break_the_pipeline(value in prop::collection::vec(any::<u8>(), 0..200)) {
        process(&root().warehouse("columns: { a: event.properties.a }").pipeline(), value);
    }
}

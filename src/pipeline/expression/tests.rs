//! The rules of expressions, one by one.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use minijinja::Value;
use uuid::Uuid;

use super::*;
use crate::config::Findings;
use crate::pipeline::envelope::Header;
use crate::pipeline::template::{Templates, consumer_value};
use crate::pipeline::view::Seen;
use crate::pipeline::{Event, Origin, Record};

const EVENT: &str = r#"{
    "a": 1, "b": 2.50, "s": "text", "t": true, "f": false, "n": null, "e": "", "z": 0,
    "big": 18446744073709551615, "huge": 123456789012345678901234567890, "list": [1, "x", null, {"k": "v"}], "empty": [],
    "deep": {"er": {"est": "here"}}, "odd key": 5, "num": "7"
}"#;

fn located(text: &str) -> Located<String> {
    Located::new(text.to_owned(), Place::new("consumers/a.yaml", 4, 11))
}

fn templates() -> Templates {
    Templates::compile(&BTreeMap::new(), 1 << 20).0
}

/// An expression's value as JSON, or why it has none.
fn evaluate_on(event: &str, text: &str, element: Option<usize>) -> Result<String, String> {
    let templates = templates();
    let mut findings = Findings::default();
    let available = if element.is_some() { Available::Element } else { Available::Event };
    let Some(expression) = compile(&located(text), available, &templates, &mut findings) else {
        return Err(findings.iter().map(|f| format!("{} {} {:?}", f.at, f.message, f.hint)).collect::<Vec<_>>().join("; "));
    };
    let event = Arc::new(Event::parse(event.as_bytes()).unwrap());
    let origin = Origin { topic: "web.events".into(), partition: 3, offset: 42, timestamp_ms: 1_767_225_600_000 };
    let headers = [("trace".to_owned(), b"abc".to_vec())];
    let record = Record { origin: &origin, key: None, headers: &headers, value: b"" };
    let header = Header { name: "e", version: None, id: None, user: None, anonymous: None, time: None };
    let (source, revision): (Arc<str>, Arc<str>) = ("web".into(), "d1".into());
    let seen = Seen {
        event: &event,
        header: &header,
        record: &record,
        origin: &origin,
        source: &source,
        version: 2,
        revision: &revision,
        now: Timestamp::UNIX_EPOCH,
        meta: OnceCell::new(),
    };
    let consumer: Value = consumer_value("warehouse");
    let element = element.map(|n| (Found::Tape(event.root().get("list").unwrap().element(n).unwrap()), n));
    let view = View::new(&seen, &templates, &consumer, element, Uuid::nil());
    let found = expression.evaluate(&view).map_err(|failure| failure.to_string())?;
    let mut out = Vec::new();
    found.write(&event, &mut out).map_err(str::to_owned)?;
    Ok(String::from_utf8(out).unwrap())
}

fn evaluate(text: &str) -> Result<String, String> {
    evaluate_on(EVENT, text, None)
}

#[track_caller]
fn gives(expected: &[(&str, &str)]) {
    for (text, value) in expected {
        assert_eq!(evaluate(text).as_deref(), Ok(*value), "{text}");
    }
}

#[track_caller]
fn fails(expected: &[(&str, &str)]) {
    for (text, message) in expected {
        match evaluate(text) {
            Err(error) => assert!(error.contains(message), "{text}: {error}"),
            Ok(value) => panic!("{text} gave {value}"),
        }
    }
}

#[test]
fn a_path_that_is_missing_at_any_depth_is_null() {
    gives(&[
        ("event.missing", "null"),
        ("event.missing.deeper.still", "null"),
        ("event.n", "null"),
        ("event.n.deeper", "null"),
        ("event.a.b.c", "null"),
        ("event.s.length", "null"),
        ("event.s[0]", "null"),
        ("event.list[9]", "null"),
        ("event.list[9].k", "null"),
        ("event.list.x", "null"),
        ("event.deep.er.est", "\"here\""),
        ("event['odd key']", "5"),
        ("event.deep['er'].est", "\"here\""),
        ("event[event.list[1]]", "null"),
        ("event[event.deep.er.est ~ '']", "null"),
        ("event.list[event.a]", "\"x\""),
        ("event.list[-1].k", "\"v\""),
        ("event.list[-9]", "null"),
    ]);
}

#[test]
fn null_is_false_and_so_is_what_is_empty() {
    gives(&[
        ("not event.missing", "true"),
        ("not event.n", "true"),
        ("not event.e", "true"),
        ("not event.z", "true"),
        ("not event.empty", "true"),
        ("not event.s", "false"),
        ("event.missing or event.s", "\"text\""),
        ("event.e or event.missing or 'x'", "\"x\""),
        ("event.s and event.a", "1"),
        ("event.missing and event.nowhere.at.all < 3", "null"),
        ("'yes' if event.t else 'no'", "\"yes\""),
        ("'yes' if event.missing else 'no'", "\"no\""),
        ("'yes' if event.missing", "null"),
        ("null", "null"),
        ("none", "null"),
    ]);
}

#[test]
fn null_with_an_operator_is_null_but_equality_answers() {
    gives(&[
        ("event.missing == none", "true"),
        ("event.n == none", "true"),
        ("event.a == none", "false"),
        ("event.a != none", "true"),
        ("event.missing == 'x'", "false"),
        ("event.missing != 'x'", "true"),
        ("event.missing < 3", "null"),
        ("3 >= event.missing", "null"),
        ("event.missing + 1", "null"),
        ("event.missing ~ 'x'", "null"),
        ("-event.missing", "null"),
        ("event.missing | upper", "null"),
        ("event.missing.upper()", "null"),
        ("event.missing | default('x')", "\"x\""),
        ("event.n | default('x')", "\"x\""),
        ("event.s | default('x')", "\"text\""),
        ("event.missing in event.list", "true"),
        ("event.missing in event.s", "false"),
        ("1 in event.missing", "false"),
        ("event.missing is defined", "false"),
        ("event.n is defined", "false"),
        ("event.a is defined", "true"),
        ("event.n is not defined", "true"),
        ("event.n is none", "true"),
        ("event.missing is undefined", "true"),
    ]);
}

#[test]
fn comparing_different_types_fails() {
    fails(&[
        ("event.s < 3", "a string cannot be compared with a number"),
        ("event.num == 7", "a string cannot be compared with a number"),
        ("event.t == 1", "a boolean cannot be compared with a number"),
        ("event.a != 'x'", "a number cannot be compared with a string"),
        ("event.list == event.deep", "a list cannot be compared with an object"),
        ("event.list < event.list", "a list cannot be compared with a list"),
        ("event.t < event.f", "a boolean cannot be compared with a boolean"),
        ("event.a in 'x'", "a number cannot be in a string"),
        ("event.s + 1", "no sums with a string and a number"),
        ("event.t * 2", "no sums with a boolean and a number"),
        ("event.list ~ 'x'", "cannot put a list into a string"),
        ("1 in event.a", "nothing can be in a number"),
    ]);
}

#[test]
fn what_fails_is_placed_in_the_file_and_holds_no_value() {
    let error = evaluate("event.a and event.s < 3").unwrap_err();
    assert!(error.starts_with("consumers/a.yaml:4:23: "), "{error}");
    assert!(!error.contains("text"), "{error}");
    let error = evaluate("event.s | int").unwrap_err();
    assert!(error.contains("the filter `int` failed") && !error.contains("text"), "{error}");
}

#[test]
fn values_of_one_type_are_compared() {
    gives(&[
        ("event.a == 1.0", "true"),
        ("event.a < event.b", "true"),
        ("event.big == 18446744073709551615", "true"),
        ("event.big > event.huge", "false"),
        ("event.s == 'text'", "true"),
        ("'a' < 'b'", "true"),
        ("event.t == true", "true"),
        ("event.t != event.f", "true"),
        ("1 < event.b <= 2.5", "true"),
        ("1 < event.b < 2", "false"),
        ("event.list == [1, 'x', none, {'k': 'v'}]", "true"),
        ("event.deep == event.deep", "true"),
        ("event.deep == {'er': {'est': 'there'}}", "false"),
    ]);
}

#[test]
fn membership_looks_for_an_equal_element() {
    gives(&[
        ("'x' in event.list", "true"),
        ("1 in event.list", "true"),
        ("'1' in event.list", "false"),
        ("event.s in ['other', 'text']", "true"),
        ("event.s not in ['other', 'text']", "false"),
        ("'ex' in event.s", "true"),
        ("'er' in event.deep", "true"),
        ("'k' in {'k': 1}", "true"),
        ("'z' in {'k': 1}", "false"),
    ]);
}

#[test]
fn sums_are_exact_for_integers() {
    gives(&[
        ("event.a + 1", "2"),
        ("event.big + 1", "18446744073709551616"),
        ("event.huge - 1", "123456789012345678901234567889"),
        ("event.a - event.b", "-1.5"),
        ("7 / 2", "3.5"),
        ("6 / 2", "3.0"),
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
        ("2 ** 10", "1024"),
        ("-event.a", "-1"),
        ("'a' + 'b'", "\"ab\""),
        ("event.s ~ event.a ~ event.b ~ event.t", "\"text12.50true\""),
    ]);
    fails(&[
        ("event.a / event.z", "division by zero"),
        ("event.a // 0", "division by zero"),
        ("event.a % 0", "division by zero"),
        ("10 ** 100", "too large"),
        ("2.5 ** 10000", "no finite number"),
    ]);
}

#[test]
fn a_copied_number_keeps_its_digits() {
    gives(&[
        ("event.b", "2.50"),
        ("event.b or 1", "2.50"),
        ("[event.b, 2]", "[2.50,2]"),
        ("event.missing | default(event.b)", "2.50"),
        ("event.huge", "123456789012345678901234567890"),
        ("event.big", "18446744073709551615"),
        ("event.b + 0.25", "2.75"),
        ("event.list", r#"[1,"x",null,{"k":"v"}]"#),
        ("{'whole': event.deep}", r#"{"whole":{"er":{"est":"here"}}}"#),
    ]);
    assert_eq!(evaluate_on(r#"{"x":1e400}"#.replace("e400", "e30").as_str(), "event.x", None).as_deref(), Ok("1e30"));
}

#[test]
fn the_roots_are_known() {
    gives(&[
        ("meta.source", "\"web\""),
        ("meta.topic", "\"web.events\""),
        ("meta.partition", "3"),
        ("meta.offset", "42"),
        ("meta.headers.trace", "\"abc\""),
        ("meta.headers.nothing", "null"),
        ("meta.schema_version", "2"),
        ("meta.revision", "\"d1\""),
        ("meta.timestamp", "\"2026-01-01T00:00:00.000Z\""),
        ("consumer.name", "\"warehouse\""),
        ("delivery_id", "\"00000000-0000-0000-0000-000000000000\""),
    ]);
    assert_eq!(evaluate_on(EVENT, "item.k ~ '/' ~ index", Some(3)).as_deref(), Ok("\"v/3\""));
    assert_eq!(evaluate_on(EVENT, "item", Some(2)).as_deref(), Ok("null"));
}

#[test]
fn what_is_unknown_is_found_when_compiled() {
    fails(&[
        ("evnt.a", "consumers/a.yaml:4:11 there is no `evnt` here Some(\"did you mean `event`?\")"),
        ("1 + userId", "consumers/a.yaml:4:15 there is no `userId` here Some(\"a field of the event is `event.userId`\")"),
        ("item.kind", "only known under a route's `each`"),
        ("meta.topik", "did you mean `topic`?"),
        ("consumer.sink", "it has name"),
        ("event.s | uper", "there is no filter `uper` Some(\"did you mean `upper`?\")"),
        ("event.s is strin", "there is no test `strin` Some(\"did you mean `string`?\")"),
        ("nope()", "there is no function `nope`"),
        ("event.list[1:2]", "takes no slices"),
        ("event.", "not an expression"),
        ("event.a event.b", "not an expression"),
        ("", "not an expression"),
        ("{{ event.a }}", "not an expression"),
    ]);
}

#[test]
fn filters_tests_and_methods_are_those_of_templates() {
    gives(&[
        ("event.s | upper", "\"TEXT\""),
        ("event.list | length", "4"),
        ("event.s is string", "true"),
        ("event.a is number", "true"),
        ("event.a is not string", "true"),
        ("event.s | replace('t', 'T')", "\"TexT\""),
        ("event.list | tojson | length > 0", "true"),
    ]);
}

#[test]
fn an_element_is_asked_for_only_where_it_is_named() {
    let templates = templates();
    let uses = |text: &str| compile(&located(text), Available::Element, &templates, &mut Findings::default()).unwrap().uses_element();
    assert!(uses("item.kind == 'passport'"));
    assert!(uses("event.a or index"));
    assert!(!uses("event.a"));
}

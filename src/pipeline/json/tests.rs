//! What the tape takes and refuses, against serde_json as the model.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn parse(text: &str) -> Result<Value, JsonFault> {
    let mut tape = Tape::default();
    tape.fill(text).map_err(|e| e.fault)?;
    Ok(tape.root(text).to_value())
}

#[test]
fn every_kind_of_value_is_read() {
    let text = r#" {"a": [1, -2, 3.5, true, false, null, "x", "q\"\u00e9\ud83d\ude00\n"], "b": {"c": {}}, "d": []} "#;
    assert_eq!(parse(text), Ok(serde_json::from_str(text).unwrap()));
}

#[test]
fn a_key_twice_in_one_object_is_refused_wherever_it_stands() {
    for text in [r#"{"a":1,"a":2}"#, r#"{"a":1,"b":{"c":[{"d":1,"e":2,"d":3}]}}"#, r#"{"a":1,"\u0061":2}"#, r#"{"":1,"":2}"#] {
        assert_eq!(parse(text), Err(JsonFault::DuplicateKey), "{text}");
    }
    for text in [r#"{"a":{"a":{"a":1}}}"#, r#"[{"a":1},{"a":1}]"#, r#"{"a":"a","b":"a"}"#] {
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[test]
fn a_key_twice_in_a_large_object_is_refused() {
    let members: Vec<String> = (0..500).map(|n| format!("\"key_{n}\":{n}")).collect();
    assert!(parse(&format!("{{{}}}", members.join(","))).is_ok());
    for again in [0, 3, 63, 64, 65, 499] {
        assert_eq!(parse(&format!("{{{},\"key_{again}\":0}}", members.join(","))), Err(JsonFault::DuplicateKey));
    }
}

#[test]
fn what_rfc_8259_does_not_allow_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "[1 2]",
        "01",
        "-",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "NaN",
        "Infinity",
        "tru",
        "nulll",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\n\"",
        "1 1",
        "[1]]",
        "\u{feff}1",
        "\"\\u+123\"",
    ] {
        assert!(parse(text).is_err(), "{text:?} was taken");
        assert!(serde_json::from_str::<Value>(text).is_err(), "serde_json takes {text:?}");
    }
    assert_eq!(parse("1e999"), Err(JsonFault::NumberRange));
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(127)).is_ok());
    assert_eq!(parse(&nested(128)), Err(JsonFault::Depth));
    assert_eq!(parse(&nested(100_000)), Err(JsonFault::Depth));
}

#[test]
fn integers_are_exact_up_to_38_digits() {
    let read = |text: &str| {
        let mut tape = Tape::default();
        tape.fill(text).unwrap();
        let root = tape.root(text);
        (root.kind(), root.as_integer())
    };
    assert_eq!(read("9223372036854775807"), (Kind::Int, Some(i128::from(i64::MAX))));
    assert_eq!(read("-9223372036854775808"), (Kind::Int, Some(i128::from(i64::MIN))));
    assert_eq!(read("18446744073709551615"), (Kind::UInt, Some(i128::from(u64::MAX))));
    assert_eq!(read("-18446744073709551616"), (Kind::Big, Some(-18_446_744_073_709_551_616)));
    assert_eq!(read("99999999999999999999999999999999999999"), (Kind::Big, Some(99_999_999_999_999_999_999_999_999_999_999_999_999)));
    assert_eq!(read("100000000000000000000000000000000000000").0, Kind::Float);
    assert_eq!(read("-0").0, Kind::Float);
}

#[test]
fn numbers_are_written_with_the_digits_they_came_with() {
    let text = "[12.30, 1e2, -0, 100000000000000000000000000000000000000000000, 0.1, 18446744073709551616]";
    let mut tape = Tape::default();
    tape.fill(text).unwrap();
    let mut out = Vec::new();
    write_value(tape.root(text), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), text.replace(' ', ""));
}

#[test]
fn a_hint_finds_its_key_in_events_of_another_shape() {
    let hint = Hint::new("k");
    for text in [r#"{"k":1}"#, r#"{"a":{"k":9},"k":1}"#, r#"{"a":[1,2,{"k":7}],"b":"k","k":1}"#, r#"{"b":"k","k":1,"z":{"k":3}}"#] {
        let mut tape = Tape::default();
        tape.fill(text).unwrap();
        assert_eq!(tape.root(text).get_hinted(&hint).and_then(|v| v.as_integer()), Some(1), "{text}");
    }
    let text = r#"{"a":{"k":9}}"#;
    let mut tape = Tape::default();
    tape.fill(text).unwrap();
    assert!(tape.root(text).get_hinted(&hint).is_none());
}

/// Equal but for the last digit of a float: serde_json rounds in a hurry.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs() * 1e-15
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| alike(a, b))),
        _ => a == b,
    }
}

pub(in crate::pipeline) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e12..1e12f64).prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..8).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_serde_json_writes_is_read_back(value in any_json()) {
        let text = value.to_string();
        let read = parse(&text);
        prop_assert!(read.as_ref().is_ok_and(|read| alike(read, &value)), "{text} became {read:?}");
        let mut tape = Tape::default();
        tape.fill(&text).unwrap();
        let mut out = Vec::new();
        write_value(tape.root(&text), &mut out);
        prop_assert!(alike(&serde_json::from_slice(&out).unwrap(), &value));
    }

    #[test]
    fn a_damaged_text_is_taken_or_refused_as_serde_json_does(
        value in any_json(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4, 0usize..37, any::<prop::sample::Index>()), 0..4),
    ) {
        const PIECES: &[u8; 37] = b"0123456789abcXYZ\"\\{}[]:,.-+eE \n\x01<>&'u";
        let mut bytes = value.to_string().into_bytes();
        for (at, how, piece, other) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = PIECES[piece],
                1 => { bytes.remove(at); }
                2 => bytes.insert(at, PIECES[piece]),
                _ => { let other = other.index(bytes.len()); bytes.swap(at, other); }
            }
        }
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        let model = serde_json::from_str::<Value>(&text);
        match parse(&text) {
            Err(JsonFault::DuplicateKey) => {}
            Ok(read) => prop_assert!(model.as_ref().is_ok_and(|model| alike(&read, model)), "{text}: {read} but {model:?}"),
            Err(fault) => prop_assert!(model.is_err(), "{text}: {fault}"),
        }
    }
}

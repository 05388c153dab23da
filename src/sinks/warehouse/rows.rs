//! Payloads as rows: JSON objects taken apart without losing a digit. Values stay JSON text until a database's side knows what its column wants.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;

/// One row: the payload's members in order, each name once.
#[derive(Debug, PartialEq)]
pub(super) struct Row<'a> {
    /// Which item of the batch it came from.
    pub item: usize,
    pub cells: Vec<Cell<'a>>,
}

/// One column's value.
#[derive(Debug, PartialEq)]
pub(super) struct Cell<'a> {
    pub column: Cow<'a, str>,
    /// JSON.
    pub json: &'a str,
}

/// A cell's value as SQL's scalars see it.
#[derive(Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Boolean(bool),
    /// The digits as they came.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// An array or object, as JSON.
    Nested(&'a str),
}

/// Takes a payload apart. The reason of a failure holds no value.
pub(super) fn parse(item: usize, payload: &[u8]) -> Result<Row<'_>, String> {
    let json = std::str::from_utf8(payload).map_err(|_| "the payload is not UTF-8".to_owned())?;
    // What follows leans on valid JSON.
    if let Err(error) = serde_json::from_str::<IgnoredAny>(json) {
        return Err(format!("the payload is not JSON: line {} column {}", error.line(), error.column()));
    }
    let mut rest = json.trim_ascii();
    let mut cells: Vec<Cell<'_>> = Vec::with_capacity(16);
    rest = rest.strip_prefix('{').ok_or("the payload is not a JSON object")?.trim_ascii_start();
    while !rest.starts_with('}') {
        let (name, after) = split_value(rest);
        let column = unescape(name)?;
        rest = after.trim_ascii_start().strip_prefix(':').unwrap_or_default().trim_ascii_start();
        let (value, after) = split_value(rest);
        match cells.iter_mut().find(|cell| cell.column == column) {
            // The last one wins, as JSON parsers have it.
            Some(cell) => cell.json = value,
            None => cells.push(Cell { column, json: value }),
        }
        rest = after.trim_ascii_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_ascii_start();
    }
    match cells.is_empty() {
        true => Err("the row has no columns".to_owned()),
        false => Ok(Row { item, cells }),
    }
}

impl<'a> Cell<'a> {
    pub fn value(&self) -> Result<Value<'a>, String> {
        Ok(match self.json.as_bytes() {
            b"null" => Value::Null,
            b"true" => Value::Boolean(true),
            b"false" => Value::Boolean(false),
            [b'"', ..] => Value::Text(unescape(self.json).map_err(|reason| format!("column {}: {reason}", self.column))?),
            [b'{' | b'[', ..] => Value::Nested(self.json),
            _ => Value::Number(self.json),
        })
    }
}

/// Rows that follow each other and have the same columns in the same order: what one statement takes.
pub(super) fn runs(rows: &[Row<'_>]) -> Vec<Range<usize>> {
    let same = |a: &Row<'_>, b: &Row<'_>| a.cells.iter().map(|cell| &cell.column).eq(b.cells.iter().map(|cell| &cell.column));
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if same(&rows[run.start], row) => run.end = index + 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}

/// A number that JSON Schema calls an integer, as databases write one: `3.0` and `1e3` are integers too. None where it is not one of at most 64 bits.
pub(super) fn integer(number: &str) -> Option<String> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let exponent: i32 = exponent.parse().ok()?;
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    // How many zeros the digits still need behind them (more than 19 digits fit no column), or how many of theirs fall away.
    let zeros = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    match usize::try_from(zeros) {
        Ok(zeros) if significant.len() + zeros <= 19 => Some(format!("{sign}{significant}{}", "0".repeat(zeros))),
        Ok(_) => None,
        Err(_) => {
            let away = usize::try_from(zeros.unsigned_abs()).ok()?;
            let kept = significant.len().checked_sub(away).filter(|kept| *kept > 0)?;
            significant[kept..].bytes().all(|digit| digit == b'0').then(|| format!("{sign}{}", &significant[..kept]))
        }
    }
}

/// The JSON value at the beginning of valid JSON, and what is behind it.
fn split_value(json: &str) -> (&str, &str) {
    let bytes = json.as_bytes();
    let mut depth = 0usize;
    let mut index = 0;
    while index < bytes.len() {
        match bytes[index] {
            b'"' => {
                index = string_end(bytes, index);
                if depth == 0 {
                    break;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            // What closes the object around a scalar.
            b'}' | b']' if depth == 0 => break,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    index += 1;
                    break;
                }
            }
            b',' if depth == 0 => break,
            byte if depth == 0 && byte.is_ascii_whitespace() => break,
            _ => {}
        }
        index += 1;
    }
    json.split_at(index)
}

/// The index behind the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut index = start + 1;
    while let Some(found) = bytes.get(index..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        index += found;
        if bytes[index] == b'"' {
            return index + 1;
        }
        index += 2;
    }
    bytes.len()
}

fn unescape(string: &str) -> Result<Cow<'_, str>, String> {
    let inner = string.get(1..string.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    // Valid JSON may still hold half of a surrogate pair, which is no text.
    serde_json::from_str(string).map(Cow::Owned).map_err(|_| "half of a surrogate pair in a string".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells(payload: &str) -> Vec<(String, String)> {
        let row = parse(0, payload.as_bytes()).expect("a row");
        row.cells.iter().map(|cell| (cell.column.to_string(), cell.json.to_owned())).collect()
    }

    #[test]
    fn values_stay_as_they_were_written() {
        let payload = r#" { "a" : 19.90 ,"b":"x\"},", "c":{"d":[1,{"e":"]"}]} , "f":[ ],"g":null,"h":-1.50e+3,"i":true } "#;
        let expected = [
            ("a", "19.90"),
            ("b", r#""x\"},""#),
            ("c", r#"{"d":[1,{"e":"]"}]}"#),
            ("f", "[ ]"),
            ("g", "null"),
            ("h", "-1.50e+3"),
            ("i", "true"),
        ];
        assert_eq!(cells(payload), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_column_named_twice_has_its_last_value() {
        assert_eq!(cells(r#"{"a":1,"b":2,"\u0061":3}"#), [("a".to_owned(), "3".to_owned()), ("b".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn what_is_no_row_is_refused_without_its_value() {
        for (payload, reason) in [
            (&b"[1]"[..], "the payload is not a JSON object"),
            (b"{\"secret\": ", "the payload is not JSON: line 1 column 11"),
            (b"{}", "the row has no columns"),
            (b"\xff", "the payload is not UTF-8"),
            (b"{\"\\ud800\": 1}", "half of a surrogate pair in a string"),
        ] {
            assert_eq!(parse(0, payload), Err(reason.to_owned()));
        }
    }

    #[test]
    fn rows_of_the_same_columns_make_a_run() {
        let payloads = [r#"{"a":1,"b":2}"#, r#"{"a":3,"b":4}"#, r#"{"a":5}"#, r#"{"a":6,"b":7}"#];
        let rows = payloads.iter().enumerate().map(|(item, payload)| parse(item, payload.as_bytes()).expect("a row")).collect::<Vec<_>>();
        assert_eq!(runs(&rows), [0..2, 2..3, 3..4]);
    }

    #[test]
    fn an_integer_may_be_written_in_many_ways() {
        for (number, expected) in [
            ("3", Some("3")),
            ("3.0", Some("3")),
            ("-3.00", Some("-3")),
            ("1e3", Some("1000")),
            ("1.5e1", Some("15")),
            ("150E-1", Some("15")),
            ("-0.0", Some("0")),
            ("0e5", Some("0")),
            ("9223372036854775807", Some("9223372036854775807")),
            ("3.5", None),
            ("15e-2", None),
            ("1e-3", None),
            ("1e400", None),
            ("1e99999999999", None),
        ] {
            assert_eq!(integer(number).as_deref(), expected, "{number}");
        }
    }

    proptest! {
        #[test]
        fn any_object_comes_apart_as_a_parser_would_take_it(members in prop::collection::btree_map(any::<String>(), any::<(f64, String, Vec<Option<bool>>)>(), 1..6)) {
            let object: serde_json::Map<_, _> = members.into_iter().map(|(name, value)| (name, serde_json::json!({"x": value, "y": [value.1]}))).collect();
            for payload in [serde_json::to_string(&object).expect("json"), serde_json::to_string_pretty(&object).expect("json")] {
                let row = parse(0, payload.as_bytes()).expect("a row");
                prop_assert_eq!(row.cells.len(), object.len());
                for cell in &row.cells {
                    let value: serde_json::Value = serde_json::from_str(cell.json).expect("json");
                    prop_assert_eq!(Some(&value), object.get(&*cell.column));
                }
            }
        }
    }
}

//! The golden cases of the starter root: `examples/cases/*.yaml`, each one event in and what every consumer gets of it.
//!
//! A case is a YAML file, closed like every format of ours:
//!
//! | key | |
//! | --- | --- |
//! | `version` | 1 |
//! | `name` | what it shows, as a sentence |
//! | `topic` | the events topic it comes in on |
//! | `now` | when it is taken up (RFC 3339); `now()` says this |
//! | `event` | the event; or `raw`: the record's value as a string, for what is not JSON |
//! | `key`, `headers` | of the record; optional |
//! | `expect` | consumer → its deliveries in order: `route`, `payload` and, where they matter, `target`, `id`, `key`. A consumer that is not named must get nothing |
//! | `dead` | consumer → its dead letters in order: `route`, `stage`, and `error`, a part of the message |
//! | `rejected` | `reason` and, where they matter, `errors` in any order: `path`, `keyword`, and `message`, each optional. Then neither of the above |
//!
//! Payloads are compared as JSON values, numbers mathematically. The record has partition 0, offset 0 and `now` for its timestamp. `CASE=part of a name`
//! runs some of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use analytica::config::{self, Files};
use analytica::pipeline::{Accepted, DeadLetter, Delivery, Origin, Outcome, Pipeline, QueueKey, Record, Rejection, Scratch};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    version: u32,
    name: String,
    topic: String,
    now: String,
    event: Option<Value>,
    raw: Option<String>,
    key: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    expect: BTreeMap<String, Vec<Expected>>,
    #[serde(default)]
    dead: BTreeMap<String, Vec<ExpectedDead>>,
    rejected: Option<ExpectedRejection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    route: String,
    payload: Value,
    target: Option<Value>,
    id: Option<String>,
    key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedDead {
    route: String,
    stage: String,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedRejection {
    reason: String,
    errors: Option<Vec<ExpectedError>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedError {
    path: Option<String>,
    keyword: Option<String>,
    message: Option<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn starter_pipeline() -> Pipeline {
    let loaded = config::load(&Files::read(&root()).expect("the root can be read"), config::DEFAULT_ENVIRONMENT);
    let listed = |findings: &config::Findings| {
        findings.iter().map(|f| format!("{}: {} ({:?})", f.at, f.message, f.hint)).collect::<Vec<_>>().join("\n")
    };
    let set = loaded.set.as_ref().unwrap_or_else(|| panic!("the starter root has findings:\n{}", listed(&loaded.findings)));
    Pipeline::compile(set).unwrap_or_else(|findings| panic!("the starter root does not compile:\n{}", listed(&findings)))
}

fn cases() -> Vec<(String, Case)> {
    let folder = root().join("examples/cases");
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry of the folder").path()).collect();
    files.sort();
    let wanted = std::env::var("CASE").unwrap_or_default();
    let yaml = files.into_iter().filter(|file| file.extension().is_some_and(|e| e == "yaml") && file.to_string_lossy().contains(&wanted));
    yaml.map(|file| {
        let text = std::fs::read_to_string(&file).expect("a case can be read");
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let case: Case = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name} is no case: {error}"));
        (name, case)
    })
    .collect()
}

fn run(pipeline: &Pipeline, case: &Case) -> Outcome {
    let now: Timestamp = case.now.parse().expect("`now` is a time");
    let value = match (&case.event, &case.raw) {
        (Some(event), None) => event.to_string(),
        (None, Some(raw)) => raw.clone(),
        _ => panic!("{}: one of `event` and `raw`", case.name),
    };
    let origin = Origin { topic: case.topic.as_str().into(), partition: 0, offset: 0, timestamp_ms: now.as_millisecond() };
    let headers: Vec<(String, Vec<u8>)> = case.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let record = Record { origin: &origin, key: case.key.as_deref().map(str::as_bytes), headers: &headers, value: value.as_bytes() };
    pipeline.process(&record, now, &mut Scratch::default())
}

/// JSON equality with numbers compared by what they are: YAML has no `12.30`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b))),
        _ => a == b,
    }
}

fn check(case: &Case, outcome: &Outcome, wrong: &mut String) {
    match (outcome, &case.rejected) {
        (Outcome::Rejected(rejection), Some(expected)) => check_rejection(rejection, expected, wrong),
        (Outcome::Rejected(rejection), None) => {
            let _ = writeln!(wrong, "  rejected as {}: {:?}", rejection.reason.name(), rejection.errors); // writing to a String cannot fail
        }
        (Outcome::Accepted(_), Some(expected)) => wrong.push_str(&format!("  accepted, not rejected as {}\n", expected.reason)),
        (Outcome::Accepted(accepted), None) => check_accepted(case, accepted, wrong),
    }
}

fn check_rejection(rejection: &Rejection, expected: &ExpectedRejection, wrong: &mut String) {
    if rejection.reason.name() != expected.reason {
        wrong.push_str(&format!("  rejected as {}, not as {}: {:?}\n", rejection.reason.name(), expected.reason, rejection.errors));
    }
    let Some(errors) = &expected.errors else { return };
    let fits = |wanted: &ExpectedError| {
        rejection.errors.iter().any(|found| {
            wanted.path.as_ref().is_none_or(|path| *path == found.path)
                && wanted.keyword.as_ref().is_none_or(|keyword| *keyword == found.keyword)
                && wanted.message.as_ref().is_none_or(|message| found.message.contains(message))
        })
    };
    if errors.len() != rejection.errors.len() || !errors.iter().all(fits) {
        wrong.push_str(&format!("  other errors than expected: {:#?}\n", rejection.errors));
    }
}

fn check_accepted(case: &Case, accepted: &Accepted, wrong: &mut String) {
    let mut deliveries: BTreeMap<Arc<str>, Vec<&Delivery>> = BTreeMap::new();
    for delivery in &accepted.deliveries {
        deliveries.entry(delivery.route.consumer.clone()).or_default().push(delivery);
    }
    let mut dead: BTreeMap<Arc<str>, Vec<&DeadLetter>> = BTreeMap::new();
    for letter in &accepted.dead {
        dead.entry(letter.route.consumer.clone()).or_default().push(letter);
    }
    for (consumer, expected) in &case.expect {
        let found = deliveries.remove(consumer.as_str()).unwrap_or_default();
        if found.len() != expected.len() {
            wrong.push_str(&format!("  {consumer}: {} deliveries, not {}\n", found.len(), expected.len()));
        }
        for (found, expected) in found.iter().zip(expected) {
            check_delivery(consumer, found, expected, wrong);
        }
    }
    for (consumer, found) in deliveries {
        for delivery in found {
            wrong.push_str(&format!("  {consumer}: nothing expected, but {}: {}\n", delivery.route.route, text(&delivery.payload)));
        }
    }
    for (consumer, expected) in &case.dead {
        let found = dead.remove(consumer.as_str()).unwrap_or_default();
        let fits = |(found, expected): (&&DeadLetter, &ExpectedDead)| {
            *found.route.route == *expected.route
                && found.stage.name() == expected.stage
                && expected.error.as_ref().is_none_or(|part| found.error.contains(part))
        };
        if found.len() != expected.len() || !found.iter().zip(expected).all(fits) {
            wrong.push_str(&format!("  {consumer}: other dead letters than expected: {found:#?}\n"));
        }
    }
    for (consumer, found) in dead {
        wrong.push_str(&format!("  {consumer}: dead letters: {found:#?}\n"));
    }
}

fn check_delivery(consumer: &str, found: &Delivery, expected: &Expected, wrong: &mut String) {
    let mut differs = |what: &str, found: &str, expected: &str| {
        if found != expected {
            wrong.push_str(&format!("  {consumer}: {what}\n    is  {found}\n    not {expected}\n"));
        }
    };
    differs("route", &found.route.route, &expected.route);
    match serde_json::from_slice::<Value>(&found.payload) {
        Ok(payload) if same(&payload, &expected.payload) => {}
        _ => differs("payload", &text(&found.payload), &expected.payload.to_string()),
    }
    if let Some(target) = &expected.target {
        let found: Value = serde_json::from_str(&found.target).expect("a target is JSON");
        if !same(&found, target) {
            differs("target", &found.to_string(), &target.to_string());
        }
    }
    if let Some(id) = &expected.id {
        differs("id", &found.id.to_string(), id);
    }
    if let Some(key) = &expected.key {
        let found = match &found.key {
            QueueKey::Bytes(key) => text(key),
            QueueKey::Partition(partition) => format!("partition {partition}"),
        };
        differs("key", &found, key);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_golden_case_comes_out_as_written() {
    let cases = cases();
    if cases.is_empty() {
        return;
    }
    let pipeline = starter_pipeline();
    let mut failures = String::new();
    for (file, case) in &cases {
        assert_eq!(case.version, 1, "{file}: the format's version");
        let mut wrong = String::new();
        check(case, &run(&pipeline, case), &mut wrong);
        if !wrong.is_empty() {
            failures.push_str(&format!("{file}: {}\n{wrong}", case.name));
        }
    }
    assert!(failures.is_empty(), "of {} cases:\n{failures}", cases.len());
}

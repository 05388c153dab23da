//! DESIGN.md's bad-input table, a row a test, on the real binary.

use serde_json::{Value, json};

use crate::line::{Line, signed_up};

/// A good event behind each bad one shows that nothing blocks.
fn emit_with_a_good_one_behind(line: &Line, bad: &[u8]) {
    line.emit_raw(bad);
    line.emit(&signed_up("good", "u1"));
    line.emitter.flush();
}

fn rejected_as(bad: &[u8], reason: &str) -> crate::kafka::Stored {
    let line = Line::new();
    emit_with_a_good_one_behind(&line, bad);
    let worker = line.run();
    worker.waits_for("the good event in PostgreSQL", || line.schema.rows("events") == 1);
    worker.waits_for("the rejection", || worker.count("analytica_events_rejected_total", &[("reason", reason)]) == 1);
    assert_eq!(worker.count("analytica_events_in_total", &[]), 2);
    assert_eq!(worker.count("analytica_events_accepted_total", &[]), 1);
    assert_eq!(worker.stop(), 0);
    let rejected = line.rejected();
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].value, bad, "a rejected record's value is the original bytes");
    assert_eq!(rejected[0].header("reason"), reason);
    for header in ["stage", "errors", "origin", "revision", "time"] {
        assert!(!rejected[0].header(header).is_empty(), "header {header}");
    }
    rejected[0].clone()
}

#[test]
fn what_is_not_json_is_rejected_as_malformed() {
    rejected_as(b"{\"event\": \"signed_up\",", "malformed");
}

#[test]
fn what_is_not_utf8_is_rejected_as_malformed() {
    rejected_as(b"{\"event\": \"\xff\xfe\"}", "malformed");
}

#[test]
fn a_key_twice_in_one_object_is_malformed() {
    rejected_as(br#"{"event":"signed_up","messageId":"a","messageId":"b"}"#, "malformed");
}

#[test]
fn what_is_not_an_object_is_malformed() {
    rejected_as(b"[1,2,3]", "malformed");
}

#[test]
fn an_event_without_a_name_has_a_bad_envelope() {
    rejected_as(br#"{"messageId":"a","userId":"u"}"#, "bad_envelope");
}

#[test]
fn binary_framing_is_unsupported() {
    rejected_as(b"\x00\x00\x00\x00\x2a{}", "unsupported_framing");
}

#[test]
fn an_unknown_event_is_rejected() {
    rejected_as(br#"{"event":"signed_upp","messageId":"a"}"#, "unknown_event");
}

#[test]
fn an_unknown_version_is_rejected() {
    let mut event = signed_up("a", "u");
    event["context"] = json!({ "protocols": { "event_version": 9 } });
    rejected_as(event.to_string().as_bytes(), "unknown_version");
}

#[test]
fn a_schema_violation_says_where_and_what_without_the_value() {
    let mut event = signed_up("a", "u");
    event["properties"]["plan"] = json!(4242);
    let rejected = rejected_as(event.to_string().as_bytes(), "schema_violation");
    let errors: Value = serde_json::from_str(&rejected.header("errors")).expect("errors are JSON");
    assert_eq!(errors[0]["path"], "/properties/plan");
    assert_eq!(errors[0]["keyword"], "type");
    assert!(!errors.to_string().contains("4242"), "values are masked: {errors}");
}

#[test]
fn an_event_over_the_limit_is_too_large() {
    let line = Line::new();
    line.file(
        "sources.yaml",
        &format!("version: 1\nsources:\n  web: {{ topics: [{}], envelope: segment }}\nlimits: {{ event: 1KiB }}\n", line.events),
    );
    let mut event = signed_up("big", "u");
    event["properties"]["note"] = json!("x".repeat(2000));
    emit_with_a_good_one_behind(&line, event.to_string().as_bytes());
    let worker = line.run();
    worker.waits_for("the rejection", || worker.count("analytica_events_rejected_total", &[("reason", "too_large")]) == 1);
    worker.waits_for("the good one", || line.schema.rows("events") == 1);
}

#[test]
fn a_transform_that_fails_is_a_dead_letter_for_that_consumer_alone() {
    let line = Line::new();
    line.edit("transforms/track.json.j2", "event.properties.plan", "event.properties.nickname");
    line.emit(&signed_up("a", "u1"));
    line.emitter.flush();
    let worker = line.run();
    worker.waits_for("the warehouse's row", || line.schema.rows("events") == 1);
    worker.waits_for("the dead letter", || {
        worker.count("analytica_dead_letters_total", &[("consumer", "engagement"), ("stage", "transform")]) == 1
    });
    assert_eq!(worker.stop(), 0);
    assert!(line.receiver.messages().is_empty());
    let dead = line.dead("engagement");
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].json(), signed_up("a", "u1"), "where rendering failed, the value is the event itself");
    assert_eq!(dead[0].header("stage"), "transform");
    assert!(dead[0].header("error").contains("transforms/track.json.j2:"), "{}", dead[0].header("error"));
}

#[test]
fn a_record_that_the_sink_blames_is_bisected_out_and_the_rest_is_delivered() {
    let line = Line::new();
    let poisoned = |message: &Value| message["userId"] == "poison";
    line.receiver.answers(move |call| if call.messages().iter().any(poisoned) { 400 } else { 204 });
    for n in 0..60 {
        line.emit(&signed_up(&format!("e{n}"), if n % 20 == 7 { "poison" } else { "fine" }));
    }
    line.emitter.flush();
    let worker = line.run();
    worker.waits_for("all deliveries to be decided", || worker.count("analytica_deliveries_total", &[("consumer", "engagement")]) == 60);
    assert_eq!(worker.count("analytica_deliveries_total", &[("consumer", "engagement"), ("result", "dead")]), 3);
    assert_eq!(worker.stop(), 0);
    assert_eq!(line.receiver.message_ids().len(), 57);
    let dead = line.dead("engagement");
    assert_eq!(dead.len(), 3);
    for letter in &dead {
        assert_eq!(letter.json()["userId"], "poison");
        assert_eq!(letter.header("stage"), "delivery");
        assert!(letter.header("original").contains("\"poison\""), "it carries the original event");
    }
}

#[test]
fn a_row_that_violates_a_constraint_is_dead_and_the_others_are_stored() {
    let line = Line::new();
    line.schema.run("CREATE TABLE events (event_id text PRIMARY KEY, user_id text, plan text CHECK (plan <> 'stolen'), amount numeric(18,2), at timestamptz)");
    for n in 0..40 {
        let mut event = signed_up(&format!("e{n}"), "u");
        if n == 17 {
            event["properties"]["plan"] = json!("stolen");
        }
        line.emit(&event);
    }
    line.emitter.flush();
    let worker = line.run();
    worker.waits_for("39 rows", || line.schema.rows("events") == 39);
    worker
        .waits_for("the dead letter", || worker.count("analytica_deliveries_total", &[("consumer", "warehouse"), ("result", "dead")]) == 1);
    assert_eq!(worker.stop(), 0);
    assert_eq!(line.dead("warehouse")[0].json()["event_id"], "e17");
}

#[test]
fn a_wrong_write_key_pauses_as_misconfigured_and_goes_on_when_it_is_right() {
    let line = Line::new();
    line.receiver.answers(|_| 401);
    for n in 0..50 {
        line.emit(&signed_up(&format!("e{n}"), &format!("u{n}")));
    }
    line.emitter.flush();
    let worker = line.run();
    worker.waits_for("the queue to pause", || worker.state("engagement") == "misconfigured");
    worker.waits_for("the warehouse, unmoved", || line.schema.rows("events") == 50);
    line.receiver.answers(|_| 204);
    worker.waits_for("all messages", || line.receiver.message_ids().len() == 50);
    worker.waits_for("its state", || worker.state("engagement") == "delivering");
    assert_eq!(worker.count("analytica_deliveries_total", &[("consumer", "engagement"), ("result", "dead")]), 0);
    assert!(line.receiver.message_ids().values().all(|&times| times == 1));
}

#[test]
fn twenty_records_in_a_row_refused_alike_are_the_sinks_fault() {
    let line = Line::new();
    line.receiver.answers(|_| 400);
    for n in 0..60 {
        line.emit(&signed_up(&format!("e{n}"), &format!("u{n}")));
    }
    line.emitter.flush();
    let worker = line.run();
    worker.waits_for("the queue to pause", || worker.state("engagement") == "misconfigured");
    assert_eq!(worker.count("analytica_deliveries_total", &[("consumer", "engagement"), ("result", "dead")]), 0);
    line.receiver.answers(|_| 204);
    worker.waits_for("all messages", || line.receiver.message_ids().len() == 60);
}

#[test]
fn a_consumer_without_its_secret_is_unconfigured_and_the_others_go_on() {
    let line = Line::new();
    line.edit("consumers/engagement.yaml", "secret:DITTOFEED_WRITE_KEY", "secret:NOT_SET_ANYWHERE");
    line.emit(&signed_up("a", "u"));
    line.emitter.flush();
    let worker = line.run();
    worker.waits_for("the warehouse's row", || line.schema.rows("events") == 1);
    assert_eq!(worker.state("engagement"), "unconfigured");
    assert!(worker.log().contains("NOT_SET_ANYWHERE"), "the log names the variable");
    assert_eq!(worker.stop(), 0);
    assert_eq!(line.queue("engagement").len(), 1, "its queue waits");
}

#[test]
fn a_bad_set_at_the_start_is_findings_and_exit_code_1() {
    let line = Line::new();
    line.edit("consumers/engagement.yaml", "transform: track.json.j2", "transform: trak.json.j2");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_analytica"));
    command.arg("--root").arg(line.root.path()).args(["run", "--admin", "127.0.0.1:0"]).env("KAFKA_BROKERS", crate::kafka::brokers());
    let output = command.output().expect("run");
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("consumers/engagement.yaml:7:") && printed.contains("track.json.j2"), "{printed}");
}

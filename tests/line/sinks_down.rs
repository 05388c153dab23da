//! A sink that is down, slow or busy: its queue waits, the others go on, nothing is lost or dead.

use crate::line::{Line, signed_up};

#[test]
fn one_dead_sink_stalls_nobody_else_and_catches_up_when_it_is_back() {
    let line = Line::new();
    line.receiver.answers(|_| 503);
    let worker = line.run();
    for n in 0..500 {
        line.emit(&signed_up(&format!("e{n}"), &format!("u{}", n % 20)));
    }
    line.emitter.flush();
    worker.waits_for("the warehouse, unmoved", || line.schema.rows("events") == 500);
    worker.waits_for("refused calls", || line.receiver.refused() > 2);
    worker.waits_for("its lag", || worker.count("analytica_queue_lag_records", &[("consumer", "engagement")]) == 500);
    assert_eq!(worker.count("analytica_queue_lag_records", &[("consumer", "warehouse")]), 0);
    line.receiver.answers(|_| 204);
    worker.waits_for("every message", || line.receiver.message_ids().len() == 500);
    assert!(line.receiver.message_ids().values().all(|&times| times == 1));
    assert_eq!(worker.count("analytica_deliveries_total", &[("result", "dead")]), 0);
    let mut last = std::collections::HashMap::new();
    for message in line.receiver.messages() {
        let number: u64 = message["properties"]["eventId"].as_str().expect("eventId")[1..].parse().expect("number");
        let before = last.insert(message["userId"].to_string(), number);
        assert!(before.is_none_or(|before| before < number), "a user's events are in order");
    }
}

#[test]
fn a_sink_that_is_slow_is_timed_out_and_tried_again() {
    let line = Line::new();
    let calls = std::sync::atomic::AtomicU32::new(0);
    line.receiver.answers(move |_| {
        if calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
            std::thread::sleep(std::time::Duration::from_secs(4));
        }
        204
    });
    line.emit(&signed_up("a", "u"));
    line.emitter.flush();
    let worker = line.run();
    worker.waits_for("the message", || {
        worker.count("analytica_deliveries_total", &[("consumer", "engagement"), ("result", "delivered")]) == 1
    });
    assert!(worker.count("analytica_sink_calls_total", &[("consumer", "engagement")]) >= 2);
}

#[test]
fn a_record_that_keeps_failing_alone_while_others_pass_becomes_a_dead_letter() {
    let line = Line::new();
    line.receiver.answers(|call| if call.messages().iter().any(|message| message["userId"] == "poison") { 500 } else { 204 });
    for n in 0..60 {
        line.emit(&signed_up(&format!("e{n}"), if n == 30 { "poison" } else { "fine" }));
    }
    line.emitter.flush();
    let worker = line.run();
    worker.waits_for("the others", || line.receiver.message_ids().len() == 59);
    // with nobody else passing, it might be the sink: others come by until it is judged
    let mut more = 0;
    worker.waits_for("the dead letter", || {
        line.emit(&signed_up(&format!("more{more}"), "fine"));
        line.emitter.flush();
        more += 1;
        worker.count("analytica_deliveries_total", &[("consumer", "engagement"), ("result", "dead")]) == 1
    });
    assert_eq!(worker.stop(), 0);
    assert_eq!(line.dead("engagement")[0].json()["userId"], "poison");
}

#[test]
fn a_queue_record_says_all_that_its_delivery_needs_and_the_request_is_as_the_api_wants_it() {
    let line = Line::new();
    line.emit(&signed_up("a", "u"));
    line.emitter.flush();
    let worker = line.run();
    worker.waits_for("the message", || line.receiver.messages().len() == 1);
    assert_eq!(worker.stop(), 0);
    let record = &line.queue("engagement")[0];
    assert_eq!(record.key.as_deref(), Some(&b"u"[..]));
    assert_eq!(
        (record.header("event"), record.header("route"), record.header("sink")),
        ("signed_up".into(), "track".into(), "http".into())
    );
    assert!(record.header("target").contains("/api/public/apps/batch"));
    assert!(record.header("origin").starts_with(&format!("{}/", line.events)));
    assert_eq!(record.header("original"), signed_up("a", "u").to_string());
    let call = &line.receiver.taken()[0];
    assert_eq!(call.path, "/api/public/apps/batch");
    assert_eq!(call.headers["authorization"], "Basic dGVzdDprZXk=", "the base64 of test:key");
    assert_eq!(call.headers["content-type"], "application/json");
    assert!(!call.headers["idempotency-key"].is_empty());
    assert_eq!(call.messages()[0]["messageId"], record.header("delivery-id"));
    assert!(!worker_log_holds_the_key(&line), "the write key is in no log");
}

/// A second run logs what the first one did: start, delivery, stop.
fn worker_log_holds_the_key(line: &Line) -> bool {
    let worker = line.run_with(&["--log", "debug"]).ready();
    let log = worker.log();
    assert_eq!(worker.stop(), 0);
    log.contains("test:key") || log.contains("dGVzdDprZXk")
}

//! `pause` and `resume`: an operator stops one consumer everywhere.

use std::time::{Duration, Instant};

use crate::common::{Place, said};
use crate::worker::Worker;

/// The roots here look by themselves once a minute: what takes less came through the stream.
const TOLD: Duration = Duration::from_secs(20);

fn stops(worker: &Worker, consumer: &str) {
    let began = Instant::now();
    worker.waits_for("the pause", || worker.state(consumer) == "paused");
    assert!(began.elapsed() < TOLD, "{:?}", began.elapsed());
}

#[test]
fn a_paused_consumer_keeps_its_queue_and_goes_on_where_it_was() {
    let place = Place::new();
    place.publish("One");
    let (one, two) = (place.worker(&[]).ready(), place.worker(&["--consumer", "lines"]).ready());
    place.emit(&["a"]);
    one.waits_for("the first", || place.delivered("lines").contains("\"a\""));
    let paused = place.analytica(&["pause", "lines", "--reason", "the file is moved"]);
    assert!(paused.status.success(), "{}", said(&paused));
    stops(&one, "lines");
    stops(&two, "lines");
    place.emit(&["b"]);
    one.waits_for("the other consumer's", || place.delivered("other").contains("\"b\""));
    one.waits_for("status", || place.status()["consumers"][0]["lag"] == 1);
    assert!(!place.delivered("lines").contains("\"b\""));
    let text = said(&place.analytica(&["status"]));
    assert!(text.contains("paused by tester since") && text.contains(": the file is moved"), "{text}");
    assert_eq!(place.analytica(&["status", "--exit-code"]).status.code(), Some(0), "an operator's pause is no drift: {text}");
    assert!(place.analytica(&["resume", "lines"]).status.success());
    one.waits_for("what waited", || place.delivered("lines").contains("\"b\""));
    assert_eq!(place.delivered("lines").lines().count(), 2);
}

#[test]
fn a_worker_that_starts_or_stops_meanwhile_keeps_to_it() {
    let place = Place::new();
    place.publish("One");
    place.analytica(&["pause", "lines"]);
    let worker = place.worker(&["--drain", "300"]).ready();
    stops(&worker, "lines");
    place.emit(&["a"]);
    worker.waits_for("the other consumer's", || place.delivered("other").contains("\"a\""));
    worker.waits_for("the record that waits", || worker.count("analytica_queue_lag_records", &[("consumer", "lines")]) == 1);
    let began = Instant::now();
    assert_eq!(worker.stop(), 0, "no record that an operator stopped is waited for");
    assert!(began.elapsed() < Duration::from_secs(55), "{:?}", began.elapsed());
    assert_eq!(place.delivered("lines"), "");
    let again = place.worker(&[]).ready();
    stops(&again, "lines");
    place.analytica(&["resume", "lines"]);
    again.waits_for("what waited", || place.delivered("lines").contains("\"a\""));
}

#[test]
fn a_pause_for_a_time_ends_by_itself() {
    let place = Place::new();
    place.publish("One");
    let worker = place.worker(&[]).ready();
    let paused = place.analytica(&["pause", "lines", "--for", "4s"]);
    assert!(said(&paused).contains("until"), "{}", said(&paused));
    stops(&worker, "lines");
    let began = Instant::now();
    worker.waits_for("its end", || worker.state("lines") == "delivering");
    assert!(began.elapsed() < TOLD, "{:?}", began.elapsed());
    assert_eq!(place.status()["consumers"][0]["pause"], serde_json::Value::Null);
}

#[test]
fn a_consumer_that_is_not_there_is_said_with_those_that_are() {
    let place = Place::new();
    let nothing = place.analytica(&["pause", "lines"]);
    assert_eq!(nothing.status.code(), Some(1));
    place.publish("One");
    for verb in ["pause", "resume"] {
        let output = place.analytica(&[verb, "line"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("did you mean `lines`? there are `lines` and `other`"), "{}", said(&output));
    }
    assert_eq!(place.analytica(&["pause", "lines", "--for", "soon"]).status.code(), Some(2));
    assert_eq!(place.analytica(&["pause", "lines", "--for", "0s"]).status.code(), Some(2));
    let resumed = place.analytica(&["resume", "lines"]);
    assert!(resumed.status.success() && said(&resumed).contains("nobody had paused"), "{}", said(&resumed));
}

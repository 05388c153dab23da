//! Tens of thousands of simulated events: every count adds up; SIGTERM and kill -9 in the middle lose nothing and store nothing twice.

use std::collections::{HashMap, HashSet};

use analytica::simulate::{Simulation, SimulationOptions};

use crate::line::Line;

/// What the oracle expects of what was emitted.
#[derive(Default)]
struct Expected {
    events: u64,
    broken: u64,
    /// Distinct message ids of good events that the warehouse's `events` table is meant for.
    rows: HashSet<String>,
}

/// Emits whole journeys onto the line's topics.
fn emit_journeys(line: &Line, users: u64, seed: u64) -> Expected {
    let mut expected = Expected::default();
    for event in Simulation::new(SimulationOptions { users, ..SimulationOptions::new(seed) }) {
        let topic = if event.topic == analytica::simulate::LOAN_TOPIC { format!("{}.loan", line.events) } else { line.events.clone() };
        line.emitter.send(&topic, Some(&event.key), &event.value);
        expected.events += 1;
        if event.broken.is_some() {
            expected.broken += 1;
        } else if event.name != "page_viewed" {
            let value: serde_json::Value = serde_json::from_slice(&event.value).expect("a good event is JSON");
            let id = value["messageId"].as_str().or(value["eventId"].as_str()).expect("an id");
            expected.rows.insert(id.to_owned());
        }
    }
    line.emitter.flush();
    expected
}

/// How often each delivery stands on the engagement queue.
fn queued_ids(line: &Line) -> HashMap<String, u32> {
    let mut ids = HashMap::new();
    for record in line.queue("engagement") {
        *ids.entry(record.header("delivery-id")).or_default() += 1;
    }
    ids
}

fn settled(worker: &crate::worker::Worker, events: u64) -> bool {
    let count = |name: &str| worker.count(name, &[]);
    count("analytica_events_in_total") == events
        && count("analytica_events_accepted_total") + count("analytica_events_rejected_total") == events
        && count("analytica_deliveries_queued_total") == count("analytica_deliveries_total")
}

#[test]
fn every_count_adds_up() {
    let line = Line::starter();
    let worker = line.run();
    let expected = emit_journeys(&line, 3000, 11);
    worker.waits_for("every event and delivery", || settled(&worker, expected.events));
    assert_eq!(worker.count("analytica_events_rejected_total", &[]), expected.broken);
    assert_eq!(line.schema.rows("events") as usize, expected.rows.len());
    let ids: HashSet<String> = line.schema.texts("SELECT event_id FROM events").into_iter().flatten().collect();
    assert_eq!(ids, expected.rows);
    let warehouse = |result| worker.count("analytica_deliveries_total", &[("consumer", "warehouse"), ("result", result)]) as i64;
    let rows = line.schema.rows("events") + line.schema.rows("page_views") + line.schema.rows("kyc_documents");
    assert_eq!(warehouse("delivered"), rows);
    assert_eq!(warehouse("dead"), 0);
    assert_eq!(worker.stop(), 0);
    assert_eq!(line.rejected().len() as u64, expected.broken);
    assert_eq!(line.receiver.message_ids(), queued_ids(&line), "the receiver got each delivery");
}

#[test]
fn sigterm_in_the_middle_of_a_load_drains_and_a_restart_goes_on() {
    let line = Line::starter();
    let worker = line.run();
    let mut expected = emit_journeys(&line, 2000, 11);
    worker.waits_for("the middle", || worker.count("analytica_events_in_total", &[]) > expected.events / 4);
    assert_eq!(worker.stop(), 0, "a drained worker ends well");
    let messages = line.receiver.messages().len();
    expected.rows.extend(emit_journeys(&line, 200, 12).rows);
    let worker = line.run();
    worker.waits_for("every row", || line.schema.rows("events") as usize == expected.rows.len());
    // an event that was emitted twice is on the queue twice: after a drain, no message comes more often than that
    worker.waits_for("every message", || line.receiver.message_ids() == queued_ids(&line));
    assert!(line.receiver.messages().len() > messages);
}

#[test]
fn kill_minus_9_in_the_middle_of_a_load_loses_nothing_and_stores_nothing_twice() {
    let line = Line::starter();
    let mut worker = line.run();
    let expected = emit_journeys(&line, 2000, 11);
    for part in 1..=3 {
        worker.waits_for("a part", || line.schema.rows("events") as usize > expected.rows.len() * part / 5);
        worker.kill();
        worker = line.run();
    }
    worker.waits_for("every row", || line.schema.rows("events") as usize == expected.rows.len());
    let ids: HashSet<String> = line.schema.texts("SELECT event_id FROM events").into_iter().flatten().collect();
    assert_eq!(ids, expected.rows);
    worker.waits_for("every message at least once", || {
        let got = line.receiver.message_ids();
        queued_ids(&line).keys().all(|id| got.contains_key(id))
    });
}

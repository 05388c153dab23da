//! Sinks that would serve nobody, by status and by state: the queue pauses, nothing is dead-lettered, and it goes on by itself when mended.

use crate::line::{Line, signed_up};

fn pauses_on(status: u16) {
    let line = Line::new();
    // Whoever followed a redirect would be served there
    line.receiver.answers(move |call| if call.path == "/elsewhere" { 204 } else { status });
    line.emit_signed_up(0..50);
    line.emitter.flush();
    let worker = line.run();
    worker.waits_for("the queue to pause", || worker.state("engagement") == "misconfigured");
    worker.waits_for("the log to say why", || worker.log().contains(&format!("HTTP {status}")));
    worker.waits_for("the warehouse, unmoved", || line.schema.rows("events") == 50);
    assert!(line.receiver.messages().is_empty(), "nothing went elsewhere");
    line.receiver.answers(|_| 204);
    worker.waits_for("all messages", || line.receiver.message_ids().len() == 50);
    worker.waits_for("its state", || worker.state("engagement") == "delivering");
    assert_eq!(worker.count("analytica_deliveries_total", &[("consumer", "engagement"), ("result", "dead")]), 0);
    assert!(line.receiver.message_ids().values().all(|&times| times == 1));
    assert_eq!(worker.stop(), 0);
    assert!(line.dead("engagement").is_empty());
}

#[test]
fn a_redirect_is_not_followed_and_pauses() {
    pauses_on(307);
    pauses_on(302);
}

#[test]
fn a_method_that_is_not_allowed_pauses() {
    pauses_on(405);
}

#[test]
fn a_proxy_that_wants_to_know_us_pauses() {
    pauses_on(407);
}

#[test]
fn a_missing_table_that_nobody_may_make_pauses_until_it_is_there() {
    let line = Line::new();
    line.edit("consumers/warehouse.yaml", "migrate: additive", "migrate: none");
    line.emit_signed_up(0..50);
    line.emit(&signed_up("last", "u"));
    line.emitter.flush();
    let worker = line.run();
    worker.waits_for("the queue to pause", || worker.state("warehouse") == "misconfigured");
    worker.waits_for("the log to name the table", || worker.log().contains("events") && worker.log().contains("does not exist"));
    worker.waits_for("the others, unmoved", || line.receiver.message_ids().len() == 51);
    line.schema.run("CREATE TABLE events (event_id text PRIMARY KEY, user_id text, plan text, amount numeric(18,2), at timestamptz)");
    worker.waits_for("every row", || line.schema.rows("events") == 51);
    worker.waits_for("its state", || worker.state("warehouse") == "delivering");
    assert_eq!(worker.count("analytica_deliveries_total", &[("consumer", "warehouse"), ("result", "dead")]), 0);
    assert_eq!(worker.stop(), 0);
    assert!(line.dead("warehouse").is_empty());
}

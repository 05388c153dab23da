//! Kafka goes away and comes back.

use std::collections::HashSet;
use std::time::Duration;

use crate::broker::Broker;
use crate::line::Line;

#[test]
fn kafka_is_killed_and_comes_back_and_nothing_is_lost() {
    let broker = Broker::start();
    let line = Line::on(&broker.address);
    let worker = line.run();
    line.emit_signed_up(0..1000);
    worker.waits_for("a part", || line.schema.rows("events") > 100);
    broker.kill();
    // They wait at their emitter, as the worker's own outputs do at the worker
    line.emit_signed_up(1000..1500);
    worker.waits_for("the log to say it", || worker.log().contains("Kafka cannot be reached"));
    // Long enough for whatever would be said every second
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(worker.get("/healthz").0, 200, "a restart would not bring Kafka back");
    assert_eq!(worker.get("/readyz").0, 200, "what it has is still delivered");
    let said = worker.log().lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
    assert!(said <= 8, "{said} warnings of one outage that five clients notice:\n{}", worker.log());
    broker.start_again();
    line.emitter.flush();
    worker.waits_for("every row", || line.schema.rows("events") == 1500);
    worker.waits_for("every message", || line.receiver.message_ids().len() == 1500);
    worker.waits_for("the log to say that it is over", || worker.log().contains("Kafka answers again"));
    worker.waits_for("nothing left", || {
        worker.count("analytica_queue_lag_records", &[]) == 0 && worker.count("analytica_events_lag_records", &[]) == 0
    });
    let ids: HashSet<String> = line.schema.texts("SELECT event_id FROM events").into_iter().flatten().collect();
    assert_eq!(ids, (0..1500).map(|n| format!("e{n}")).collect());
    assert_eq!(worker.count("analytica_deliveries_total", &[("result", "dead")]), 0);
    assert_eq!(worker.stop(), 0);
}

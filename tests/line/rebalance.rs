//! Workers of one prefix that come and go while events flow.

use std::collections::HashSet;

use crate::line::Line;

/// Each insert takes a fifth of a second: calls are out whenever partitions move.
const SLOW_TABLE: &str = "
    CREATE TABLE events (event_id text PRIMARY KEY, user_id text, plan text, amount numeric(18,2), at timestamptz);
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION dawdle()";

#[test]
fn one_joins_and_one_leaves_in_the_middle_of_a_load_and_every_row_is_there_once() {
    const EVENTS: usize = 4000;
    let line = Line::new();
    line.schema.run(SLOW_TABLE);
    line.edit("consumers/warehouse.yaml", "routes:", "delivery: { batch: { max_records: 20 } }\nroutes:");
    let first = line.run();
    line.emit_signed_up(0..EVENTS);
    line.emitter.flush();
    first.waits_for("a part", || line.schema.rows("events") > 200);

    let second = line.run();
    let delivered = || second.count("analytica_deliveries_total", &[("consumer", "warehouse")]);
    second.waits_for("its share", || delivered() > 0);
    let rows = line.schema.rows("events") as usize;
    assert!(rows < EVENTS, "all was over before anything moved");
    assert_eq!(first.stop(), 0, "it leaves with calls out, and ends well");
    line.emit_signed_up(EVENTS..EVENTS + 100);
    line.emitter.flush();
    second.waits_for("every row", || line.schema.rows("events") as usize == EVENTS + 100);
    second.waits_for("every message", || line.receiver.message_ids().len() == EVENTS + 100);
    let ids: HashSet<String> = line.schema.texts("SELECT event_id FROM events").into_iter().flatten().collect();
    assert_eq!(ids, (0..EVENTS + 100).map(|n| format!("e{n}")).collect());
    second.waits_for("nothing left", || second.count("analytica_queue_lag_records", &[]) == 0);
    assert_eq!(second.stop(), 0);
    assert!(line.dead("warehouse").is_empty() && line.dead("engagement").is_empty());
}

//! Configs change while events flow: nothing is lost, doubled or rendered half by one set and half by another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::kafka::Emitter;
use crate::line::{Line, signed_up};

/// Emits events at about 500 a second until it is dropped.
struct Flow {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flow {
    fn start(line: &Line) -> Flow {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ended, count, topic) = (Arc::clone(&stop), Arc::clone(&sent), line.events.clone());
        let emitter = Emitter::new(&line.brokers);
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let n = count.load(Ordering::SeqCst);
                let user = format!("u{}", n % 50);
                emitter.send(&topic, Some(&user), signed_up(&format!("e{n}"), &user).to_string().as_bytes());
                count.store(n + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            emitter.flush();
        });
        Flow { stop, sent, thread: Some(thread) }
    }

    fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().expect("running").join().expect("emitter");
        self.sent.load(Ordering::SeqCst)
    }
}

#[test]
fn an_edited_template_changes_the_next_payloads_and_a_broken_one_is_refused_while_events_flow() {
    let line = Line::new();
    let worker = line.run();
    let flow = Flow::start(&line);
    worker.waits_for("a first message", || !line.receiver.messages().is_empty());
    line.edit("transforms/track.json.j2", r#""mark": "one""#, r#""mark": "two""#);
    let marked = |mark: &str| line.receiver.messages().iter().any(|message| message["properties"]["mark"] == mark);
    worker.waits_for("the edited payload", || marked("two"));
    line.edit("transforms/track.json.j2", "{{ event.event }}", "{{ event.event | uper }}");
    worker.waits_for("the refusal in the log", || worker.log().contains("uper"));
    assert_eq!(worker.count("analytica_config_reloads_total", &[("result", "refused")]), 1);
    let before = line.receiver.messages().len();
    worker.waits_for("events to flow on", || line.receiver.messages().len() > before + 100);
    let sent = flow.end();
    worker.waits_for("every message", || line.receiver.message_ids().len() as u64 == sent);
    worker.waits_for("every row", || line.schema.rows("events") as u64 == sent);
    assert!(line.receiver.message_ids().values().all(|&times| times == 1));
    for message in line.receiver.messages() {
        let mark = &message["properties"]["mark"];
        assert!(mark == "one" || mark == "two", "half old, half new: {message}");
    }
    assert_eq!(worker.log().matches("is refused").count(), 1, "a broken set is reported once");
    assert_eq!(worker.stop(), 0);
    assert!(line.dead("engagement").is_empty());
}

#[test]
fn a_consumer_added_while_running_gets_its_events_and_one_removed_gets_no_more() {
    let line = Line::new();
    let worker = line.run();
    let flow = Flow::start(&line);
    worker.waits_for("rows", || line.schema.rows("events") > 50);
    line.file(
        "consumers/copy.yaml",
        "version: 1\nsink: { type: warehouse, url: \"${WAREHOUSE_URL}\" }\nroutes:\n  - name: all\n    events: [signed_up]\n    table: { name: copies, key: [id] }\n    columns: { id: event.messageId }\n",
    );
    worker.waits_for("the new consumer's rows", || line.schema.rows("copies") > 50);
    line.remove("consumers/copy.yaml");
    worker.waits_for("the new set", || worker.count("analytica_config_reloads_total", &[("result", "applied")]) == 3);
    worker.waits_for("its queue to be drained", || worker.log().contains("delivery stopped"));
    let copies = line.schema.rows("copies");
    let rows = line.schema.rows("events");
    worker.waits_for("the others to go on", || line.schema.rows("events") > rows + 50);
    assert_eq!(line.schema.rows("copies"), copies);
    let sent = flow.end();
    worker.waits_for("every row", || line.schema.rows("events") as u64 == sent);
    assert_eq!(line.queue("copy").len() as i64, copies, "all that was queued was delivered");
}

#[test]
fn a_schema_that_changes_rejects_the_next_events_by_the_new_rules() {
    let line = Line::new();
    let worker = line.run();
    line.emit(&signed_up("a", "u"));
    line.emitter.flush();
    worker.waits_for("its row", || line.schema.rows("events") == 1);
    line.edit("schemas/signed_up/1.json", r#""required":["plan"]"#, r#""required":["plan","coupon"]"#);
    worker.waits_for("the new set", || worker.count("analytica_config_reloads_total", &[("result", "applied")]) == 2);
    line.emit(&signed_up("b", "u"));
    line.emitter.flush();
    worker.waits_for("the rejection", || worker.count("analytica_events_rejected_total", &[("reason", "schema_violation")]) == 1);
}

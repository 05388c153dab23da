//! SIGTERM when something does not let go: a sink that hangs or is down, a Kafka that hangs.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::line::Line;
use crate::worker::Worker;

/// What a loaded machine may add to anything.
const SLACK: Duration = Duration::from_secs(10);

/// Takes connections and says nothing.
struct Silence {
    address: String,
    taken: Arc<Mutex<Vec<TcpStream>>>,
}

impl Silence {
    fn start() -> Silence {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, taken) = (listener.local_addr().expect("an address").to_string(), Arc::new(Mutex::new(Vec::new())));
        let kept = Arc::clone(&taken);
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| kept.lock().unwrap().push(stream)));
        Silence { address, taken }
    }

    fn was_called(&self) -> bool {
        !self.taken.lock().unwrap().is_empty()
    }
}

/// SIGTERM; the exit code and how long it took.
fn terminate(mut worker: Worker) -> (i32, Duration) {
    let began = Instant::now();
    worker.signal("-TERM");
    (worker.wait(), began.elapsed())
}

#[test]
fn a_second_sigterm_while_a_stuck_sink_is_drained_stops_at_once() {
    let line = Line::new();
    let silence = Silence::start();
    line.edit("consumers/engagement.yaml", "${DITTOFEED_URL}", &format!("http://{}", silence.address));
    line.edit("consumers/engagement.yaml", "timeout: 2s", "timeout: 2m");
    line.emit_signed_up(0..10);
    line.emitter.flush();
    let mut worker = line.run_with(&["--drain", "100"]).ready();
    worker.waits_for("the call", || silence.was_called());
    worker.waits_for("the warehouse's rows", || line.schema.rows("events") == 10);
    worker.signal("-TERM");
    worker.waits_for("the drain", || worker.log().contains("draining"));
    std::thread::sleep(Duration::from_secs(1));
    assert!(worker.runs(), "it drains as long as it may: {}", worker.log());
    let (code, took) = terminate(worker);
    assert_eq!(code, 143);
    assert!(took < SLACK, "{took:?}");
}

#[test]
fn one_sigterm_with_a_sink_that_is_down_ends_within_the_drain() {
    let line = Line::new();
    line.receiver.answers(|_| 503);
    line.emit_signed_up(0..50);
    line.emitter.flush();
    let worker = line.run_with(&["--drain", "3"]).ready();
    worker.waits_for("refused calls", || line.receiver.refused() > 2);
    worker.waits_for("the warehouse's rows", || line.schema.rows("events") == 50);
    let (code, took) = terminate(worker);
    assert_eq!(code, 0);
    assert!((Duration::from_secs(2)..Duration::from_secs(3) + SLACK).contains(&took), "{took:?}");
    line.receiver.answers(|_| 204);
    let worker = line.run();
    worker.waits_for("what was left", || line.receiver.message_ids().len() == 50);
}

#[test]
fn sigterm_is_heard_while_kafka_is_asked_for_its_topics() {
    let line = Line::new();
    let silence = Silence::start();
    line.edit("analytica.yaml", "${KAFKA_BROKERS}", &silence.address);
    let worker = line.run_with(&[]);
    worker.waits_for("the question", || silence.was_called());
    let (code, took) = terminate(worker);
    assert_eq!(code, 0);
    assert!(took < SLACK, "{took:?}");
}

#[test]
fn a_kafka_that_hangs_does_not_hold_a_stopping_worker() {
    let broker = Broker::start();
    let line = Line::on(&broker.address);
    line.emit_signed_up(0..50);
    line.emitter.flush();
    let worker = line.run_with(&["--drain", "3"]).ready();
    worker.waits_for("every row", || line.schema.rows("events") == 50);
    line.emit_signed_up(50..100);
    worker.waits_for("a row whose offset is hardly committed", || line.schema.rows("events") > 50);
    broker.hang();
    let (code, took) = terminate(worker);
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(3) + SLACK, "{took:?}");
}

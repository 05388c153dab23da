//! A config root of its own, topics of its own and a database schema of its own for one test, and the worker that runs on them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kafka::{self, Emitter, Stored};
use crate::postgres::Schema;
use crate::receiver::Receiver;
use crate::worker::Worker;

/// One event of the small root: `signed_up`, with an id and a user.
pub fn signed_up(id: &str, user: &str) -> Value {
    json!({
        "type": "track", "event": "signed_up", "messageId": id, "userId": user, "timestamp": "2026-03-01T10:00:00Z",
        "properties": { "plan": "gold", "amount": 12.5 }
    })
}

/// All that one test needs.
pub struct Line {
    pub root: TempDir,
    pub brokers: String,
    pub events: String,
    pub prefix: String,
    pub schema: Schema,
    pub receiver: Receiver,
    pub emitter: Emitter,
    environment: BTreeMap<String, String>,
}

impl Line {
    /// A small root: one event, consumers `warehouse` (PostgreSQL) and `engagement` (HTTP).
    pub fn new() -> Line {
        Line::on(&kafka::brokers())
    }

    /// The same on other brokers than those that all tests share.
    pub fn on(brokers: &str) -> Line {
        let line = Line::bare(brokers);
        line.file(
            "schemas/signed_up/1.json",
            &json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "required": ["messageId", "event", "timestamp", "properties"],
                "properties": {
                    "messageId": { "type": "string" },
                    "timestamp": { "type": "string", "format": "date-time" },
                    "properties": {
                        "type": "object",
                        "required": ["plan"],
                        "properties": { "plan": { "type": "string" }, "amount": { "type": "number" }, "items": { "type": "array" }, "note": {} }
                    }
                }
            })
            .to_string(),
        );
        line.file("transforms/track.json.j2", TRACK);
        line.file("consumers/warehouse.yaml", WAREHOUSE);
        line.file("consumers/engagement.yaml", ENGAGEMENT);
        line
    }

    /// The project's own root, on topics of this test's own.
    pub fn starter() -> Line {
        let line = Line::bare(&kafka::brokers());
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["schemas", "transforms", "consumers"] {
            copy(&project.join(part), &line.root.path().join(part));
        }
        line.file(
            "sources.yaml",
            &format!(
                "version: 1\nsources:\n  web: {{ topics: [{0}], envelope: segment }}\n  loan:\n    topics: [{0}.loan]\n    envelope: {{ name: /activity, id: /eventId, user: /vars/user, time: /ts, version: /v }}\n",
                line.events
            ),
        );
        kafka::create_topic(&line.brokers, &format!("{}.loan", line.events), 6);
        line
    }

    fn bare(brokers: &str) -> Line {
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let (events, prefix) = (format!("{name}.events"), format!("{name}.owned"));
        kafka::create_topic(brokers, &events, 6);
        let root = tempfile::tempdir().expect("temp dir");
        let schema = Schema::new(&name);
        let receiver = Receiver::start();
        let environment = BTreeMap::from([
            ("WAREHOUSE_URL".to_owned(), schema.url.clone()),
            ("DITTOFEED_URL".to_owned(), receiver.url()),
            ("DITTOFEED_WRITE_KEY".to_owned(), "test:key".to_owned()),
            ("KAFKA_BROKERS".to_owned(), brokers.to_owned()),
        ]);
        let (brokers, emitter) = (brokers.to_owned(), Emitter::new(brokers));
        let line = Line { root, brokers, events, prefix, schema, receiver, emitter, environment };
        line.file(
            "analytica.yaml",
            &format!("version: 1\nkafka: {{ brokers: [\"${{KAFKA_BROKERS}}\"], prefix: {} }}\nconfig: {{ from: files }}\n", line.prefix),
        );
        line.file("sources.yaml", &format!("version: 1\nsources:\n  web: {{ topics: [{}], envelope: segment }}\n", line.events));
        line
    }

    pub fn file(&self, path: &str, content: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        let beside = path.with_extension("tmp~");
        std::fs::write(&beside, content).expect("write");
        std::fs::rename(&beside, &path).expect("rename");
    }

    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.root.path().join(path)).expect("read");
        assert!(text.contains(from), "{path} has no {from:?}");
        self.file(path, &text.replace(from, to));
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.root.path().join(path)).expect("remove");
    }

    pub fn emit(&self, event: &Value) {
        let key = event["userId"].as_str().or(event["anonymousId"].as_str());
        self.emitter.send(&self.events, key, event.to_string().as_bytes());
    }

    /// Events `e<n>` of a few users.
    pub fn emit_signed_up(&self, numbers: std::ops::Range<usize>) {
        numbers.for_each(|n| self.emit(&signed_up(&format!("e{n}"), &format!("u{}", n % 20))));
    }

    pub fn emit_raw(&self, value: &[u8]) {
        self.emitter.send(&self.events, None, value);
    }

    pub fn run(&self) -> Worker {
        self.run_with(&[]).ready()
    }

    pub fn run_with(&self, arguments: &[&str]) -> Worker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_analytica"));
        command.arg("--root").arg(self.root.path()).arg("run").args(["--admin", "127.0.0.1:0", "--log-format", "json"]).args(arguments);
        command.envs(&self.environment).env("RUST_BACKTRACE", "1");
        Worker::start(command)
    }

    pub fn rejected(&self) -> Vec<Stored> {
        kafka::read_all(&self.brokers, &format!("{}.dev.rejected", self.prefix))
    }

    pub fn dead(&self, consumer: &str) -> Vec<Stored> {
        kafka::read_all(&self.brokers, &format!("{}.dev.dead.{consumer}", self.prefix))
    }

    pub fn queue(&self, consumer: &str) -> Vec<Stored> {
        kafka::read_all(&self.brokers, &format!("{}.dev.queue.{consumer}", self.prefix))
    }
}

const TRACK: &str = r#"{
  "type": "track", "messageId": {{ delivery_id }}, "userId": {{ event.userId }}, "event": {{ event.event }},
  "properties": { "eventId": {{ event.messageId }}, "plan": {{ event.properties.plan }}, "mark": "one" }
}
"#;

const WAREHOUSE: &str = r#"version: 1
sink: { type: warehouse, url: "${WAREHOUSE_URL}", migrate: additive }
routes:
  - name: events
    events: ["*"]
    table: { name: events, key: [event_id], on_conflict: ignore }
    columns:
      event_id: { expr: event.messageId, required: true }
      user_id: event.userId
      plan: event.properties.plan
      amount: { expr: event.properties.amount, type: "numeric(18,2)" }
      at: event.timestamp
"#;

const ENGAGEMENT: &str = r#"version: 1
sink: { type: http, base_url: "${DITTOFEED_URL}", auth: { basic: "${secret:DITTOFEED_WRITE_KEY}" } }
routes:
  - name: track
    events: ["*"]
    when: event.userId
    transform: track.json.j2
    request: { path: /api/public/apps/batch, body: batch }
delivery:
  batch: { max_records: 20 }
  retry: { initial: 50ms, max: 500ms }
  timeout: 2s
"#;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder");
    for entry in std::fs::read_dir(from).expect("read folder") {
        let entry = entry.expect("entry");
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(std::fs::copy(&path, &target).expect("copy")),
        }
    }
}

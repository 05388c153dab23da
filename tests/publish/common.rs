//! An environment of its own in the real Redis, with a root, for one test; and Redis servers of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use analytica::config::{Digest, Files, RedisSettings, Resolved};
use analytica::store::{Counts, Expected, Kind, Label, Outcome, Publication, Redis, Revision};
use serde_json::Value;
use tempfile::TempDir;

use crate::kafka;
use crate::worker::{Worker, eventually};

pub fn redis_url() -> String {
    std::env::var("REDIS_URL").expect("REDIS_URL is not set: run scripts/test.sh, which starts a Redis, or name one")
}

pub fn redis_at(url: &str, environment: &str) -> Redis {
    Redis::new(&RedisSettings { url: Resolved::new("REDIS_URL", url), refresh: Duration::from_secs(60) }, environment).expect("an address")
}

pub fn label(message: &str) -> Label {
    Label {
        kind: Kind::Apply,
        by: "ana".to_owned(),
        message: Some(message.to_owned()),
        git_commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
        dirty: false,
        forced: false,
        counts: Counts { schemas: 1, transforms: 1, consumers: 2 },
    }
}

/// All that one test needs. Its keys are removed in the end.
pub struct Place {
    pub environment: String,
    pub root: TempDir,
    pub url: String,
    pub redis: Redis,
    runtime: tokio::runtime::Runtime,
    topic: std::sync::Once,
}

impl Place {
    /// A small root, not published yet: one event, consumers `lines` and `other`.
    pub fn new() -> Place {
        Place::at(&redis_url())
    }

    pub fn at(url: &str) -> Place {
        let environment = format!("t{}", uuid::Uuid::new_v4().simple());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
        let place = Place {
            root: tempfile::tempdir().expect("temp dir"),
            url: url.to_owned(),
            redis: redis_at(url, &environment),
            environment,
            runtime,
            topic: std::sync::Once::new(),
        };
        place.file(
            "analytica.yaml",
            &format!(
                "version: 1\nkafka: {{ brokers: [\"${{KAFKA_BROKERS}}\"], prefix: {} }}\nredis: {{ url: \"${{REDIS_URL}}\", refresh: 60s }}\nconfig: {{ from: redis }}\n",
                place.environment
            ),
        );
        place.file("sources.yaml", &format!("version: 1\nsources:\n  web: {{ topics: [{}], envelope: segment }}\n", place.events()));
        place.file(&format!("environments/{}.yaml", place.environment), "version: 1\n");
        place.file("schemas/step/1.json", r#"{"type": "object"}"#);
        place.file("transforms/line.json.j2", r#"{"id": {{ event.messageId }}}"#);
        for name in ["lines", "other"] {
            place.file(&format!("consumers/{name}.yaml"), &CONSUMER.replace("NAME", name));
        }
        place
    }

    pub fn events(&self) -> String {
        format!("{}.events", self.environment)
    }

    pub fn file(&self, path: &str, content: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        std::fs::write(path, content).expect("write");
    }

    pub fn files(&self) -> Files {
        Files::read(self.root.path()).expect("a root").of_environment(&self.environment)
    }

    pub fn digest(&self) -> Digest {
        self.files().digest(&self.environment)
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Publishes what stands in the root on top of what is published.
    pub fn publish(&self, message: &str) -> Publication {
        self.publish_as(&self.files(), &label(message))
    }

    pub fn publish_as(&self, files: &Files, label: &Label) -> Publication {
        let mut redis = self.redis.clone();
        self.wait(async {
            let current = redis.current().await.expect("current");
            let stood = current.as_ref().map_or(Revision { epoch: 1, generation: 0 }, |current| current.revision);
            let next = Revision { epoch: stood.epoch, generation: stood.generation + 1 };
            match redis.publish(files, &Expected::from(current.as_ref()), next, label).await.expect("published") {
                Outcome::Published(publication) => publication,
                other => panic!("not published: {other:?}"),
            }
        })
    }

    /// The binary, in this environment and root.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_analytica"));
        command.arg("--root").arg(self.root.path()).args(["--env", &self.environment]).env("REDIS_URL", &self.url);
        command.env("GITHUB_ACTOR", "tester");
        command
    }

    pub fn analytica(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("analytica")
    }

    /// What `status` says, as JSON.
    pub fn status(&self) -> Value {
        let output = self.analytica(&["status", "--format", "json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", said(&output)))
    }

    /// A worker on the published set and the real Kafka.
    pub fn worker(&self, arguments: &[&str]) -> Worker {
        self.topic.call_once(|| kafka::create_topic(&kafka::brokers(), &self.events(), 1));
        let mut command = self.command();
        command.args(["run", "--admin", "127.0.0.1:0", "--log-format", "json"]).args(arguments).env("KAFKA_BROKERS", kafka::brokers());
        Worker::start(command)
    }

    /// Events that the small root takes.
    pub fn emit(&self, ids: &[&str]) {
        let emitter = kafka::Emitter::new(&kafka::brokers());
        for id in ids {
            let event = serde_json::json!({ "type": "track", "event": "step", "messageId": id, "userId": "u" });
            emitter.send(&self.events(), Some("u"), event.to_string().as_bytes());
        }
        emitter.flush();
    }

    /// What a consumer was delivered.
    pub fn delivered(&self, consumer: &str) -> String {
        std::fs::read_to_string(self.root.path().join(format!("var/{consumer}.ndjson"))).unwrap_or_default()
    }

    /// Runs a Redis command on one of this environment's keys.
    pub fn raw(&self, command: &str, key: &str, arguments: &[&str]) {
        let mut connection = ::redis::Client::open(self.url.as_str()).expect("client").get_connection().expect("connection");
        ::redis::cmd(command).arg(self.key(key)).arg(arguments).query::<::redis::Value>(&mut connection).expect("answer");
    }

    pub fn key(&self, name: &str) -> String {
        format!("{{analytica:{}}}:{name}", self.environment)
    }

    /// Everything that this environment has in Redis is gone.
    pub fn flush(&self) {
        let Ok(mut connection) = ::redis::Client::open(self.url.as_str()).and_then(|client| client.get_connection()) else { return };
        let keys: Vec<String> = ::redis::cmd("KEYS").arg(self.key("*")).query(&mut connection).unwrap_or_default();
        if !keys.is_empty() {
            ::redis::cmd("DEL").arg(keys).query::<()>(&mut connection).expect("deleted");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.flush();
    }
}

const CONSUMER: &str = r#"version: 1
sink: { type: file, directory: var }
routes:
  - name: all
    events: ["*"]
    transform: line.json.j2
    path: NAME.ndjson
queue: { partitions: 1 }
"#;

/// Everything that a command printed.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Files by path, for comparing.
pub fn by_path(files: &Files) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(path, bytes)| (path.to_string(), bytes.to_vec())).collect()
}

/// A Redis of a test's own, to be stopped and started.
pub struct Server {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    pub fn start() -> Server {
        // free now; nobody else is told of it before redis-server has it
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("address").port();
        let mut server = Server { folder: tempfile::tempdir().expect("temp dir"), port, child: None };
        server.start_again();
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// With the data that it had.
    pub fn start_again(&mut self) {
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &self.port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ]);
        command.arg("--dir").arg(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server"));
        let client = ::redis::Client::open(self.url()).expect("client");
        eventually("Redis to answer", || {
            let answer = client.get_connection().and_then(|mut connection| ::redis::cmd("PING").query::<String>(&mut connection));
            answer.is_ok_and(|answer| answer == "PONG")
        });
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // it may have ended by itself
            let _ = child.kill();
            child.wait().expect("redis-server ends");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether a folder has that file.
pub fn has(folder: &Path, path: &str) -> bool {
    folder.join(path).exists()
}

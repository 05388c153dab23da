//! The real binary, running.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use analytica::telemetry::Snapshot;

/// Longer than anything here takes; shorter than a person waits.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `holds` answers true; says `what` it waited for otherwise.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `analytica run` as a child process; killed when the test ends.
pub struct Worker {
    child: Child,
    admin: String,
    log: Arc<Mutex<String>>,
}

impl Worker {
    pub fn start(mut command: Command) -> Worker {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("start analytica");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().expect("stderr"));
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut log = lines.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut worker = Worker { child, admin: String::new(), log };
        let mut address = None;
        eventually("the worker's admin address in its log", || {
            assert!(worker.child.try_wait().expect("wait").is_none(), "the worker ended: {}", worker.log());
            address = worker.log().lines().find_map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).ok()?;
                find(&line, "address")
            });
            address.is_some()
        });
        worker.admin = address.unwrap_or_default();
        worker
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Status code and body of a GET on the admin server.
    pub fn get(&self, path: &str) -> (u16, String) {
        let Ok(mut stream) = TcpStream::connect(&self.admin) else { return (0, String::new()) };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin);
        let mut answer = String::new();
        if stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).is_err() {
            return (0, String::new());
        }
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    pub fn ready(self) -> Worker {
        eventually("readiness", || self.get("/readyz").0 == 200);
        self
    }

    pub fn metrics(&self) -> Snapshot {
        Snapshot::parse(&self.get("/metrics").1)
    }

    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.metrics().count(name, labels)
    }

    pub fn state(&self, consumer: &str) -> String {
        self.metrics().label_values("analytica_delivery_state", "state", &[("consumer", consumer)]).join(",")
    }

    pub fn waits_for(&self, what: &str, holds: impl FnMut() -> bool) {
        let mut holds = holds;
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for: {what}\n{}\n{}", self.get("/metrics").1, self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    /// SIGTERM, and its exit code.
    pub fn stop(mut self) -> i32 {
        self.signal("-TERM");
        self.wait()
    }

    pub fn kill(mut self) {
        self.signal("-KILL");
        self.wait();
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }

    pub fn wait(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "the worker does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the worker's log\n{}", self.log());
        }
    }
}

/// The first string of that key, at any depth: log formats nest their fields.
fn find(value: &serde_json::Value, key: &str) -> Option<String> {
    let object = value.as_object()?;
    match object.get(key).and_then(serde_json::Value::as_str) {
        Some(found) => Some(found.to_owned()),
        None => object.values().find_map(|inner| find(inner, key)),
    }
}

//! A planted secret, looked for in all that leaves the process.

use std::path::Path;

use crate::root::{Root, brokers, redis_url};
use crate::worker::{Worker, eventually};

const PLANTED: &str = "planted-b64d1f";

/// All that Redis holds of an environment, as text.
fn redis_holds(environment: &str) -> String {
    let mut connection = redis::Client::open(redis_url()).and_then(|client| client.get_connection()).unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg(format!("{{analytica:{environment}}}:*")).query(&mut connection).unwrap();
    assert!(keys.iter().any(|key| key.contains(":worker:")) && keys.iter().any(|key| key.contains(":set:")), "{keys:?}");
    let dump = |key: &String| {
        let kind: String = redis::cmd("TYPE").arg(key).query(&mut connection).unwrap();
        let all: redis::Value = match kind.as_str() {
            "hash" => redis::cmd("HGETALL").arg(key).query(&mut connection).unwrap(),
            "stream" => redis::cmd("XRANGE").arg(key).arg("-").arg("+").query(&mut connection).unwrap(),
            _ => redis::cmd("ZRANGE").arg(key).arg(0).arg(-1).query(&mut connection).unwrap(),
        };
        text(&all)
    };
    keys.iter().map(dump).collect()
}

fn text(value: &redis::Value) -> String {
    match value {
        redis::Value::Array(all) => all.iter().map(text).collect(),
        redis::Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned() + "\n",
        other => format!("{other:?}\n"),
    }
}

fn files_below(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { files_below(&path) } else { String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned() })
        .collect()
}

#[test]
fn a_resolved_secret_stays_in_the_process() {
    let root = Root::starter();
    let with_secrets = |arguments: &[&str]| {
        let mut command = root.command(arguments);
        command.env("DITTOFEED_WRITE_KEY", PLANTED).env("DITTOFEED_URL", format!("http://user:{PLANTED}@127.0.0.1:1"));
        // an address that nobody listens on, so that errors are made of it
        command.env("WAREHOUSE_URL", format!("postgres://analytica:{PLANTED}@127.0.0.1:1/db")).env("KAFKA_BROKERS", brokers());
        command
    };
    let said = |arguments: &[&str]| {
        let output = with_secrets(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let mut all = said(&["plan"]) + &said(&["apply"]) + &said(&["validate"]);
    let worker =
        Worker::start(with_secrets(&["run", "--from", "redis", "--admin", "127.0.0.1:0", "--log", "debug", "--log-format", "json"]))
            .ready();
    eventually("the warehouse to be seen as away", || said(&["status"]).contains("127.0.0.1"));
    eventually("a heartbeat and the cache", || root.path("var/cache").is_dir());
    all += &said(&["status", "--format", "json"]);
    all += &(said(&["status"]) + &said(&["history"]) + &said(&["plan", "--format", "json"]));
    all += &(redis_holds(&root.environment) + &files_below(&root.path("var")));
    all += &(worker.get("/metrics").1 + &worker.get("/readyz").1 + &worker.log());
    assert!(all.contains("${secret:DITTOFEED_WRITE_KEY}"), "what was looked through holds the definition");
    assert!(!all.contains(PLANTED), "{}", all.lines().find(|line| line.contains(PLANTED)).unwrap_or_default());
}

//! W1 from its topic to the three queues on a real broker (KAFKA_BROKERS): the orchestrator of the real binary beside a plain rdkafka copy with the same outputs.
//!
//!     KAFKA_BROKERS=127.0.0.1:9092 cargo bench --bench line -- --events 200000
//!
//! CPU is user + system time of the process, from /proc; what the broker uses is not in it.

mod copy;
mod measure;
#[path = "../w1/mod.rs"]
mod w1;

use std::process::{Command, Stdio};

use measure::{Figures, Topics};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut events = 200_000;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--events" => events = arguments.next().and_then(|n| n.parse().ok()).expect("--events N"),
            // the copy runs as a process of its own, so that its CPU time is its own
            "--copy" => return copy::run(&arguments.next().expect("--copy EVENTS"), &arguments.next().expect("--copy EVENTS PREFIX")),
            "--bench" => {}
            other => panic!("what is {other}?"),
        }
    }
    let topics = Topics::create();
    topics.fill(&w1::events(events, 1));
    println!("| who | events/s | CPU µs an event |\n| --- | --- | --- |");
    for round in 1..=3 {
        show(&format!("plain copy, round {round}"), &copied(&topics, events, round));
        show(&format!("analytica, round {round}"), &orchestrated(&topics, events, round));
    }
}

fn show(who: &str, figures: &Figures) {
    println!("| {who} | {:.0} | {:.1} |", figures.per_second, figures.cpu_micros);
}

fn copied(topics: &Topics, events: usize, round: u32) -> Figures {
    let prefix = format!("{}.c{round}", topics.prefix);
    let outputs = copy::outputs(&prefix);
    outputs.iter().for_each(|topic| measure::create(topic));
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args(["--copy", &topics.events(), &prefix]).stdout(Stdio::null());
    topics.measure(command, events, &outputs)
}

fn orchestrated(topics: &Topics, events: usize, round: u32) -> Figures {
    let prefix = format!("{}.r{round}", topics.prefix);
    let root = tempfile::tempdir().expect("temp dir");
    let settings = format!("version: 1\nkafka: {{ brokers: [\"{}\"], prefix: {prefix} }}\nconfig: {{ from: files }}\n", measure::brokers());
    for (path, text) in w1::root(&topics.events()).into_iter().chain([("analytica.yaml".to_owned(), settings)]) {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        std::fs::write(path, text).expect("write");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_analytica"));
    command.arg("--root").arg(root.path()).args(["run", "--orchestrator", "--admin", "127.0.0.1:0", "--log", "warn"]);
    let outputs: Vec<String> = ["warehouse", "engagement", "monitoring"].iter().map(|name| format!("{prefix}.dev.queue.{name}")).collect();
    // made beforehand, as the copy's are: librdkafka remembers for a while that a topic was not there, and its records would not be counted
    outputs.iter().for_each(|topic| measure::create(topic));
    topics.measure(command, events, &outputs)
}

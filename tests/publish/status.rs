//! `status`: who runs what is published, and what is not as published.

use std::collections::BTreeMap;
use std::time::Duration;

use analytica::store::{ConsumerReport, Heartbeat, Publication, Revision};
use serde_json::{Value, json};

use crate::common::{Place, said};

/// A worker that delivers both consumers well.
fn worker(id: &str, publication: &Publication) -> Heartbeat {
    let well = ConsumerReport { state: "delivering".to_owned(), why: None, lag: 5 };
    Heartbeat {
        id: id.to_owned(),
        host: id.to_owned(),
        process: 7,
        roles: vec!["orchestrator".to_owned(), "delivery".to_owned()],
        epoch: publication.revision.epoch,
        generation: publication.revision.generation,
        digest: publication.digest.0.to_string(),
        since: Some(jiff::Timestamp::now()),
        state: "running".to_owned(),
        source: "current".to_owned(),
        consumers: BTreeMap::from([("lines".to_owned(), well.clone()), ("other".to_owned(), well)]),
        ..Heartbeat::default()
    }
}

fn beat(place: &Place, heartbeat: &Heartbeat) {
    place.wait(place.redis.clone().beat(heartbeat, Duration::from_secs(300))).expect("beats");
}

fn drifts(place: &Place) -> Vec<String> {
    let status = place.status();
    let kinds =
        status["drift"].as_array().expect("a list").iter().map(|drift| drift["kind"].as_str().expect("a kind").to_owned()).collect();
    assert_eq!(place.analytica(&["status", "--exit-code"]).status.code(), Some(if status["well"] == true { 0 } else { 3 }));
    assert_eq!(place.analytica(&["status"]).status.code(), Some(0), "without --exit-code, looking is no failure");
    kinds
}

#[test]
fn all_is_well_where_every_worker_runs_what_is_published() {
    let place = Place::new();
    let publication = place.publish("Begins");
    beat(&place, &worker("a", &publication));
    beat(&place, &worker("b", &publication));
    assert_eq!(drifts(&place), [""; 0]);
    let text = said(&place.analytica(&["status"]));
    for part in
        ["all is as published", "a:7", "b:7", publication.digest.short(), "by ana", "0123456789ab", "Begins", "orchestrator, delivery"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let status = place.status();
    assert_eq!(
        status["consumers"][0],
        json!({ "name": "lines", "state": "delivering", "why": null, "lag": 10, "workers": 2, "pause": null })
    );
    assert_eq!((&status["published"]["revision"], &status["workers"][0]["standing"]), (&json!("1"), &json!("current")));
}

#[test]
fn a_worker_behind_and_one_ahead_are_shown_with_what_to_do() {
    let place = Place::new();
    let first = place.publish("One");
    place.file("transforms/line.json.j2", r#"{"id": 1}"#);
    let second = place.publish("Two");
    beat(&place, &Heartbeat { error: Some("revision 2 does not compile here: a.j2:1:1 bad".to_owned()), ..worker("behind", &first) });
    let ahead = Publication { revision: Revision { epoch: 1, generation: 9 }, ..second.clone() };
    beat(&place, &worker("ahead", &ahead));
    beat(&place, &worker("well", &second));
    let mut found = drifts(&place);
    found.sort();
    assert_eq!(found, ["ahead", "behind"]);
    let text = said(&place.analytica(&["status"]));
    assert!(text.contains("revision 1 still runs on `behind:7`, 2 is published: revision 2 does not compile here: a.j2:1:1 bad"), "{text}");
    assert!(text.contains("revision 9 runs on `ahead:7`, ahead of 2") && text.contains("apply --recover"), "{text}");
}

#[test]
fn a_set_of_the_same_revision_and_another_digest_is_ahead_too() {
    let place = Place::new();
    let publication = place.publish("One");
    let other = Heartbeat { digest: "ab".repeat(32), ..worker("a", &publication) };
    beat(&place, &other);
    assert_eq!(drifts(&place), ["ahead"]);
}

#[test]
fn what_redis_lost_is_said_and_that_workers_have_it() {
    let place = Place::new();
    let publication = place.publish("One");
    assert_eq!(drifts(&place), ["no-worker"]);
    place.flush();
    assert_eq!(drifts(&place), ["nothing-published", "no-worker"]);
    beat(&place, &worker("a", &publication));
    assert_eq!(drifts(&place), ["lost"]);
    assert!(said(&place.analytica(&["status"])).contains("apply --recover"));
}

#[test]
fn a_pointer_that_cannot_be_read_hides_no_worker() {
    let place = Place::new();
    let publication = place.publish("One");
    beat(&place, &worker("a", &publication));
    for (command, key, arguments) in [("HSET", "current", &["format", "99"][..]), ("DEL", "current", &[]), ("SET", "current", &["rubbish"])]
    {
        place.raw(command, key, arguments);
        if command == "DEL" {
            continue;
        }
        assert_eq!(drifts(&place), ["unreadable"], "{command}");
        assert!(said(&place.analytica(&["status"])).contains("a:7"));
    }
}

#[test]
fn a_published_set_whose_files_are_gone_is_said() {
    let place = Place::new();
    let publication = place.publish("One");
    beat(&place, &worker("a", &publication));
    place.raw("DEL", &format!("set:{}", publication.digest.0), &[]);
    assert_eq!(drifts(&place), ["unreadable"]);
    assert!(said(&place.analytica(&["status"])).contains("its files are not in Redis"));
}

#[test]
fn consumers_show_the_gravest_of_their_states_and_where() {
    let place = Place::new();
    place.file("consumers/topic.yaml", TOPIC);
    let publication = place.publish("One");
    let bad = |state: &str, why: &str| ConsumerReport { state: state.to_owned(), why: Some(why.to_owned()), lag: 1 };
    let mut one = worker("a", &publication);
    one.consumers.insert("lines".to_owned(), bad("misconfigured", "401 from the sink"));
    one.consumers.remove("other");
    let mut two = worker("b", &publication);
    two.consumers.remove("other");
    beat(&place, &one);
    beat(&place, &two);
    let mut found = drifts(&place);
    found.sort();
    assert_eq!(found, ["misconfigured", "unattended"]);
    let consumers = place.status()["consumers"].clone();
    assert_eq!((&consumers[0]["state"], &consumers[0]["why"]), (&json!("misconfigured"), &json!("on 1 of 2 workers: 401 from the sink")));
    assert_eq!((&consumers[1]["state"], &consumers[1]["lag"]), (&json!("unattended"), &Value::Null));
    assert_eq!(consumers[2]["state"], json!("queue"), "others read it, and nothing is wrong with that");
}

#[test]
fn a_root_that_differs_is_drift_and_none_is_not() {
    let place = Place::new();
    let publication = place.publish("One");
    beat(&place, &worker("a", &publication));
    place.file("transforms/line.json.j2", r#"{"id": 2}"#);
    assert_eq!(drifts(&place), ["root"]);
    assert!(said(&place.analytica(&["status"])).contains(place.digest().short()));

    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_analytica"));
    command.args(["--env", &place.environment, "status", "--exit-code"]).current_dir(elsewhere.path());
    let output = command.env("ANALYTICA_REDIS_URL", &place.url).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));

    std::fs::write(elsewhere.path().join("analytica.yaml"), "version: 1\n").unwrap();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "a folder of settings alone is no root to compare: {}", said(&output));
}

#[test]
fn a_redis_that_is_away_is_an_error_without_its_password() {
    let place = Place::new();
    place.file("analytica.yaml", "version: 1\nredis: { url: \"redis://user:hunter2@127.0.0.1:1\" }\n");
    let output = place.analytica(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("127.0.0.1:1") && said(&output).contains("redis.url"), "{}", said(&output));
    place.file("analytica.yaml", "version: 1\nredis: { url: \"reedis://user:hunter2@127.0.0.1:1\" }\n");
    let wrong = place.analytica(&["status"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(!format!("{}{}", said(&output), said(&wrong)).contains("hunter2"), "{}{}", said(&output), said(&wrong));
}

#[test]
fn a_watch_looks_again_until_it_is_stopped() {
    let place = Place::new();
    let mut command = place.command();
    let mut child = command.args(["status", "--watch", "--format", "json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut next = || -> Value { serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON") };
    assert_eq!(next()["published"], Value::Null);
    place.publish("One");
    while next()["published"]["revision"] != "1" {}
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

const TOPIC: &str = "version: 1\nsink: { type: queue }\nroutes:\n  - { name: all, events: [\"*\"], transform: line.json.j2 }\n";

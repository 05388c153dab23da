//! What is wrong in one environment is found whichever was chosen, and said once.

use super::{WAREHOUSE, root};

const PRODUCTION: &str = "environments/production.yaml";

fn overlay(settings: &str) -> String {
    format!("version: 1\nconsumers:\n  a: {settings}\n")
}

#[test]
fn another_environments_queue_key_is_compiled() {
    let root = root().consumer(WAREHOUSE).file(PRODUCTION, &overlay("{ queue: { key: evnt.id } }"));
    for more in [&[][..], &["--env", "production"]] {
        let validated = root.validate(more);
        validated.fails_with("environments/production.yaml:3:22", "did you mean `event`?");
        validated.counts("1 error, no warnings");
    }
}

#[test]
fn a_disabled_consumer_is_checked_like_any_other() {
    let broken = WAREHOUSE.replace("event.messageId", "evnt.messageId");
    root().consumer(&format!("{broken}enabled: false\n")).validate(&[]).fails_with("consumers/a.yaml:7:20", "did you mean `event`?");
    let validated = root().consumer(&broken).file("environments/dev.yaml", &overlay("{ enabled: false }")).validate(&[]);
    validated.fails_with("consumers/a.yaml:7:20", "did you mean `event`?");
}

#[test]
fn what_is_wrong_everywhere_is_said_once_and_plainly() {
    let validated = root()
        .consumer(&WAREHOUSE.replace("event.messageId", "evnt.messageId"))
        .file(PRODUCTION, &overlay("{ queue: { key: event.userId } }"))
        .file("environments/staging.yaml", &overlay("{ enabled: false }"))
        .validate(&[]);
    validated.fails_with("consumers/a.yaml:7:20", "there is no `evnt` here\n");
    validated.counts("1 error, no warnings");
}

#[test]
fn a_finding_of_some_environments_says_which() {
    let key_of_others = root()
        .consumer(&format!("{WAREHOUSE}queue: {{ key: evnt.id }}\n"))
        .file(PRODUCTION, &overlay("{ queue: { key: event.userId } }"))
        .file("environments/staging.yaml", &overlay("{ delivery: { concurrency: 3 } }"))
        .validate(&[]);
    key_of_others.fails_with("consumers/a.yaml:8:15", "(only in the environments `dev` and `staging`)");
    key_of_others.counts("1 error, no warnings");

    let other_sink = root().consumer(WAREHOUSE).file(PRODUCTION, &overlay("{ sink: { type: queue } }")).validate(&[]);
    other_sink.fails_with("consumers/a.yaml:6:5", "this sink is a queue sink (only in the environment `production`)");
}

//! What `apply` and `rollback` publish, and what they refuse to.

use std::time::Duration;

use analytica::store::{Heartbeat, Kind, Revision};

use crate::root::{Root, redis};

const COMMENT: &str = "# changed\n";

fn change(root: &Root, with: &str) {
    let path = root.path("consumers/monitoring.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, format!("{text}{with}")).unwrap();
}

#[tokio::test]
async fn what_was_applied_is_published_byte_for_byte() {
    let root = Root::starter();
    let ran = root.run(&["apply", "-m", "first"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let current = root.current().await.unwrap();
    assert_eq!(current.revision, Revision { epoch: 1, generation: 1 });
    assert_eq!((current.label.kind, current.label.message.as_deref()), (Kind::Apply, Some("first")));
    let published = root.redis().set(&current.digest).await.unwrap().unwrap();
    assert!(published.iter().eq(root.files().iter()), "the same files");
}

#[tokio::test]
async fn the_same_set_makes_no_new_revision() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    let again = root.run(&["apply"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.starts_with("nothing changed: revision 1"), "{}", again.stdout);
    assert_eq!(root.redis().history(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_broken_root_publishes_nothing() {
    let root = Root::starter();
    root.file("consumers/broken.yaml", "version: 1\nsink: { type: htp }\n");
    let ran = root.run(&["apply"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("consumers/broken.yaml:2"), "{}", ran.stderr);
    assert_eq!(root.current().await, None);
}

#[tokio::test]
async fn a_rollback_is_a_new_revision_of_an_old_set() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    let first = root.current().await.unwrap();
    change(&root, COMMENT);
    assert_eq!(root.run(&["apply"]).code, 0);
    let ran = root.run(&["rollback"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let current = root.current().await.unwrap();
    assert_eq!((current.revision.generation, current.digest, current.label.kind), (3, first.digest, Kind::Rollback));
    let missing = root.run(&["rollback", "17"]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(missing.stderr.contains("there is no revision 17"), "{}", missing.stderr);
}

#[tokio::test]
async fn a_late_job_and_a_dirty_tree_are_refused_and_force_is_recorded() {
    let root = Root::starter();
    root.git(&["init", "-q", "-b", "main"]);
    let old = root.commit("old");
    change(&root, COMMENT);
    let new = root.commit("new");
    assert_eq!(root.run(&["apply"]).code, 0);
    assert_eq!(root.current().await.unwrap().label.git_commit, Some(new));

    root.git(&["checkout", "-q", &old]);
    let late = root.run(&["apply"]);
    assert_eq!(late.code, 4, "{late:?}");
    assert!(late.stderr.contains(&format!("{} is older than what revision 1", &old[..10])), "{}", late.stderr);

    root.git(&["checkout", "-q", "main"]);
    change(&root, COMMENT);
    let dirty = root.run(&["apply"]);
    assert_eq!(dirty.code, 4, "{dirty:?}");
    assert!(dirty.stderr.contains("not committed"), "{}", dirty.stderr);
    let forced = root.run(&["apply", "--force"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    let label = root.current().await.unwrap().label;
    assert!(label.forced && label.dirty, "{label:?}");
}

#[tokio::test]
async fn a_shallow_clone_is_told_to_fetch_history() {
    let root = Root::starter();
    root.git(&["init", "-q", "-b", "main"]);
    root.commit("one");
    assert_eq!(root.run(&["apply"]).code, 0);
    change(&root, COMMENT);
    root.commit("two");
    let clone = root.twin();
    std::fs::remove_dir_all(clone.path("")).unwrap();
    let from = format!("file://{}", root.path("").display());
    root.git(&["clone", "-q", "--depth", "1", &from, &clone.path("").display().to_string()]);
    let ran = clone.run(&["apply"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("git fetch --unshallow"), "{}", ran.stderr);
    clone.git(&["fetch", "-q", "--unshallow"]);
    assert_eq!(clone.run(&["apply"]).code, 0);
}

#[tokio::test]
async fn an_empty_checkout_does_not_wipe_what_runs() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    for folder in ["schemas", "consumers"] {
        std::fs::remove_dir_all(root.path(folder)).unwrap();
    }
    let ran = root.run(&["apply"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("all 3 consumers are removed") && ran.stderr.contains("--allow-destroy"), "{}", ran.stderr);
    assert_eq!(root.current().await.unwrap().revision.generation, 1);
    assert_eq!(root.run(&["apply", "--allow-destroy"]).code, 0);
}

#[tokio::test]
async fn a_consumer_whose_queue_is_empty_may_go() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply", "--topics"]).code, 0);
    std::fs::remove_file(root.path("consumers/monitoring.yaml")).unwrap();
    let ran = root.run(&["apply"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("consumers -monitoring"), "{}", ran.stdout);
}

#[tokio::test]
async fn topics_are_made_once() {
    let root = Root::starter();
    let first = root.run(&["apply", "--topics"]);
    assert_eq!(first.code, 0, "{first:?}");
    let queue = format!("analytica.{}.queue.warehouse", root.environment);
    assert!(first.stdout.contains(&format!("made topic {queue} with 6 partitions")), "{}", first.stdout);
    let again = root.run(&["apply", "--topics"]);
    assert_eq!((again.stdout.contains("made topic"), again.stderr.as_str()), (false, ""), "{again:?}");

    let settings = std::fs::read_to_string(root.path("analytica.yaml")).unwrap();
    root.file("analytica.yaml", &settings.replace("kafka: {", "kafka: { topics: { replication: 1, min_insync: 1, retention: 3d },"));
    let other = root.run(&["apply", "--topics"]);
    assert_eq!(other.code, 0, "{other:?}");
    assert!(
        other.stderr.contains(&format!("{queue} has retention.ms=604800000, 259200000 is asked for; it is left as it is")),
        "{other:?}"
    );
}

#[tokio::test]
async fn a_redis_that_went_back_is_taken_up_by_a_new_epoch() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    let ahead = Heartbeat { id: "w".to_owned(), host: "far".to_owned(), process: 7, epoch: 1, generation: 9, ..Heartbeat::default() };
    root.redis().beat(&ahead, Duration::from_secs(60)).await.unwrap();
    change(&root, COMMENT);
    let ran = root.run(&["apply"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("worker far:7 knows 9") && ran.stderr.contains("--recover"), "{}", ran.stderr);
    let ran = root.run(&["apply", "--recover"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let current = root.current().await.unwrap();
    assert_eq!((current.revision, current.label.forced), (Revision { epoch: 2, generation: 10 }, true));
}

#[tokio::test]
async fn garbage_in_redis_is_said_and_recovered_from() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    let client = redis::Client::open(crate::root::redis_url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let key = format!("{{analytica:{}}}:current", root.environment);
    let () = redis::cmd("SET").arg(&key).arg("garbage").query_async(&mut connection).await.unwrap();
    let ran = root.run(&["apply"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("not as we write it") && ran.stderr.contains("--recover") && !ran.stderr.contains("garbage"),
        "{}",
        ran.stderr
    );
    let ran = root.run(&["apply", "--recover"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(root.current().await.unwrap().revision, Revision { epoch: 2, generation: 2 });
}

#[tokio::test]
async fn another_environments_set_is_promoted_as_it_is() {
    let (staging, production) = (Root::starter(), Root::starter());
    staging.file("transforms/new.json.j2", "{}");
    assert_eq!(staging.run(&["apply"]).code, 0);
    let ran = production.run(&["apply", "--from", &staging.environment]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let current = production.current().await.unwrap();
    assert_eq!(current.label.kind, Kind::Promote);
    let files = redis(&production.environment).set(&current.digest).await.unwrap().unwrap();
    assert!(files.get("transforms/new.json.j2").is_some());
    assert!(files.get(&format!("environments/{}.yaml", production.environment)).is_some());
    assert!(files.get(&format!("environments/{}.yaml", staging.environment)).is_none());
    let nowhere = production.run(&["apply", "--from", "nowhere"]);
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.stderr.contains("nothing is published for environment nowhere"), "{}", nowhere.stderr);
}

#[tokio::test]
async fn whoever_is_behind_is_named() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    let first = root.current().await.unwrap();
    let stuck = Heartbeat {
        id: "w".to_owned(),
        host: "far".to_owned(),
        process: 7,
        epoch: 1,
        generation: 1,
        digest: first.digest.0.to_string(),
        error: Some("revision 2 does not compile here".to_owned()),
        ..Heartbeat::default()
    };
    root.redis().beat(&stuck, Duration::from_secs(60)).await.unwrap();
    change(&root, COMMENT);
    let ran = root.run(&["apply", "--wait=300ms"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.stderr.contains("far:7 runs revision 1: revision 2 does not compile here"), "{}", ran.stderr);
}

#[test]
fn a_redis_that_is_away_is_named_without_its_password() {
    let root = Root::starter();
    root.file("analytica.yaml", "version: 1\nredis: { url: \"redis://:${PASSWORD}@127.0.0.1:1\" }\n");
    let ran = crate::root::ran(root.command(&["apply"]).env("PASSWORD", "planted-secret"));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("Redis at 127.0.0.1:1") && !ran.stderr.contains("planted-secret"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_saved_plan_is_published_as_it_is_or_refused_as_stale() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    change(&root, COMMENT);
    let file = root.path("plan.json").display().to_string();
    assert_eq!(root.run(&["plan", "--out", &file]).code, 0);
    let planned = root.files().digest(&root.environment);
    change(&root, COMMENT);
    let ran = root.run(&["apply", &file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(root.current().await.unwrap().digest, planned);
    let ran = root.run(&["apply", &file]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("the plan is stale") && ran.stderr.contains("revision 2"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_dry_run_publishes_nothing() {
    let root = Root::starter();
    let ran = root.run(&["apply", "--dry-run"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("to add"), "{}", ran.stdout);
    assert_eq!(root.current().await, None);
}

#[test]
fn without_a_root_every_verb_that_needs_one_says_what_to_do() {
    let nowhere = tempfile::tempdir().unwrap();
    for verb in ["apply", "rollback", "plan", "run"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_analytica"));
        let ran = crate::root::ran(command.arg(verb).current_dir(nowhere.path()).env_remove("ANALYTICA_ROOT"));
        assert_eq!(ran.code, 2, "{verb}: {ran:?}");
        assert!(ran.stderr.contains("no analytica.yaml in") && ran.stderr.contains("hint: "), "{verb}: {ran:?}");
    }
}

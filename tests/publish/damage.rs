//! Redis lost or garbled a part of what was published: what `apply` does about it, and what a worker starts with.

use std::collections::BTreeMap;
use std::time::Duration;

use analytica::config::{RedisSettings, Resolved};
use analytica::publish::wait_for_workers;
use analytica::store::{Cache, Change, Expected, Heartbeat, Outcome, Pause, Redis, Revision, SourceState, Watch, follow};

use crate::root::{Root, block_on, redis_url};
use crate::worker::{Worker, eventually};

fn raw(command: &str, root: &Root, key: &str, arguments: &[&str]) {
    let mut connection = redis::Client::open(redis_url()).and_then(|client| client.get_connection()).unwrap();
    let key = format!("{{analytica:{}}}:{key}", root.environment);
    let _: redis::Value = redis::cmd(command).arg(key).arg(arguments).query(&mut connection).unwrap();
}

async fn next(watch: &mut Watch) -> Change {
    tokio::time::timeout(Duration::from_secs(30), watch.changed()).await.expect("a set is given")
}

async fn state(watch: &Watch, wanted: &str) -> SourceState {
    let mut situation = watch.situation();
    let seen = tokio::time::timeout(Duration::from_secs(30), situation.wait_for(|situation| situation.source.name() == wanted)).await;
    seen.unwrap_or_else(|_| panic!("waited for {wanted}")).unwrap().source.clone()
}

#[tokio::test]
async fn a_set_that_is_lost_is_put_back_by_the_same_root_and_guarded_from_another() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    let lost = root.current().await.unwrap();
    raw("DEL", &root, &format!("set:{}", lost.digest.0), &[]);
    root.file("transforms/more.json.j2", "{}");
    let other = root.run(&["apply"]);
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.stderr.contains("what revision 1 holds cannot be read") && other.stderr.contains("--allow-destroy"), "{}", other.stderr);
    std::fs::remove_file(root.path("transforms/more.json.j2")).unwrap();
    let same = root.run(&["apply"]);
    assert_eq!(same.code, 0, "{same:?}");
    let current = root.current().await.unwrap();
    assert_eq!((current.revision.generation, &current.digest), (2, &lost.digest));
    assert!(root.redis().set(&current.digest).await.unwrap().is_some());
}

#[tokio::test]
async fn garbage_anywhere_is_recovered_from() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    for key in ["log", "workers", "current"] {
        raw("DEL", &root, key, &[]);
        raw("SET", &root, key, &["garbage"]);
    }
    assert_eq!(root.run(&["apply"]).code, 1);
    let ran = root.run(&["apply", "--recover"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let current = root.current().await.unwrap();
    assert_eq!(root.redis().history(10).await.unwrap(), [current]);
}

#[tokio::test]
async fn a_worker_that_starts_with_an_older_redis_keeps_to_what_ran_last() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    let first = root.current().await.unwrap();
    root.file("transforms/more.json.j2", "{}");
    let mut ahead = first.clone();
    ahead.revision = Revision { epoch: 1, generation: 7 };
    ahead.digest = root.files().digest(&root.environment);
    let cache = Cache::new(&root.path(""), &root.environment);
    cache.keep(&root.files(), &ahead, &BTreeMap::new()).unwrap();
    let redis: Redis = root.redis();
    let mut watch = follow(&redis, Duration::from_secs(1), &cache);
    assert_eq!(next(&mut watch).await.publication.unwrap().revision.generation, 7);
    let SourceState::WentBack(why) = state(&watch, "went_back").await else { panic!("it went back") };
    assert!(why.contains("--recover"), "{why}");
    assert_eq!(root.run(&["apply", "--recover", "--allow-destroy"]).code, 0);
    assert_eq!(next(&mut watch).await.publication.unwrap().revision.epoch, 2);
    state(&watch, "current").await;
}

#[tokio::test]
async fn a_cache_behind_redis_changes_nothing() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    let first = root.current().await.unwrap();
    let cache = Cache::new(&root.path(""), &root.environment);
    cache.keep(&root.files(), &first, &BTreeMap::new()).unwrap();
    root.file("transforms/more.json.j2", "{}");
    assert_eq!(root.run(&["apply"]).code, 0);
    let mut watch = follow(&root.redis(), Duration::from_secs(1), &cache);
    assert_eq!(next(&mut watch).await.publication.unwrap().revision.generation, 2);
}

#[tokio::test]
async fn a_worker_ahead_of_a_restored_redis_does_not_count_as_one_that_runs_it() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    let published = root.current().await.unwrap();
    let worker = |source: &str| Heartbeat {
        id: "w".to_owned(),
        epoch: 1,
        generation: 9,
        digest: "ab".repeat(32),
        source: source.to_owned(),
        ..Heartbeat::default()
    };
    let mut redis = root.redis();
    for (source, runs) in [("went_back", false), ("current", true)] {
        redis.beat(&worker(source), Duration::from_secs(60)).await.unwrap();
        let waited = wait_for_workers(&mut redis, &published, Duration::ZERO).await.unwrap();
        assert_eq!(waited.is_ok(), runs, "{source}: {waited:?}");
    }
}

#[tokio::test]
async fn a_plan_of_uncommitted_changes_is_refused_too() {
    let root = Root::starter();
    root.git(&["init", "-q", "-b", "main"]);
    root.commit("one");
    assert_eq!(root.run(&["apply"]).code, 0);
    root.file("transforms/more.json.j2", "{}");
    let file = root.path("plan.json").display().to_string();
    assert_eq!(root.run(&["plan", "--out", &file]).code, 0);
    let ran = root.run(&["apply", &file]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("not committed"), "{}", ran.stderr);
    assert_eq!(root.run(&["apply", "--force", &file]).code, 0);
    assert!(root.current().await.unwrap().label.dirty);
}

#[test]
fn a_worker_that_cannot_compile_what_is_published_starts_with_what_ran_last() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply", "--topics"]).code, 0);
    let first = block_on(root.current()).unwrap();
    Cache::new(&root.path(""), &root.environment).keep(&root.files(), &first, &BTreeMap::new()).unwrap();
    root.file("consumers/broken.yaml", "version: 1\nsink: { type: from-the-future }\n");
    let second = Revision { epoch: 1, generation: 2 };
    let published = block_on(root.redis().publish(&root.files(), &Expected::from(Some(&first)), second, &first.label)).unwrap();
    assert!(matches!(published, Outcome::Published(_)), "{published:?}");
    let worker = Worker::start(root.command(&["run", "--from", "redis", "--admin", "127.0.0.1:0", "--log-format", "json"])).ready();
    assert!(worker.log().contains("this starts with the set that ran last"), "{}", worker.log());
    eventually("the worker to say why it runs an older one", || {
        let status = root.run(&["status"]).stdout;
        status.contains("revision 2 does not compile here: consumers/broken.yaml:")
    });
}

#[tokio::test]
async fn a_start_without_redis_does_not_resume_what_is_paused() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    let pause = Pause { by: "ana".to_owned(), at: jiff::Timestamp::now(), why: None, until: None };
    let paused = BTreeMap::from([("engagement".to_owned(), pause)]);
    let cache = Cache::new(&root.path(""), &root.environment);
    cache.keep(&root.files(), &root.current().await.unwrap(), &paused).unwrap();
    let url = Resolved::new("nobody", "redis://127.0.0.1:1");
    let away = Redis::new(&RedisSettings { url, refresh: Duration::from_secs(1) }, &root.environment).unwrap();
    let mut watch = follow(&away, Duration::from_secs(1), &cache);
    assert_eq!(next(&mut watch).await.publication.unwrap().revision.generation, 1);
    assert_eq!(watch.situation().borrow().paused, paused);
    // Redis knows better, once it is there
    let watch = follow(&root.redis(), Duration::from_secs(1), &cache);
    let mut situation = watch.situation();
    let resumed = tokio::time::timeout(Duration::from_secs(30), situation.wait_for(|situation| situation.paused.is_empty())).await;
    assert!(resumed.is_ok());
}

#[tokio::test]
async fn a_recovered_redis_gets_the_pauses_back_that_a_worker_knows() {
    let root = Root::starter();
    assert_eq!(root.run(&["apply"]).code, 0);
    let cache = Cache::new(&root.path(""), &root.environment);
    let mut watch = follow(&root.redis(), Duration::from_secs(1), &cache);
    next(&mut watch).await;
    assert_eq!(root.run(&["pause", "engagement", "--reason", "their maintenance"]).code, 0);
    let paused = root.redis().paused().await.unwrap();
    assert!(paused.contains_key("engagement"));
    let mut situation = watch.situation();
    situation.wait_for(|situation| situation.paused == paused).await.unwrap();
    for key in ["current", "log", "paused"] {
        raw("DEL", &root, key, &[]);
    }
    state(&watch, "empty").await;
    assert_eq!(root.run(&["apply", "--recover"]).code, 0);
    state(&watch, "current").await;
    assert_eq!(root.redis().paused().await.unwrap(), paused);
    assert_eq!(watch.situation().borrow().paused, paused);
}

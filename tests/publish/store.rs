//! The store itself: publishing is all or nothing, following gives each set once and keeps the last good one, whatever becomes of Redis.

use std::time::Duration;

use analytica::config::Files;
use analytica::store::{Cache, Change, Expected, Outcome, Pause, Publication, Redis, Revision, SourceState, Watch, follow};
use jiff::Timestamp;
use tempfile::TempDir;

use crate::common::{Place, Server, by_path, label, redis_at};
use crate::worker::PATIENCE;

/// A follower looks by itself no more often: what takes less was told to it.
const REFRESH: Duration = Duration::from_secs(60);

fn set(text: &str) -> Files {
    [("sources.yaml", text.as_bytes().to_vec()), ("transforms/a.j2", b"\r\n\xff".to_vec())].into_iter().collect()
}

/// Publishes as the very next revision; what stands is looked up.
async fn publish(redis: &mut Redis, files: &Files) -> Outcome {
    let current = redis.current().await.expect("current");
    publish_on(redis, files, current.as_ref()).await
}

async fn publish_on(redis: &mut Redis, files: &Files, current: Option<&Publication>) -> Outcome {
    let stood = current.map_or(Revision { epoch: 1, generation: 0 }, |current| current.revision);
    let next = Revision { epoch: stood.epoch, generation: stood.generation + 1 };
    redis.publish(files, &Expected::from(current), next, &label("a test")).await.expect("an answer")
}

#[test]
fn of_two_publishers_exactly_one_wins_each_round() {
    let place = Place::new();
    place.wait(async {
        let (mut one, mut two) = (place.redis.clone(), place.redis.clone());
        for round in 0..100 {
            let stood = one.current().await.expect("current");
            let sets = [set(&format!("one {round}")), set(&format!("two {round}"))];
            let (first, second) =
                tokio::join!(publish_on(&mut one, &sets[0], stood.as_ref()), publish_on(&mut two, &sets[1], stood.as_ref()));
            let (winner, loser) = match (&first, &second) {
                (Outcome::Published(winner), Outcome::Conflict(loser)) => (winner.clone(), loser.clone()),
                (Outcome::Conflict(loser), Outcome::Published(winner)) => (winner.clone(), loser.clone()),
                both => panic!("round {round}: {both:?}"),
            };
            assert_eq!(loser.map(|there| *there), Some(winner.clone()), "the loser is told what is there");
            assert_eq!(one.current().await.expect("current"), Some(winner.clone()));
            let whole = one.set(&winner.digest).await.expect("a set").expect("is there");
            let won = if matches!(first, Outcome::Published(_)) { &sets[0] } else { &sets[1] };
            assert_eq!(by_path(&whole), by_path(won));
        }
        assert_eq!(one.history(1_000).await.expect("history").len(), 100);
    });
}

#[test]
fn publishing_needs_the_epoch_generation_and_digest_that_were_seen() {
    let place = Place::new();
    place.wait(async {
        let mut redis = place.redis.clone();
        let Outcome::Published(first) = publish(&mut redis, &set("one")).await else { panic!("not published") };
        let other = set("other").digest(&place.environment);
        let stale = [
            Expected::Nothing,
            Expected::Published(Revision { epoch: 2, generation: 1 }, first.digest.clone()),
            Expected::Published(Revision { epoch: 1, generation: 2 }, first.digest.clone()),
            Expected::Published(first.revision, other),
        ];
        for expected in stale {
            let outcome =
                redis.publish(&set("two"), &expected, Revision { epoch: 3, generation: 9 }, &label("stale")).await.expect("an answer");
            assert_eq!(outcome, Outcome::Conflict(Some(Box::new(first.clone()))), "{expected:?}");
        }
        assert_eq!(redis.current().await.expect("current"), Some(first));
    });
}

#[test]
fn a_superseded_set_stays_for_its_time_and_for_good_when_it_is_published_again() {
    let place = Place::new();
    place.wait(async {
        let mut redis = place.redis.clone();
        let Outcome::Published(first) = publish(&mut redis, &set("one")).await else { panic!("not published") };
        let Outcome::Published(second) = publish(&mut redis, &set("two")).await else { panic!("not published") };
        assert!(ttl(&place, &second) < 0 && ttl(&place, &first) > 29 * 86_400, "what is published stays, what it supersedes for 30 days");
        let files = redis.set(&first.digest).await.expect("a set").expect("it is kept");
        let again = Revision { epoch: 1, generation: 3 };
        // it expires in the very moment in which it is published again
        place.raw("DEL", &format!("set:{}", first.digest.0), &[]);
        let outcome = redis.publish(&files, &Expected::from(Some(&second)), again, &label("back")).await.expect("an answer");
        let Outcome::Published(third) = outcome else { panic!("not published") };
        assert_eq!(third.digest, first.digest);
        assert!(ttl(&place, &third) < 0 && ttl(&place, &second) > 29 * 86_400);
        assert!(redis.set(&third.digest).await.expect("a set").is_some());
    });
}

/// Seconds that a set stays; below 0 for ever.
fn ttl(place: &Place, publication: &Publication) -> i64 {
    let mut connection = redis::Client::open(place.url.as_str()).unwrap().get_connection().unwrap();
    redis::cmd("TTL").arg(place.key(&format!("set:{}", publication.digest.0))).query(&mut connection).unwrap()
}

/// Runs the publishing script on an upload of our own making: its fields, and a manifest.
fn script_on(place: &Place, manifest: &str, fields: &[(&str, &str)]) -> String {
    let mut connection = redis::Client::open(place.url.as_str()).unwrap().get_connection().unwrap();
    let (staging, set) = (place.key("staging:test"), place.key("set:test"));
    redis::cmd("DEL").arg(&staging).query::<()>(&mut connection).unwrap();
    redis::cmd("HSET").arg(&staging).arg("manifest").arg(manifest).arg(fields).query::<()>(&mut connection).unwrap();
    let mut question = redis::cmd("EVAL");
    question.arg(include_str!("../../src/store/redis/publish.lua")).arg(5);
    question.arg(place.key("current")).arg(place.key("log")).arg(&set).arg(&staging).arg(&set);
    question.arg(&["0", "0", "", "1", "1", "test", "60", "format", "1"]).query(&mut connection).unwrap()
}

#[test]
fn an_upload_that_is_cut_or_altered_is_never_put_in_place() {
    let place = Place::new();
    // SHA-1 of "x" and of "y"
    let (x, y) = ("11f6ad8ec52a2984abaafd7c3b516503785c2072", "95cb0bfd2977c761298d9624e4b4d4c72a39974a");
    let manifest = format!("{x} a/x\n{y} y\n");
    for (fields, why) in [
        (&[("a/x", "x")][..], "a file is missing"),
        (&[("a/x", "x"), ("y", "z")], "a file is another"),
        (&[("a/x", "x"), ("y", "y"), ("z", "z")], "a file is too many"),
    ] {
        assert_eq!(script_on(&place, &manifest, fields), "broken", "{why}");
        assert_eq!(place.wait(place.redis.clone().current()).unwrap(), None, "{why}");
    }
    assert_eq!(script_on(&place, &manifest, &[("a/x", "x"), ("y", "y")]), "published");
}

#[test]
fn an_upload_of_many_megabytes_and_files_arrives_whole_and_leaves_nothing_behind() {
    let place = Place::new();
    let mut files: Vec<(String, Vec<u8>)> = (0..12_000).map(|n| (format!("transforms/{n}.j2"), format!("{n}").into_bytes())).collect();
    files.push(("transforms/large.j2".to_owned(), vec![b'x'; 3 << 20]));
    files.push(("sources.yaml".to_owned(), b"a".to_vec()));
    let files: Files = files.into_iter().collect();
    place.wait(async {
        let mut redis = place.redis.clone();
        let Outcome::Published(publication) = publish(&mut redis, &files).await else { panic!("not published") };
        assert_eq!(by_path(&redis.set(&publication.digest).await.expect("a set").expect("is there")), by_path(&files));
        assert_eq!(publish_on(&mut redis, &set("late"), None).await, Outcome::Conflict(Some(Box::new(publication))));
    });
    let mut connection = redis::Client::open(place.url.as_str()).unwrap().get_connection().unwrap();
    let staged: Vec<String> = redis::cmd("KEYS").arg(place.key("staging:*")).query(&mut connection).unwrap();
    assert!(staged.is_empty(), "{staged:?}");
}

#[test]
fn a_set_that_was_altered_in_redis_is_not_given() {
    let place = Place::new();
    let publication = place.publish("One");
    place.raw("HSET", &format!("set:{}", publication.digest.0), &["sources.yaml", "other"]);
    let read = place.wait(place.redis.clone().set(&publication.digest));
    assert!(read.is_err_and(|error| error.to_string().contains("digest")));
}

/// Somebody who follows, with a cache of their own.
struct Follower {
    watch: Watch,
    _folder: TempDir,
}

fn follower(redis: &Redis, refresh: Duration) -> Follower {
    let folder = tempfile::tempdir().unwrap();
    Follower { watch: follow(redis, refresh, &Cache::new(folder.path(), "test")), _folder: folder }
}

impl Follower {
    async fn next(&mut self) -> Change {
        tokio::time::timeout(PATIENCE, self.watch.changed()).await.expect("a set in time")
    }

    /// Waits for a state of the source.
    async fn state(&mut self, name: &str) -> SourceState {
        let mut situation = self.watch.situation();
        let reached = tokio::time::timeout(PATIENCE, situation.wait_for(|situation| situation.source.name() == name)).await;
        reached.unwrap_or_else(|_| panic!("never {name}")).expect("followed").source.clone()
    }

    /// Waits until exactly these are paused.
    async fn paused(&mut self, names: &[&str]) {
        let mut situation = self.watch.situation();
        let reached = situation.wait_for(|situation| situation.paused.keys().eq(names.iter()));
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("never {names:?}")).expect("followed");
    }

    /// Nothing more comes for a while in which many looks are taken.
    async fn quiet(&mut self) {
        let more = tokio::time::timeout(Duration::from_millis(700), self.watch.changed()).await;
        assert!(more.is_err(), "{:?}", more.map(|change| change.publication));
    }
}

#[test]
fn a_follower_is_told_of_each_publication_once() {
    let place = Place::new();
    place.wait(async {
        let mut redis = place.redis.clone();
        let mut follower = follower(&redis, REFRESH);
        follower.state("empty").await;
        for round in 1..=10 {
            let files = set(&format!("{round}"));
            let Outcome::Published(publication) = publish(&mut redis, &files).await else { panic!("not published") };
            let began = std::time::Instant::now();
            let change = follower.next().await;
            assert!(began.elapsed() < REFRESH / 3, "round {round}: {:?}", began.elapsed());
            assert_eq!(change.publication, Some(publication));
            assert_eq!(by_path(&change.files), by_path(&files));
        }
        follower.quiet().await;
    });
}

#[test]
fn a_publication_that_nobody_is_told_of_is_found_by_looking() {
    let place = Place::new();
    place.wait(async {
        let mut redis = place.redis.clone();
        let Outcome::Published(first) = publish(&mut redis, &set("one")).await else { panic!("not published") };
        let mut follower = follower(&redis, Duration::from_millis(200));
        assert_eq!(follower.next().await.publication, Some(first.clone()));
        let Outcome::Published(_) = publish(&mut redis, &set("two")).await else { panic!("not published") };
        assert_eq!(follower.next().await.publication.unwrap().revision.generation, 2);
        // without a word on the log
        place.raw("HSET", "current", &["generation", "3", "digest", &first.digest.0]);
        assert_eq!(follower.next().await.publication.unwrap().revision.generation, 3);
    });
}

/// What was done to Redis, in which state that leaves a follower, and what it says.
type Damage = (&'static str, &'static str, &'static str, fn(&Place, &Publication));

const DAMAGES: &[Damage] = &[
    ("the pointer is gone", "empty", "analytica apply", |place, _| place.raw("DEL", "current", &[])),
    ("everything is gone", "empty", "analytica apply", |place, _| place.flush()),
    ("the pointer is text", "corrupt", "current", |place, _| {
        place.raw("DEL", "current", &[]);
        place.raw("SET", "current", &["rubbish"]);
    }),
    ("a field of the pointer is missing", "corrupt", "digest", |place, _| place.raw("HDEL", "current", &["digest"])),
    ("a field of the pointer is no number", "corrupt", "generation", |place, _| place.raw("HSET", "current", &["generation", "x"])),
    ("a new digest without its set", "corrupt", "not there", |place, _| {
        place.raw("HSET", "current", &["generation", "9", "digest", &"ab".repeat(32)]);
    }),
    ("a set that was altered", "corrupt", "digest", |place, _| {
        place.raw("HSET", &format!("set:{}", "ab".repeat(32)), &["manifest", "", "sources.yaml", "evil"]);
        place.raw("HSET", "current", &["generation", "9", "digest", &"ab".repeat(32)]);
    }),
    ("a newer version of analytica", "future", "newer", |place, _| place.raw("HSET", "current", &["generation", "9", "format", "99"])),
    ("an older copy", "went_back", "--recover", |place, _| place.raw("HSET", "current", &["generation", "1"])),
    ("the same revision of another set", "went_back", "--recover", |place, _| place.raw("HSET", "current", &["digest", &"cd".repeat(32)])),
];

#[test]
fn whatever_becomes_of_redis_the_last_good_set_stays_and_the_next_one_is_taken() {
    for (damage, name, says, make) in DAMAGES {
        let place = Place::new();
        place.wait(async {
            let mut redis = place.redis.clone();
            publish(&mut redis, &set("one")).await;
            let Outcome::Published(second) = publish(&mut redis, &set("two")).await else { panic!("not published") };
            let mut follower = follower(&redis, Duration::from_millis(100));
            assert_eq!(follower.next().await.publication, Some(second.clone()));
            make(&place, &second);
            let state = follower.state(name).await;
            assert!(state.why().is_some_and(|why| why.contains(says)), "{damage}: {state:?}");
            let mut situation = follower.watch.situation();
            situation.mark_unchanged();
            follower.quiet().await;
            assert!(!situation.has_changed().unwrap(), "{damage}: said more than once");
            // as `apply --recover` does
            let recovered = Revision { epoch: 2, generation: 1 };
            place.raw("DEL", "current", &[]);
            let outcome = redis.publish(&set("mended"), &Expected::Nothing, recovered, &label("recovered")).await.expect("an answer");
            assert!(matches!(outcome, Outcome::Published(_)), "{damage}: {outcome:?}");
            assert_eq!(follower.next().await.publication.unwrap().revision, recovered, "{damage}");
            follower.state("current").await;
        });
    }
}

#[test]
fn a_pause_outlives_lost_data_and_ends_at_its_time() {
    let place = Place::new();
    place.wait(async {
        let mut redis = place.redis.clone();
        publish(&mut redis, &set("one")).await;
        let mut follower = follower(&redis, Duration::from_millis(200));
        follower.next().await;
        let pause = |until| Pause { by: "ana".to_owned(), at: Timestamp::now(), why: None, until };
        redis.pause("forever", &pause(None)).await.expect("paused");
        redis.pause("briefly", &pause(Some(Timestamp::now() + Duration::from_secs(10)))).await.expect("paused");
        follower.paused(&["briefly", "forever"]).await;
        place.flush();
        follower.state("empty").await;
        follower.paused(&["forever"]).await;
        redis.pause("later", &pause(None)).await.expect("paused");
        follower.paused(&["forever", "later"]).await;
    });
}

#[test]
fn a_redis_that_stops_and_starts_again_is_followed_on() {
    let mut server = Server::start();
    let place = Place::at(&server.url());
    place.wait(async {
        let mut redis = redis_at(&server.url(), &place.environment);
        let mut follower = follower(&redis, REFRESH);
        publish(&mut redis, &set("one")).await;
        follower.next().await;
        let pause =
            Pause { by: "ana".to_owned(), at: Timestamp::now(), why: None, until: Some(Timestamp::now() + Duration::from_secs(10)) };
        redis.pause("crm", &pause).await.expect("paused");
        follower.paused(&["crm"]).await;
        server.stop();
        let SourceState::Unreachable(why) = follower.state("unreachable").await else { panic!("another state") };
        assert!(why.contains("127.0.0.1"), "{why}");
        follower.paused(&[]).await;
        follower.quiet().await;
        server.start_again();
        follower.state("current").await;
        follower.quiet().await;
        // the connection that broke is made anew by the question after it
        let _ = redis.current().await;
        let Outcome::Published(second) = publish(&mut redis, &set("two")).await else { panic!("not published") };
        assert_eq!(follower.next().await.publication, Some(second));
    });
}

#[test]
fn a_worker_starts_from_its_cache_while_redis_is_away_and_says_each_change_once() {
    let mut server = Server::start();
    let place = Place::at(&server.url());
    let first = place.publish("One");
    let cache = place.root.path().join(format!("var/cache/{}.json", place.environment));
    let worker = place.worker(&[]).ready();
    worker.waits_for("the cache", || cache.is_file());
    server.stop();
    worker.waits_for("the state", || worker.log().contains("\"unreachable\""));
    let second = place.worker(&[]).ready();
    assert!(second.log().contains("the one that ran last") && second.log().contains(first.digest.short()), "{}", second.log());
    place.emit(&["a"]);
    second.waits_for("a delivery", || place.delivered("lines").contains("\"a\""));
    server.start_again();
    for worker in [&worker, &second] {
        worker.waits_for("Redis again", || worker.log().contains("followed from Redis again"));
        assert_eq!(worker.log().matches("\"unreachable\"").count(), 1, "{}", worker.log());
        assert_eq!(worker.log().matches("followed from Redis again").count(), 1, "{}", worker.log());
    }
    place.file("transforms/line.json.j2", r#"{"id": {{ event.messageId }}, "v": 2}"#);
    let published = place.publish("Two");
    worker.waits_for("both on the new set", || {
        let status = place.status();
        let workers = status["workers"].as_array().unwrap();
        workers.len() == 2 && workers.iter().all(|worker| worker["digest"] == *published.digest.0 && worker["standing"] == "current")
    });
    assert_eq!(worker.stop(), 0);
    assert_eq!(place.status()["workers"].as_array().unwrap().len(), 1, "a worker that ends says so");
}

#[test]
fn a_set_that_does_not_compile_is_told_in_status_and_the_last_good_one_runs() {
    let place = Place::new();
    let good = place.publish("Good");
    let worker = place.worker(&[]).ready();
    place.file("transforms/line.json.j2", "{{ broken");
    place.publish("Bad");
    worker.waits_for("what is wrong", || !place.status()["workers"][0]["error"].is_null());
    let status = place.status();
    assert_eq!(status["drift"][0]["kind"], "behind");
    assert_eq!(status["workers"][0]["digest"], *good.digest.0);
    let error = status["workers"][0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("revision 2 does not compile here") && error.contains("transforms/line.json.j2:1"), "{error}");
    worker.kill();
    let gone = std::time::Instant::now();
    while !place.status()["workers"].as_array().unwrap().is_empty() {
        assert!(gone.elapsed() < PATIENCE, "a killed worker's heartbeat ends by itself");
        std::thread::sleep(Duration::from_millis(500));
    }
}

//! The orchestrator through its public door: events in, records on owned topics out. On the embedded broker; what must be true of Kafka, on a real one.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use analytica::config::{self, ConfigSet, Files, KafkaSettings};
use analytica::kafka::{DeadHeaders, Kafka, Message, Output, QueueHeaders, RejectedHeaders, Source, SourceOptions, partition_of};
use analytica::orchestrator::{Orchestrator, OrchestratorOptions, events_topics};
use analytica::pipeline::Pipeline;
use analytica::telemetry::Metrics;
use world::{DEADLINE, World};

const PARTITIONS: u32 = 3;

const SOURCES: &str = "version: 1\nsources:\n  web: { topics: [TOPICS], envelope: segment }\n";
const SCHEMA: &str =
    r#"{"type": "object", "properties": {"properties": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}}}"#;
const LINES: &str = "version: 1\nsink: { type: file, directory: var }\nroutes:\n  - name: all\n    events: [step]\n    transform: line.json.j2\n    path: lines.ndjson\nqueue: { partitions: 3, key: event.userId }\n";
const PICKY: &str = "version: 1\nsink: { type: file, directory: var }\nroutes:\n  - name: all\n    events: [step]\n    transform: picky.json.j2\n    path: picky.ndjson\nqueue: { partitions: 3, key: event.userId }\n";
const LINE: &str = r#"{"set": "one", "n": {{ event.properties.n }}}"#;
/// Fails for events that have no `extra`.
const NEEDS_EXTRA: &str = r#"{"extra": {{ event.properties.extra }}}"#;

/// A config set in which consumer `lines` takes every step, and `picky` only gets along with some.
fn set(topics: &str, line: &str) -> ConfigSet {
    let root = tempfile::tempdir().expect("a temporary folder");
    let files = [
        ("analytica.yaml", "version: 1\n"),
        ("sources.yaml", &SOURCES.replace("TOPICS", topics)),
        ("schemas/step/1.json", SCHEMA),
        ("transforms/line.json.j2", line),
        ("transforms/picky.json.j2", NEEDS_EXTRA),
        ("consumers/lines.yaml", LINES),
        ("consumers/picky.yaml", PICKY),
    ];
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("inside the root")).expect("the folder is made");
        std::fs::write(path, text).expect("the file is written");
    }
    let loaded = config::load(&Files::read(root.path()).expect("the root is read"), "dev");
    loaded.set.unwrap_or_else(|| panic!("the set has findings: {:?}", loaded.findings))
}

fn compiled(set: &ConfigSet) -> Arc<Pipeline> {
    Arc::new(Pipeline::compile(set).unwrap_or_else(|findings| panic!("the set does not compile: {findings:?}")))
}

/// A Kafka on which all topics of the set are made.
struct Scene {
    world: World,
    metrics: Metrics,
}

impl Deref for Scene {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Scene {
    async fn on(world: World) -> Scene {
        let owned = ["lines", "picky"].into_iter().flat_map(|name| [world.kafka.queue_topic(name), world.kafka.dead_topic(name)]);
        let topics: Vec<Arc<str>> = owned.chain([world.kafka.rejected_topic(), Arc::clone(&world.events)]).collect();
        world.make(&topics, PARTITIONS).await;
        Scene { world, metrics: Metrics::default() }
    }

    async fn embedded() -> Scene {
        Scene::on(World::embedded()).await
    }

    async fn real() -> Scene {
        Scene::on(World::real()).await
    }

    fn start(&self, set: &ConfigSet) -> Orchestrator {
        let options = OrchestratorOptions { threads: 2, git_commit: Some("abc".to_string()), ..OrchestratorOptions::default() };
        Orchestrator::start(&self.kafka, compiled(set), events_topics(set), self.metrics.clone(), options).expect("the orchestrator starts")
    }

    async fn event(&self, topic: &str, user: &str, properties: &str) {
        let value = format!(
            r#"{{"type":"track","event":"step","messageId":"m-{user}-{properties}","userId":"{user}","timestamp":"2026-01-02T03:04:05Z","properties":{properties}}}"#
        );
        // The id must be one JSON string
        let value = value.replacen(&format!("m-{user}-{properties}"), &format!("m-{user}-{}", properties.len()), 1);
        self.raw(topic, user, value.as_bytes()).await;
    }

    async fn raw(&self, topic: &str, key: &str, value: &[u8]) {
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        let output = Output { topic: topic.into(), partition, key: Some(key.into()), value: value.to_vec(), headers: Vec::new() };
        self.producer.produce(output).await.expect("the broker takes it");
    }

    fn read(&self, topic: &str) -> (Source, Receiver<Message>) {
        let group = format!("reader-{}", uuid::Uuid::new_v4());
        self.source_with(SourceOptions { group, topics: vec![topic.to_string()], ..self.options() })
    }

    async fn first(&self, topic: &str, count: usize) -> Vec<Message> {
        let (source, messages) = self.read(topic);
        let found = tokio::task::spawn_blocking(move || {
            (0..count).map(|n| messages.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("record {n}"))).collect()
        });
        let found = found.await.expect("all came");
        source.stop(Duration::ZERO).await.expect("the reader stops");
        found
    }
}

fn json(message: &Message) -> serde_json::Value {
    serde_json::from_slice(message.value.as_deref().unwrap_or_default()).expect("a payload is JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_to_every_consumer_and_a_bad_one_to_the_rejected_topic() {
    let scene = Scene::embedded().await;
    let set = set("events", LINE);
    let orchestrator = scene.start(&set);
    scene.event("events", "ann", r#"{"n": 1, "extra": 2}"#).await;
    scene.event("events", "ann", r#"{"n": 2}"#).await;
    scene.event("events", "bob", r#"{"n": "no number"}"#).await;
    scene.raw("events", "bob", b"not json").await;

    let lines = scene.first(&scene.kafka.queue_topic("lines"), 2).await;
    assert_eq!(lines.iter().map(|line| json(line)["n"].as_i64()).collect::<Vec<_>>(), [Some(1), Some(2)]);
    let headers = QueueHeaders::decode(&lines[0].headers).expect("they read");
    assert_eq!((&*headers.event, &*headers.route, &*headers.source, headers.event_version), ("step", "all", "web", 1));
    assert_eq!((&*headers.origin.topic, headers.origin.offset), ("events", 0));
    assert_eq!(headers.event_time.map(|time| time.to_string()).as_deref(), Some("2026-01-02T03:04:05Z"));
    assert_eq!(headers.revision, set.digest.0);
    assert!(headers.original.is_some_and(|event| event.starts_with(br#"{"type":"track""#)));
    assert_eq!(lines[0].origin.partition, partition_of(b"ann", 3), "the queue's partition is chosen as any Kafka client does");
    assert_eq!(lines[0].key.as_deref(), Some(&b"ann"[..]));

    let picky = scene.first(&scene.kafka.queue_topic("picky"), 1).await;
    assert_eq!(json(&picky[0])["extra"], 2);
    let dead = scene.first(&scene.kafka.dead_topic("picky"), 1).await;
    let headers = DeadHeaders::decode(&dead[0].headers).expect("they read");
    assert_eq!((&*headers.consumer, headers.stage.as_str(), headers.reason.as_str()), ("picky", "transform", "render"));
    assert_eq!(json(&dead[0])["properties"]["n"], 2, "where rendering failed the value is the event");

    let mut rejected = scene.first(&scene.kafka.rejected_topic(), 2).await;
    rejected.sort_by_key(|message| message.value.as_ref().map(Vec::len));
    let headers: Vec<RejectedHeaders> =
        rejected.iter().map(|message| RejectedHeaders::decode(&message.headers).expect("they read")).collect();
    assert_eq!(headers.iter().map(|headers| headers.reason.as_str()).collect::<Vec<_>>(), ["malformed", "schema_violation"]);
    assert_eq!(rejected[0].value.as_deref(), Some(&b"not json"[..]));
    assert_eq!(headers[1].errors[0].path, "/properties/n");
    assert_eq!(headers[1].git_commit.as_deref(), Some("abc"));
    orchestrator.stop(DEADLINE).await.expect("it stops");

    let counted = scene.metrics.snapshot();
    let sum = |name| counted.count(name, &[]);
    assert_eq!(sum("analytica_events_in_total"), 4);
    assert_eq!(sum("analytica_events_accepted_total") + sum("analytica_events_rejected_total"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_loses_nothing_and_keeps_each_keys_order() {
    restarted(Scene::embedded().await, 600).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_kafka_a_restart_in_the_middle_loses_nothing_and_keeps_each_keys_order() {
    restarted(Scene::real().await, 3000).await;
}

async fn restarted(scene: Scene, events: usize) {
    let set = set(&scene.events, LINE);
    let first = scene.start(&set);
    for n in 0..events {
        if n == events / 2 {
            let lag = first.lag();
            // Not stopped but dropped: what is in flight is not waited for
            drop(scene.start(&set));
            tracing::debug!(lag, "a second one came and went");
        }
        scene.event(&scene.events, &format!("user-{}", n % 7), &format!(r#"{{"n": {n}, "extra": 0}}"#)).await;
    }
    drop(first);
    let second = scene.start(&set);
    let queue = scene.kafka.queue_topic("lines");
    let (reader, messages) = scene.read(&queue);
    let seen = tokio::task::spawn_blocking(move || {
        let mut seen: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut distinct = BTreeSet::new();
        while distinct.len() < events {
            let message = messages.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("only {} of {events} came", distinct.len()));
            let n = json(&message)["n"].as_i64().expect("a number");
            distinct.insert(n);
            let key = String::from_utf8(message.key.unwrap_or_default()).expect("a user");
            seen.entry(key).or_default().push(n);
        }
        seen
    });
    for (user, numbers) in seen.await.expect("all came") {
        // A record may come again after a restart, but first comings are in order
        let mut first_comings = BTreeSet::new();
        let order: Vec<i64> = numbers.into_iter().filter(|n| first_comings.insert(*n)).collect();
        assert!(order.is_sorted(), "{user}: {order:?}");
    }
    second.stop(DEADLINE).await.expect("it stops");
    reader.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_set_takes_over_between_two_records() {
    let scene = Scene::embedded().await;
    let one = set("events", LINE);
    let two = set("events", &LINE.replace("one", "two"));
    let mut orchestrator = scene.start(&one);
    for n in 0..100 {
        scene.event("events", "ann", &format!(r#"{{"n": {n}, "extra": 0}}"#)).await;
    }
    scene.first(&scene.kafka.queue_topic("lines"), 100).await;
    orchestrator.swap(compiled(&two), events_topics(&two), None, DEADLINE).await.expect("it swaps");
    for n in 100..200 {
        scene.event("events", "ann", &format!(r#"{{"n": {n}, "extra": 0}}"#)).await;
    }
    let lines = scene.first(&scene.kafka.queue_topic("lines"), 200).await;
    for (n, line) in lines.iter().enumerate() {
        assert_eq!((json(line)["n"].as_u64(), json(line)["set"].as_str()), (Some(n as u64), Some(if n < 100 { "one" } else { "two" })));
    }
    orchestrator.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_with_other_topics_listens_to_them() {
    let scene = Scene::embedded().await;
    scene.make(&["other".into()], PARTITIONS).await;
    let one = set("events", LINE);
    let both = set("events, other", LINE);
    let mut orchestrator = scene.start(&one);
    scene.event("events", "ann", r#"{"n": 0, "extra": 0}"#).await;
    scene.first(&scene.kafka.queue_topic("lines"), 1).await;
    orchestrator.swap(compiled(&both), events_topics(&both), None, DEADLINE).await.expect("it swaps");
    scene.event("other", "ann", r#"{"n": 1, "extra": 0}"#).await;
    let lines = scene.first(&scene.kafka.queue_topic("lines"), 2).await;
    assert_eq!(lines.iter().map(|line| json(line)["n"].as_i64()).collect::<Vec<_>>(), [Some(0), Some(1)]);
    orchestrator.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_too_large_for_its_topic_becomes_a_dead_letter_and_that_too_a_stub() {
    let scene = Scene::real().await;
    let set = set(&scene.events, r#"{"n": {{ event.properties.n }}, "much": "{{ event.properties.extra }}"}"#);
    // The queue takes less than the events topic, and the dead letters of `picky` even less
    scene.limit(&scene.kafka.queue_topic("lines"), 40_000).await;
    scene.limit(&scene.kafka.queue_topic("picky"), 40_000).await;
    scene.limit(&scene.kafka.dead_topic("picky"), 20_000).await;
    let orchestrator = scene.start(&set);
    let large = "x".repeat(30_000);
    scene.event(&scene.events, "ann", r#"{"n": 1, "extra": "small"}"#).await;
    scene.event(&scene.events, "ann", &format!(r#"{{"n": 2, "extra": "{large}"}}"#)).await;
    scene.event(&scene.events, "ann", r#"{"n": 3, "extra": "small"}"#).await;

    let lines = scene.first(&scene.kafka.queue_topic("lines"), 2).await;
    // In one batch with what is too large, they are refused with it and go again by themselves
    let mut taken: Vec<_> = lines.iter().map(|line| json(line)["n"].as_i64()).collect();
    taken.sort();
    assert_eq!(taken, [Some(1), Some(3)]);
    let dead = scene.first(&scene.kafka.dead_topic("lines"), 1).await;
    let headers = DeadHeaders::decode(&dead[0].headers).expect("they read");
    assert_eq!(
        (headers.stage.as_str(), headers.reason.as_str(), headers.origin.map(|origin| origin.offset)),
        ("produce", "too_large", Some(1))
    );
    assert_eq!(json(&dead[0])["n"], 2);

    let stub = scene.first(&scene.kafka.dead_topic("picky"), 1).await;
    let headers = DeadHeaders::decode(&stub[0].headers).expect("they read");
    assert_eq!((headers.origin.map(|origin| origin.offset), headers.original), (Some(1), None));
    assert!(stub[0].value.as_ref().is_some_and(|value| value.len() < 5_000));
    orchestrator.stop(DEADLINE).await.expect("it stops: all is acknowledged");

    let counted = scene.metrics.snapshot();
    assert_eq!(counted.count("analytica_deliveries_queued_total", &[("consumer", "lines")]), 2);
}

impl Scene {
    async fn limit(&self, topic: &str, bytes: usize) {
        use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
        let admin: AdminClient<_> =
            rdkafka::ClientConfig::new().set("bootstrap.servers", self.kafka.brokers()).create().expect("an admin client");
        let bytes = bytes.to_string();
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", &bytes);
        for changed in admin.alter_configs([&change], &AdminOptions::new()).await.expect("Kafka answers") {
            changed.expect("the limit is set");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_no_topic_takes_waits_and_goes_on_when_it_is_there() {
    let scene = Scene::real().await;
    let set = set(&scene.events, LINE);
    let elsewhere = Kafka::new(
        &KafkaSettings {
            brokers: scene.kafka.brokers().split(',').map(str::to_string).collect(),
            prefix: format!("{}x", scene.events),
            topics: scene.kafka.topic_settings().clone(),
            exactly_once: false,
            properties: [("topic.metadata.propagation.max.ms".to_string(), config::Resolved::new("100", "100"))].into_iter().collect(),
        },
        "test",
    );
    let other = Scene { world: World::on(elsewhere, &scene.events), metrics: Metrics::default() };
    let orchestrator = other.start(&set);
    scene.event(&scene.events, "ann", r#"{"n": 1, "extra": 0}"#).await;
    let deadline = Instant::now() + DEADLINE;
    while orchestrator.lag() == 0 {
        assert!(Instant::now() < deadline, "the record was never seen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    other.make(&[other.kafka.queue_topic("lines"), other.kafka.queue_topic("picky")], PARTITIONS).await;
    assert_eq!(json(&other.first(&other.kafka.queue_topic("lines"), 1).await[0])["n"], 1);
    orchestrator.stop(DEADLINE).await.expect("it stops");
}

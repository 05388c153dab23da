//! The warehouse on SQLite.

use std::path::Path;
use std::sync::Arc;

use analytica::config::{Delivery, Migrate, OnConflict, Resolved, SinkSettings, WarehouseSink};
use analytica::pipeline::{ColumnType, TableDefinition, Target};
use analytica::sinks::{Blame, Sink, Verdict};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::{blames, connect, definition, deliver, refusal, table};

fn warehouse(root: &Path, migrate: Migrate, tables: Vec<TableDefinition>) -> Arc<dyn Sink> {
    let settings = SinkSettings::Warehouse(WarehouseSink { url: Resolved::new("${URL}", "sqlite:var/warehouse.db"), migrate });
    connect(&settings, tables, &Delivery::default(), root).expect("good settings").expect("a sink")
}

fn rows(root: &Path, sql: &str) -> Vec<Vec<Value>> {
    let connection = Connection::open(root.join("var/warehouse.db")).expect("the database");
    let mut statement = connection.prepare(sql).expect("good SQL");
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect()).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[tokio::test]
async fn tables_are_made_and_values_keep_what_they_are() {
    let root = tempfile::tempdir().expect("a folder");
    let events = table("analytics.events", &["event_id"], OnConflict::Ignore);
    let columns = [
        ("event_id", ColumnType::Text),
        ("n", ColumnType::Integer),
        ("amount", ColumnType::Text),
        ("score", ColumnType::Double),
        ("ok", ColumnType::Boolean),
        ("at", ColumnType::Timestamp),
        ("properties", ColumnType::Json),
        ("missing", ColumnType::Text),
    ];
    let sink = warehouse(root.path(), Migrate::Additive, vec![definition(&events, &columns)]);
    sink.prepare().await.expect("migrated");
    sink.prepare().await.expect("twice is once");
    let payload = r#"{"event_id":"e1","n":9007199254740993,"amount":19.90,"score":0.25,"ok":true,"at":"2026-11-23T12:00:00+02:00","properties":{"a":[1.50,"x"]},"missing":null}"#;
    assert_eq!(deliver(&sink, &Target::Table(events), &[payload]).await, [Verdict::Delivered]);
    let expected = vec![
        text("e1"),
        Value::Integer(9_007_199_254_740_993),
        text("19.90"),
        Value::Real(0.25),
        Value::Integer(1),
        text("2026-11-23T10:00:00Z"),
        text(r#"{"a":[1.50,"x"]}"#),
        Value::Null,
    ];
    assert_eq!(rows(root.path(), r#"SELECT * FROM "analytics.events""#), [expected]);
}

#[tokio::test]
async fn what_is_there_already_is_ignored() {
    let root = tempfile::tempdir().expect("a folder");
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let sink =
        warehouse(root.path(), Migrate::Additive, vec![definition(&events, &[("event_id", ColumnType::Text), ("n", ColumnType::Integer)])]);
    sink.prepare().await.expect("migrated");
    let target = Target::Table(events);
    let batch = [r#"{"event_id":"a","n":1}"#, r#"{"event_id":"a","n":2}"#, r#"{"event_id":"b","n":3}"#];
    assert_eq!(deliver(&sink, &target, &batch).await, [Verdict::Delivered, Verdict::Ignored, Verdict::Delivered]);
    assert_eq!(deliver(&sink, &target, &batch).await, [Verdict::Ignored, Verdict::Ignored, Verdict::Ignored]);
    assert_eq!(rows(root.path(), "SELECT n FROM events ORDER BY n"), [[Value::Integer(1)], [Value::Integer(3)]]);
}

#[tokio::test]
async fn only_newer_rows_overwrite() {
    let root = tempfile::tempdir().expect("a folder");
    let users = table("users", &["user_id"], OnConflict::Update { newer_by: Some("at".into()) });
    let columns = [("user_id", ColumnType::Text), ("step", ColumnType::Text), ("at", ColumnType::Timestamp)];
    let sink = warehouse(root.path(), Migrate::Additive, vec![definition(&users, &columns)]);
    sink.prepare().await.expect("migrated");
    let target = Target::Table(users);
    let row = |step: &str, at: &str| format!(r#"{{"user_id":"u","step":"{step}","at":"{at}"}}"#);
    let (second, first, third) =
        (row("2", "2026-01-01T00:00:00.5Z"), row("1", "2026-01-01T00:00:00Z"), row("3", "2026-01-01T02:00:01+02:00"));
    assert_eq!(deliver(&sink, &target, &[&second, &first]).await, [Verdict::Delivered, Verdict::Ignored]);
    assert_eq!(deliver(&sink, &target, &[&third, &second]).await, [Verdict::Delivered, Verdict::Ignored]);
    assert_eq!(rows(root.path(), "SELECT step FROM users"), [[text("3")]]);
}

#[tokio::test]
async fn without_a_key_rows_are_added() {
    let root = tempfile::tempdir().expect("a folder");
    let log = table("log", &[], OnConflict::Ignore);
    let sink = warehouse(root.path(), Migrate::Additive, vec![definition(&log, &[("a", ColumnType::Integer)])]);
    sink.prepare().await.expect("migrated");
    deliver(&sink, &Target::Table(log), &[r#"{"a":1}"#, r#"{"a":1}"#]).await;
    assert_eq!(rows(root.path(), "SELECT a FROM log").len(), 2);
}

#[tokio::test]
async fn migration_adds_a_column_and_the_keys_index_and_drops_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(root.path().join("var")).expect("a folder");
    let old = Connection::open(root.path().join("var/warehouse.db")).expect("a database");
    old.execute_batch("CREATE TABLE events (EVENT_ID text, gone text); INSERT INTO events VALUES ('a', 'kept')").expect("made");
    drop(old);
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let sink = warehouse(
        root.path(),
        Migrate::Additive,
        vec![definition(&events, &[("event_id", ColumnType::Text), ("select", ColumnType::Text)])],
    );
    sink.prepare().await.expect("migrated");
    // A record that was rendered when the definition still had the column.
    let verdicts =
        deliver(&sink, &Target::Table(events), &[r#"{"event_id":"a","select":"x"}"#, r#"{"event_id":"b","select":"y","gone":"z"}"#]).await;
    assert_eq!(verdicts, [Verdict::Ignored, Verdict::Delivered]);
    let expected = [vec![text("a"), text("kept"), Value::Null], vec![text("b"), text("z"), text("y")]];
    assert_eq!(rows(root.path(), r#"SELECT event_id, gone, "select" FROM events ORDER BY 1"#), expected);
}

#[tokio::test]
async fn without_migration_what_is_missing_is_named_and_heals_when_mended() {
    let root = tempfile::tempdir().expect("a folder");
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let definition = definition(&events, &[("event_id", ColumnType::Text), ("step", ColumnType::Text)]);
    let sink = warehouse(root.path(), Migrate::None, vec![definition]);
    let target = Target::Table(events);
    let missing = sink.prepare().await.expect_err("no table");
    assert_eq!((missing.blame, missing.answer.as_str()), (Blame::Configuration, "table events does not exist"));
    let verdicts = deliver(&sink, &target, &[r#"{"event_id":"a","step":"x"}"#]).await;
    assert_eq!((refusal(&verdicts[0]).blame, refusal(&verdicts[0]).answer.as_str()), (Blame::Configuration, "no such table: events"));

    let other = Connection::open(root.path().join("var/warehouse.db")).expect("the database");
    other.execute_batch("CREATE TABLE events (event_id text PRIMARY KEY)").expect("made");
    let missing = sink.prepare().await.expect_err("no column");
    assert_eq!((missing.blame, missing.answer.as_str()), (Blame::Configuration, "table events has no column step"));
    let verdicts = deliver(&sink, &target, &[r#"{"event_id":"a","step":"x"}"#]).await;
    assert_eq!(
        (refusal(&verdicts[0]).blame, refusal(&verdicts[0]).answer.as_str()),
        (Blame::Configuration, "table events has no column named step")
    );

    other.execute_batch("ALTER TABLE events ADD COLUMN step text").expect("mended");
    sink.prepare().await.expect("all there");
    assert_eq!(deliver(&sink, &target, &[r#"{"event_id":"a","step":"x"}"#]).await, [Verdict::Delivered]);
}

#[tokio::test]
async fn one_bad_row_is_refused_alone() {
    let root = tempfile::tempdir().expect("a folder");
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let columns = [("event_id", ColumnType::Text), ("n", ColumnType::Custom("integer CHECK (n > 0)".into()))];
    let sink = warehouse(root.path(), Migrate::Additive, vec![definition(&events, &columns)]);
    sink.prepare().await.expect("migrated");
    let batch =
        [r#"{"event_id":"a","n":1}"#, r#"{"event_id":"b","n":-1}"#, r#"{"event_id":null,"n":1}"#, "[]", r#"{"event_id":"c","n":2}"#];
    let verdicts = deliver(&sink, &Target::Table(events), &batch).await;
    assert_eq!(blames(&verdicts), [None, Some(Blame::Record), Some(Blame::Record), Some(Blame::Record), None]);
    assert_eq!(rows(root.path(), "SELECT event_id FROM events ORDER BY 1"), [[text("a")], [text("c")]]);
}

#[tokio::test]
async fn two_processes_may_write_and_migrate_one_file() {
    let root = tempfile::tempdir().expect("a folder");
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let make = || warehouse(root.path(), Migrate::Additive, vec![definition(&events, &[("event_id", ColumnType::Text)])]);
    let workers = (0..4).map(|worker| {
        let (sink, target) = (make(), Target::Table(events.clone()));
        async move {
            sink.prepare().await.expect("migrated");
            for number in 0..20 {
                let payload = format!(r#"{{"event_id":"{worker}-{number}"}}"#);
                assert_eq!(deliver(&sink, &target, &[&payload]).await, [Verdict::Delivered]);
            }
        }
    });
    futures_util::future::join_all(workers).await;
    assert_eq!(rows(root.path(), "SELECT count(*) FROM events"), [[Value::Integer(80)]]);
}

#[tokio::test]
async fn a_locked_database_is_the_sinks_fault() {
    let root = tempfile::tempdir().expect("a folder");
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let settings =
        SinkSettings::Warehouse(WarehouseSink { url: Resolved::new("${URL}", "sqlite:var/warehouse.db"), migrate: Migrate::Additive });
    let delivery = Delivery { timeout: std::time::Duration::from_millis(50), ..Delivery::default() };
    let tables = vec![definition(&events, &[("event_id", ColumnType::Text)])];
    let sink = connect(&settings, tables, &delivery, root.path()).expect("good").expect("a sink");
    sink.prepare().await.expect("migrated");
    let other = Connection::open(root.path().join("var/warehouse.db")).expect("the database");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let target = Target::Table(events);
    assert_eq!(blames(&deliver(&sink, &target, &[r#"{"event_id":"a"}"#]).await), [Some(Blame::Sink)]);
    other.execute_batch("ROLLBACK").expect("unlocked");
    assert_eq!(deliver(&sink, &target, &[r#"{"event_id":"a"}"#]).await, [Verdict::Delivered]);
}

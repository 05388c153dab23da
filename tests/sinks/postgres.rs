//! The warehouse on a real PostgreSQL, in a schema of each test's own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use analytica::config::{Delivery, Migrate, OnConflict, Resolved, SinkSettings, Table, WarehouseSink};
use analytica::pipeline::{ColumnType, TableDefinition, Target};
use analytica::sinks::{Blame, Sink, Verdict};
use tokio_postgres::{Client, NoTls};

use super::{blames, connect, definition, deliver, refusal, table};

/// A schema that is gone with the test, and a client that looks into it.
struct Database {
    url: String,
    schema: String,
    client: Client,
}

impl Database {
    async fn new() -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let url = std::env::var("POSTGRES_URL").expect("POSTGRES_URL names a PostgreSQL for the tests: scripts/test.sh starts one");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("POSTGRES_URL can be reached");
        tokio::spawn(connection);
        let schema = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        client.batch_execute(&format!("CREATE SCHEMA {schema}; SET search_path = {schema}; SET timezone = 'UTC'")).await.expect("a schema");
        Database { url, schema, client }
    }

    /// The URL of a sink that works in this schema, under a name of its own.
    fn url(&self) -> String {
        let and = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{and}application_name={1}&options=-csearch_path%3D{1}", self.url, self.schema)
    }

    fn sink(&self, migrate: Migrate, tables: &[TableDefinition]) -> Arc<dyn Sink> {
        let settings = SinkSettings::Warehouse(WarehouseSink { url: Resolved::new("${URL}", self.url()), migrate });
        connect(&settings, tables.to_vec(), &Delivery::default(), Path::new("")).expect("good settings").expect("a sink")
    }

    /// A sink whose table is there.
    async fn ready(&self, table: &Table, columns: &[(&str, ColumnType)]) -> (Arc<dyn Sink>, Target) {
        let sink = self.sink(Migrate::Additive, &[definition(table, columns)]);
        sink.prepare().await.expect("migrated");
        (sink, Target::Table(table.clone()))
    }

    /// Each row as PostgreSQL's own text of it.
    async fn rows(&self, query: &str) -> Vec<String> {
        let rows = self.client.query(&format!("SELECT whole::text FROM ({query}) whole"), &[]).await.expect("good SQL");
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.expect("good SQL");
    }

    async fn end(self) {
        self.execute(&format!("DROP SCHEMA {} CASCADE", self.schema)).await;
    }
}

fn text(name: &str) -> (&str, ColumnType) {
    (name, ColumnType::Text)
}

#[tokio::test]
async fn values_keep_what_they_are() {
    let database = Database::new().await;
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let columns = [
        text("event_id"),
        ("n", ColumnType::Integer),
        ("amount", ColumnType::Custom("numeric(30,10)".into())),
        ("score", ColumnType::Double),
        ("ok", ColumnType::Boolean),
        ("at", ColumnType::Timestamp),
        ("born", ColumnType::Date),
        ("properties", ColumnType::Json),
        ("tags", ColumnType::Custom("text[]".into())),
        text("digits"),
        text("missing"),
    ];
    let (sink, target) = database.ready(&events, &columns).await;
    let payload = r#"{"event_id":"e1","n":3.0,"amount":12345678901234567890.0123456789,"score":0.1,"ok":false,"at":"2026-11-23T12:00:00.123456+02:00",
        "born":"1990-02-28","properties":{"a":[1.50,null,"x\"y"]},"tags":["a,b","c"],"digits":1.50e2,"missing":null}"#;
    assert_eq!(
        deliver(&sink, &target, &[payload, r#"{"event_id":"it's; DROP TABLE events; --"}"#]).await,
        [Verdict::Delivered, Verdict::Delivered]
    );
    let expected = r#"(e1,3,12345678901234567890.0123456789,0.1,f,"2026-11-23 10:00:00.123456+00",1990-02-28,"{""a"": [1.50, null, ""x\\""y""]}","{""a,b"",c}",1.50e2,)"#;
    assert_eq!(database.rows("SELECT * FROM events ORDER BY 1").await, [expected, r#"("it's; DROP TABLE events; --",,,,,,,,,,)"#]);
    database.end().await;
}

#[tokio::test]
async fn what_is_there_already_is_ignored() {
    let database = Database::new().await;
    let events = table("events", &["event_id", "index"], OnConflict::Ignore);
    let (sink, target) = database.ready(&events, &[text("event_id"), ("index", ColumnType::Integer), ("n", ColumnType::Integer)]).await;
    let row = |id: &str, index: u32, n: u32| format!(r#"{{"event_id":"{id}","index":{index},"n":{n}}}"#);
    let (a0, a0_again, a1, b0) = (row("a", 0, 1), row("a", 0, 2), row("a", 1, 3), row("b", 0, 4));
    assert_eq!(deliver(&sink, &target, &[&a0, &a0_again, &a1]).await, [Verdict::Delivered, Verdict::Ignored, Verdict::Delivered]);
    assert_eq!(deliver(&sink, &target, &[&a1, &b0, &a0]).await, [Verdict::Ignored, Verdict::Delivered, Verdict::Ignored]);
    assert_eq!(database.rows("SELECT * FROM events ORDER BY n").await, ["(a,0,1)", "(a,1,3)", "(b,0,4)"]);
    database.end().await;
}

#[tokio::test]
async fn the_last_of_a_batchs_rows_overwrites() {
    let database = Database::new().await;
    let users = table("users", &["user_id"], OnConflict::Update { newer_by: None });
    let (sink, target) = database.ready(&users, &[text("user_id"), text("step")]).await;
    deliver(&sink, &target, &[r#"{"user_id":"u","step":"1"}"#]).await;
    let batch = [r#"{"user_id":"u","step":"2"}"#, r#"{"user_id":"v","step":"1"}"#, r#"{"user_id":"u","step":"3"}"#];
    assert_eq!(deliver(&sink, &target, &batch).await, [Verdict::Ignored, Verdict::Delivered, Verdict::Delivered]);
    assert_eq!(database.rows("SELECT * FROM users ORDER BY 1").await, ["(u,3)", "(v,1)"]);
    database.end().await;
}

#[tokio::test]
async fn only_newer_rows_overwrite() {
    let database = Database::new().await;
    let users = table("users", &["user_id"], OnConflict::Update { newer_by: Some("at".into()) });
    let (sink, target) = database.ready(&users, &[text("user_id"), text("step"), ("at", ColumnType::Timestamp)]).await;
    let row = |step: &str, at: &str| format!(r#"{{"user_id":"u","step":"{step}","at":{at}}}"#);
    let (never, older, old, new) = (
        row("0", "null"),
        row("1", r#""2026-01-01T00:00:00Z""#),
        row("2", r#""2026-01-01T02:00:00+01:00""#),
        row("3", r#""2026-01-01T01:00:00.5Z""#),
    );
    assert_eq!(deliver(&sink, &target, &[&never, &old, &older]).await, [Verdict::Ignored, Verdict::Delivered, Verdict::Ignored]);
    assert_eq!(deliver(&sink, &target, &[&older]).await, [Verdict::Ignored]);
    assert_eq!(deliver(&sink, &target, &[&new, &never]).await, [Verdict::Delivered, Verdict::Ignored]);
    assert_eq!(database.rows("SELECT step FROM users").await, ["(3)"]);
    database.execute("UPDATE users SET at = NULL").await;
    assert_eq!(deliver(&sink, &target, &[&older]).await, [Verdict::Delivered]);
    database.end().await;
}

#[tokio::test]
async fn without_a_key_rows_are_added() {
    let database = Database::new().await;
    let log = table("log", &[], OnConflict::Ignore);
    let (sink, target) = database.ready(&log, &[text("a")]).await;
    assert_eq!(deliver(&sink, &target, &[r#"{"a":"x"}"#, r#"{"a":"x"}"#]).await, [Verdict::Delivered, Verdict::Delivered]);
    assert_eq!(database.rows("SELECT * FROM log").await.len(), 2);
    database.end().await;
}

#[tokio::test]
async fn migration_adds_what_is_missing_and_drops_nothing() {
    let database = Database::new().await;
    database.execute("CREATE TABLE events (event_id varchar(3), gone text); INSERT INTO events VALUES ('a', 'kept')").await;
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let (sink, target) = database.ready(&events, &[text("event_id"), ("at", ColumnType::Timestamp)]).await;
    // The second is a record that was rendered when the definition still had the column.
    let batch = [r#"{"event_id":"a","at":null}"#, r#"{"event_id":"b","at":null,"gone":"old"}"#];
    assert_eq!(deliver(&sink, &target, &batch).await, [Verdict::Ignored, Verdict::Delivered]);
    assert_eq!(database.rows("SELECT * FROM events ORDER BY 1").await, ["(a,kept,)", "(b,old,)"]);
    // Not cut to the column's length, and not quoted in the answer.
    let verdicts = deliver(&sink, &target, &[r#"{"event_id":"long"}"#]).await;
    assert_eq!((blames(&verdicts), refusal(&verdicts[0]).code.as_deref()), (vec![Some(Blame::Record)], Some("22001")));
    database.end().await;
}

#[tokio::test]
async fn workers_that_migrate_at_once_do_not_fail() {
    let database = Database::new().await;
    let events = table(&format!("{}_other.events", database.schema), &["event_id"], OnConflict::Ignore);
    let definitions = [definition(&events, &[text("event_id"), text("a")])];
    let migrated = futures_util::future::join_all((0..8).map(|_| {
        let sink = database.sink(Migrate::Additive, &definitions);
        async move { sink.prepare().await }
    }));
    assert!(migrated.await.iter().all(Result::is_ok));
    database.execute(&format!("DROP SCHEMA {}_other CASCADE", database.schema)).await;
    database.end().await;
}

#[tokio::test]
async fn without_migration_what_is_missing_is_named_and_heals_when_mended() {
    let database = Database::new().await;
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let sink = database.sink(Migrate::None, &[definition(&events, &[text("event_id"), text("step")])]);
    let target = Target::Table(events);
    let payload = [r#"{"event_id":"a","step":"x"}"#];
    let expect = |refusal: &analytica::sinks::Refusal, answer: &str| {
        assert_eq!((refusal.blame, refusal.answer.as_str()), (Blame::Configuration, answer))
    };
    expect(&sink.prepare().await.expect_err("no table"), "table events does not exist");
    expect(refusal(&deliver(&sink, &target, &payload).await[0]), "table events does not exist");
    database.execute("CREATE TABLE events (event_id text)").await;
    expect(&sink.prepare().await.expect_err("no column"), "table events has no column step");
    expect(refusal(&deliver(&sink, &target, &payload).await[0]), "table events has no column step");
    database.execute("ALTER TABLE events ADD COLUMN step text").await;
    sink.prepare().await.expect("all there");
    let verdicts = deliver(&sink, &target, &payload).await;
    assert_eq!((refusal(&verdicts[0]).blame, refusal(&verdicts[0]).code.as_deref()), (Blame::Configuration, Some("42P10")));
    database.execute("ALTER TABLE events ADD PRIMARY KEY (event_id)").await;
    assert_eq!(deliver(&sink, &target, &payload).await, [Verdict::Delivered]);
    // Dropped and made anew while we know its columns.
    database.execute("DROP TABLE events").await;
    assert_eq!(blames(&deliver(&sink, &target, &payload).await), [Some(Blame::Configuration)]);
    database.execute("CREATE TABLE events (event_id text PRIMARY KEY, step varchar)").await;
    assert_eq!(deliver(&sink, &target, &payload).await, [Verdict::Delivered]);
    database.end().await;
}

#[tokio::test]
async fn a_bad_row_is_blamed_on_a_record() {
    let database = Database::new().await;
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let columns = [text("event_id"), ("n", ColumnType::Custom("int CHECK (n > 0)".into())), ("at", ColumnType::Timestamp)];
    let (sink, target) = database.ready(&events, &columns).await;
    let good = r#"{"event_id":"a","n":1,"at":null}"#;
    for (bad, code) in [
        (r#"{"event_id":"b","n":"hunter2","at":null}"#, "22P02"),
        (r#"{"event_id":"b","n":-1,"at":null}"#, "23514"),
        (r#"{"event_id":"b","n":99999999999,"at":null}"#, "22003"),
        (r#"{"event_id":"b","n":1,"at":"hunter2"}"#, "22007"),
        (r#"{"event_id":null,"n":1,"at":null}"#, "23502"),
    ] {
        let verdicts = deliver(&sink, &target, &[good, bad]).await;
        assert_eq!(blames(&verdicts), [Some(Blame::Record); 2], "{bad}");
        assert_eq!(refusal(&verdicts[0]).code.as_deref(), Some(code));
        assert!(!refusal(&verdicts[0]).answer.contains("hunter2"), "{}", refusal(&verdicts[0]).answer);
    }
    assert!(database.rows("SELECT * FROM events").await.is_empty());
    database.end().await;
}

#[tokio::test]
async fn what_no_row_can_hold_is_refused_alone() {
    let database = Database::new().await;
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let (sink, target) = database.ready(&events, &[text("event_id"), ("properties", ColumnType::Json)]).await;
    let batch = [
        r#"{"event_id":"a","properties":"\\u0000"}"#,
        r#"{"event_id":"b\u0000","properties":null}"#,
        r#"{"event_id":"c","properties":{"x":"\u0000"}}"#,
        r#"{"properties":{}}"#,
        "null",
        r#"{"event_id":"d","properties":1.0}"#,
    ];
    let record = Some(Blame::Record);
    assert_eq!(blames(&deliver(&sink, &target, &batch).await), [None, record, record, record, record, None]);
    assert_eq!(database.rows("SELECT * FROM events ORDER BY 1").await, [r#"(a,"""\\\\u0000""")"#, "(d,1.0)"]);
    database.end().await;
}

#[tokio::test]
async fn odd_names_are_names() {
    let database = Database::new().await;
    let name = format!("{}.we\"ird; DROP", database.schema);
    let odd = table(&name, &["select", "we\"ird"], OnConflict::Update { newer_by: Some("Größe".into()) });
    let (sink, target) = database.ready(&odd, &[text("select"), text("we\"ird"), ("Größe", ColumnType::Integer), text("t")]).await;
    let payload = r#"{"select":"a","we\"ird":"b","Größe":1,"t":"x"}"#;
    assert_eq!(deliver(&sink, &target, &[payload]).await, [Verdict::Delivered]);
    assert_eq!(deliver(&sink, &target, &[payload]).await, [Verdict::Ignored]);
    assert_eq!(database.rows("SELECT * FROM \"we\"\"ird; DROP\"").await, ["(a,b,1,x)"]);
    database.end().await;
}

#[tokio::test]
async fn a_killed_connection_is_the_sinks_fault_and_comes_back_by_itself() {
    let database = Database::new().await;
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let (sink, target) = database.ready(&events, &[text("event_id")]).await;
    deliver(&sink, &target, &[r#"{"event_id":"a"}"#]).await;
    // One that waits for a lock is killed in the middle of its statement.
    database.execute("BEGIN; LOCK TABLE events").await;
    let (waiting, ()) = tokio::join!(deliver(&sink, &target, &[r#"{"event_id":"b"}"#]), async {
        let kill =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = current_schema() AND wait_event_type = 'Lock'";
        while database.rows(kill).await.is_empty() {}
    });
    assert_eq!(blames(&waiting), [Some(Blame::Sink)]);
    database.execute("COMMIT").await;
    assert_eq!(deliver(&sink, &target, &[r#"{"event_id":"b"}"#]).await, [Verdict::Delivered]);
    database.end().await;
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_given_up_there_too() {
    let database = Database::new().await;
    let events = table("events", &["event_id"], OnConflict::Ignore);
    let (migrated, target) = database.ready(&events, &[text("event_id")]).await;
    let settings = SinkSettings::Warehouse(WarehouseSink { url: Resolved::new("${URL}", database.url()), migrate: Migrate::None });
    let delivery = Delivery { timeout: std::time::Duration::from_millis(100), ..Delivery::default() };
    let hasty = connect(&settings, Vec::new(), &delivery, Path::new("")).expect("good").expect("a sink");
    database.execute("BEGIN; LOCK TABLE events").await;
    assert_eq!(blames(&deliver(&hasty, &target, &[r#"{"event_id":"a"}"#]).await), [Some(Blame::Sink)]);
    // The server gave up with us: once the lock is gone, nothing of the call is carried out.
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = current_schema() AND wait_event_type = 'Lock'";
    while !database.rows(waiting).await.is_empty() {}
    database.execute("COMMIT").await;
    assert!(database.rows("SELECT * FROM events").await.is_empty());
    assert_eq!(deliver(&migrated, &target, &[r#"{"event_id":"a"}"#]).await, [Verdict::Delivered]);
    database.end().await;
}

#[tokio::test]
async fn nobody_there_is_the_sinks_fault_and_a_wrong_database_the_configurations() {
    let database = Database::new().await;
    let target = Target::Table(table("events", &["event_id"], OnConflict::Ignore));
    let sink = |url: String| {
        let settings = SinkSettings::Warehouse(WarehouseSink { url: Resolved::new("${URL}", url), migrate: Migrate::None });
        connect(&settings, Vec::new(), &Delivery::default(), Path::new("")).expect("good").expect("a sink")
    };
    let nobody = deliver(&sink("postgres://u:hunter2@127.0.0.1:1/d".into()), &target, &[r#"{"event_id":"a"}"#]).await;
    assert_eq!(blames(&nobody), [Some(Blame::Sink)]);
    assert!(!refusal(&nobody[0]).answer.contains("hunter2"));
    let (server, _) = database.url.rsplit_once('/').expect("a path");
    let wrong = deliver(&sink(format!("{server}/no_such_database")), &target, &[r#"{"event_id":"a"}"#]).await;
    assert_eq!((blames(&wrong), refusal(&wrong[0]).code.as_deref()), (vec![Some(Blame::Configuration)], Some("3D000")));
    database.end().await;
}

#[tokio::test]
async fn a_url_that_is_none_names_the_consumer_and_no_secret() {
    let settings =
        SinkSettings::Warehouse(WarehouseSink { url: Resolved::new("${URL}", "postgres://u:hunter2@h:port/d"), migrate: Migrate::None });
    let error = connect(&settings, Vec::new(), &Delivery::default(), Path::new("")).err().expect("a bad port").to_string();
    assert!(error.starts_with("consumer tested: sink.url: ") && !error.contains("hunter2"), "{error}");
}

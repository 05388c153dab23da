//! The warehouse on SQLite: one connection in WAL mode, a transaction a batch, on threads that may block.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::ddl::{self, Dialect, names, quote};
use super::rows::{self, Cell, Row, Value};
use crate::config::{Delivery, Migrate, OnConflict, Table};
use crate::pipeline::{ColumnType, TableDefinition, Target};
use crate::sinks::refusal::refuse_all;
use crate::sinks::{Batch, Blame, Refusal, Sink, Verdict};

/// Writes rows to one database file.
pub(super) struct Sqlite {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    tables: HashMap<String, TableDefinition>,
    migrate: Migrate,
    /// How long another process's lock is waited for.
    busy: Duration,
    /// One writer at a time is what SQLite has; None until the file is open.
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Sqlite {
    pub(super) fn new(path: PathBuf, tables: Vec<TableDefinition>, migrate: Migrate, delivery: &Delivery) -> Sqlite {
        let tables = tables.into_iter().map(|definition| (definition.table.name.clone(), definition)).collect();
        Sqlite { inner: Arc::new(Inner { path, tables, migrate, busy: delivery.timeout, connection: Arc::default() }) }
    }

    /// Runs `work` on the open connection. A call that is cancelled still ends its transaction before the next one begins: the thread holds the lock.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &mut Connection) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let inner = Arc::clone(&self.inner);
        let mut held = Arc::clone(&self.inner.connection).lock_owned().await;
        let done = spawn_blocking(move || {
            let result = match &mut *held {
                Some(connection) => work(&inner, connection),
                closed => open(&inner.path, inner.busy).and_then(|connection| work(&inner, closed.insert(connection))),
            };
            if matches!(&result, Err(refusal) if refusal.blame != Blame::Record) {
                // The file may have been moved, mended or replaced: the next call opens it anew.
                *held = None;
            }
            result
        });
        done.await.unwrap_or_else(|error| Err(Refusal::new(Blame::Sink, format!("the SQLite thread failed: {error}"))))
    }
}

impl Sink for Sqlite {
    fn deliver<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            let owned = batch.clone();
            match self.on_thread(move |inner, connection| insert(inner, connection, &owned)).await {
                Ok(verdicts) => verdicts,
                Err(refusal) => refuse_all(batch.items.len(), refusal),
            }
        })
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(
            self.on_thread(|inner, connection| inner.tables.values().try_for_each(|definition| prepare(inner, connection, definition))),
        )
    }
}

fn open(path: &Path, busy: Duration) -> Result<Connection, Refusal> {
    let refuse = |error: &dyn std::fmt::Display| Refusal::new(Blame::Configuration, format!("cannot open {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| refuse(&error))?;
    }
    // Without SQLITE_OPEN_URI: a path is a path, whatever its characters.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| refuse(&error))?;
    let set = || {
        connection.busy_timeout(busy)?;
        write_ahead(&connection, busy)?;
        // The answer commits the records' offsets, so rows must survive a power cut.
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
    };
    set().map_err(|error| classify(&error))?;
    Ok(connection)
}

/// Readers (a notebook on the file) and the writer do not wait for each other in WAL mode. While others open the same new file the switch answers "locked" at
/// once, whatever the busy timeout is.
fn write_ahead(connection: &Connection, within: Duration) -> rusqlite::Result<()> {
    let began = Instant::now();
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && began.elapsed() < within => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// Migrates one table, or says what it lacks.
fn prepare(inner: &Inner, connection: &mut Connection, definition: &TableDefinition) -> Result<(), Refusal> {
    let name = &definition.table.name;
    // Takes the write lock first: of several workers one looks and changes at a time.
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(|error| classify(&error))?;
    let work = || -> rusqlite::Result<Option<String>> {
        if inner.migrate == Migrate::Additive {
            transaction.execute_batch(&ddl::create(Dialect::Sqlite, definition))?;
        }
        let there = columns(&transaction, name)?;
        if there.is_empty() {
            return Ok(Some(format!("table {name} does not exist")));
        }
        // SQLite takes no notice of case in names.
        let missing = definition.columns.iter().filter(|(column, _)| !there.iter().any(|name| name.eq_ignore_ascii_case(column)));
        for (column, column_type) in missing {
            match inner.migrate {
                Migrate::Additive => transaction.execute_batch(&ddl::add(Dialect::Sqlite, definition, column, column_type))?,
                Migrate::None => return Ok(Some(format!("table {name} has no column {column}"))),
            }
        }
        if inner.migrate == Migrate::Additive && !definition.table.key.is_empty() && !has_key(&transaction, &definition.table)? {
            transaction.execute_batch(&ddl::unique(Dialect::Sqlite, definition))?;
        }
        Ok(None)
    };
    match work() {
        Ok(Some(lack)) => Err(Refusal::new(Blame::Configuration, lack)),
        Ok(None) => transaction.commit().map_err(|error| classify(&error)),
        // Rows that are there already break the key, say: no record is at fault.
        Err(error) => match classify(&error) {
            refusal if refusal.blame == Blame::Sink => Err(refusal),
            refusal => {
                Err(Refusal { blame: Blame::Configuration, answer: format!("cannot migrate table {name}: {}", refusal.answer), ..refusal })
            }
        },
    }
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare("SELECT name FROM pragma_table_info(?1)")?.query_map([table], |row| row.get(0))?.collect()
}

/// Whether the table's primary key or a unique index is on exactly the key's columns.
fn has_key(connection: &Connection, table: &Table) -> rusqlite::Result<bool> {
    let mut key = table.key.iter().map(|column| column.to_ascii_lowercase()).collect::<Vec<_>>();
    key.sort();
    let found = |mut columns: Vec<String>| {
        columns.iter_mut().for_each(|column| column.make_ascii_lowercase());
        columns.sort();
        columns == key
    };
    // An INTEGER PRIMARY KEY is the table itself and has no index.
    let primary = connection
        .prepare("SELECT name FROM pragma_table_info(?1) WHERE pk > 0")?
        .query_map([&table.name], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if found(primary) {
        return Ok(true);
    }
    let unique = "SELECT name FROM pragma_index_list(?1) WHERE \"unique\" = 1 AND partial = 0";
    let indexes = connection.prepare(unique)?.query_map([&table.name], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for index in indexes {
        let columns = connection
            .prepare("SELECT ifnull(name, '') FROM pragma_index_info(?1)")?
            .query_map([&index], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        if found(columns) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A batch in one transaction. A row that breaks a constraint is left out alone; anything else undoes the batch. Rows go one after another, so those of one key
/// collapse by themselves, and each row's verdict is known.
fn insert(inner: &Inner, connection: &mut Connection, batch: &Batch) -> Result<Vec<Verdict>, Refusal> {
    let Target::Table(table) = &*batch.target else { return Err(Refusal::unfit(&batch.target, "warehouse")) };
    let mut verdicts = vec![Verdict::Delivered; batch.items.len()];
    let mut parsed = Vec::with_capacity(batch.items.len());
    for (item, delivery) in batch.items.iter().enumerate() {
        match rows::parse(item, &delivery.payload) {
            Ok(row) => parsed.push(row),
            Err(reason) => verdicts[item] = Verdict::Refused(Refusal::new(Blame::Record, reason)),
        }
    }
    let types = Types::of(inner.tables.get(&table.name));
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(|error| classify(&error))?;
    for run in rows::runs(&parsed) {
        let rows = &parsed[run];
        let mut statement = transaction.prepare_cached(&statement(table, &rows[0], &types)).map_err(|error| classify(&error))?;
        for row in rows {
            verdicts[row.item] = match bind(row, &types) {
                Err(reason) => Verdict::Refused(Refusal::new(Blame::Record, reason)),
                Ok(values) => match statement.execute(params_from_iter(values)) {
                    Ok(0) => Verdict::Ignored,
                    Ok(_) => Verdict::Delivered,
                    Err(error) => match classify(&error) {
                        refusal if matches!(refusal.blame, Blame::Record | Blame::Size) => Verdict::Refused(refusal),
                        refusal => return Err(refusal),
                    },
                },
            };
        }
    }
    transaction.commit().map_err(|error| classify(&error))?;
    Ok(verdicts)
}

/// The statement for one row of these columns.
fn statement(table: &Table, row: &Row<'_>, types: &Types<'_>) -> String {
    let columns = row.cells.iter().map(|cell| &*cell.column).collect::<Vec<_>>();
    let marks = vec!["?"; columns.len()].join(", ");
    let name = Dialect::Sqlite.table(&table.name);
    let mut sql = format!("INSERT INTO {name} ({}) VALUES ({marks})", names(&columns));
    if table.key.is_empty() {
        return sql;
    }
    sql.push_str(&format!(" ON CONFLICT ({}) DO ", names(&table.key)));
    let set = columns.iter().filter(|column| !table.key.iter().any(|key| key == *column));
    let set = set.map(|column| format!("{0} = excluded.{0}", quote(column))).collect::<Vec<_>>().join(", ");
    match &table.on_conflict {
        OnConflict::Update { newer_by } if !set.is_empty() => {
            sql.push_str(&format!("UPDATE SET {set}"));
            if let Some(column) = newer_by {
                let of = |row: &str| match types.is(column, &ColumnType::Timestamp) {
                    // Times are kept in UTC as text with as many decimals as they came with: without its Z a longer one is the later one.
                    true => format!("rtrim({row}.{}, 'Z')", quote(column)),
                    false => format!("{row}.{}", quote(column)),
                };
                sql.push_str(&format!(" WHERE {} > {} OR {name}.{} IS NULL", of("excluded"), of(&name), quote(column)));
            }
        }
        OnConflict::Update { .. } | OnConflict::Ignore => sql.push_str("NOTHING"),
    }
    sql
}

/// What the definition says of columns; one that it does not name is taken as its value comes.
struct Types<'a>(HashMap<&'a str, &'a ColumnType>);

impl<'a> Types<'a> {
    fn of(definition: Option<&'a TableDefinition>) -> Types<'a> {
        Types(definition.into_iter().flat_map(|definition| &definition.columns).map(|(name, column)| (name.as_str(), column)).collect())
    }

    fn is(&self, column: &str, wanted: &ColumnType) -> bool {
        self.0.get(column).is_some_and(|column| *column == wanted)
    }
}

fn bind<'a>(row: &'a Row<'a>, types: &Types<'_>) -> Result<Vec<ToSqlOutput<'a>>, String> {
    row.cells.iter().map(|cell| bind_cell(cell, types)).collect()
}

fn bind_cell<'a>(cell: &'a Cell<'a>, types: &Types<'_>) -> Result<ToSqlOutput<'a>, String> {
    let borrowed = |text: &'a str| ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()));
    let owned = |text: String| ToSqlOutput::Owned(SqlValue::Text(text));
    let value = cell.value()?;
    if types.is(&cell.column, &ColumnType::Json) && value != Value::Null {
        return Ok(borrowed(cell.json));
    }
    Ok(match value {
        Value::Null => ToSqlOutput::Owned(SqlValue::Null),
        Value::Boolean(value) => ToSqlOutput::Owned(SqlValue::Integer(i64::from(value))),
        Value::Nested(json) => borrowed(json),
        Value::Number(number) => match number.parse::<i64>() {
            Ok(integer) => ToSqlOutput::Owned(SqlValue::Integer(integer)),
            // As text a number keeps its digits in a text column; a numeric column's affinity makes a number of it again.
            Err(_) => borrowed(number),
        },
        Value::Text(text) if types.is(&cell.column, &ColumnType::Timestamp) => owned(in_utc(&text)),
        Value::Text(text) => owned(text.into_owned()),
    })
}

/// A time in UTC as it was written, another offset's turned into UTC, so that times compare as text. What is no time stays: SQLite has no type to hold it to.
fn in_utc(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) if !(text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T')) => time.to_string(),
        _ => text.to_owned(),
    }
}

/// Whose fault an error of SQLite is.
fn classify(error: &rusqlite::Error) -> Refusal {
    let message = error.to_string();
    let (blame, code) = match error {
        rusqlite::Error::SqliteFailure(failure, _) | rusqlite::Error::SqlInputError { error: failure, .. } => {
            (blame(failure.code, &message), format!("{:?}", failure.code))
        }
        _ => (Blame::Sink, "client".to_owned()),
    };
    // An SqlInputError shows its whole statement, which says nothing that the first line does not.
    let message = message.split(" in INSERT INTO ").next().unwrap_or_default();
    Refusal::new(blame, message).code(code)
}

fn blame(code: ErrorCode, message: &str) -> Blame {
    match code {
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => Blame::Record,
        ErrorCode::TooBig => Blame::Size,
        ErrorCode::PermissionDenied
        | ErrorCode::ReadOnly
        | ErrorCode::CannotOpen
        | ErrorCode::NotADatabase
        | ErrorCode::AuthorizationForStatementDenied => Blame::Configuration,
        // SQLITE_ERROR is what SQL that does not fit the tables gets, and what has no code of its own.
        ErrorCode::Unknown
            if ["no such table", "has no column", "no such column", "ON CONFLICT clause does not match", "syntax error", "too many"]
                .iter()
                .any(|what| message.contains(what)) =>
        {
            Blame::Configuration
        }
        _ => Blame::Sink,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whose_fault_it_is() {
        for (code, message, expected) in [
            (ErrorCode::ConstraintViolation, "NOT NULL constraint failed: events.at", Blame::Record),
            (ErrorCode::TypeMismatch, "datatype mismatch", Blame::Record),
            (ErrorCode::TooBig, "string or blob too big", Blame::Size),
            (ErrorCode::Unknown, "no such table: events", Blame::Configuration),
            (ErrorCode::Unknown, "table events has no column named step", Blame::Configuration),
            (ErrorCode::ReadOnly, "attempt to write a readonly database", Blame::Configuration),
            (ErrorCode::NotADatabase, "file is not a database", Blame::Configuration),
            (ErrorCode::DatabaseBusy, "database is locked", Blame::Sink),
            (ErrorCode::DatabaseLocked, "database table is locked", Blame::Sink),
            (ErrorCode::DiskFull, "database or disk is full", Blame::Sink),
            (ErrorCode::SystemIoFailure, "disk I/O error", Blame::Sink),
            (ErrorCode::Unknown, "something else", Blame::Sink),
        ] {
            assert_eq!(blame(code, message), expected, "{code:?} {message}");
        }
    }

    #[test]
    fn times_are_kept_in_utc() {
        assert_eq!(in_utc("2026-11-23T10:00:00.50Z"), "2026-11-23T10:00:00.50Z");
        assert_eq!(in_utc("2026-11-23T10:00:00+05:30"), "2026-11-23T04:30:00Z");
        assert_eq!(in_utc("2026-11-23 10:00:00.5Z"), "2026-11-23T10:00:00.5Z");
        assert_eq!(in_utc("yesterday"), "yesterday");
    }

    #[test]
    fn a_statement_quotes_its_names_and_binds_its_values() {
        let table =
            |on_conflict, key: &[&str]| Table { name: "a.b".into(), key: key.iter().map(|&key| key.to_owned()).collect(), on_conflict };
        let row = rows::parse(0, br#"{"we\"ird":1,"at":"x"}"#).expect("a row");
        let definition = TableDefinition { table: table(OnConflict::Ignore, &[]), columns: vec![("at".into(), ColumnType::Timestamp)] };
        let types = Types::of(Some(&definition));
        let sql = |on_conflict, key: &[&str]| statement(&table(on_conflict, key), &row, &types);
        assert_eq!(sql(OnConflict::Ignore, &[]), r#"INSERT INTO "a.b" ("we""ird", "at") VALUES (?, ?)"#);
        assert_eq!(
            sql(OnConflict::Ignore, &[r#"we"ird"#]),
            r#"INSERT INTO "a.b" ("we""ird", "at") VALUES (?, ?) ON CONFLICT ("we""ird") DO NOTHING"#
        );
        assert_eq!(
            sql(OnConflict::Update { newer_by: Some("at".into()) }, &[r#"we"ird"#]),
            concat!(
                r#"INSERT INTO "a.b" ("we""ird", "at") VALUES (?, ?) ON CONFLICT ("we""ird") DO UPDATE SET "at" = excluded."at""#,
                r#" WHERE rtrim(excluded."at", 'Z') > rtrim("a.b"."at", 'Z') OR "a.b"."at" IS NULL"#
            )
        );
    }
}

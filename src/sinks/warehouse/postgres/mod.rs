//! The warehouse on PostgreSQL: one statement a batch and table, a connection for each call that runs at once.

mod address;
mod classify;
mod migrate;
mod pool;
mod statement;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use self::address::Address;
use self::classify::refusal;
use self::pool::Pool;
use self::statement::CatalogColumn;
use super::rows::{self, Row};
use crate::config::{Delivery, Migrate, Table};
use crate::pipeline::{TableDefinition, Target};
use crate::sinks::refusal::refuse_all;
use crate::sinks::{Batch, Blame, Refusal, Sink, SinkError, Verdict};

/// Writes rows to one database.
pub(super) struct Postgres {
    pool: Pool,
    tables: Vec<TableDefinition>,
    migrate: Migrate,
    timeout: Duration,
    /// What tables are made of, by name. Emptied by whatever looks as if it were not true any more.
    catalog: Mutex<HashMap<String, Arc<[CatalogColumn]>>>,
}

impl Postgres {
    pub(super) fn new(
        name: &str,
        url: &str,
        tables: Vec<TableDefinition>,
        migrate: Migrate,
        delivery: &Delivery,
    ) -> Result<Postgres, SinkError> {
        let address = Address::parse(url).map_err(|reason| SinkError::setting(name, "url", reason))?;
        let pool = Pool::new(address, delivery.timeout);
        Ok(Postgres { pool, tables, migrate, timeout: delivery.timeout, catalog: Mutex::default() })
    }

    async fn prepare(&self) -> Result<(), Refusal> {
        self.forget();
        let mut connection = self.pool.take().await?;
        for definition in &self.tables {
            migrate::prepare(&mut connection.client, definition, self.migrate).await?;
        }
        self.pool.give_back(connection);
        Ok(())
    }

    async fn write(&self, batch: &Batch) -> Result<Vec<Verdict>, Refusal> {
        let Target::Table(table) = &*batch.target else { return Err(Refusal::unfit(&batch.target, "warehouse")) };
        let connection = self.pool.take().await?;
        let catalog = self.columns(&connection.client, &table.name).await?;
        let mut verdicts = vec![Verdict::Delivered; batch.items.len()];
        let rows = rows(table, batch, &mut verdicts);
        let inserts = inserts(table, &catalog, &rows, &mut verdicts)?;
        let done = insert_all(&connection.client, &inserts, &mut verdicts).await;
        // A connection that was cut does not always know it yet.
        if !matches!(&done, Err(refusal) if refusal.blame == Blame::Sink) {
            self.pool.give_back(connection);
        }
        match done {
            Ok(()) => Ok(verdicts),
            // Verdicts of rows that were left out stand: they would be the same again.
            Err(refusal) if refusal.blame == Blame::Record || refusal.blame == Blame::Size => {
                for verdict in verdicts.iter_mut().filter(|verdict| !matches!(verdict, Verdict::Refused(_))) {
                    *verdict = Verdict::Refused(refusal.clone());
                }
                Ok(verdicts)
            }
            Err(refusal) => Err(refusal),
        }
    }

    async fn columns(&self, client: &Client, table: &str) -> Result<Arc<[CatalogColumn]>, Refusal> {
        let known = self.catalog().get(table).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let columns: Arc<[CatalogColumn]> = migrate::columns(client, table).await?.into();
        if columns.is_empty() {
            return Err(Refusal::new(Blame::Configuration, format!("table {table} does not exist")).code("42P01"));
        }
        self.catalog().insert(table.to_owned(), Arc::clone(&columns));
        Ok(columns)
    }

    fn forget(&self) {
        self.catalog().clear();
    }

    fn catalog(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<[CatalogColumn]>>> {
        // A map that a panic left behind is whole: it is only ever inserted into and cleared.
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        tokio::time::timeout(self.timeout, work).await.unwrap_or_else(|_| Err(Refusal::timeout(self.timeout)))
    }
}

impl Sink for Postgres {
    fn deliver<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            self.in_time(self.write(batch)).await.unwrap_or_else(|refusal| {
                if refusal.blame != Blame::Sink {
                    // A table that was dropped or changed: the next call looks again.
                    self.forget();
                }
                refuse_all(batch.items.len(), refusal)
            })
        })
    }

    /// Waiting for another worker's migration, and an index on a large table, take longer than a delivery may: no timeout but the connection's.
    fn prepare(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(Postgres::prepare(self))
    }
}

/// One statement with its parameters, and the items that its rows came from.
struct Insert<'a> {
    sql: String,
    /// By column.
    arrays: Vec<Vec<Option<Cow<'a, str>>>>,
    items: Vec<usize>,
    /// For each row, whether some column of its key is null: such a row is never there already.
    keyless: Vec<bool>,
}

fn refused(reason: String) -> Verdict {
    Verdict::Refused(Refusal::new(Blame::Record, reason))
}

/// A batch's rows. What can never be one gets its verdict here.
fn rows<'a>(table: &Table, batch: &'a Batch, verdicts: &mut [Verdict]) -> Vec<Row<'a>> {
    let mut rows = Vec::with_capacity(batch.items.len());
    for (item, delivery) in batch.items.iter().enumerate() {
        match rows::parse(item, &delivery.payload) {
            Ok(row) => match table.key.iter().find(|key| !row.cells.iter().any(|cell| cell.column == key.as_str())) {
                Some(key) => verdicts[item] = refused(format!("the row has no column {key}, which is in the key")),
                None => rows.push(row),
            },
            Err(reason) => verdicts[item] = refused(reason),
        }
    }
    rows
}

/// Rows as statements, one for each run of the same columns. A row with a value that PostgreSQL has no text for gets its verdict here.
fn inserts<'a>(
    table: &Table,
    catalog: &[CatalogColumn],
    rows: &'a [Row<'a>],
    verdicts: &mut [Verdict],
) -> Result<Vec<Insert<'a>>, Refusal> {
    let mut inserts = Vec::new();
    for run in rows::runs(rows) {
        let run = &rows[run];
        let columns = find(table, catalog, &run[0])?;
        let arrays = columns.iter().map(|_| Vec::with_capacity(run.len())).collect();
        let mut insert = Insert { sql: String::new(), arrays, items: Vec::new(), keyless: Vec::new() };
        for row in run {
            match statement::texts(row, &columns) {
                Ok(texts) => {
                    insert
                        .keyless
                        .push(columns.iter().zip(&texts).any(|(column, text)| text.is_none() && table.key.contains(&column.name)));
                    insert.items.push(row.item);
                    insert.arrays.iter_mut().zip(texts).for_each(|(array, text)| array.push(text));
                }
                Err(reason) => verdicts[row.item] = refused(reason),
            }
        }
        if !insert.items.is_empty() {
            insert.sql = statement::insert(table, &columns, insert.items.len());
            inserts.push(insert);
        }
    }
    Ok(inserts)
}

/// A row's columns in the catalog.
fn find<'a>(table: &Table, catalog: &'a [CatalogColumn], row: &Row<'_>) -> Result<Vec<&'a CatalogColumn>, Refusal> {
    let find = |name: &str| {
        let column = catalog.iter().find(|column| column.name == name);
        column.ok_or_else(|| Refusal::new(Blame::Configuration, format!("table {} has no column {name}", table.name)).code("42703"))
    };
    row.cells.iter().map(|cell| find(&cell.column)).collect()
}

/// All or nothing: several statements make one transaction.
async fn insert_all(client: &Client, inserts: &[Insert<'_>], verdicts: &mut [Verdict]) -> Result<(), Refusal> {
    let many = inserts.len() > 1;
    if many {
        client.batch_execute("BEGIN").await.map_err(|error| refusal(&error))?;
    }
    for insert in inserts {
        if let Err(error) = insert_one(client, insert, verdicts).await {
            if many {
                // Where this fails the connection is gone, and the transaction with it.
                let _ = client.batch_execute("ROLLBACK").await;
            }
            return Err(refusal(&error));
        }
    }
    if many {
        client.batch_execute("COMMIT").await.map_err(|error| refusal(&error))?;
    }
    Ok(())
}

async fn insert_one(client: &Client, insert: &Insert<'_>, verdicts: &mut [Verdict]) -> Result<(), tokio_postgres::Error> {
    let parameters = insert.arrays.iter().map(|array| (array as &(dyn ToSql + Sync), Type::TEXT_ARRAY)).collect::<Vec<_>>();
    // Unnamed and in one round trip: nothing is left on the connection that a pooler between us would have to know.
    let row = client.query_typed_one(&insert.sql, &parameters).await?;
    let written: i64 = row.try_get(0)?;
    if usize::try_from(written).is_ok_and(|written| written >= insert.items.len()) {
        return Ok(());
    }
    let places: Vec<i64> = row.try_get::<_, Option<Vec<i64>>>(1)?.unwrap_or_default();
    let mut there = insert.keyless.iter().map(|keyless| !keyless).collect::<Vec<_>>();
    for place in places {
        // Places count from 1.
        if let Some(there) = usize::try_from(place - 1).ok().and_then(|index| there.get_mut(index)) {
            *there = false;
        }
    }
    for (item, _) in insert.items.iter().zip(there).filter(|(_, there)| *there) {
        verdicts[*item] = Verdict::Ignored;
    }
    Ok(())
}

//! Additive migration on PostgreSQL: looks first, changes only what is missing, one worker at a time.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use super::super::ddl::{self, Dialect, quote};
use super::classify::refusal;
use super::statement::{CatalogColumn, Kind};
use crate::config::Migrate;
use crate::pipeline::TableDefinition;
use crate::sinks::{Blame, Refusal};

/// The advisory lock of everybody who migrates in this database: "analytic" as a number.
const LOCK: i64 = i64::from_be_bytes(*b"analytic");

/// A table's columns in the database; empty where there is no such table. Its name as an SQL identifier is bound, not written into the query.
const COLUMNS: &str = "
    SELECT a.attname::text, format_type(a.atttypid, -1), CASE t.typtype WHEN 'd' THEN b.typname ELSE t.typname END::text, t.typcategory::text
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype
    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// Whether a unique index (no partial one, none over expressions) is on exactly these columns.
const HAS_KEY: &str = "
    SELECT EXISTS (
        SELECT FROM pg_index i
        WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
          AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM unnest(i.indkey[0:i.indnkeyatts - 1]) k
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k)
            = (SELECT array_agg(name ORDER BY name) FROM unnest($2::text[]) name))";

pub(super) async fn columns(client: &Client, table: &str) -> Result<Vec<CatalogColumn>, Refusal> {
    let name = Dialect::Postgres.table(table);
    let rows = client.query_typed(COLUMNS, &[(&name, Type::TEXT)]).await.map_err(|error| refusal(&error))?;
    read_columns(&rows).map_err(|error| refusal(&error))
}

fn read_columns(rows: &[tokio_postgres::Row]) -> Result<Vec<CatalogColumn>, tokio_postgres::Error> {
    rows.iter()
        .map(|row| {
            let (base, category): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
            Ok(CatalogColumn { name: row.try_get(0)?, sql_type: row.try_get(1)?, kind: Kind::of(base, category) })
        })
        .collect()
}

/// Makes what is missing, or says what is.
pub(super) async fn prepare(client: &mut Client, definition: &TableDefinition, migrate: Migrate) -> Result<(), Refusal> {
    let name = &definition.table.name;
    let there = columns(client, name).await?;
    if let Some(lack) = lack(definition, &there) {
        if migrate == Migrate::None {
            return Err(Refusal::new(Blame::Configuration, lack));
        }
    } else if definition.table.key.is_empty() || migrate == Migrate::None {
        return Ok(());
    }
    additive(client, definition).await.map_err(|error| {
        let refusal = refusal(&error);
        match refusal.blame {
            Blame::Sink => refusal,
            // Rows that are there already break the key, say: no record is at fault.
            _ => Refusal { blame: Blame::Configuration, answer: format!("cannot migrate table {name}: {}", refusal.answer), ..refusal },
        }
    })
}

/// What a table lacks of its definition.
fn lack(definition: &TableDefinition, there: &[CatalogColumn]) -> Option<String> {
    let name = &definition.table.name;
    if there.is_empty() {
        return Some(format!("table {name} does not exist"));
    }
    let missing = definition.columns.iter().find(|(column, _)| !there.iter().any(|there| there.name == *column));
    missing.map(|(column, _)| format!("table {name} has no column {column}"))
}

async fn additive(client: &mut Client, definition: &TableDefinition) -> Result<(), tokio_postgres::Error> {
    let name = Dialect::Postgres.table(&definition.table.name);
    let transaction = client.transaction().await?;
    // An index on a large table takes longer than a delivery may.
    transaction.batch_execute("SET LOCAL statement_timeout = 0").await?;
    // IF NOT EXISTS alone is no help against another worker that does the same at once: both look, both make, one fails.
    transaction.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    let there = read_columns(&transaction.query_typed(COLUMNS, &[(&name, Type::TEXT)]).await?)?;
    if there.is_empty() {
        make_schema(&transaction, definition).await?;
        transaction.batch_execute(&ddl::create(Dialect::Postgres, definition)).await?;
    } else {
        for (column, column_type) in definition.columns.iter().filter(|(column, _)| !there.iter().any(|there| there.name == *column)) {
            transaction.batch_execute(&ddl::add(Dialect::Postgres, definition, column, column_type)).await?;
        }
        let key = &definition.table.key;
        if !key.is_empty() {
            let row = transaction.query_typed(HAS_KEY, &[(&name, Type::TEXT), (key, Type::TEXT_ARRAY)]).await?;
            let has_key = row.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(false);
            if !has_key {
                transaction.batch_execute(&ddl::unique(Dialect::Postgres, definition)).await?;
            }
        }
    }
    transaction.commit().await
}

/// Looks first: CREATE SCHEMA IF NOT EXISTS asks for a right on the database even where the schema is there.
async fn make_schema(transaction: &Transaction<'_>, definition: &TableDefinition) -> Result<(), tokio_postgres::Error> {
    let Some((schema, _)) = definition.table.name.split_once('.') else { return Ok(()) };
    let there = transaction.query_typed("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[(&schema, Type::TEXT)]).await?;
    match there.is_empty() {
        true => transaction.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", quote(schema))).await,
        false => Ok(()),
    }
}

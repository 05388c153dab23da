//! The DDL that workers would run for a change.

use std::sync::Arc;

use super::Side;
use crate::config::{Consumer, Migrate, Sink, Text, WarehouseSink};
use crate::pipeline::{ColumnType, TableDefinition};
use crate::sinks::warehouse::{Dialect, changes, ddl};

/// What one consumer's database needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    pub consumer: Arc<str>,
    pub dialect: Dialect,
    pub known: Known,
    /// `migrate: additive`; otherwise somebody has to run the statements first.
    pub by_worker: bool,
    /// SQL, without semicolons.
    pub statements: Vec<String>,
    /// What no worker does: columns of another type. Each starts in lower case, ends without a full stop.
    pub by_hand: Vec<String>,
}

/// How the dialect is known: a plan resolves no variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The URL's scheme is written out.
    Written,
    /// It stands in a variable's default.
    Default,
    /// Only workers know it: PostgreSQL's is shown.
    Unknown,
}

/// By consumer; those that need nothing are not here.
pub(super) fn migrations(old: Option<&Side>, new: &Side) -> Vec<Migration> {
    let mut migrations = Vec::new();
    for consumer in new.set.consumers.values() {
        let Sink::Warehouse(sink) = &consumer.sink else { continue };
        let before = old.and_then(|old| tables_before(old, consumer, sink));
        let (dialect, known) = dialect(&sink.url);
        let (mut statements, mut by_hand) = (Vec::new(), Vec::new());
        for table in new.pipeline.tables(&consumer.name) {
            match before.iter().flatten().find(|known| known.table.name == table.table.name) {
                // the first statement makes the table, the others are for one that somebody else made
                None => statements.extend(ddl(dialect, &table).into_iter().take(1)),
                Some(before) => {
                    statements.extend(changes(dialect, before, &table));
                    by_hand.extend(retyped(before, &table));
                }
            }
        }
        if !(statements.is_empty() && by_hand.is_empty()) {
            let by_worker = sink.migrate == Migrate::Additive;
            migrations.push(Migration { consumer: consumer.name.clone(), dialect, known, by_worker, statements, by_hand });
        }
    }
    migrations
}

/// None where the consumer wrote to no database, or to another one.
fn tables_before(old: &Side, consumer: &Consumer, sink: &WarehouseSink<Text>) -> Option<Vec<TableDefinition>> {
    match &old.set.consumers.get(&consumer.name)?.sink {
        Sink::Warehouse(before) if before.url == sink.url => Some(old.pipeline.tables(&consumer.name)),
        _ => None,
    }
}

fn dialect(url: &Text) -> (Dialect, Known) {
    // a variable without a default makes a character that no scheme has
    match Dialect::of(&url.in_clear("\u{0}", "")) {
        Some(dialect) if url.source().starts_with("${") => (dialect, Known::Default),
        Some(dialect) => (dialect, Known::Written),
        None => (Dialect::Postgres, Known::Unknown),
    }
}

fn retyped(old: &TableDefinition, new: &TableDefinition) -> Vec<String> {
    let before = |name: &str| old.columns.iter().find(|(known, _)| known == name).map(|(_, column)| column);
    let others = new.columns.iter().filter_map(|(name, column)| Some((name, before(name)?, column))).filter(|(_, was, is)| was != is);
    others
        .map(|(name, was, is)| {
            let (was, is) = (shown(was), shown(is));
            format!("column `{name}` of table `{}` is {is} now, was {was}: a column that stands keeps its type", new.table.name)
        })
        .collect()
}

fn shown(column: &ColumnType) -> &str {
    match column {
        ColumnType::Text => "text",
        ColumnType::Integer => "integer",
        ColumnType::Double => "double",
        ColumnType::Boolean => "boolean",
        ColumnType::Timestamp => "timestamp",
        ColumnType::Date => "date",
        ColumnType::Json => "JSON",
        ColumnType::Custom(sql) => sql,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialect_is_told_without_resolving_anything() {
        for (url, dialect_is, known) in [
            ("sqlite:var/w.db", Dialect::Sqlite, Known::Written),
            ("postgres://app:${secret:PASSWORD}@db/app", Dialect::Postgres, Known::Written),
            ("${WAREHOUSE_URL:-sqlite:var/w.db}", Dialect::Sqlite, Known::Default),
            ("${WAREHOUSE_URL}", Dialect::Postgres, Known::Unknown),
            ("${secret:WAREHOUSE_URL}", Dialect::Postgres, Known::Unknown),
            ("${SCHEME}://db/app", Dialect::Postgres, Known::Unknown),
        ] {
            assert_eq!(dialect(&Text::new(url).unwrap()), (dialect_is, known), "{url}");
        }
    }
}

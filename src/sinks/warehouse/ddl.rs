//! The DDL of additive migration: pure, from a table's definition and what is there. Nothing here drops or retypes.

use crate::pipeline::{ColumnType, TableDefinition};

/// A database that the warehouse sink speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    Sqlite,
}

impl Dialect {
    /// By a warehouse URL's scheme; None where no dialect has it.
    pub fn of(url: &str) -> Option<Dialect> {
        let (scheme, rest) = url.split_once(':')?;
        match scheme {
            "sqlite" => Some(Dialect::Sqlite),
            "postgres" | "postgresql" if rest.starts_with("//") => Some(Dialect::Postgres),
            _ => None,
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Postgres => "PostgreSQL",
            Dialect::Sqlite => "SQLite",
        }
    }

    /// A table's name as SQL. SQLite has no schemas: there `analytics.events` is the name of one table.
    pub(super) fn table(self, name: &str) -> String {
        match (self, name.split_once('.')) {
            (Dialect::Postgres, Some((schema, table))) => format!("{}.{}", quote(schema), quote(table)),
            _ => quote(name),
        }
    }

    fn column_type(self, column: &ColumnType) -> &str {
        match (column, self) {
            (ColumnType::Text, _) => "text",
            (ColumnType::Integer, Dialect::Postgres) => "bigint",
            (ColumnType::Integer, Dialect::Sqlite) => "integer",
            (ColumnType::Double, Dialect::Postgres) => "double precision",
            (ColumnType::Double, Dialect::Sqlite) => "real",
            (ColumnType::Boolean, Dialect::Postgres) => "boolean",
            // SQLite has no such types. Text keeps its order for times in UTC; JSON that is a number would lose its digits in a column of another affinity.
            (ColumnType::Boolean, Dialect::Sqlite) => "integer",
            (ColumnType::Timestamp, Dialect::Postgres) => "timestamptz",
            (ColumnType::Date, Dialect::Postgres) => "date",
            (ColumnType::Json, Dialect::Postgres) => "jsonb",
            (ColumnType::Timestamp | ColumnType::Date | ColumnType::Json, Dialect::Sqlite) => "text",
            (ColumnType::Custom(sql), _) => sql,
        }
    }
}

/// All that makes the table in an empty database, and what it still lacks in one that has an older form of it. What `apply` and `plan` show. SQLite cannot say
/// `ADD COLUMN IF NOT EXISTS`, so there it is the table alone.
pub fn ddl(dialect: Dialect, definition: &TableDefinition) -> Vec<String> {
    let mut statements = vec![create(dialect, definition)];
    if dialect == Dialect::Postgres {
        statements.extend(definition.columns.iter().map(|(name, column)| add(dialect, definition, name, column)));
    }
    statements
}

/// What additive migration runs in a database where `old` stands, to get to `new`.
pub fn changes(dialect: Dialect, old: &TableDefinition, new: &TableDefinition) -> Vec<String> {
    let is_new = |name: &str| !old.columns.iter().any(|(known, _)| known == name);
    let added = new.columns.iter().filter(|(name, _)| is_new(name)).map(|(name, column)| add(dialect, new, name, column));
    let rekeyed = !new.table.key.is_empty() && new.table.key != old.table.key;
    added.chain(rekeyed.then(|| unique(dialect, new))).collect()
}

/// `CREATE TABLE IF NOT EXISTS`, its key the primary key.
pub(super) fn create(dialect: Dialect, definition: &TableDefinition) -> String {
    let mut lines = definition
        .columns
        .iter()
        // SQLite takes null in a primary key unless told.
        .map(|(name, column)| {
            let not_null = if definition.table.key.contains(name) { " NOT NULL" } else { "" };
            format!("  {} {}{not_null}", quote(name), dialect.column_type(column))
        })
        .collect::<Vec<_>>();
    if !definition.table.key.is_empty() {
        lines.push(format!("  PRIMARY KEY ({})", names(&definition.table.key)));
    }
    format!("CREATE TABLE IF NOT EXISTS {} (\n{}\n)", dialect.table(&definition.table.name), lines.join(",\n"))
}

/// One column more. Never NOT NULL: the rows that are there have nothing to put into it.
pub(super) fn add(dialect: Dialect, definition: &TableDefinition, name: &str, column: &ColumnType) -> String {
    let if_missing = if dialect == Dialect::Postgres { "IF NOT EXISTS " } else { "" };
    let table = dialect.table(&definition.table.name);
    format!("ALTER TABLE {table} ADD COLUMN {if_missing}{} {}", quote(name), dialect.column_type(column))
}

/// A unique index on the key, for a table that somebody else made without one.
pub(super) fn unique(dialect: Dialect, definition: &TableDefinition) -> String {
    // A schema's indexes live beside their table, so the index's name carries none.
    let table = match dialect {
        Dialect::Postgres => definition.table.name.split_once('.').map_or(definition.table.name.as_str(), |(_, table)| table),
        Dialect::Sqlite => &definition.table.name,
    };
    let mut name = format!("{table}_{}_key", definition.table.key.join("_"));
    // PostgreSQL cuts names at 63 bytes by itself, with a notice.
    let end = (0..=63.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    name.truncate(end);
    let (index, table) = (quote(&name), dialect.table(&definition.table.name));
    format!("CREATE UNIQUE INDEX IF NOT EXISTS {index} ON {table} ({})", names(&definition.table.key))
}

/// An identifier that stays one whatever it holds.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Identifiers as a list.
pub(super) fn names<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| quote(name.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{OnConflict, Table};

    fn definition(name: &str, key: &[&str]) -> TableDefinition {
        let column = |name: &str, column: ColumnType| (name.to_owned(), column);
        TableDefinition {
            table: Table { name: name.to_owned(), key: key.iter().map(|&name| name.to_owned()).collect(), on_conflict: OnConflict::Ignore },
            columns: vec![
                column("event_id", ColumnType::Text),
                column("index", ColumnType::Integer),
                column("score", ColumnType::Double),
                column("retried", ColumnType::Boolean),
                column("at", ColumnType::Timestamp),
                column("born", ColumnType::Date),
                column("properties", ColumnType::Json),
                column("amount", ColumnType::Custom("numeric(18,2)".into())),
            ],
        }
    }

    #[test]
    fn a_scheme_picks_the_dialect() {
        assert_eq!(Dialect::of("sqlite:var/a.db"), Some(Dialect::Sqlite));
        assert_eq!(Dialect::of("postgres://h/d"), Some(Dialect::Postgres));
        assert_eq!(Dialect::of("postgresql://h/d"), Some(Dialect::Postgres));
        assert_eq!(Dialect::of("mysql://h/d"), None);
        assert_eq!(Dialect::of("var/a.db"), None);
    }

    #[test]
    fn a_table_is_made_for_postgresql() {
        insta::assert_snapshot!(ddl(Dialect::Postgres, &definition("analytics.events", &["event_id", "index"])).join(";\n"), @r#"
        CREATE TABLE IF NOT EXISTS "analytics"."events" (
          "event_id" text NOT NULL,
          "index" bigint NOT NULL,
          "score" double precision,
          "retried" boolean,
          "at" timestamptz,
          "born" date,
          "properties" jsonb,
          "amount" numeric(18,2),
          PRIMARY KEY ("event_id", "index")
        );
        ALTER TABLE "analytics"."events" ADD COLUMN IF NOT EXISTS "event_id" text;
        ALTER TABLE "analytics"."events" ADD COLUMN IF NOT EXISTS "index" bigint;
        ALTER TABLE "analytics"."events" ADD COLUMN IF NOT EXISTS "score" double precision;
        ALTER TABLE "analytics"."events" ADD COLUMN IF NOT EXISTS "retried" boolean;
        ALTER TABLE "analytics"."events" ADD COLUMN IF NOT EXISTS "at" timestamptz;
        ALTER TABLE "analytics"."events" ADD COLUMN IF NOT EXISTS "born" date;
        ALTER TABLE "analytics"."events" ADD COLUMN IF NOT EXISTS "properties" jsonb;
        ALTER TABLE "analytics"."events" ADD COLUMN IF NOT EXISTS "amount" numeric(18,2)
        "#);
    }

    #[test]
    fn a_table_is_made_for_sqlite() {
        insta::assert_snapshot!(ddl(Dialect::Sqlite, &definition("analytics.events", &["event_id"])).join(";\n"), @r#"
        CREATE TABLE IF NOT EXISTS "analytics.events" (
          "event_id" text NOT NULL,
          "index" integer,
          "score" real,
          "retried" integer,
          "at" text,
          "born" text,
          "properties" text,
          "amount" numeric(18,2),
          PRIMARY KEY ("event_id")
        )
        "#);
    }

    #[test]
    fn a_table_that_stands_gets_its_new_columns_and_an_index_for_its_new_key() {
        let (old, mut new) = (definition("events", &["event_id"]), definition("events", &["event_id", "index"]));
        assert_eq!(changes(Dialect::Postgres, &old, &old), Vec::<String>::new());
        new.columns.remove(2);
        new.columns.push(("paid".to_owned(), ColumnType::Boolean));
        insta::assert_snapshot!(changes(Dialect::Sqlite, &old, &new).join(";\n"), @r#"
        ALTER TABLE "events" ADD COLUMN "paid" integer;
        CREATE UNIQUE INDEX IF NOT EXISTS "events_event_id_index_key" ON "events" ("event_id", "index")
        "#);
    }

    #[test]
    fn identifiers_are_quoted() {
        let odd = definition(r#"sel"ect"#, &[r#"we"ird"#]);
        assert_eq!(
            unique(Dialect::Postgres, &odd),
            r#"CREATE UNIQUE INDEX IF NOT EXISTS "sel""ect_we""ird_key" ON "sel""ect" ("we""ird")"#
        );
    }

    #[test]
    fn an_index_name_is_cut_where_postgresql_would() {
        let long = definition(&"é".repeat(40), &["event_id"]);
        assert!(unique(Dialect::Postgres, &long).contains(&format!("\"{}\" ON", "é".repeat(31))));
    }
}

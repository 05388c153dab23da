//! The one statement that a run of rows becomes: values only ever bound, one text array a column, cast to the types that the catalog says the table has.

use std::borrow::Cow;

use super::super::ddl::{Dialect, names, quote};
use super::super::rows::{Row, Value, integer};
use crate::config::{OnConflict, Table};

/// A column as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CatalogColumn {
    pub name: String,
    /// The type without its length or precision: an explicit cast to `varchar(3)` would cut what the insert itself then refuses.
    pub sql_type: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Takes JSON as it is.
    Json {
        binary: bool,
    },
    /// Takes numbers without a fraction only.
    Integer,
    /// Takes a JSON array's elements.
    Array,
    Other,
}

impl Kind {
    /// `base` is the type's name without a domain over it, `category` as in pg_type.
    pub fn of(base: &str, category: &str) -> Kind {
        match (base, category) {
            ("json", _) => Kind::Json { binary: false },
            ("jsonb", _) => Kind::Json { binary: true },
            ("int2" | "int4" | "int8", _) => Kind::Integer,
            (_, "A") => Kind::Array,
            _ => Kind::Other,
        }
    }
}

/// A run's insert. Its parameters are one `text[]` for each column, in their order; it answers one row: how many rows it wrote and, where that is fewer than
/// `rows`, the places (from 1) of those it wrote.
pub(super) fn insert(table: &Table, columns: &[&CatalogColumn], rows: usize) -> String {
    let list = |item: &dyn Fn(usize) -> String| (0..columns.len()).map(item).collect::<Vec<_>>().join(", ");
    let arrays = list(&|index| format!("${}", index + 1));
    let texts = list(&|index| format!("u{index}"));
    let typed = list(&|index| format!("{} AS c{index}", cast(index, columns[index])));
    let all = list(&|index| format!("c{index}"));

    let key = (0..columns.len()).filter(|index| table.key.contains(&columns[*index].name)).collect::<Vec<_>>();
    let (distinct, order, returned, places) = if key.is_empty() {
        (String::new(), String::new(), "1".to_owned(), "NULL::bigint[]".to_owned())
    } else {
        let aliases = key.iter().map(|index| format!("c{index}")).collect::<Vec<_>>().join(", ");
        let returned = key.iter().map(|index| format!("t.{} AS c{index}", quote(&columns[*index].name))).collect::<Vec<_>>().join(", ");
        // A null key is like no other.
        let nulls = key.iter().map(|index| format!("c{index} IS NULL")).collect::<Vec<_>>().join(" OR ");
        let same = format!("{aliases}, CASE WHEN {nulls} THEN ord END");
        (
            // Rows of one key collapse, for an upsert cannot touch a row twice.
            format!("DISTINCT ON ({same}) "),
            // In the key's order: workers that write the same keys at once do not lock each other out. The first row of each key is the one that is kept.
            format!("\n  ORDER BY {same}, {}", preference(table, columns)),
            returned,
            format!("CASE WHEN count(*) < {rows} THEN (SELECT array_agg(ord) FROM input JOIN done USING ({aliases})) END"),
        )
    };
    let name = Dialect::Postgres.table(&table.name);
    let names = list(&|index| quote(&columns[index].name));
    let conflict = conflict(table, columns);
    format!(
        "WITH input AS MATERIALIZED (\n  SELECT {distinct}* FROM (\n    SELECT {typed}, ord\n    FROM unnest({arrays}) WITH ORDINALITY AS texts ({texts}, ord)\n  ) AS typed{order}\n), \
         done AS (\n  INSERT INTO {name} AS t ({names})\n  SELECT {all} FROM input{conflict}\n  RETURNING {returned}\n)\nSELECT count(*), {places} FROM done"
    )
}

/// A text of the input as its column's type. The type's name comes quoted from the catalog.
fn cast(index: usize, column: &CatalogColumn) -> String {
    match column.kind {
        Kind::Array => {
            format!("CASE WHEN u{index} IS NOT NULL THEN ARRAY(SELECT json_array_elements_text(u{index}::json)) END::{}", column.sql_type)
        }
        _ => format!("u{index}::{}", column.sql_type),
    }
}

/// Which of several rows of one key is kept: what writing them one after another would have left.
fn preference(table: &Table, columns: &[&CatalogColumn]) -> String {
    match &table.on_conflict {
        OnConflict::Ignore => "ord".to_owned(),
        OnConflict::Update { newer_by: None } => "ord DESC".to_owned(),
        OnConflict::Update { newer_by: Some(newer_by) } => match columns.iter().position(|column| column.name == *newer_by) {
            // Of equally new ones the first; without any time each overwrites the one before.
            Some(index) => format!("c{index} DESC NULLS LAST, CASE WHEN c{index} IS NULL THEN -ord ELSE ord END"),
            None => "ord DESC".to_owned(),
        },
    }
}

fn conflict(table: &Table, columns: &[&CatalogColumn]) -> String {
    if table.key.is_empty() {
        return String::new();
    }
    let key = names(&table.key);
    let set = columns.iter().map(|column| &column.name).filter(|column| !table.key.contains(column));
    let set = set.map(|column| format!("{0} = excluded.{0}", quote(column))).collect::<Vec<_>>().join(", ");
    match &table.on_conflict {
        OnConflict::Update { newer_by } if !set.is_empty() => {
            let newer = newer_by.as_ref().map(|column| format!("\n  WHERE excluded.{0} > t.{0} OR t.{0} IS NULL", quote(column)));
            format!("\n  ON CONFLICT ({key}) DO UPDATE SET {set}{}", newer.unwrap_or_default())
        }
        OnConflict::Update { .. } | OnConflict::Ignore => format!("\n  ON CONFLICT ({key}) DO NOTHING"),
    }
}

/// A row's values as the text that PostgreSQL's own input functions read. The reason of a failure names the column, never the value.
pub(super) fn texts<'a>(row: &'a Row<'a>, columns: &[&CatalogColumn]) -> Result<Vec<Option<Cow<'a, str>>>, String> {
    row.cells
        .iter()
        .zip(columns)
        .map(|(cell, column)| {
            let text = match (cell.value()?, column.kind) {
                (Value::Null, _) => return Ok(None),
                (_, Kind::Json { binary }) => {
                    if binary && holds_nul_escape(cell.json) {
                        return Err(nul(&column.name));
                    }
                    Cow::Borrowed(cell.json)
                }
                (Value::Boolean(value), _) => Cow::Borrowed(if value { "true" } else { "false" }),
                (Value::Number(number), Kind::Integer) => integer(number).map_or(Cow::Borrowed(number), Cow::Owned),
                (Value::Number(number), _) => Cow::Borrowed(number),
                (Value::Nested(json), _) => Cow::Borrowed(json),
                (Value::Text(text), _) => match memchr::memchr(0, text.as_bytes()) {
                    Some(_) => return Err(nul(&column.name)),
                    None => match text {
                        Cow::Borrowed(_) => Cow::Borrowed(&cell.json[1..cell.json.len() - 1]),
                        Cow::Owned(text) => Cow::Owned(text),
                    },
                },
            };
            Ok(Some(text))
        })
        .collect()
}

fn nul(column: &str) -> String {
    format!("column {column}: PostgreSQL takes no NUL character in text")
}

/// Whether JSON holds the escape of U+0000, which jsonb refuses: six characters whose backslash is not itself escaped.
fn holds_nul_escape(json: &str) -> bool {
    memchr::memmem::find_iter(json.as_bytes(), br"\u0000").any(|at| {
        let before = json.as_bytes()[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        before % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::rows::parse;
    use super::*;

    fn column(name: &str, sql_type: &str, kind: Kind) -> CatalogColumn {
        CatalogColumn { name: name.into(), sql_type: sql_type.into(), kind }
    }

    fn table(key: &[&str], on_conflict: OnConflict) -> Table {
        Table { name: "analytics.events".into(), key: key.iter().map(|&key| key.into()).collect(), on_conflict }
    }

    fn sql(key: &[&str], on_conflict: OnConflict) -> String {
        let columns = [
            column("event_id", "text", Kind::Other),
            column("we\"ird", "text[]", Kind::Array),
            column("at", "timestamp with time zone", Kind::Other),
        ];
        insert(&table(key, on_conflict), &columns.iter().collect::<Vec<_>>(), 3)
    }

    #[test]
    fn without_a_key_rows_are_only_added() {
        insta::assert_snapshot!(sql(&[], OnConflict::Ignore), @r#"
        WITH input AS MATERIALIZED (
          SELECT * FROM (
            SELECT u0::text AS c0, CASE WHEN u1 IS NOT NULL THEN ARRAY(SELECT json_array_elements_text(u1::json)) END::text[] AS c1, u2::timestamp with time zone AS c2, ord
            FROM unnest($1, $2, $3) WITH ORDINALITY AS texts (u0, u1, u2, ord)
          ) AS typed
        ), done AS (
          INSERT INTO "analytics"."events" AS t ("event_id", "we""ird", "at")
          SELECT c0, c1, c2 FROM input
          RETURNING 1
        )
        SELECT count(*), NULL::bigint[] FROM done
        "#);
    }

    #[test]
    fn ignoring_keeps_the_first_row_of_a_key() {
        insta::assert_snapshot!(sql(&["event_id"], OnConflict::Ignore), @r#"
        WITH input AS MATERIALIZED (
          SELECT DISTINCT ON (c0, CASE WHEN c0 IS NULL THEN ord END) * FROM (
            SELECT u0::text AS c0, CASE WHEN u1 IS NOT NULL THEN ARRAY(SELECT json_array_elements_text(u1::json)) END::text[] AS c1, u2::timestamp with time zone AS c2, ord
            FROM unnest($1, $2, $3) WITH ORDINALITY AS texts (u0, u1, u2, ord)
          ) AS typed
          ORDER BY c0, CASE WHEN c0 IS NULL THEN ord END, ord
        ), done AS (
          INSERT INTO "analytics"."events" AS t ("event_id", "we""ird", "at")
          SELECT c0, c1, c2 FROM input
          ON CONFLICT ("event_id") DO NOTHING
          RETURNING t."event_id" AS c0
        )
        SELECT count(*), CASE WHEN count(*) < 3 THEN (SELECT array_agg(ord) FROM input JOIN done USING (c0)) END FROM done
        "#);
    }

    #[test]
    fn updating_by_time_keeps_the_newest_row_of_a_key() {
        insta::assert_snapshot!(sql(&["event_id", "we\"ird"], OnConflict::Update { newer_by: Some("at".into()) }), @r#"
        WITH input AS MATERIALIZED (
          SELECT DISTINCT ON (c0, c1, CASE WHEN c0 IS NULL OR c1 IS NULL THEN ord END) * FROM (
            SELECT u0::text AS c0, CASE WHEN u1 IS NOT NULL THEN ARRAY(SELECT json_array_elements_text(u1::json)) END::text[] AS c1, u2::timestamp with time zone AS c2, ord
            FROM unnest($1, $2, $3) WITH ORDINALITY AS texts (u0, u1, u2, ord)
          ) AS typed
          ORDER BY c0, c1, CASE WHEN c0 IS NULL OR c1 IS NULL THEN ord END, c2 DESC NULLS LAST, CASE WHEN c2 IS NULL THEN -ord ELSE ord END
        ), done AS (
          INSERT INTO "analytics"."events" AS t ("event_id", "we""ird", "at")
          SELECT c0, c1, c2 FROM input
          ON CONFLICT ("event_id", "we""ird") DO UPDATE SET "at" = excluded."at"
          WHERE excluded."at" > t."at" OR t."at" IS NULL
          RETURNING t."event_id" AS c0, t."we""ird" AS c1
        )
        SELECT count(*), CASE WHEN count(*) < 3 THEN (SELECT array_agg(ord) FROM input JOIN done USING (c0, c1)) END FROM done
        "#);
    }

    #[test]
    fn updating_all_the_key_has_nothing_to_set() {
        let key = column("event_id", "text", Kind::Other);
        assert!(insert(&table(&["event_id"], OnConflict::Update { newer_by: None }), &[&key], 1).contains("DO NOTHING"));
    }

    #[test]
    fn a_value_becomes_the_text_that_its_column_reads() {
        let text = |json: &str, kind: Kind| {
            let payload = format!("{{\"c\":{json}}}");
            let row = parse(0, payload.as_bytes()).expect("a row");
            let column = column("c", "any", kind);
            let texts = texts(&row, &[&column])?;
            Ok::<_, String>(texts[0].as_ref().map(ToString::to_string))
        };
        let json = Kind::Json { binary: true };
        for (value, kind, expected) in [
            ("null", json, None),
            ("true", Kind::Other, Some("true")),
            ("19.90", Kind::Other, Some("19.90")),
            ("3.0", Kind::Integer, Some("3")),
            ("3.5", Kind::Integer, Some("3.5")),
            (r#""a\"b""#, Kind::Other, Some("a\"b")),
            (r#""a""#, json, Some(r#""a""#)),
            (r#"{"a":[1.50]}"#, Kind::Other, Some(r#"{"a":[1.50]}"#)),
            (r#""\\u0000""#, json, Some(r#""\\u0000""#)),
            (r#""\u0000""#, Kind::Json { binary: false }, Some(r#""\u0000""#)),
        ] {
            assert_eq!(text(value, kind), Ok(expected.map(str::to_owned)), "{value}");
        }
        for kind in [Kind::Other, json] {
            assert_eq!(text(r#""a\u0000b""#, kind), Err("column c: PostgreSQL takes no NUL character in text".into()));
        }
        assert!(text(r#"{"a":"\\\u0000"}"#, json).is_err());
    }
}

//! A route's `columns`: their names, where their values come from, and their SQL types where those are written.

use indexmap::IndexMap;

use super::expression;
use crate::config::findings::{Finding, Findings, Located};
use crate::config::node::{Kind, Node};
use crate::config::section::{Section, closest, cut, entries, listed};
use crate::config::set::{Column, ColumnValue};
use crate::config::text::Text;

/// PostgreSQL cuts longer names off.
const LONGEST_IDENTIFIER: usize = 63;

/// What PostgreSQL and SQLite both know, then what PostgreSQL alone has: lower case, without length and precision.
const SQL_TYPES: [&str; 45] = [
    "text",
    "integer",
    "bigint",
    "numeric",
    "double precision",
    "boolean",
    "timestamptz",
    "date",
    "jsonb",
    "uuid",
    "varchar",
    "smallint",
    "int",
    "int2",
    "int4",
    "int8",
    "decimal",
    "real",
    "float",
    "float4",
    "float8",
    "double",
    "money",
    "bool",
    "char",
    "character",
    "character varying",
    "bpchar",
    "citext",
    "timestamp",
    "timestamp with time zone",
    "timestamp without time zone",
    "datetime",
    "time",
    "timetz",
    "time with time zone",
    "time without time zone",
    "interval",
    "json",
    "bytea",
    "blob",
    "inet",
    "cidr",
    "macaddr",
    "xml",
];

/// The columns of a route, in their order.
pub(super) fn columns(node: &Node, findings: &mut Findings) -> Option<IndexMap<String, Column>> {
    let map = entries(node, "columns", findings)?;
    if map.is_empty() {
        findings.push(node.error("no-columns", "a row without columns"));
    }
    let mut columns = IndexMap::new();
    for (key, node) in map {
        if let Err(why) = check_identifier(&key.name) {
            findings
                .push(Finding::error("bad-identifier", key.at.clone(), format!("the name of a column {why}")).width(key.width as usize));
        }
        if let Some((value, required, sql_type)) = column(node, findings) {
            columns.insert(key.name.clone(), Column { value, required, sql_type, at: key.at.clone() });
        }
    }
    Some(columns)
}

fn column(node: &Node, findings: &mut Findings) -> Option<(ColumnValue, bool, Option<Located<String>>)> {
    match &node.kind {
        Kind::Text(_) => return expression(node, findings).map(|expr| (ColumnValue::Expr(expr), false, None)),
        Kind::Map(_) => {}
        _ => {
            findings.push(
                node.error("wrong-type", format!("a column is an expression, {{ expr: … }} or {{ const: … }}; this is {}", node.what()))
                    .hint("for a fixed value write { const: … }"),
            );
            return None;
        }
    }
    let section = Section::open(node, "a column", &["expr", "const", "required", "type"], findings)?;
    let required = section.bool("required", findings).unwrap_or(false);
    let sql_type = section.get("type").and_then(|node| sql_type(node, findings));
    match (section.get("expr"), section.get("const")) {
        (Some(expr), None) => Some((ColumnValue::Expr(expression(expr, findings)?), required, sql_type)),
        (None, Some(value)) => Some((ColumnValue::Const(constant(value)), required, sql_type)),
        (Some(_), Some(_)) => {
            findings.push(section.error("const", "double-column", "a column has `expr` or `const`, not both"));
            None
        }
        (None, None) => {
            findings.push(node.error("missing-key", "a column needs `expr` or `const`"));
            None
        }
    }
}

/// `$${` stands for `${` here as it does everywhere.
fn constant(node: &Node) -> serde_json::Value {
    match &node.kind {
        Kind::Text(source) => {
            Text::new(source.as_str()).ok().and_then(|text| text.with_defaults()).unwrap_or_else(|| source.clone()).into()
        }
        _ => node.to_json(),
    }
}

/// A type that a database knows. One of the database's own making is written with its schema: nobody here can know it.
fn sql_type(node: &Node, findings: &mut Findings) -> Option<Located<String>> {
    let text = expression(node, findings)?;
    let Some(name) = type_name(&text.value) else {
        findings.push(node.error("unknown-type", "a parenthesis or bracket of this SQL type is not closed"));
        return None;
    };
    if SQL_TYPES.contains(&name.as_str()) || name.contains('.') {
        return Some(text);
    }
    let finding = node.error("unknown-type", format!("`{}` is no SQL type that is known", cut(&text.value)));
    findings.push(match closest(&name, SQL_TYPES) {
        Some(near) => finding.hint(format!("did you mean `{near}`?")),
        None => finding.hint(format!("the types are {}; a type of your own is written with its schema: `public.mood`", listed(SQL_TYPES))),
    });
    None
}

/// `Numeric(18, 2)` and `numeric[]` → `numeric`; None where a bracket stays open.
fn type_name(written: &str) -> Option<String> {
    let (mut name, mut depth) = (String::new(), 0_usize);
    for c in written.chars() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.checked_sub(1)?,
            c if depth == 0 => name.push(c.to_ascii_lowercase()),
            _ => {}
        }
    }
    (depth == 0).then(|| name.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What is wrong with the name of a table or column.
pub(super) fn check_identifier(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("is empty"),
        _ if name.len() > LONGEST_IDENTIFIER => Err("has more than 63 bytes"),
        _ if name.trim() != name => Err("starts or ends with a space"),
        _ if name.chars().any(char::is_control) => Err("holds a character that cannot be printed"),
        _ => Ok(()),
    }
}

//! The tables that routes fill: columns in their order, types as written or worked out from the schemas of the events that a route takes.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::expression::{Available, Root, Step, compile};
use super::route::Matcher;
use super::template::Templates;
use super::{ColumnType, TableDefinition};
use crate::config::{Column, ColumnValue, ConfigSet, Findings, Render, Route, Schema, Target};

/// The tables of every consumer that has some.
pub(super) fn of_set(set: &ConfigSet, templates: &Templates) -> HashMap<Arc<str>, Vec<TableDefinition>> {
    let mut all = HashMap::new();
    for consumer in set.consumers.values() {
        let mut tables: Vec<TableDefinition> = Vec::new();
        for route in &consumer.routes {
            let (Target::Table(table), Render::Columns(columns)) = (&route.target, &route.render) else { continue };
            let typed: Vec<(String, ColumnType)> =
                columns.iter().map(|(name, column)| (name.clone(), column_type(set, route, column, templates))).collect();
            match tables.iter_mut().find(|known| known.table.name == table.name) {
                Some(known) => merge(&mut known.columns, typed),
                None => tables.push(TableDefinition { table: table.clone(), columns: typed }),
            }
        }
        if !tables.is_empty() {
            all.insert(consumer.name.clone(), tables);
        }
    }
    all
}

/// Two routes may fill one table: a column of both must hold what either puts there.
fn merge(columns: &mut Vec<(String, ColumnType)>, more: Vec<(String, ColumnType)>) {
    for (name, new) in more {
        match columns.iter_mut().find(|(known, _)| *known == name) {
            Some((_, ColumnType::Custom(_))) => {}
            Some((_, known)) => *known = if matches!(new, ColumnType::Custom(_)) { new } else { either(known.clone(), new) },
            None => columns.push((name, new)),
        }
    }
}

/// The narrowest type that holds both.
fn either(a: ColumnType, b: ColumnType) -> ColumnType {
    use ColumnType::{Date, Double, Integer, Text, Timestamp};
    match (a, b) {
        (a, b) if a == b => a,
        (Integer, Double) | (Double, Integer) => Double,
        (Date, Timestamp) | (Timestamp, Date) => Text,
        _ => Text,
    }
}

fn column_type(set: &ConfigSet, route: &Route, column: &Column, templates: &Templates) -> ColumnType {
    if let Some(written) = &column.sql_type {
        return ColumnType::Custom(written.value.clone());
    }
    match &column.value {
        ColumnValue::Const(value) => of_value(value).unwrap_or(ColumnType::Text),
        ColumnValue::Expr(text) => {
            let available = if route.each.is_some() { Available::Element } else { Available::Event };
            // Its findings are made where the route is compiled.
            let Some(expression) = compile(text, available, templates, &mut Findings::default()) else { return ColumnType::Text };
            expression.result_type(&|root, steps| path_type(set, route, templates, root, steps)).unwrap_or(ColumnType::Text)
        }
    }
}

fn of_value(value: &Value) -> Option<ColumnType> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => ColumnType::Boolean,
        Value::Number(number) if number.is_f64() => ColumnType::Double,
        Value::Number(_) => ColumnType::Integer,
        Value::String(_) => ColumnType::Text,
        Value::Array(_) | Value::Object(_) => ColumnType::Json,
    })
}

/// None where no schema says anything of it.
fn path_type(set: &ConfigSet, route: &Route, templates: &Templates, root: Root, steps: &[Step]) -> Option<ColumnType> {
    let field = match steps.first() {
        Some(Step::Key(key)) => key.key(),
        _ => "",
    };
    match root {
        Root::Index => Some(ColumnType::Integer),
        Root::Meta => match field {
            "partition" | "offset" | "schema_version" => Some(ColumnType::Integer),
            "timestamp" => Some(ColumnType::Timestamp),
            _ => Some(ColumnType::Text),
        },
        Root::Consumer | Root::DeliveryId => Some(ColumnType::Text),
        Root::Event => schema_type(set, route, &names(steps)),
        Root::Item => {
            let each = compile(route.each.as_ref()?, Available::Event, templates, &mut Findings::default())?;
            let (Root::Event, list) = each.path()? else { return None };
            let path: Vec<Name> = names(list).into_iter().chain([Name::Element]).chain(names(steps)).collect();
            schema_type(set, route, &path)
        }
    }
}

#[derive(Debug, Clone)]
enum Name {
    Property(String),
    Element,
}

fn names(steps: &[Step]) -> Vec<Name> {
    let name = |step: &Step| match step {
        Step::Key(key) => Name::Property(key.key().to_owned()),
        Step::Index(_) => Name::Element,
    };
    steps.iter().map(name).collect()
}

/// Over all schemas that the route's events have.
fn schema_type(set: &ConfigSet, route: &Route, path: &[Name]) -> Option<ColumnType> {
    let matchers: Vec<Matcher> = route.events.iter().filter_map(|pattern| Matcher::new(&pattern.value)).collect();
    let mut found = None;
    for event in set.events.values() {
        for (version, schema) in &event.versions {
            if matchers.iter().any(|matcher| matcher.takes(&event.name, *version)) {
                let one = Reader { set, schema }.types(&schema.document, path, 0);
                found = both(found, one);
            }
        }
    }
    found
}

fn both(a: Option<ColumnType>, b: Option<ColumnType>) -> Option<ColumnType> {
    match (a, b) {
        (Some(a), Some(b)) => Some(either(a, b)),
        (a, b) => a.or(b),
    }
}

/// How deep references and combinations are followed: a schema may refer to itself.
const MAX_HOPS: usize = 32;

struct Reader<'a> {
    set: &'a ConfigSet,
    schema: &'a Schema,
}

impl Reader<'_> {
    fn types(&self, schema: &Value, path: &[Name], hops: usize) -> Option<ColumnType> {
        let members = schema.as_object().filter(|_| hops < MAX_HOPS)?;
        let mut found = match path.split_first() {
            None => of_schema(members),
            Some((Name::Property(name), rest)) => {
                members.get("properties").and_then(|properties| properties.get(name)).and_then(|inner| self.types(inner, rest, hops + 1))
            }
            Some((Name::Element, rest)) => members.get("items").and_then(|inner| self.types(inner, rest, hops + 1)),
        };
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            found = both(found, self.follow(reference, path, hops + 1));
        }
        for combination in ["allOf", "anyOf", "oneOf"] {
            for part in members.get(combination).and_then(Value::as_array).into_iter().flatten() {
                found = both(found, self.types(part, path, hops + 1));
            }
        }
        for branch in ["then", "else"] {
            if let Some(part) = members.get(branch) {
                found = both(found, self.types(part, path, hops + 1));
            }
        }
        found
    }

    fn follow(&self, reference: &str, path: &[Name], hops: usize) -> Option<ColumnType> {
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if address.is_empty() {
            return self.types(self.schema.document.pointer(fragment)?, path, hops);
        }
        let file = relative(&self.schema.file, address);
        let other = self.set.events.values().flat_map(|event| event.versions.values()).find(|schema| *schema.file == *file)?;
        Reader { set: self.set, schema: other }.types(other.document.pointer(fragment)?, path, hops)
    }
}

/// A path beside a file: `schemas/a/1.json` and `../b/1.json` make `schemas/b/1.json`.
fn relative(file: &str, address: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in address.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What one schema object says of its own value; null apart.
fn of_schema(members: &serde_json::Map<String, Value>) -> Option<ColumnType> {
    let named = |name: &str| match (name, members.get("format").and_then(Value::as_str)) {
        ("string", Some("date-time")) => Some(ColumnType::Timestamp),
        ("string", Some("date")) => Some(ColumnType::Date),
        ("string", _) => Some(ColumnType::Text),
        ("integer", _) => Some(ColumnType::Integer),
        ("number", _) => Some(ColumnType::Double),
        ("boolean", _) => Some(ColumnType::Boolean),
        ("object" | "array", _) => Some(ColumnType::Json),
        _ => None,
    };
    match members.get("type") {
        Some(Value::String(name)) => named(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(named).fold(None, both),
        _ => {
            let values = members.get("enum").and_then(Value::as_array).into_iter().flatten().chain(members.get("const"));
            values.map(of_value).fold(None, both)
        }
    }
}

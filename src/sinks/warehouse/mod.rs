//! The warehouse sink: rows into tables. The URL's scheme picks the database, so the embedded default and production share one definition.

mod ddl;
mod postgres;
mod rows;
mod sqlite;

use std::path::Path;
use std::sync::Arc;

pub use ddl::{Dialect, changes, ddl};

use super::{Sink, SinkError};
use crate::config::{Delivery, Resolved, WarehouseSink};
use crate::pipeline::TableDefinition;

pub(super) fn connect(
    name: &str,
    settings: &WarehouseSink<Resolved>,
    tables: Vec<TableDefinition>,
    delivery: &Delivery,
    root: &Path,
) -> Result<Arc<dyn Sink>, SinkError> {
    let url = settings.url.expose();
    match Dialect::of(url) {
        Some(Dialect::Sqlite) => {
            let path = url.strip_prefix("sqlite:").map_or("", |path| path.strip_prefix("//").unwrap_or(path));
            if path.is_empty() {
                return Err(SinkError::setting(name, "url", "sqlite: names no file"));
            }
            Ok(Arc::new(sqlite::Sqlite::new(root.join(path), tables, settings.migrate, delivery)))
        }
        Some(Dialect::Postgres) => Ok(Arc::new(postgres::Postgres::new(name, url, tables, settings.migrate, delivery)?)),
        None => Err(SinkError::setting(name, "url", "must begin with sqlite:, postgres:// or postgresql://")),
    }
}

//! A schema of its own in the real PostgreSQL, gone with the test.

use tokio_postgres::{Client, NoTls};

pub struct Schema {
    /// With the schema as its search path.
    pub url: String,
    name: String,
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Schema {
    pub fn new(name: &str) -> Schema {
        let server =
            std::env::var("POSTGRES_URL").expect("POSTGRES_URL is not set: run scripts/test.sh, which starts a server, or name one");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
        let joint = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{joint}options=-csearch_path%3D{name}");
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("connect to PostgreSQL");
            tokio::spawn(connection);
            client.batch_execute(&format!("CREATE SCHEMA {name}")).await.expect("create schema");
            client
        });
        Schema { url, name: name.to_owned(), runtime, client }
    }

    /// One number; 0 where its table is not there yet.
    pub fn number(&self, query: &str) -> i64 {
        match self.runtime.block_on(self.client.query_one(query, &[])) {
            Ok(row) => row.get(0),
            Err(error) if error.code().is_some_and(|code| code.code() == "42P01") => 0,
            Err(error) => panic!("{query}: {error}"),
        }
    }

    pub fn rows(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}"))
    }

    /// The first column of each row, as text.
    pub fn texts(&self, query: &str) -> Vec<Option<String>> {
        let rows = self.runtime.block_on(self.client.query(query, &[])).unwrap_or_else(|error| panic!("{query}: {error}"));
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub fn run(&self, statement: &str) {
        self.runtime.block_on(self.client.batch_execute(statement)).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // a server that went away takes its schemas with it
        let _ = self.runtime.block_on(self.client.batch_execute(&format!("DROP SCHEMA {} CASCADE", self.name)));
    }
}

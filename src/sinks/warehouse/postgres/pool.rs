//! Connections to one PostgreSQL: as many as calls run at once, made when needed, kept while they are whole.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::address::Address;
use super::classify::refusal;
use crate::sinks::{Blame, Refusal};

pub(super) struct Pool {
    address: Address,
    timeout: Duration,
    /// Connections that nobody uses. No more of them than calls ever ran at once, which is the delivery's `concurrency`.
    idle: Mutex<Vec<Connection>>,
}

/// A client and the task that drives its socket.
pub(super) struct Connection {
    pub client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    /// A call that was given up leaves its connection in the middle of an answer, perhaps from a host that is gone: the socket is closed without waiting for it.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Pool {
    pub fn new(address: Address, timeout: Duration) -> Pool {
        Pool { address, timeout, idle: Mutex::default() }
    }

    /// A connection that is not known to be broken.
    pub async fn take(&self) -> Result<Connection, Refusal> {
        loop {
            let idle = self.idle().pop();
            match idle {
                Some(connection) if connection.client.is_closed() => {}
                Some(connection) => return Ok(connection),
                None => return self.connect().await,
            }
        }
    }

    pub fn give_back(&self, connection: Connection) {
        self.idle().push(connection);
    }

    /// The address's own timeout is for the socket alone; a server that is stopped takes the connection and then says nothing.
    async fn connect(&self) -> Result<Connection, Refusal> {
        tokio::time::timeout(self.timeout, self.open()).await.unwrap_or_else(|_| Err(Refusal::timeout(self.timeout)))
    }

    async fn open(&self) -> Result<Connection, Refusal> {
        let tls = self.address.tls().map_err(|reason| Refusal::new(Blame::Configuration, reason))?;
        let (client, connection) = self.address.config.connect(tls).await.map_err(|error| refusal(&error))?;
        let driver = tokio::spawn(async move {
            // Every call that waits on this connection gets the error; between calls nobody needs it, for a closed connection is not taken again.
            let _ = connection.await;
        });
        let connection = Connection { client, driver };
        // A statement that we gave up must not be carried out after its retry: the server gives up with us. Times are read and shown in UTC where they name no zone.
        let millis = self.timeout.as_millis().clamp(1, i32::MAX as u128);
        let settings = format!("SET statement_timeout = {millis}; SET timezone = 'UTC'");
        connection.client.batch_execute(&settings).await.map_err(|error| refusal(&error))?;
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // A list that a panic left behind is whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

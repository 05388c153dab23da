//! A connection that is made when it is needed, and made anew when it broke.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Arg, AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};

use crate::config::RedisSettings;
use crate::store::StoreError;

const CONNECT: Duration = Duration::from_secs(3);
/// The longest that any answer may take that does not wait on purpose: a set of many megabytes over a slow line.
const ANSWER: Duration = Duration::from_secs(10);
/// The same where the answer is awaited at a known time: a connection that is half open is noticed soon.
const SLACK: Duration = Duration::from_secs(2);
/// Nodes of a cluster that one question may be sent on to.
const REDIRECTS: usize = 3;

/// See the module. A clone shares nothing but the address.
pub(super) struct Link {
    /// Where to begin: the address of the settings.
    seed: Client,
    /// The node of a cluster that has our slot, once we were sent there.
    node: Option<Client>,
    connection: Option<MultiplexedConnection>,
    answer: Duration,
}

impl Link {
    pub(super) fn new(settings: &RedisSettings) -> Result<Link, StoreError> {
        let seed = Client::open(settings.url.expose()).map_err(|source| StoreError::Address(source.to_string()))?;
        Ok(Link { seed, node: None, connection: None, answer: ANSWER })
    }

    /// The same for commands that wait up to `block` on purpose.
    pub(super) fn waiting(&self, block: Duration) -> Link {
        Link { answer: block + SLACK, ..self.clone() }
    }

    /// Host and port, without secrets.
    pub(super) fn address(&self) -> String {
        self.node.as_ref().unwrap_or(&self.seed).get_connection_info().addr().to_string()
    }

    /// Asks once; a cluster's redirection is followed. A connection that broke is made anew by the next call, not by this one: what was asked may
    /// have been done.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, doing: &'static str, question: &Cmd) -> Result<T, StoreError> {
        for _ in 0..REDIRECTS {
            let error = match self.ask_node(question).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let told = self.told(doing, question, &error);
            match moved(&error) {
                Some((host, port)) => self.go_to(host, port).map_err(|_| told)?,
                None => {
                    if broken(&error) {
                        (self.connection, self.node) = (None, None);
                    }
                    return Err(told);
                }
            }
        }
        Err(StoreError::Redis { doing, address: self.address(), why: "its cluster sends us in a circle".to_owned(), away: true })
    }

    async fn ask_node<T: FromRedisValue>(&mut self, question: &Cmd) -> Result<T, RedisError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(self.answer));
                self.node.as_ref().unwrap_or(&self.seed).get_multiplexed_async_connection_with_config(&config).await?
            }
        };
        question.query_async(self.connection.insert(connection)).await
    }

    fn told(&self, doing: &'static str, question: &Cmd, error: &RedisError) -> StoreError {
        match is_foreign(error) {
            true => StoreError::Corrupt { what: key_of(question), why: error.to_string() },
            false => StoreError::Redis { doing, address: self.address(), why: error.to_string(), away: is_away(error) },
        }
    }

    fn go_to(&mut self, host: String, port: u16) -> Result<(), RedisError> {
        let known = self.seed.get_connection_info().clone();
        let address = match known.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        self.node = Some(Client::open(known.set_addr(address))?);
        self.connection = None;
        Ok(())
    }
}

fn moved(error: &RedisError) -> Option<(String, u16)> {
    let moved = error.kind() == ErrorKind::Server(ServerErrorKind::Moved);
    error.redirect_node().filter(|_| moved).map(|(node, _)| node).and_then(|node| {
        let (host, port) = node.rsplit_once(':')?;
        Some((host.to_owned(), port.parse().ok()?))
    })
}

/// Whether the connection is of no use any more: closed, silent, or to a node that may no longer be written to.
fn broken(error: &RedisError) -> bool {
    error.is_timeout() || error.is_connection_dropped() || error.is_unrecoverable_error() || is_away(error)
}

/// Whether a key holds what we never write there.
fn is_foreign(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE") || matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Parse)
}

/// The first key of ours that a question names.
fn key_of(question: &Cmd) -> String {
    let mut texts = question.args_iter().filter_map(|argument| match argument {
        Arg::Simple(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    });
    texts.find(|text| text.starts_with("{analytica:")).unwrap_or("a key").to_owned()
}

/// Whether Redis cannot be worked with now, whatever is asked.
fn is_away(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Server(kind) => matches!(kind, BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain),
        _ => error.is_io_error(),
    }
}

impl Clone for Link {
    fn clone(&self) -> Link {
        Link { seed: self.seed.clone(), node: self.node.clone(), connection: None, answer: self.answer }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.address())
    }
}

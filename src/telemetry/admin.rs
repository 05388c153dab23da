//! The admin HTTP server: `/healthz`, `/readyz`, `/metrics`. It answers questions and changes nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Metrics;

/// How long `stop` waits for requests that are being answered.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// Whether the process can do its work, and if not, why. Cheap to clone; all clones share one state.
#[derive(Debug, Clone)]
pub struct Readiness {
    why_not: Arc<ArcSwapOption<String>>,
}

impl Readiness {
    /// Not ready yet, for this reason.
    pub fn not_yet(why: impl Into<String>) -> Readiness {
        Readiness { why_not: Arc::new(ArcSwapOption::from_pointee(why.into())) }
    }

    /// `None` is ready; otherwise one line that says why not.
    pub fn set(&self, why_not: Option<String>) {
        self.why_not.store(why_not.map(Arc::new));
    }

    /// Why the process is not ready; None when it is.
    pub fn why_not(&self) -> Option<Arc<String>> {
        self.why_not.load_full()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("cannot listen on {listen} for the admin server: {source}")]
    Listen { listen: SocketAddr, source: std::io::Error },
    #[error("the admin server ended: {0}")]
    Ended(String),
}

impl AdminError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            AdminError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => Some(
                "another process has the port, perhaps another worker; choose one with admin.listen, or port 0 for any that is free"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// A running admin server.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    stopping: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

#[derive(Debug, Clone)]
struct Answers {
    metrics: Metrics,
    readiness: Readiness,
}

impl Admin {
    /// Listens and answers from now on. Port 0 takes any that is free: `address` says which.
    pub async fn start(listen: SocketAddr, metrics: Metrics, readiness: Readiness) -> Result<Admin, AdminError> {
        let failed = |source| AdminError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let routes = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics_text))
            .with_state(Answers { metrics, readiness });
        let stopping = CancellationToken::new();
        let stopped = stopping.clone().cancelled_owned();
        // Owned by `Admin`: `stop` joins it, dropping it aborts.
        let task = tokio::spawn(async move { axum::serve(listener, routes).with_graceful_shutdown(stopped).await });
        Ok(Admin { address, stopping, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new connections, finishes what is being answered (at most a second), ends.
    pub async fn stop(mut self) -> Result<(), AdminError> {
        self.stopping.cancel();
        match tokio::time::timeout(STOP_WITHIN, &mut self.task).await {
            // Somebody holds a connection open: dropping `self` ends it.
            Err(_) => Ok(()),
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(AdminError::Ended(error.to_string())),
            Ok(Err(error)) => Err(AdminError::Ended(error.to_string())),
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn readyz(State(answers): State<Answers>) -> impl IntoResponse {
    match answers.readiness.why_not() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics_text(State(answers): State<Answers>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], answers.metrics.render())
}

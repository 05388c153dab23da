//! A local stand-in for Dittofeed: takes its API's calls, remembers what it was told, and can be made unavailable.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running receiver on a loopback port of its own.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    down: AtomicBool,
    refused: Mutex<u64>,
    seen: Mutex<Seen>,
}

/// What the receiver was told so far.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// How often each messageId came.
    pub messages: HashMap<String, u32>,
    /// Messages by event name, or by the call's last path segment for calls without one.
    pub by_event: HashMap<String, u64>,
    /// The last message of each event name.
    pub last: HashMap<String, Value>,
}

impl Receiver {
    /// Wants this write key, `id:secret`, as Dittofeed does.
    pub async fn start(write_key: &str) -> std::io::Result<Receiver> {
        use base64::Engine;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let authorization = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(write_key));
        let app = Router::new().fallback(take).with_state((Arc::clone(&shared), Arc::<str>::from(authorization)));
        let server = tokio::spawn(async move {
            // serve only returns when its listener fails for good: the demo then shows the engagement queue waiting
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the demo's receiver stopped");
            }
        });
        Ok(Receiver { address, shared, server })
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// While down it answers 503 to everything.
    pub fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }

    /// Calls answered with 503 so far.
    pub fn refused(&self) -> u64 {
        *self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn seen(&self) -> Seen {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State((shared, authorization)): State<(Arc<Shared>, Arc<str>)>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    if shared.down.load(Ordering::SeqCst) {
        *shared.refused.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if headers.get("authorization").is_none_or(|given| given.as_bytes() != authorization.as_bytes()) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(body) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    let call = uri.path().rsplit('/').next().unwrap_or_default();
    let messages = match body.get("batch").and_then(Value::as_array) {
        Some(batch) => batch.as_slice(),
        None => std::slice::from_ref(&body),
    };
    let complete =
        |message: &Value| message.get("messageId").is_some() && (message.get("userId").is_some() || message.get("anonymousId").is_some());
    if !messages.iter().all(complete) {
        return StatusCode::BAD_REQUEST;
    }
    let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
    for message in messages {
        seen.note(call, message);
    }
    StatusCode::NO_CONTENT
}

impl Seen {
    fn note(&mut self, call: &str, message: &Value) {
        let id = message.get("messageId").and_then(Value::as_str).unwrap_or_default();
        *self.messages.entry(id.to_owned()).or_default() += 1;
        let event = message.get("event").and_then(Value::as_str).unwrap_or(call);
        *self.by_event.entry(event.to_owned()).or_default() += 1;
        self.last.insert(event.to_owned(), message.clone());
    }
}

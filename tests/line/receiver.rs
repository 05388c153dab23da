//! An HTTP endpoint that remembers what it was sent and answers as a test says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// How a call is answered, from its parsed body.
pub type Answer = Box<dyn Fn(&Call) -> u16 + Send>;

#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Value,
}

impl Call {
    /// The messages of a `{"batch": [...]}` body, else the body itself.
    pub fn messages(&self) -> Vec<Value> {
        match self.body.get("batch").and_then(Value::as_array) {
            Some(batch) => batch.clone(),
            None => vec![self.body.clone()],
        }
    }
}

struct Shared {
    answer: Mutex<Answer>,
    taken: Mutex<Vec<Call>>,
    refused: Mutex<u64>,
}

/// A running endpoint; it ends with the test.
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

impl Receiver {
    pub fn start() -> Receiver {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
        let shared = Arc::new(Shared { answer: Mutex::new(Box::new(|_| 204)), taken: Mutex::default(), refused: Mutex::default() });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("bind");
        let address = listener.local_addr().expect("address");
        let app = Router::new().fallback(take).with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Receiver { address, shared, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn answers(&self, answer: impl Fn(&Call) -> u16 + Send + 'static) {
        *self.shared.answer.lock().unwrap() = Box::new(answer);
    }

    /// Calls answered with 2xx.
    pub fn taken(&self) -> Vec<Call> {
        self.shared.taken.lock().unwrap().clone()
    }

    pub fn messages(&self) -> Vec<Value> {
        self.taken().iter().flat_map(Call::messages).collect()
    }

    /// How often each messageId came.
    pub fn message_ids(&self) -> HashMap<String, u32> {
        let mut ids = HashMap::new();
        for message in self.messages() {
            *ids.entry(message["messageId"].as_str().expect("messageId").to_owned()).or_default() += 1;
        }
        ids
    }

    /// Calls answered otherwise.
    pub fn refused(&self) -> u64 {
        *self.shared.refused.lock().unwrap()
    }
}

async fn take(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or("").to_owned();
    let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let call = Call { path: uri.to_string(), headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) };
    let status = (shared.answer.lock().unwrap())(&call);
    match status {
        200..300 => shared.taken.lock().unwrap().push(call),
        _ => *shared.refused.lock().unwrap() += 1,
    }
    let answer = StatusCode::from_u16(status).expect("status").into_response();
    match status {
        300..400 => ([("location", "/elsewhere")], answer).into_response(),
        _ => answer,
    }
}

//! The http sink: payloads to an HTTP API, one request each or many in one body.

mod body;
mod classify;
mod request;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use reqwest::header::RETRY_AFTER;
use reqwest::{Certificate, Client, Response, redirect};
use url::Host;

use self::request::Api;
use super::refusal::{MAX_ANSWER_BYTES, refuse_all, with_causes};
use super::{Batch, Blame, Item, Refusal, Sink, SinkError, Verdict};
use crate::config::{BodyForm, Delivery, HttpSink, Resolved};
use crate::pipeline::{RequestTarget, Target};

/// More of an answer than this is not read: the connection is dropped rather than drained.
const MAX_DRAIN_BYTES: usize = 64 * 1024;

/// Nor is it waited for longer than this: the status has said it all.
const MAX_DRAIN: Duration = Duration::from_secs(1);

/// Sends requests to one API.
pub(super) struct Http {
    api: Api,
    gzip: bool,
    ca_file: Option<Resolved>,
    delivery: Delivery,
    /// Empty until `prepare` has read the authority's file.
    client: ArcSwapOption<Client>,
}

impl Http {
    pub(super) fn new(name: &str, settings: &HttpSink<Resolved>, delivery: &Delivery) -> Result<Http, SinkError> {
        Ok(Http {
            api: Api::new(name, settings)?,
            gzip: settings.gzip,
            ca_file: settings.ca_file.clone(),
            delivery: delivery.clone(),
            client: ArcSwapOption::empty(),
        })
    }

    /// The client, made at first use. `prepare` makes a new one, so that a renewed authority file is taken up.
    async fn client(&self) -> Result<Arc<Client>, Refusal> {
        match self.client.load_full() {
            Some(client) => Ok(client),
            None => self.connect().await,
        }
    }

    async fn connect(&self) -> Result<Arc<Client>, Refusal> {
        let mut builder = Client::builder()
            .user_agent(concat!("analytica/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(self.delivery.timeout)
            .connect_timeout(self.delivery.timeout)
            .pool_max_idle_per_host(self.delivery.concurrency.max(1));
        if is_loopback(self.api.host()) {
            // What is on this machine is not reached through the environment's proxy.
            builder = builder.no_proxy();
        }
        if let Some(file) = &self.ca_file {
            builder = builder.tls_certs_merge(read_authorities(file).await?);
        }
        let client = builder.build().map_err(|error| Refusal::new(Blame::Configuration, describe(error)))?;
        let client = Arc::new(client);
        self.client.store(Some(Arc::clone(&client)));
        Ok(client)
    }

    async fn send(&self, target: &RequestTarget, items: &[Item]) -> Result<(), Refusal> {
        let client = self.client().await?;
        let mut headers = self.api.headers(target, items)?;
        let url = self.api.url(&target.path)?;
        let mut body = body::encode(target.body, items);
        if self.gzip {
            // Writing into memory does not fail.
            body = body::gzip(&body).map_err(|error| Refusal::new(Blame::Record, error.to_string()))?;
            headers.insert(reqwest::header::CONTENT_ENCODING, reqwest::header::HeaderValue::from_static("gzip"));
        }
        let request = client.request(request::method(target.method), url).headers(headers).body(Bytes::from(body));
        match request.send().await {
            Ok(response) => self.judge(response).await,
            Err(error) => Err(failure(error)),
        }
    }

    async fn judge(&self, response: Response) -> Result<(), Refusal> {
        let status = response.status().as_u16();
        let blame = classify::blame(status, &self.delivery.pause_on, &self.delivery.dead_on);
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.into());
        let retry_after = wait.and_then(|value: &str| classify::retry_after(value, SystemTime::now()));
        let answer = read_answer(response).await;
        match blame {
            None => Ok(()),
            Some(blame) => {
                let mut text = format!("HTTP {status}");
                if !answer.is_empty() {
                    text.push_str(": ");
                    text.push_str(&self.api.mask(&String::from_utf8_lossy(&answer)));
                }
                Err(Refusal { retry_after, ..Refusal::new(blame, text).code(status.to_string()) })
            }
        }
    }

    /// One request an item, in order. Behind a failure that is not the record's own nothing more is sent: it would overtake what must be tried again. Nor is
    /// anything after half of the time that a call has: what a call did is lost when it is given up in the middle, and a long batch would never come to its end.
    async fn send_each(&self, target: &RequestTarget, items: &[Item]) -> Vec<Verdict> {
        let began = Instant::now();
        let mut verdicts = Vec::with_capacity(items.len());
        for item in items {
            let result = match verdicts.is_empty() || began.elapsed() < self.delivery.timeout / 2 {
                true => self.send(target, std::slice::from_ref(item)).await,
                false => Err(Refusal::new(Blame::Sink, "not sent: the requests before it took half of the timeout").code("unsent")),
            };
            match result {
                Ok(()) => verdicts.push(Verdict::Delivered),
                Err(refusal) if matches!(refusal.blame, Blame::Record | Blame::Size) => verdicts.push(Verdict::Refused(refusal)),
                Err(refusal) => {
                    verdicts.resize(items.len(), Verdict::Refused(refusal));
                    break;
                }
            }
        }
        verdicts
    }
}

impl Sink for Http {
    fn deliver<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            let Target::Request(target) = &*batch.target else {
                return refuse_all(batch.items.len(), Refusal::unfit(&batch.target, "http"));
            };
            if target.body == BodyForm::Single {
                return self.send_each(target, &batch.items).await;
            }
            match self.send(target, &batch.items).await {
                Ok(()) => vec![Verdict::Delivered; batch.items.len()],
                Err(refusal) => refuse_all(batch.items.len(), refusal),
            }
        })
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(async move { self.connect().await.map(|_| ()) })
    }
}

fn is_loopback(host: Option<Host<&str>>) -> bool {
    match host {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

async fn read_authorities(file: &Resolved) -> Result<Vec<Certificate>, Refusal> {
    let refuse = |reason: String| Refusal::new(Blame::Configuration, format!("sink.ca_file {file}: {reason}"));
    let pem = tokio::fs::read(file.expose()).await.map_err(|error| refuse(error.to_string()))?;
    let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| refuse(describe(error)))?;
    match authorities.is_empty() {
        true => Err(refuse("it holds no PEM certificate".to_owned())),
        false => Ok(authorities),
    }
}

/// The beginning of the answer's body. The rest is drained so that the connection can be used again. A body that breaks off or stalls changes nothing.
async fn read_answer(mut response: Response) -> Vec<u8> {
    let mut answer = Vec::new();
    let drain = async {
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = MAX_ANSWER_BYTES.saturating_sub(answer.len()).min(chunk.len());
            answer.extend_from_slice(&chunk[..room]);
            read += chunk.len();
            if read > MAX_DRAIN_BYTES {
                break;
            }
        }
    };
    // Whether it came to its end is nobody's concern.
    let _ = tokio::time::timeout(MAX_DRAIN, drain).await;
    answer
}

/// No answer, or none that is HTTP.
fn failure(error: reqwest::Error) -> Refusal {
    let (timeout, connect) = (error.is_timeout(), error.is_connect());
    let text = describe(error);
    // The server is there, and nobody would be served: its certificate is not one we trust.
    let untrusted = connect && text.contains("certificate verify failed");
    let code = match (timeout, connect) {
        (true, _) => "timeout",
        (false, true) => "connect",
        (false, false) => "broken",
    };
    Refusal::new(if untrusted { Blame::Configuration } else { Blame::Sink }, text).code(code)
}

/// An error without its URL, which may hold a password.
fn describe(error: reqwest::Error) -> String {
    with_causes(&error.without_url())
}

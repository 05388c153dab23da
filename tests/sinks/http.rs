//! The http sink against a receiver of our own.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use analytica::config::{BodyForm, Delivery, HttpAuth, HttpSink, Method, Resolved, SinkSettings};
use analytica::pipeline::{RequestTarget, Target};
use analytica::sinks::{Blame, Sink, Verdict};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response, StatusCode};
use base64::Engine;
use indexmap::IndexMap;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::{blames, connect, deliver, refusal};

/// A request as it arrived.
struct Got {
    line: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// A server that keeps what it gets and answers what the test says for the n-th request, from 0.
struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    async fn answering(answer: impl Fn(usize) -> Response<Body> + Clone + Send + Sync + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let keep = Arc::clone(&got);
        let router = Router::new().fallback(move |request: Request| {
            let (keep, answer) = (Arc::clone(&keep), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.expect("a body").to_vec();
                let mut kept = keep.lock().expect("whole");
                kept.push(Got { line: format!("{} {}", parts.method, parts.uri), headers: parts.headers, body });
                answer(kept.len() - 1)
            }
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Receiver { address, got, server }
    }

    async fn always(status: u16) -> Receiver {
        Receiver::answering(move |_| answer(status, "")).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn take(&self) -> Vec<Got> {
        std::mem::take(&mut self.got.lock().expect("whole"))
    }
}

fn answer(status: u16, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

fn settings(url: &str) -> HttpSink<Resolved> {
    HttpSink { base_url: Resolved::new("${URL}", url), auth: None, headers: IndexMap::new(), gzip: false, ca_file: None }
}

fn sink_with(settings: HttpSink<Resolved>, delivery: &Delivery) -> Arc<dyn Sink> {
    connect(&SinkSettings::Http(settings), Vec::new(), delivery, Path::new("")).expect("good settings").expect("a sink")
}

fn sink(url: &str) -> Arc<dyn Sink> {
    sink_with(settings(url), &Delivery::default())
}

fn secret(value: &str) -> Resolved {
    Resolved::new("${secret:KEY}", value)
}

fn request(path: &str, body: BodyForm) -> Target {
    Target::Request(RequestTarget { method: Method::Post, path: path.into(), headers: Vec::new(), body })
}

#[tokio::test]
async fn a_batch_is_one_request_in_the_form_that_was_asked_for() {
    let receiver = Receiver::always(204).await;
    let sink = sink(&receiver.url("/base/"));
    sink.prepare().await.expect("ready");
    let payloads = [r#"{"a":1.50}"#, r#"{"b":"é"}"#];
    for (form, body, content_type) in [
        (BodyForm::Array, r#"[{"a":1.50},{"b":"é"}]"#, "application/json"),
        (BodyForm::Batch, r#"{"batch":[{"a":1.50},{"b":"é"}]}"#, "application/json"),
        (BodyForm::Ndjson, "{\"a\":1.50}\n{\"b\":\"é\"}\n", "application/x-ndjson"),
    ] {
        assert_eq!(deliver(&sink, &request("/api/apps/batch?x=1", form), &payloads).await, [Verdict::Delivered, Verdict::Delivered]);
        let got = receiver.take();
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].line, "POST /base/api/apps/batch?x=1");
        assert_eq!(got[0].text(), body);
        assert_eq!(got[0].header("content-type"), content_type);
        assert_eq!(got[0].header("content-length"), body.len().to_string());
        assert_eq!(got[0].header("user-agent"), concat!("analytica/", env!("CARGO_PKG_VERSION")));
        assert_eq!(got[0].header("idempotency-key").len(), 36);
    }
}

#[tokio::test]
async fn a_single_form_is_one_request_each_with_the_deliverys_id() {
    let receiver = Receiver::answering(|number| answer(if number == 1 { 422 } else { 200 }, "no such user")).await;
    let target = Target::Request(RequestTarget {
        method: Method::Put,
        path: "/users/1".into(),
        headers: vec![("X-Step".into(), "kyc".into()), ("content-type".into(), "application/vnd.api+json".into())],
        body: BodyForm::Single,
    });
    let verdicts = deliver(&sink(&receiver.url("")), &target, &["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]).await;
    assert_eq!(blames(&verdicts), [None, Some(Blame::Record), None]);
    assert_eq!((refusal(&verdicts[1]).code.as_deref(), refusal(&verdicts[1]).answer.as_str()), (Some("422"), "HTTP 422: no such user"));
    let got = receiver.take();
    assert_eq!(got.iter().map(Got::text).collect::<Vec<_>>(), ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]);
    assert_eq!(got[2].header("idempotency-key"), "00000000-0000-0000-0000-000000000003");
    assert_eq!(
        (got[0].line.as_str(), got[0].header("x-step"), got[0].header("content-type")),
        ("PUT /users/1", "kyc", "application/vnd.api+json")
    );
}

#[tokio::test]
async fn behind_a_failing_sink_nothing_overtakes() {
    let receiver = Receiver::answering(|number| answer(if number == 1 { 503 } else { 200 }, "")).await;
    let verdicts = deliver(&sink(&receiver.url("")), &request("/", BodyForm::Single), &["0", "1", "2"]).await;
    assert_eq!(blames(&verdicts), [None, Some(Blame::Sink), Some(Blame::Sink)]);
    assert_eq!(receiver.take().len(), 2);
}

#[tokio::test]
async fn credentials_go_where_they_belong() {
    let receiver = Receiver::always(200).await;
    let basic = |value: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(value));
    for (auth, header, expected) in [
        (HttpAuth::Basic(secret("key")), "authorization", basic("key:")),
        (HttpAuth::Basic(secret("user:pass")), "authorization", basic("user:pass")),
        (HttpAuth::Bearer(secret("token")), "authorization", "Bearer token".to_owned()),
        (HttpAuth::Header { name: "X-Api-Key".into(), value: secret("key") }, "x-api-key", "key".to_owned()),
    ] {
        let headers = IndexMap::from([("X-Static".to_owned(), Resolved::new("yes", "yes"))]);
        let sink = sink_with(HttpSink { auth: Some(auth), headers, ..settings(&receiver.url("")) }, &Delivery::default());
        deliver(&sink, &request("/", BodyForm::Array), &["{}"]).await;
        let got = receiver.take();
        assert_eq!((got[0].header(header), got[0].header("x-static")), (expected.as_str(), "yes"));
    }
}

#[tokio::test]
async fn bodies_are_compressed_where_asked() {
    let receiver = Receiver::always(200).await;
    let sink = sink_with(HttpSink { gzip: true, ..settings(&receiver.url("")) }, &Delivery::default());
    let payload = format!("{{\"a\":\"{}\"}}", "x".repeat(10_000));
    assert_eq!(deliver(&sink, &request("/", BodyForm::Array), &[&payload]).await, [Verdict::Delivered]);
    let got = receiver.take();
    assert_eq!(got[0].header("content-encoding"), "gzip");
    assert!(got[0].body.len() < 1_000);
    let mut plain = String::new();
    flate2::read::GzDecoder::new(got[0].body.as_slice()).read_to_string(&mut plain).expect("gzip");
    assert_eq!(plain, format!("[{payload}]"));
}

#[tokio::test]
async fn a_status_says_whose_fault_it_is() {
    for (status, expected) in
        [(400, Blame::Record), (401, Blame::Configuration), (404, Blame::Configuration), (413, Blame::Size), (500, Blame::Sink)]
    {
        let receiver = Receiver::always(status).await;
        let verdicts = deliver(&sink(&receiver.url("")), &request("/", BodyForm::Batch), &["{}", "{}"]).await;
        assert_eq!(blames(&verdicts), [Some(expected); 2], "{status}");
        assert_eq!(refusal(&verdicts[0]).code, Some(status.to_string()));
    }
    let overridden = Delivery { pause_on: vec![400], dead_on: vec![404], ..Delivery::default() };
    for (status, expected) in [(400, Blame::Configuration), (404, Blame::Record)] {
        let receiver = Receiver::always(status).await;
        let verdicts = deliver(&sink_with(settings(&receiver.url("")), &overridden), &request("/", BodyForm::Batch), &["{}"]).await;
        assert_eq!(blames(&verdicts), [Some(expected)], "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::always(200).await;
    let location = elsewhere.url("/");
    let receiver = Receiver::answering(move |_| {
        let mut response = answer(308, "");
        response.headers_mut().insert("location", location.parse().expect("a header"));
        response
    })
    .await;
    let verdicts = deliver(&sink(&receiver.url("")), &request("/", BodyForm::Array), &["{}"]).await;
    assert_eq!(blames(&verdicts), [Some(Blame::Configuration)]);
    assert!(elsewhere.take().is_empty());
}

#[tokio::test]
async fn the_sink_says_how_long_to_wait() {
    let receiver = Receiver::answering(|_| {
        let mut response = answer(429, "slow down");
        response.headers_mut().insert("retry-after", "7".parse().expect("a header"));
        response
    })
    .await;
    let verdicts = deliver(&sink(&receiver.url("")), &request("/", BodyForm::Array), &["{}"]).await;
    assert_eq!((refusal(&verdicts[0]).blame, refusal(&verdicts[0]).retry_after), (Blame::Sink, Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn an_endless_answer_is_cut_and_its_secrets_masked() {
    let receiver = Receiver::answering(|_| {
        let mut response = answer(401, "");
        *response.body_mut() = Body::from(format!("bad key hunter2\n{}", "x".repeat(10_000_000)));
        response
    })
    .await;
    let sink = sink_with(HttpSink { auth: Some(HttpAuth::Bearer(secret("hunter2"))), ..settings(&receiver.url("")) }, &Delivery::default());
    let verdicts = deliver(&sink, &request("/", BodyForm::Array), &["{}"]).await;
    assert!(refusal(&verdicts[0]).answer.starts_with("HTTP 401: bad key *** xxx"));
    assert!(refusal(&verdicts[0]).answer.len() <= 1024);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://user:hunter2@{}", listener.local_addr().expect("an address"));
    let sink = sink_with(settings(&url), &Delivery { timeout: Duration::from_millis(50), ..Delivery::default() });
    let verdicts = deliver(&sink, &request("/", BodyForm::Single), &["{}", "{}"]).await;
    assert_eq!(blames(&verdicts), [Some(Blame::Sink); 2]);
    assert_eq!(refusal(&verdicts[0]).code.as_deref(), Some("timeout"));
    assert!(!refusal(&verdicts[0]).answer.contains("hunter2"), "{}", refusal(&verdicts[0]).answer);
}

#[tokio::test]
async fn refused_reset_and_garbled_connections_are_the_sinks_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://user:hunter2@{}", listener.local_addr().expect("an address"));
    let sink = sink(&url);
    let server = tokio::spawn(async move {
        let (reset, _) = listener.accept().await.expect("a connection");
        drop(reset);
        let (mut garbled, _) = listener.accept().await.expect("a connection");
        garbled.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").await.expect("written");
        garbled.shutdown().await.expect("shut");
    });
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(deliver(&sink, &request("/", BodyForm::Array), &["{}"]).await);
    }
    server.await.expect("both came");
    // Nobody listens any more.
    answers.push(deliver(&sink, &request("/", BodyForm::Array), &["{}"]).await);
    for verdicts in &answers {
        assert_eq!(blames(verdicts), [Some(Blame::Sink)]);
        assert!(!refusal(&verdicts[0]).answer.contains("hunter2"), "{}", refusal(&verdicts[0]).answer);
    }
    assert_eq!(refusal(&answers[2][0]).code.as_deref(), Some("connect"));
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_its_records_fault() {
    let receiver = Receiver::always(200).await;
    let headers = vec![("X-Name".to_owned(), "a\r\nX-Admin: 1".to_owned())];
    let target = Target::Request(RequestTarget { method: Method::Post, path: "/".into(), headers, body: BodyForm::Array });
    assert_eq!(blames(&deliver(&sink(&receiver.url("")), &target, &["{}"]).await), [Some(Blame::Record)]);
    assert!(receiver.take().is_empty());
}

#[tokio::test]
async fn a_missing_authority_file_is_the_configurations_fault() {
    let settings = HttpSink { ca_file: Some(Resolved::new("ca.pem", "/nowhere/ca.pem")), ..settings("https://127.0.0.1:1") };
    let refusal = sink_with(settings, &Delivery::default()).prepare().await.expect_err("no file");
    assert_eq!(refusal.blame, Blame::Configuration);
    assert!(refusal.answer.starts_with("sink.ca_file ca.pem: "), "{}", refusal.answer);
}

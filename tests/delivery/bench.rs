//! A delivery engine on a bench: a feed, a sink that does what a test says, dead letters that are kept. No broker, no real time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use analytica::config::{BodyForm, Configured, Delivery, FileSink, Method, SinkKind, SinkSettings};
use analytica::delivery::{Ack, Command, DeadLetters, DeliveryState, Engine, EngineParts, Entry, Incoming, Letter, Unreadable};
use analytica::kafka::QueueHeaders;
use analytica::pipeline::{Origin, RequestTarget, Target};
use analytica::sinks::{Batch, Blame, Refusal, Sink, Verdict};
use analytica::telemetry::Metrics;
use futures_util::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use rand::SeedableRng;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// When the tests' virtual time begins.
pub const BEGIN: i64 = 1_700_000_000;

/// What a sink answers: after how long, and one verdict for each record.
pub type Script = dyn Fn(&Call) -> (Duration, Vec<Verdict>) + Send + Sync;

/// One call of the sink as the script sees it.
#[derive(Debug, Clone)]
pub struct Call {
    /// Since the beginning.
    pub at: Duration,
    /// From 0.
    pub index: usize,
    pub target: Target,
    pub records: Vec<u64>,
    pub keys: Vec<String>,
}

impl Call {
    /// The same verdict for all.
    pub fn all(&self, verdict: &Verdict) -> Vec<Verdict> {
        vec![verdict.clone(); self.records.len()]
    }
}

#[derive(Default)]
pub struct Seen {
    pub calls: Vec<Call>,
    /// Accepted by the sink, in order.
    pub accepted: Vec<u64>,
    pub letters: Vec<Letter>,
    pub acknowledged: BTreeSet<u64>,
    /// Records whose claim is gone, acknowledged or not.
    pub let_go: BTreeSet<u64>,
    pub prepared: usize,
    running: usize,
    pub most_at_once: usize,
}

pub struct Scripted {
    began: Instant,
    seen: Arc<Mutex<Seen>>,
    script: Mutex<Arc<Script>>,
    prepare: Mutex<Result<(), Refusal>>,
}

impl Scripted {
    pub fn now_does(&self, script: impl Fn(&Call) -> (Duration, Vec<Verdict>) + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub fn prepares_with(&self, result: Result<(), Refusal>) {
        *self.prepare.lock().unwrap() = result;
    }
}

/// Counts a call as running for as long as its future lives, cancelled or not.
struct Running(Arc<Mutex<Seen>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().unwrap().running -= 1;
    }
}

impl Sink for Scripted {
    fn deliver<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Vec<Verdict>> {
        async move {
            let records: Vec<u64> = batch.items.iter().map(|item| std::str::from_utf8(&item.payload).unwrap().parse().unwrap()).collect();
            let key = |key: &Option<bytes::Bytes>| String::from_utf8_lossy(key.as_deref().unwrap_or(b"-")).into_owned();
            let call = {
                let mut seen = self.seen.lock().unwrap();
                let keys = batch.items.iter().map(|item| key(&item.key)).collect();
                let call = Call { at: self.began.elapsed(), index: seen.calls.len(), target: Target::clone(&batch.target), records, keys };
                seen.calls.push(call.clone());
                seen.running += 1;
                seen.most_at_once = seen.most_at_once.max(seen.running);
                call
            };
            let _running = Running(Arc::clone(&self.seen));
            let script = Arc::clone(&self.script.lock().unwrap());
            let (after, verdicts) = script(&call);
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            let accepted = call.records.iter().zip(&verdicts).filter(|(_, verdict)| !matches!(verdict, Verdict::Refused(_)));
            self.seen.lock().unwrap().accepted.extend(accepted.map(|(record, _)| *record));
            verdicts
        }
        .boxed()
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.seen.lock().unwrap().prepared += 1;
        let result = self.prepare.lock().unwrap().clone();
        async move { result }.boxed()
    }
}

struct Letters(Arc<Mutex<Seen>>);

impl DeadLetters for Letters {
    fn put(&self, letter: Letter) -> BoxFuture<'static, ()> {
        let seen = Arc::clone(&self.0);
        async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            seen.lock().unwrap().letters.push(letter);
        }
        .boxed()
    }
}

struct Claim {
    record: u64,
    seen: Arc<Mutex<Seen>>,
    revoked: CancellationToken,
}

impl Ack for Claim {
    fn done(self: Box<Self>) {
        assert!(self.seen.lock().unwrap().acknowledged.insert(self.record), "{} was acknowledged twice", self.record);
    }

    fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // a panic of the test itself must not become a second one
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).let_go.insert(self.record);
    }
}

pub struct Bench {
    pub sink: Arc<Scripted>,
    pub metrics: Metrics,
    pub state: watch::Receiver<DeliveryState>,
    pub seen: Arc<Mutex<Seen>>,
    feed: mpsc::UnboundedSender<Incoming>,
    pub commands: mpsc::Sender<Command>,
    pub partitions: [CancellationToken; 4],
    target: Arc<Target>,
}

pub fn file_target() -> Target {
    Target::Path("out.ndjson".to_owned())
}

pub fn request(path: &str, body: BodyForm) -> Target {
    Target::Request(RequestTarget { method: Method::Post, path: path.to_owned(), headers: Vec::new(), body })
}

pub fn file_sink() -> SinkSettings {
    SinkSettings::File(FileSink { directory: None, stdout: false })
}

pub fn refusal(blame: Blame, code: &str) -> Refusal {
    Refusal { blame, code: Some(code.to_owned()), answer: format!("says {code}"), retry_after: None }
}

pub fn refused(blame: Blame, code: &str) -> Verdict {
    Verdict::Refused(refusal(blame, code))
}

impl Bench {
    /// An engine with these settings whose sink accepts everything at once.
    pub fn new(delivery: Delivery) -> Bench {
        Bench::with_sink(delivery, file_sink(), file_target())
    }

    pub fn with_sink(delivery: Delivery, settings: SinkSettings, target: Target) -> Bench {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let began = Instant::now();
        let accept: Arc<Script> = Arc::new(|call: &Call| (Duration::ZERO, call.all(&Verdict::Delivered)));
        let sink = Arc::new(Scripted { began, seen: Arc::clone(&seen), script: Mutex::new(accept), prepare: Mutex::new(Ok(())) });
        let metrics = Metrics::default();
        let (engine, state) = Engine::new(EngineParts {
            consumer: "crm".into(),
            configured: Configured { sink: settings, delivery },
            sink: sink.clone(),
            dead_letters: Arc::new(Letters(Arc::clone(&seen))),
            metrics: metrics.clone(),
            now: Arc::new(move || Timestamp::from_second(BEGIN).unwrap() + began.elapsed()),
            rng: rand::rngs::StdRng::seed_from_u64(1),
        });
        let (feed, fed) = mpsc::unbounded_channel();
        let (commands, commanded) = mpsc::channel(8);
        // Ends with the bench, which drops `commands`.
        tokio::spawn(engine.run(fed, commanded));
        Bench { sink, metrics, state, seen, feed, commands, partitions: Default::default(), target: Arc::new(target) }
    }

    /// A record of that number and key comes in now; its event happened just then.
    pub fn feed(&self, record: u64, key: &str) {
        self.feed_entry(record, Some(key), Arc::clone(&self.target), Timestamp::from_second(BEGIN).unwrap() + self.sink.began.elapsed());
    }

    pub fn feed_all(&self, records: impl IntoIterator<Item = u64>) {
        records.into_iter().for_each(|record| self.feed(record, &format!("key-{record}")));
    }

    pub fn feed_entry(&self, record: u64, key: Option<&str>, target: Arc<Target>, event_time: Timestamp) {
        let sink = if matches!(*target, Target::Request(_)) { SinkKind::Http } else { SinkKind::File };
        let timestamp_ms = event_time.as_millisecond();
        let headers = QueueHeaders {
            id: Uuid::from_u128(record.into()),
            event: "kyc_submitted".into(),
            event_version: 1,
            source: "web".into(),
            route: "all".into(),
            sink,
            target,
            origin: Origin { topic: "web.events".into(), partition: 0, offset: record as i64, timestamp_ms },
            event_time: Some(event_time),
            revision: "d1".into(),
            original: None,
        };
        let partition = partition_of(key);
        let key = key.map(|key| key.as_bytes().to_vec().into());
        let entry = Entry::new(headers, key, record.to_string().into(), partition as i32, self.claim(record, partition));
        assert!(self.feed.send(Incoming::Entry(Box::new(entry))).is_ok());
    }

    pub fn feed_unreadable(&self, record: u64) {
        let ack = self.claim(record, 0);
        let unreadable = Unreadable { key: None, value: record.to_string().into(), reason: "header target: missing".to_owned(), ack };
        assert!(self.feed.send(Incoming::Unreadable(unreadable)).is_ok());
    }

    fn claim(&self, record: u64, partition: usize) -> Box<dyn Ack> {
        Box::new(Claim { record, seen: Arc::clone(&self.seen), revoked: self.partitions[partition].clone() })
    }

    /// Waits, for a virtual day at most, until that holds.
    pub async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(86_400);
        while !holds(&self.seen.lock().unwrap()) {
            assert!(Instant::now() < deadline, "never: {what}; {:?}", self.seen.lock().unwrap().calls.last());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until all of these are acknowledged.
    pub async fn all_done(&self, records: impl IntoIterator<Item = u64>) {
        let records: BTreeSet<u64> = records.into_iter().collect();
        self.until("all are acknowledged", |seen| records.is_subset(&seen.acknowledged)).await;
    }

    pub async fn state_is(&self, name: &str) {
        let mut state = self.state.clone();
        let reached = tokio::time::timeout(Duration::from_secs(3_600), state.wait_for(|state| state.name() == name)).await;
        assert!(reached.is_ok_and(|reached| reached.is_ok()), "never {name}, but {}", self.state.borrow().clone());
    }

    pub fn batches(&self) -> Vec<Vec<u64>> {
        self.seen.lock().unwrap().calls.iter().map(|call| call.records.clone()).collect()
    }

    pub fn accepted(&self) -> Vec<u64> {
        self.seen.lock().unwrap().accepted.clone()
    }

    /// Numbers of the dead letters with their reasons, by number.
    pub fn dead(&self) -> Vec<(u64, &'static str)> {
        let seen = self.seen.lock().unwrap();
        let number = |letter: &Letter| std::str::from_utf8(&letter.value).unwrap().parse().unwrap();
        let mut dead: Vec<(u64, &'static str)> = seen.letters.iter().map(|letter| (number(letter), letter.reason.name())).collect();
        dead.sort_unstable();
        dead
    }

    pub fn elapsed(&self) -> Duration {
        self.sink.began.elapsed()
    }

    pub fn counted(&self, result: &str) -> u64 {
        self.metrics.snapshot().count("analytica_deliveries_total", &[("result", result)])
    }
}

/// Keys of one name always come by the same partition.
pub fn partition_of(key: Option<&str>) -> usize {
    key.map_or(0, |key| key.bytes().map(usize::from).sum::<usize>() % 4)
}

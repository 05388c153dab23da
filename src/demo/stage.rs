//! All that the acts play on: the copy of the root, the embedded broker, the receiver, and a worker that runs as it would anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::receiver::Receiver;
use super::{DemoError, DemoOptions};
use crate::config::{Files, FixedVariables};
use crate::kafka::{Embedded, Kafka, Start};
use crate::simulate::{LOAN_TOPIC, WEB_TOPIC};
use crate::store::{self, Change, StoreError};
use crate::telemetry::{Metrics, Readiness, Snapshot};
use crate::worker::{Roles, Status, Worker, WorkerError, WorkerOptions};

/// What the acts edit and read: a root without them is not the starter.
pub(super) const TRACK: &str = "transforms/engagement/track.json.j2";
const NEEDED: [&str; 3] = [TRACK, "consumers/engagement.yaml", "consumers/warehouse.yaml"];
/// What a config root is made of; the project's own root holds much else.
const PARTS: [&str; 6] = ["analytica.yaml", "sources.yaml", "schemas", "transforms", "consumers", "environments"];
const ENVIRONMENT: &str = "dev";
const WRITE_KEY: &str = "demo:write-key";
const EVENTS_PARTITIONS: u32 = 6;
/// No step of the demo takes a second where it works; thirty are a slow machine's.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Stage {
    pub root: PathBuf,
    pub kafka: Kafka,
    pub metrics: Metrics,
    pub receiver: Receiver,
    pub status: watch::Receiver<Status>,
    stop: CancellationToken,
    worker: JoinHandle<Result<(), WorkerError>>,
    // the broker lives as long as this does
    _broker: Embedded,
}

impl Stage {
    pub async fn build(options: &DemoOptions) -> Result<Stage, DemoError> {
        let root = copy_root(&options.root)?;
        let broker = Embedded::start()?;
        for topic in [WEB_TOPIC, LOAN_TOPIC] {
            broker.create_topic(topic, EVENTS_PARTITIONS)?;
        }
        let kafka = broker.kafka(ENVIRONMENT);
        let receiver = Receiver::start(WRITE_KEY).await.map_err(io("start the receiver"))?;
        let metrics = Metrics::default();
        let worker = Worker::new(WorkerOptions {
            root: root.clone(),
            environment: ENVIRONMENT.into(),
            roles: Roles::pick(false, &[]),
            kafka: kafka.clone(),
            metrics: metrics.clone(),
            readiness: Readiness::not_yet("starting"),
            variables: Arc::new(FixedVariables::new([
                ("DITTOFEED_URL", receiver.base_url()),
                ("DITTOFEED_WRITE_KEY", WRITE_KEY.to_owned()),
            ])),
            start: Start::Earliest,
            drain: Duration::from_secs(10),
            published: None,
        })?;
        let status = worker.status();
        let stop = CancellationToken::new();
        let files = Files::read(&root).map_err(StoreError::from)?;
        let changes = store::watch(&root, ENVIRONMENT, &files)?;
        let worker = tokio::spawn(worker.run(Some(Change { files, publication: None }), changes, stop.clone()));
        let stage = Stage { root, kafka, metrics, receiver, status, stop, worker, _broker: broker };
        stage.wait("the worker to be ready", |stage| stage.status.borrow().digest.is_some()).await?;
        Ok(stage)
    }

    pub fn counts(&self) -> Snapshot {
        self.metrics.snapshot()
    }

    /// The warehouse's database file, as consumers/warehouse.yaml has it by default.
    pub fn database(&self) -> PathBuf {
        self.root.join("var").join("warehouse.db")
    }

    pub async fn wait(&self, what: &'static str, mut until: impl FnMut(&Stage) -> bool) -> Result<(), DemoError> {
        let deadline = Instant::now() + PATIENCE;
        while !until(self) {
            if self.worker.is_finished() {
                return Err(DemoError::WorkerGone);
            }
            if Instant::now() > deadline {
                return Err(DemoError::Late { what, seconds: PATIENCE.as_secs() });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Writes a file of the copy as editors do: beside it, then renamed over it.
    pub fn edit(&self, file: &str, change: impl FnOnce(String) -> String) -> Result<(), DemoError> {
        let path = self.root.join(file);
        let doing = || format!("edit {}", path.display());
        let text = fs::read_to_string(&path).map_err(|source| DemoError::Io { doing: doing(), source })?;
        let beside = path.with_extension("new");
        fs::write(&beside, change(text))
            .and_then(|()| fs::rename(&beside, &path))
            .map_err(|source| DemoError::Io { doing: doing(), source })
    }

    /// Drains the worker as SIGTERM would.
    pub async fn end(self) -> Result<(), DemoError> {
        self.stop.cancel();
        match self.worker.await {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(DemoError::WorkerGone),
        }
    }
}

fn copy_root(from: &Path) -> Result<PathBuf, DemoError> {
    if let Some(file) = NEEDED.into_iter().find(|file| !from.join(file).is_file()) {
        return Err(DemoError::NotTheStarter { root: from.to_owned(), file });
    }
    let to = tempfile::Builder::new().prefix("analytica-demo-").tempdir().map_err(io("make a temporary folder"))?.keep();
    for part in PARTS.into_iter().filter(|part| from.join(part).exists()) {
        copy(&from.join(part), &to.join(part)).map_err(io("copy the config root"))?;
    }
    Ok(to)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if from.is_file() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn io(doing: &str) -> impl FnOnce(std::io::Error) -> DemoError {
    let doing = doing.to_owned();
    move |source| DemoError::Io { doing, source }
}

//! `analytica run`: the orchestrator and every consumer's delivery, until told to stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::{Common, Exit, report};
use crate::config::{ConfigFrom, Files, Overrides, ProcessVariables, Settings};
use crate::kafka::{Kafka, Start};
use crate::store::{self, Cache, Change, Redis};
use crate::telemetry::{Admin, LogFormat, Metrics, Readiness, init_logs};
use crate::worker::{Roles, Worker, WorkerError, WorkerOptions};

/// What may still run on threads of its own when all is drained, such as a question to a Kafka that is away, has so long to end.
const LEFT_OVER: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Only the orchestrator: events topics → queues
    #[arg(long)]
    orchestrator: bool,
    /// Only the delivery of this consumer (repeatable)
    #[arg(long = "consumer", value_name = "NAME")]
    consumers: Vec<String>,
    /// Where configs come from; analytica.yaml's `config.from` by default
    #[arg(long, value_name = "FROM", value_parser = ["files", "redis"])]
    from: Option<String>,
    /// Where an events group without offsets begins
    #[arg(long, value_name = "WHERE", default_value = "earliest")]
    start: StartAt,
    /// How long stopping waits for what is in flight, in seconds; what follows may take some six more, and Kubernetes waits 30
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    drain: u64,
    /// What is logged: a level, or a filter such as `info,analytica::kafka=debug`
    #[arg(long, value_name = "FILTER", env = "ANALYTICA_LOG", default_value = "info")]
    log: String,
    /// How it is logged
    #[arg(long, value_name = "FORMAT", env = "ANALYTICA_LOG_FORMAT", default_value = "auto")]
    log_format: LogFormat,
    /// Address of /healthz, /readyz and /metrics; analytica.yaml's `admin.listen` by default
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StartAt {
    Earliest,
    Latest,
}

pub fn run(common: &Common, args: &RunArgs) -> anyhow::Result<Exit> {
    init_logs(&args.log, args.log_format)?;
    let root = common.root()?;
    let overrides = Overrides { config_from: args.from.clone(), admin_listen: args.admin.clone(), ..Overrides::default() };
    let variables = Arc::new(ProcessVariables::new(&root));
    let settings = match Settings::load(&root, &overrides, variables.as_ref()) {
        Ok(settings) => settings,
        Err(findings) => return report::refuse(&root, &findings),
    };
    if settings.kafka.exactly_once {
        anyhow::bail!("`kafka.delivery: exactly_once` is not in this version yet: say `at_least_once`");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let ended = runtime.block_on(async {
        let metrics = Metrics::default();
        let readiness = Readiness::not_yet("starting");
        let admin = Admin::start(settings.admin_listen, metrics.clone(), readiness.clone()).await?;
        tracing::info!(address = %admin.address(), root = %root.display(), environment = %common.env, "analytica {}", env!("CARGO_PKG_VERSION"));
        let (first, changes, published) = match settings.config_from {
            ConfigFrom::Files => {
                let files = Files::read(&root)?;
                let changes = store::watch(&root, &common.env, &files)?;
                (Some(Change { files, publication: None }), changes, None)
            }
            ConfigFrom::Redis => {
                let (redis, cache) = (Redis::new(&settings.redis, &common.env)?, Cache::new(&root, &common.env));
                let changes = store::follow(&redis, settings.redis.refresh, &cache);
                (None, changes, Some((redis, cache)))
            }
        };
        let worker = Worker::new(WorkerOptions {
            kafka: Kafka::new(&settings.kafka, &common.env),
            environment: common.env.as_str().into(),
            roles: Roles::pick(args.orchestrator, &args.consumers),
            start: match args.start {
                StartAt::Earliest => Start::Earliest,
                StartAt::Latest => Start::Latest,
            },
            drain: Duration::from_secs(args.drain),
            root: root.clone(),
            metrics,
            readiness,
            variables,
            published,
        })?;
        let stop = CancellationToken::new();
        tokio::spawn(super::signals::stop_on_signal(stop.clone()));
        match worker.run(first, changes, stop).await {
            Ok(()) => {}
            Err(WorkerError::Broken { findings }) => return report::refuse(&root, &findings),
            Err(error) => return Err(error.into()),
        }
        admin.stop().await?;
        tracing::info!("stopped");
        Ok(Exit::Done)
    });
    runtime.shutdown_timeout(LEFT_OVER);
    ended
}

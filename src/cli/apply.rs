//! `analytica apply`: publishes the root to Redis, for every worker to take.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::{Common, Exit, report};
use crate::config::{Files, Findings, Overrides, ProcessVariables, Settings, duration};
use crate::kafka::{Ensured, Kafka};
use crate::publish::{Applied, ApplyError, Change, Checkout, Publisher, SavedPlan, wait_for_workers};
use crate::store::{Publication, Redis, StoreError};

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A plan that `plan --out` wrote: exactly that is published, or refused as stale
    #[arg(value_name = "PLAN", conflicts_with = "from")]
    plan: Option<PathBuf>,
    /// Show what would change, and publish nothing: `plan`
    #[arg(long, conflicts_with_all = ["plan", "from"])]
    dry_run: bool,
    /// Why, for the history
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// Make the owned topics that are missing; none is changed or deleted
    #[arg(long)]
    topics: bool,
    #[command(flatten)]
    wait: Wait,
    /// Publish although git says no: an older commit, changes that are not committed
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    destroy: AllowDestroy,
    /// Begin anew where Redis lost publications or holds garbage: workers take this set whatever they run
    #[arg(long)]
    recover: bool,
    /// Publish the set that another environment runs, with this environment's overlay from the root
    #[arg(long, value_name = "ENV")]
    from: Option<String>,
}

/// What every verb that publishes takes.
#[derive(Debug, Clone, Copy, Args)]
pub struct Wait {
    /// Wait until every live worker runs it [default: 60s]; exit code 5 where some do not
    #[arg(long, value_name = "TIME", value_parser = duration, num_args = 0..=1, require_equals = true, default_missing_value = "60s")]
    wait: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Args)]
pub struct AllowDestroy {
    /// Remove what is in use: most schemas, all consumers, a consumer with records in its queue
    #[arg(long)]
    pub allow_destroy: bool,
}

pub fn run(common: &Common, args: &ApplyArgs) -> anyhow::Result<Exit> {
    if args.dry_run {
        return super::plan::run(common, &super::plan::PlanArgs::default());
    }
    let root = common.root()?;
    let settings = match settings(&root) {
        Ok(settings) => settings,
        Err(findings) => return report::refuse(&root, &findings),
    };
    let mut publisher = Publisher::new(Redis::new(&settings.redis, &common.env)?);
    publisher.message.clone_from(&args.message);
    (publisher.force, publisher.allow_destroy, publisher.recover) = (args.force, args.destroy.allow_destroy, args.recover);
    runtime()?.block_on(async {
        let change = match (&args.plan, &args.from) {
            (Some(file), _) => publisher.planned(saved(file, &common.env)?, &Checkout::look(&root)).await,
            (None, Some(other)) => {
                let mut other = Redis::new(&settings.redis, other)?;
                publisher.promoted(&mut other, overlay(&root, &common.env)?).await
            }
            (None, None) => {
                let files = Files::read(&root)?.of_environment(&common.env);
                publisher.root(files, &Checkout::look(&root)).await
            }
        };
        let kafka = Kafka::new(&settings.kafka, &common.env);
        match change {
            Ok(change) => Publishing { publisher, kafka, topics: args.topics, wait: args.wait }.publish(change).await,
            Err(error) => refused(&error),
        }
    })
}

/// One publication, told as it goes.
pub(super) struct Publishing {
    pub publisher: Publisher,
    pub kafka: Kafka,
    pub topics: bool,
    pub wait: Wait,
}

impl Publishing {
    pub async fn publish(mut self, change: Change) -> anyhow::Result<Exit> {
        if !change.is_unchanged() {
            tell_changes(&change);
        }
        let waiting = self.waiting(&change).await;
        if let Err(error) = self.publisher.check(&change, waiting.as_ref()) {
            return refused(&error.into());
        }
        if self.topics && !self.make_topics(&change).await? {
            eprintln!("error: nothing is published, as workers would wait for these topics without end");
            return Ok(Exit::Failure);
        }
        let published = match self.publisher.publish(change).await {
            Ok(Applied::Unchanged(publication)) => {
                println!("nothing changed: revision {} is this set ({})", publication.revision, publication.digest.short());
                publication
            }
            Ok(Applied::Published(publication)) => {
                println!("published revision {} ({}, {})", publication.revision, publication.digest.short(), publication.label.counts);
                self.warn_of_eviction().await;
                publication
            }
            Err(error) => return refused(&error),
        };
        self.await_workers(&published).await
    }

    /// Records on the queues that would be abandoned; None where Kafka cannot be asked, which is told.
    async fn waiting(&self, change: &Change) -> Option<BTreeMap<String, u64>> {
        let abandoned = self.publisher.abandoned(change);
        if abandoned.is_empty() {
            return Some(BTreeMap::new());
        }
        let kafka = self.kafka.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let names: Vec<&str> = abandoned.iter().map(|(name, _)| name.as_str()).collect();
            kafka.waiting(&names)
        });
        match asked.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
            Ok(waiting) => Some(waiting),
            Err(error) => {
                eprintln!("warning: {error}");
                None
            }
        }
    }

    /// Whether all owned topics are as they must be now.
    async fn make_topics(&self, change: &Change) -> anyhow::Result<bool> {
        let topics = self.kafka.owned_topics(&change.new);
        let names: Vec<_> = topics.iter().map(|topic| (topic.name.clone(), topic.partitions)).collect();
        let mut right = true;
        for ((name, partitions), ensured) in names.into_iter().zip(self.kafka.ensure_topics(topics, true).await?) {
            match ensured {
                Ensured::Present => {}
                Ensured::Created => println!("made topic {name} with {partitions} partitions"),
                Ensured::Wrong(error) => {
                    eprintln!("error: {error}");
                    right = false;
                }
            }
        }
        if right {
            for differing in self.kafka.differing_topics(&change.new).await? {
                eprintln!("warning: {differing}; it is left as it is");
            }
        }
        Ok(right)
    }

    async fn warn_of_eviction(&mut self) {
        if let Some(policy) = self.publisher.redis().eviction().await
            && policy != "noeviction"
        {
            eprintln!("warning: Redis may throw the config set away when its memory is full (maxmemory-policy {policy}): set `noeviction`");
        }
    }

    async fn await_workers(&mut self, published: &Publication) -> anyhow::Result<Exit> {
        let Some(within) = self.wait.wait else { return Ok(Exit::Done) };
        match wait_for_workers(self.publisher.redis(), published, within).await? {
            Ok(0) => println!("no worker is alive"),
            Ok(workers) => println!("all {workers} live workers run it"),
            Err(stragglers) => {
                eprintln!("error: revision {} is published, and not every worker runs it after {within:?}:", published.revision);
                stragglers.iter().for_each(|straggler| eprintln!("  {straggler}"));
                return Ok(Exit::NotConverged);
            }
        }
        Ok(Exit::Done)
    }
}

fn tell_changes(change: &Change) {
    match (&change.published, change.diff()) {
        (None, _) => println!("nothing was published before"),
        (Some(published), Some(diff)) => println!("since revision {}: {diff}", published.revision),
        (Some(published), None) => println!("revision {} cannot be read by this version, so what changes is not known", published.revision),
    }
}

/// Why nothing was published: said on stderr, with the exit code that scripts rely on.
pub(super) fn refused(error: &ApplyError) -> anyhow::Result<Exit> {
    use crate::publish::Refused;
    if let ApplyError::Broken { files, findings } = error {
        let source = |file: &str| files.get(file).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        report::print(findings, &source, files.len(), report::Format::Human, &mut io::stderr(), report::colour_on(&io::stderr()))?;
        return Ok(Exit::Failure);
    }
    eprintln!("error: {error}");
    if let ApplyError::Store(StoreError::Corrupt { .. }) = error {
        eprintln!("hint: `analytica apply --recover` publishes this root in its place");
    }
    if let ApplyError::Store(store) = error
        && store.is_away()
    {
        eprintln!("hint: `redis.url` of analytica.yaml, or ANALYTICA_REDIS_URL, says where Redis is");
    }
    Ok(match error {
        ApplyError::Conflict(_) | ApplyError::Stale(_) => Exit::Conflict,
        ApplyError::Refused(Refused::Destroys(_)) => Exit::Failure,
        ApplyError::Refused(_) => Exit::Conflict,
        _ => Exit::Failure,
    })
}

fn saved(file: &Path, environment: &str) -> anyhow::Result<SavedPlan> {
    let plan = SavedPlan::read(file).map_err(|error| anyhow::anyhow!("{error}\nhint: {}", error.hint()))?;
    anyhow::ensure!(
        plan.environment == environment,
        "{} is a plan for {}: say --env {}",
        file.display(),
        plan.environment,
        plan.environment
    );
    Ok(plan)
}

fn settings(root: &Path) -> Result<Settings, Findings> {
    Settings::load(root, &Overrides::default(), &ProcessVariables::new(root))
}

/// The environment's own overlay in the root, with its path.
fn overlay(root: &Path, environment: &str) -> anyhow::Result<Option<(String, Vec<u8>)>> {
    for path in [format!("environments/{environment}.yaml"), format!("environments/{environment}.json")] {
        match std::fs::read(root.join(&path)) {
            Ok(bytes) => return Ok(Some((path, bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
        }
    }
    Ok(None)
}

pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}

//! `analytica plan`: what publishing the root would change.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::{Common, Exit, report, validate};
use crate::config::{Files, Findings, ProcessVariables, RedisSettings, Settings};
use crate::publish::{Checkout, Plan, SavedPlan, plan};
use crate::store::{Publication, Redis, StoreError};

#[derive(Debug, Default, Args)]
pub struct PlanArgs {
    /// Exit with 3 where there is something to change
    #[arg(long)]
    exit_code: bool,
    /// Also write the plan to FILE: `analytica apply FILE` publishes exactly that, or refuses it once something else was published
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t)]
    format: PlanFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum PlanFormat {
    /// For a terminal
    #[default]
    Human,
    /// One JSON object
    Json,
    /// For a pull request's comment
    Markdown,
}

pub fn run(common: &Common, args: &PlanArgs) -> anyhow::Result<Exit> {
    let root = match common.root() {
        Ok(root) => root,
        Err(error) => return Ok(fail(&error, error.hint(), Exit::Usage)),
    };
    let checked = validate::check(&root, &common.env).with_context(|| format!("cannot check {}", root.display()))?;
    if checked.findings.has_errors() {
        return refuse(&root, &checked.findings, checked.files, args.format);
    }
    let settings = match Settings::load(&root, &Default::default(), &ProcessVariables::new(&root)) {
        Ok(settings) => settings,
        Err(findings) => return report::refuse(&root, &findings),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let published = match runtime.block_on(published(&settings.redis, &common.env)) {
        Ok(published) => published,
        Err(error) => return Ok(fail(&error, hint(&error), Exit::Failure)),
    };
    let files = Files::read(&root)?;
    let mut plan = match Plan::between(published.as_ref().map(|(publication, files)| (publication, files)), &files, &common.env) {
        Ok(plan) => plan,
        Err(findings) => return refuse(&root, &findings, files.len(), args.format),
    };
    let checkout = Checkout::look(&root);
    (plan.git_commit, plan.dirty) = (checkout.commit, checkout.dirty);
    print(match args.format {
        PlanFormat::Human => plan.human(report::colour_on(&io::stdout())),
        PlanFormat::Json => format!("{:#}\n", plan.json()),
        PlanFormat::Markdown => plan.markdown(),
    })?;
    if let Some(out) = &args.out {
        if let Err(error) = SavedPlan::from(&plan).write(out) {
            return Ok(fail(&error, error.hint(), Exit::Failure));
        }
        eprintln!("the plan is in {0}: `analytica apply {0}` publishes exactly that", out.display());
    }
    Ok(if args.exit_code && !plan.is_empty() { Exit::Pending } else { Exit::Done })
}

/// What is published in an environment, and its files. None where nothing is.
async fn published(settings: &RedisSettings, environment: &str) -> Result<Option<(Publication, Files)>, StoreError> {
    let mut redis = Redis::new(settings, environment)?;
    let Some(current) = redis.current().await? else { return Ok(None) };
    match redis.set(&current.digest).await? {
        Some(files) => Ok(Some((current, files))),
        None => Err(StoreError::Corrupt {
            what: format!("the set of revision {}", current.revision),
            why: format!("its files ({}) are gone", current.digest.short()),
        }),
    }
}

fn hint(error: &StoreError) -> &'static str {
    match error {
        StoreError::Redis { away: true, .. } | StoreError::Address { .. } => {
            "`redis.url` of analytica.yaml, or ANALYTICA_REDIS_URL, says where Redis is; `analytica validate` needs none"
        }
        StoreError::Redis { .. } => {
            "the user of `redis.url` must be allowed to read {analytica:<env>}:*, and nothing but analytica may write there"
        }
        StoreError::Future { .. } => "take the version of analytica that published it, or a newer one",
        _ => "restore Redis, or publish the root anew with `analytica apply --recover`",
    }
}

/// Says why on stderr.
fn fail(error: &dyn std::error::Error, hint: &str, exit: Exit) -> Exit {
    eprintln!("error: {error}\nhint: {hint}");
    exit
}

/// A root that cannot be planned: its findings, as `validate` prints them.
fn refuse(root: &Path, findings: &Findings, files: usize, format: PlanFormat) -> anyhow::Result<Exit> {
    let (shown, markdown) = match format {
        PlanFormat::Human => (report::Format::Human, false),
        PlanFormat::Json => (report::Format::Json, false),
        PlanFormat::Markdown => (report::Format::Human, true),
    };
    let mut text = Vec::new();
    let colour = !markdown && report::colour_on(&io::stdout());
    report::print(findings, &|file| report::read(root, file), files, shown, &mut text, colour)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    print(if markdown { plan::refused_markdown(&text) } else { text })?;
    Ok(Exit::Failure)
}

fn print(text: String) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()), // whoever reads has seen enough
        other => other.context("cannot write to stdout"),
    }
}

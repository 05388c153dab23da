//! `analytica status`: what is published, who runs it, and what is not as it should be.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::time::Duration;

use serde_json::{Value, json};

use super::history::{commit, kind, one_line, record};
use super::redis::{Place, ago, print, table, with_redis};
use super::report::Format;
use super::{Common, Exit};
use crate::publish::{ConsumerLine, Drift, Lookout, Now, Standing, Status, name_of};
use crate::store::{Heartbeat, Pause, StoreError};

#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Exit with 3 where anything is not as published: nothing is, or it cannot be read; no worker is alive; one is behind, ahead, not started yet or in
    /// trouble; a consumer is misconfigured, unconfigured or delivered by nobody; or the config root here differs. 0 otherwise
    #[arg(long)]
    exit_code: bool,
    /// Look again every second, until Ctrl-C; as JSON, a line a look
    #[arg(long)]
    watch: bool,
}

const EVERY: Duration = Duration::from_secs(1);
/// Moves to the screen's first corner and clears what is below it.
const CLEAR: &str = "\x1b[H\x1b[J";

pub fn run(common: &Common, args: &StatusArgs) -> anyhow::Result<Exit> {
    with_redis(common, async |Place { redis, root }| {
        let mut lookout = Lookout::new(redis, root);
        match args.watch {
            true => watch(&mut lookout, args).await,
            false => {
                let status = lookout.look().await?;
                print(text(&status, args).as_bytes())?;
                Ok(exit(&status, args))
            }
        }
    })
}

async fn watch(lookout: &mut Lookout, args: &StatusArgs) -> anyhow::Result<Exit> {
    let clear = args.format == Format::Human && io::stdout().is_terminal();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = Exit::Done;
    loop {
        let looked = tokio::select! {
            // fails where signals cannot be listened for: Ctrl-C then ends the process by itself
            Ok(()) = tokio::signal::ctrl_c() => return Ok(last),
            looked = async { ticks.tick().await; lookout.look().await } => looked,
        };
        let text = match &looked {
            Ok(status) => {
                last = exit(status, args);
                text(status, args)
            }
            Err(error) => unreachable(error, args),
        };
        if !print(format!("{}{text}", if clear { CLEAR } else { "" }).as_bytes())? {
            return Ok(last);
        }
    }
}

fn exit(status: &Status, args: &StatusArgs) -> Exit {
    match args.exit_code && !status.drifts().is_empty() {
        true => Exit::Pending,
        false => Exit::Done,
    }
}

fn text(status: &Status, args: &StatusArgs) -> String {
    match (args.format, args.watch) {
        (Format::Human, watch) => format!("{}{}", human(status), if watch { "\n" } else { "" }),
        (Format::Json, false) => format!("{:#}\n", report(status)),
        (Format::Json, true) => format!("{}\n", report(status)),
    }
}

fn unreachable(error: &StoreError, args: &StatusArgs) -> String {
    match args.format {
        Format::Human => format!("{error}\n\n"),
        Format::Json => format!("{}\n", json!({ "error": error.to_string() })),
    }
}

fn human(status: &Status) -> String {
    let mut out = format!("environment {}, in Redis at {}\n", status.environment, status.address);
    published(status, &mut out);
    if !status.workers.is_empty() {
        out.push('\n');
        out.push_str(&workers(status));
    }
    let consumers = status.consumers();
    if !consumers.is_empty() {
        out.push('\n');
        out.push_str(&consumer_table(&consumers));
    }
    out.push('\n');
    let drifts = status.drifts();
    if drifts.is_empty() {
        out.push_str("all is as published\n");
    }
    for drift in &drifts {
        say(drift, &mut out);
    }
    out
}

fn published(status: &Status, out: &mut String) {
    let Now::Published(publication) = &status.now else { return };
    let label = &publication.label;
    let lines = [
        ("revision", format!("{} ({}), {}", publication.revision, publication.digest.short(), kind(publication))),
        ("published", format!("{:.0} ({}) by {}", publication.at, ago(publication.at, status.at), one_line(&label.by))),
        ("commit", commit(publication)),
        ("message", label.message.as_deref().map(one_line).unwrap_or_default()),
        ("holds", label.counts.to_string()),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(out, "{name:<11}{value}"); // a String takes everything
    }
}

fn say(drift: &Drift, out: &mut String) {
    out.push_str(&format!("! {}\n", one_line(&drift.message)));
    if let Some(hint) = &drift.hint {
        out.push_str(&format!("  hint: {hint}\n"));
    }
}

fn workers(status: &Status) -> String {
    table(
        ["WORKER", "ROLES", "REVISION", "SET", "SINCE", "STATE", "LAG", "LAST ERROR"],
        status.workers.iter().map(|worker| {
            let runs = !worker.digest.is_empty();
            [
                one_line(&name_of(worker)),
                one_line(&worker.roles.join(", ")),
                if runs { format!("{}{}", worker.revision(), mark(status.standing(worker))) } else { "-".to_owned() },
                worker.digest.get(..12).unwrap_or("-").to_owned(),
                worker.since.map(|since| ago(since, status.at)).unwrap_or_default(),
                one_line(&worker.state),
                worker.lag.to_string(),
                worker.error.as_deref().map(one_line).unwrap_or_default(),
            ]
        }),
    )
}

fn mark(standing: Standing) -> &'static str {
    match standing {
        Standing::Behind => " (behind)",
        Standing::Ahead => " (ahead)",
        Standing::Current | Standing::Starting | Standing::Unknown => "",
    }
}

fn consumer_table(consumers: &[ConsumerLine]) -> String {
    table(
        ["CONSUMER", "STATE", "LAG", "WORKERS", "WHY"],
        consumers.iter().map(|consumer| {
            let why = consumer.why.as_deref().map(one_line).unwrap_or_default();
            let lag = consumer.lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string());
            [one_line(&consumer.name), one_line(&consumer.state), lag, consumer.workers.to_string(), why]
        }),
    )
}

/// Fields that scripts may rely on.
fn report(status: &Status) -> Value {
    let drifts = status.drifts();
    json!({
        "environment": status.environment,
        "redis": status.address,
        "at": status.at.to_string(),
        "well": drifts.is_empty(),
        "published": status.publication().map(record),
        "workers": status.workers.iter().map(|worker| worker_record(worker, status.standing(worker))).collect::<Vec<_>>(),
        "consumers": status.consumers().iter().map(consumer_record).collect::<Vec<_>>(),
        "root": status.local.as_ref().map(|local| json!({ "path": local.root.display().to_string(), "digest": &*local.digest.0 })),
        "drift": drifts.iter().map(|drift| json!({ "kind": drift.kind, "message": drift.message, "hint": drift.hint })).collect::<Vec<_>>(),
    })
}

fn worker_record(worker: &Heartbeat, standing: Standing) -> Value {
    let standing = match standing {
        Standing::Current => "current",
        Standing::Starting => "starting",
        Standing::Behind => "behind",
        Standing::Ahead => "ahead",
        Standing::Unknown => "unknown",
    };
    let runs = !worker.digest.is_empty();
    json!({
        "id": worker.id,
        "host": worker.host,
        "process": worker.process,
        "version": worker.version,
        "roles": worker.roles,
        "revision": runs.then(|| worker.revision().to_string()),
        "digest": runs.then_some(&worker.digest),
        "since": worker.since.map(|since| since.to_string()),
        "started": worker.started.map(|started| started.to_string()),
        "state": worker.state,
        "standing": standing,
        "source": worker.source,
        "error": worker.error,
        "lag": worker.lag,
        "consumers": worker.consumers,
    })
}

fn consumer_record(consumer: &ConsumerLine) -> Value {
    json!({
        "name": consumer.name,
        "state": consumer.state,
        "why": consumer.why,
        "lag": consumer.lag,
        "workers": consumer.workers,
        "pause": consumer.pause.as_ref().map(pause_record),
    })
}

fn pause_record(pause: &Pause) -> Value {
    let until = pause.until.map(|until| until.to_string());
    json!({ "by": pause.by, "at": pause.at.to_string(), "why": pause.why, "until": until })
}

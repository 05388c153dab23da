//! What every verb on published sets begins with: settings, the environment's Redis, a runtime.

use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::common::RootError;
use super::{Common, Exit, report};
use crate::config::{Overrides, ProcessVariables, ROOT_FILE, Settings};
use crate::publish::LookupError;
use crate::store::{Redis, StoreError};

/// Where a verb works.
pub(super) struct Place {
    pub redis: Redis,
    /// None where there is none: the settings are then the defaults and `ANALYTICA_*`.
    pub root: Option<PathBuf>,
}

/// Runs a verb that needs no config root, only the Redis that one names.
pub(super) fn with_redis<F: Future<Output = anyhow::Result<Exit>>>(common: &Common, work: impl FnOnce(Place) -> F) -> anyhow::Result<Exit> {
    let root = match common.root() {
        Ok(root) => Some(root),
        Err(RootError::NotFound(_)) => None,
        Err(error) => {
            eprintln!("error: {error}\nhint: {}", error.hint());
            return Ok(Exit::Usage);
        }
    };
    let folder = root.as_deref().unwrap_or(Path::new("."));
    let settings = match Settings::load(folder, &Overrides::default(), &ProcessVariables::new(folder)) {
        Ok(settings) => settings,
        Err(findings) => return report::refuse(folder, &findings),
    };
    let redis = Redis::new(&settings.redis, &common.env)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let done = runtime.block_on(work(Place { redis, root }));
    if let Err(error) = &done
        && error.downcast_ref::<StoreError>().is_some_and(StoreError::is_away)
    {
        eprintln!("error: {error}\nhint: `redis.url` in {ROOT_FILE} says where it is, ANALYTICA_REDIS_URL where there is no root");
        return Ok(Exit::Failure);
    }
    done
}

/// Says why there is no such set or file, and what to do.
pub(super) fn refuse(error: LookupError) -> anyhow::Result<Exit> {
    let hint = error.hint();
    eprintln!("error: {error}");
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    Ok(Exit::Failure)
}

/// Writes a result to stdout; false where whoever reads has seen enough.
pub(super) fn print(result: &[u8]) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(result).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to stdout"),
    }
}

/// A table without frames, two spaces between its columns.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// `3 s ago`, `2 min ago`, `5 h ago`, `12 days ago`
pub(super) fn ago(moment: jiff::Timestamp, now: jiff::Timestamp) -> String {
    match now.duration_since(moment).as_secs().max(0) {
        seconds @ 0..=119 => format!("{seconds} s ago"),
        seconds @ 120..=7_199 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

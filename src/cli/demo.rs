//! `analytica demo`: the whole of it on embedded parts, in seconds.

use anyhow::Context;
use clap::Args;

use super::{Common, Exit};
use crate::demo::{DemoOptions, Screen, play};
use crate::telemetry::{LogFormat, init_logs};

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Simulated users
    #[arg(long, value_name = "N", default_value_t = 4000)]
    users: u64,
    /// The same seed makes the same users
    #[arg(long, value_name = "SEED", default_value_t = 7)]
    seed: u64,
    /// Events a second
    #[arg(long, value_name = "N", default_value_t = 3000)]
    rate: u64,
    /// Also log what the worker does: a level or a filter
    #[arg(long, value_name = "FILTER", default_value = "off")]
    log: String,
}

pub fn run(common: &Common, args: &DemoArgs) -> anyhow::Result<Exit> {
    init_logs(&args.log, LogFormat::Auto)?;
    let options = DemoOptions { root: common.root()?, users: args.users, seed: args.seed, rate: args.rate };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let played = runtime.block_on(play(&options, &Screen::new()))?;
    Ok(if played.adds_up { Exit::Done } else { Exit::Failure })
}

//! One file a verb: reads arguments, calls a room below, prints. No logic that a test would want.

mod common;
mod demo;
mod exit;
mod plan;
mod report;
mod run;
mod signals;
mod simulate;
mod validate;

use clap::{Parser, Subcommand};

pub use common::Common;
pub use exit::Exit;

/// The stream processor for user events that engineers configure from Git.
#[derive(Debug, Parser)]
#[command(name = "analytica", version, propagate_version = true, max_term_width = 120)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check a config root, with no network
    Validate(validate::ValidateArgs),
    /// Show what publishing the root would change
    Plan(plan::PlanArgs),
    /// Consume, validate, route, render, queue and deliver, until told to stop
    Run(run::RunArgs),
    /// Make synthetic onboarding journeys, as NDJSON or onto the events topics
    Simulate(simulate::SimulateArgs),
    /// Show the whole of it on embedded parts, in seconds
    Demo(demo::DemoArgs),
}

/// The binary's whole life: clap answers usage errors itself, with exit code 2.
pub fn main() -> Exit {
    let cli = Cli::parse();
    let done = match &cli.verb {
        Verb::Validate(args) => validate::run(&cli.common, args),
        Verb::Plan(args) => plan::run(&cli.common, args),
        Verb::Run(args) => run::run(&cli.common, args),
        Verb::Simulate(args) => simulate::run(&cli.common, args),
        Verb::Demo(args) => demo::run(&cli.common, args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        Exit::Failure
    })
}

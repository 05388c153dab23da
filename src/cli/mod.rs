//! One file a verb: reads arguments, calls a room below, prints. No logic that a test would want.

mod apply;
mod common;
mod demo;
mod exit;
mod history;
mod pause;
mod plan;
mod pull;
mod redis;
mod report;
mod rollback;
mod run;
mod show;
mod signals;
mod simulate;
mod status;
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
    /// Publish the config root to Redis, for every worker to take
    Apply(apply::ApplyArgs),
    /// Publish an old set as a new revision
    Rollback(rollback::RollbackArgs),
    /// Consume, validate, route, render, queue and deliver, until told to stop
    Run(run::RunArgs),
    /// Show what is published, who runs it, and what is not as it should be
    Status(status::StatusArgs),
    /// List what was published, by whom and from which commit
    History(history::HistoryArgs),
    /// Print a published set's files, or one of them
    Show(show::ShowArgs),
    /// Write a published set back as files
    Pull(pull::PullArgs),
    /// Stop one consumer's delivery everywhere; its queue keeps what comes
    Pause(pause::PauseArgs),
    /// Let a paused consumer's delivery go on
    Resume(pause::ResumeArgs),
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
        Verb::Apply(args) => apply::run(&cli.common, args),
        Verb::Rollback(args) => rollback::run(&cli.common, args),
        Verb::Run(args) => run::run(&cli.common, args),
        Verb::Status(args) => status::run(&cli.common, args),
        Verb::History(args) => history::run(&cli.common, args),
        Verb::Show(args) => show::run(&cli.common, args),
        Verb::Pull(args) => pull::run(&cli.common, args),
        Verb::Pause(args) => pause::run(&cli.common, args),
        Verb::Resume(args) => pause::resume(&cli.common, args),
        Verb::Simulate(args) => simulate::run(&cli.common, args),
        Verb::Demo(args) => demo::run(&cli.common, args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        match error.downcast_ref::<common::RootError>() {
            Some(root) => {
                eprintln!("hint: {}", root.hint());
                Exit::Usage
            }
            None => Exit::Failure,
        }
    })
}

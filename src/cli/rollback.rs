//! `analytica rollback`: an old set as a new revision.

use clap::Args;

use super::apply::{AllowDestroy, Publishing, Wait, refused, runtime};
use super::{Common, Exit, report};
use crate::config::{Overrides, ProcessVariables, Settings};
use crate::kafka::Kafka;
use crate::publish::Publisher;
use crate::store::{Redis, Revision};

#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The revision to go back to [default: the last one with another set]; `history` lists them
    revision: Option<Revision>,
    /// Why, for the history
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    destroy: AllowDestroy,
}

pub fn run(common: &Common, args: &RollbackArgs) -> anyhow::Result<Exit> {
    let root = common.root()?;
    let settings = match Settings::load(&root, &Overrides::default(), &ProcessVariables::new(&root)) {
        Ok(settings) => settings,
        Err(findings) => return report::refuse(&root, &findings),
    };
    let mut publisher = Publisher::new(Redis::new(&settings.redis, &common.env)?);
    publisher.message.clone_from(&args.message);
    publisher.allow_destroy = args.destroy.allow_destroy;
    let kafka = Kafka::new(&settings.kafka, &common.env);
    runtime()?.block_on(async {
        match publisher.earlier(args.revision).await {
            Ok(change) => Publishing { publisher, kafka, topics: false, wait: args.wait }.publish(change).await,
            Err(error) => refused(&error),
        }
    })
}

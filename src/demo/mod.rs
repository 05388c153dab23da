//! The whole of it on embedded parts, in acts that a newcomer understands: a broker in this process, SQLite, a receiver in place of Dittofeed,
//! and a temporary copy of the config root. Everything between them is the real thing.

mod acts;
mod feed;
mod funnel;
mod receiver;
mod screen;
mod stage;
mod summary;

use std::path::PathBuf;

use crate::kafka::{KafkaError, ProduceError};
use crate::worker::WorkerError;

pub use screen::Screen;

/// What is shown, and to how many.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// The starter root: it is copied, nothing in it is edited.
    pub root: PathBuf,
    pub users: u64,
    pub seed: u64,
    /// Events a second onto the events topics.
    pub rate: u64,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// Whether events in = accepted + rejected, and deliveries = delivered + ignored + dead.
    pub adds_up: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("the demo shows the starter root, and {} has no {file}", root.display())]
    NotTheStarter { root: PathBuf, file: &'static str },
    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: std::io::Error },
    #[error("cannot read the demo's warehouse: {0}")]
    Warehouse(#[from] rusqlite::Error),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Produce(#[from] ProduceError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error("the worker stopped before the demo was over")]
    WorkerGone,
    #[error("waited {seconds} s in vain for {what}")]
    Late { what: &'static str, seconds: u64 },
}

/// Plays all acts. The temporary copy, with the warehouse in it, is left for a look.
pub async fn play(options: &DemoOptions, screen: &Screen) -> Result<Played, DemoError> {
    let stage = stage::Stage::build(options).await?;
    let feed = feed::Feed::start(&stage, options);
    acts::users_arrive(&stage, &feed, screen).await?;
    acts::a_template_is_edited(&stage, &feed, screen).await?;
    acts::a_broken_edit_is_refused(&stage, &feed, screen).await?;
    acts::the_receiver_goes_down(&stage, &feed, screen).await?;
    let fed = acts::the_rest_arrives(&stage, feed, screen).await?;
    let summary = summary::Summary::of(&stage, &fed)?;
    summary.show(screen);
    stage.end().await?;
    Ok(Played { adds_up: summary.adds_up() })
}

//! `analytica pull`: a published set, written back as files.

use std::path::PathBuf;

use super::redis::{refuse, with_redis};
use super::{Common, Exit};
use crate::publish::{look_up, pull};
use crate::store::Revision;

#[derive(Debug, clap::Args)]
pub struct PullArgs {
    /// Where to: a new or empty folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// A revision, as `history` lists them [default: the one that is published now]
    #[arg(long, value_name = "REVISION")]
    revision: Option<Revision>,
    /// Write into a folder that holds files: the set's are replaced, config files that it does not have are removed, everything else stays
    #[arg(long)]
    force: bool,
}

pub fn run(common: &Common, args: &PullArgs) -> anyhow::Result<Exit> {
    with_redis(common, async |mut place| {
        let published = match look_up(&mut place.redis, args.revision).await {
            Ok(published) => published,
            Err(error) => return refuse(error),
        };
        let pulled = match pull(&published, &common.env, &args.folder, args.force) {
            Ok(pulled) => pulled,
            Err(error) => {
                eprintln!("error: {error}");
                if let Some(hint) = error.hint() {
                    eprintln!("hint: {hint}");
                }
                return Ok(Exit::Failure);
            }
        };
        let publication = &published.publication;
        for path in &pulled.removed {
            eprintln!("removed {path}");
        }
        eprintln!(
            "revision {} ({}) of `{}` is in {}: {} files. analytica.yaml is each machine's own and not part of it",
            publication.revision,
            publication.digest.short(),
            common.env,
            args.folder.display(),
            pulled.written
        );
        Ok(Exit::Done)
    })
}

//! `analytica show`: a published set's files, or the bytes of one.

use super::redis::{print, refuse, with_redis};
use super::{Common, Exit};
use crate::publish::{Published, look_up};
use crate::store::Revision;

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// A revision, as `history` lists them [default: the one that is published now]
    #[arg(value_name = "REVISION")]
    first: Option<String>,
    /// A file of the set, such as consumers/warehouse.yaml: its bytes go to stdout as they are [default: the list of files, with their sizes in bytes]
    #[arg(value_name = "PATH")]
    second: Option<String>,
}

pub fn run(common: &Common, args: &ShowArgs) -> anyhow::Result<Exit> {
    let (revision, path) = match wanted(args) {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("error: {why}");
            return Ok(Exit::Usage);
        }
    };
    with_redis(common, async |mut place| {
        let published = match look_up(&mut place.redis, revision).await {
            Ok(published) => published,
            Err(error) => return refuse(error),
        };
        match path.map(|path| published.file(path)) {
            None => print(list(&published).as_bytes())?,
            Some(Ok(bytes)) => print(bytes)?,
            Some(Err(error)) => return refuse(error),
        };
        Ok(Exit::Done)
    })
}

/// One argument alone is a revision or a path: no path looks like a revision.
fn wanted(args: &ShowArgs) -> Result<(Option<Revision>, Option<&str>), String> {
    match (&args.first, &args.second) {
        (Some(only), None) => match only.parse() {
            Ok(revision) => Ok((Some(revision), None)),
            Err(why) if !only.contains(['/', '.']) => Err(why),
            Err(_) => Ok((None, Some(only))),
        },
        (first, path) => Ok((first.as_ref().map(|revision| revision.parse()).transpose()?, path.as_deref())),
    }
}

fn list(published: &Published) -> String {
    let files = || published.files.iter();
    let width = files().map(|(_, bytes)| bytes.len().to_string().len()).max().unwrap_or(0);
    files().map(|(path, bytes)| format!("{:>width$}  {path}\n", bytes.len())).collect()
}

//! `analytica pause` and `resume`: an operator stops one consumer's delivery, and lets it go on.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::redis::{Place, with_redis};
use super::{Common, Exit};
use crate::config::{closest, duration, listed};
use crate::publish::{author, known_consumers};
use crate::store::{Pause, StoreError};

/// Every worker that takes its configs from Redis stops within a second; what is on its way to the sink is finished.
#[derive(Debug, clap::Args)]
pub struct PauseArgs {
    /// The consumer
    consumer: String,
    /// Go on by itself after this long, such as 30m or 2h [default: until `resume`]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    span: Option<Duration>,
    /// Why, for whoever reads `status`
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// The consumer
    consumer: String,
}

pub fn run(common: &Common, args: &PauseArgs) -> anyhow::Result<Exit> {
    let at = Timestamp::now();
    let until = match args.span.map(|span| SignedDuration::try_from(span).map(|span| at.checked_add(span))) {
        None => None,
        Some(Ok(Ok(until))) if until > at => Some(until),
        Some(_) => {
            eprintln!("error: --for takes a time above 0 that ends in this age");
            return Ok(Exit::Usage);
        }
    };
    with_redis(common, async |mut place| {
        if !is_known(&mut place, &args.consumer).await? {
            return Ok(Exit::Failure);
        }
        let pause = Pause { by: author(), at, why: args.reason.clone(), until };
        place.redis.pause(&args.consumer, &pause).await?;
        let ends = until.map_or_else(String::new, |until| format!(" until {until:.0}"));
        eprintln!("`{0}` is paused{ends}; its queue keeps what comes, and `analytica resume {0}` lets it go on", args.consumer);
        Ok(Exit::Done)
    })
}

pub fn resume(common: &Common, args: &ResumeArgs) -> anyhow::Result<Exit> {
    with_redis(common, async |mut place| {
        if !is_known(&mut place, &args.consumer).await? {
            return Ok(Exit::Failure);
        }
        let was = place.redis.paused().await?.contains_key(&args.consumer);
        place.redis.resume(&args.consumer).await?;
        match was {
            true => eprintln!("`{}` goes on", args.consumer),
            false => eprintln!("nobody had paused `{}`; `analytica status` says what its delivery does", args.consumer),
        }
        Ok(Exit::Done)
    })
}

/// Says which consumers there are where this is none.
async fn is_known(place: &mut Place, consumer: &str) -> Result<bool, StoreError> {
    let known = known_consumers(&mut place.redis).await?;
    if known.contains(consumer) {
        return Ok(true);
    }
    let environment = place.redis.environment();
    match known.is_empty() {
        true => eprintln!(
            "error: the environment `{environment}` has no consumers: nothing is published, or nothing that can be read\nhint: `analytica status` says more"
        ),
        false => {
            let names = || known.iter().map(String::as_str);
            let near = closest(consumer, names()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            eprintln!("error: the environment `{environment}` has no consumer `{consumer}`\nhint: {near}there are {}", listed(names()));
        }
    }
    Ok(false)
}

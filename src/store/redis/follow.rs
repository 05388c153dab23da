//! Follows what is published: waits on the log, and looks by itself besides.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use rand::RngExt;
use redis::cmd;
use redis::streams::{StreamRangeReply, StreamReadReply};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::Redis;
use super::link::Link;
use crate::store::{Cache, Change, Pauses, Publication, Situation, SourceState, StoreError, Watch};

/// Waits between two tries while Redis is away.
const AGAIN: [Duration; 4] = [Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(2)];

/// Follows what is published. A set is given once; what cannot be used is said once a change of state, and the last one given stays. Where there is nothing
/// to begin with, `cache` serves. `refresh`: how old an unseen publication can get at most, where Redis tells nobody. Must be called inside a tokio runtime.
pub fn follow(redis: &Redis, refresh: Duration, cache: &Cache) -> Watch {
    let (found, changes) = mpsc::channel(1);
    let (state, situation) = watch::channel(Situation::default());
    // the other half is for noticing that a connection is half open, and for the look over another one
    let most = refresh.mul_f64(0.5).max(Duration::from_millis(50));
    let follow = Follow {
        redis: redis.clone(),
        waiting: redis.link.waiting(most),
        most,
        seen: HashMap::new(),
        last: None,
        cache: cache.clone(),
        cached: None,
        state,
        tries: 0,
        distrusted: false,
    };
    Watch { changes, situation, task: tokio::spawn(follow.run(found)) }
}

struct Follow {
    redis: Redis,
    /// For the command that blocks: others must not wait behind it.
    waiting: Link,
    most: Duration,
    /// Stream → id of its last entry that was seen.
    seen: HashMap<String, String>,
    /// What was given last.
    last: Option<Publication>,
    cache: Cache,
    /// What the cache held at the start, until something is given.
    cached: Option<Change>,
    state: watch::Sender<Situation>,
    tries: usize,
    /// What Redis has was lost or went back when it was looked at last.
    distrusted: bool,
}

impl Follow {
    /// Until nobody wants changes any more.
    async fn run(mut self, found: mpsc::Sender<Change>) {
        self.load_cache().await;
        loop {
            // the streams' ends are read before the look: what is published after it is heard of by the wait
            let looked = match self.mark().await {
                Err(error) if error.is_away() => Err(error),
                // garbage in a stream keeps nobody from looking
                _ => self.look(&found).await,
            };
            if found.is_closed() {
                return;
            }
            if !matches!(looked, Ok(SourceState::Current)) {
                self.fall_back(&found).await;
            }
            match looked {
                Ok(state) => {
                    self.tries = 0;
                    self.say(state);
                    self.wait().await;
                }
                Err(error) => {
                    let away = error.is_away();
                    self.say(state_of(&error));
                    self.end_pauses();
                    let pause = AGAIN[self.tries.min(AGAIN.len() - 1)];
                    self.tries += 1;
                    // a set that is broken is not asked for again and again: it takes a publication to mend it
                    if away { sleep(jittered(pause)).await } else { self.wait().await }
                }
            }
        }
    }

    /// The set of the last run. A Redis that has an older one went back while nobody ran.
    async fn load_cache(&mut self) {
        let cache = self.cache.clone();
        let loaded = tokio::task::spawn_blocking(move || cache.load()).await;
        match loaded.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
            Ok(Some((cached, paused))) => {
                self.cached = Some(cached);
                self.take_pauses(paused, false);
            }
            Ok(None) => {}
            Err(error) => warn!("the set that ran last is of no use: {error}"),
        }
    }

    /// Starts with the set of the last run, where Redis gives none.
    async fn fall_back(&mut self, found: &mpsc::Sender<Change>) {
        let Some(change) = self.cached.take().filter(|_| self.last.is_none()) else { return };
        self.last.clone_from(&change.publication);
        let revision = change.publication.as_ref().map(|publication| publication.revision.to_string());
        warn!(revision, file = %self.cache.path().display(), "Redis gives no config set: this starts with the one that ran last");
        // closed: as in `look`
        let _ = found.send(change).await;
    }

    async fn mark(&mut self) -> Result<(), StoreError> {
        self.seen.clear();
        for stream in [self.redis.keys.log(), self.redis.keys.signals()] {
            let question = cmd("XREVRANGE").arg(&stream).arg("+").arg("-").arg("COUNT").arg(1).to_owned();
            let end: StreamRangeReply = self.redis.link.ask("read the log of publications", &question).await?;
            let id = end.ids.into_iter().next().map_or_else(|| "0".to_owned(), |entry| entry.id);
            self.seen.insert(stream, id);
        }
        Ok(())
    }

    /// Gives the published set on where it is another one, and one that may be taken.
    async fn look(&mut self, found: &mpsc::Sender<Change>) -> Result<SourceState, StoreError> {
        let paused = match self.redis.paused().await {
            Err(error) if error.is_away() => return Err(error),
            Err(error) => {
                if !self.distrusted {
                    warn!("what is paused cannot be read, pauses that are known hold on: {error}");
                }
                None
            }
            Ok(paused) => Some(paused),
        };
        let current = self.redis.current().await?;
        let last = self.last.as_ref().or(self.cached.as_ref().and_then(|cached| cached.publication.as_ref()));
        let went_back = current.as_ref().zip(last).and_then(|(current, last)| went_back(last, current));
        let trusted = paused.is_some() && current.is_some() && went_back.is_none();
        let mut paused = paused.unwrap_or_default();
        if trusted && self.distrusted {
            // should this fail, nothing is let go: it is tried again
            self.pause_again(&mut paused).await?;
        }
        self.distrusted = !trusted;
        self.take_pauses(paused, trusted);
        let Some(current) = current else { return Ok(SourceState::Empty) };
        if let Some(why) = went_back {
            return Ok(SourceState::WentBack(why));
        }
        if self.last.as_ref().is_some_and(|last| last.revision == current.revision) {
            return Ok(SourceState::Current);
        }
        let Some(files) = self.redis.set(&current.digest).await? else {
            // published over while we looked: the next look sees that
            if self.redis.current().await?.as_ref() != Some(&current) {
                return Ok(SourceState::Current);
            }
            let what = self.redis.keys.set(&current.digest.0);
            return Err(StoreError::Corrupt { what, why: format!("revision {} names it and it is not there", current.revision) });
        };
        self.last = Some(current.clone());
        // closed: nobody follows any more, and the loop ends
        let _ = found.send(Change { files, publication: Some(current) }).await;
        Ok(SourceState::Current)
    }

    /// A Redis that was recovered lacks the pauses that it lost: whoever still knows one puts it back.
    async fn pause_again(&mut self, paused: &mut Pauses) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let mut known = self.state.borrow().paused.clone();
        known.retain(|consumer, pause| !paused.contains_key(consumer) && !pause.is_over(now));
        for (consumer, pause) in known {
            self.redis.pause_if_not(&consumer, &pause).await?;
            paused.insert(consumer, pause);
        }
        Ok(())
    }

    /// A Redis that lost what was published lost pauses too: those that are known hold on, whatever else is paused there comes to them.
    fn take_pauses(&self, mut paused: Pauses, trusted: bool) {
        self.state.send_if_modified(|situation| {
            if !trusted {
                for (consumer, pause) in &situation.paused {
                    paused.entry(consumer.clone()).or_insert_with(|| pause.clone());
                }
            }
            paused.retain(|_, pause| !pause.is_over(Timestamp::now()));
            let differs = situation.paused != paused;
            situation.paused = paused;
            differs
        });
    }

    /// Those whose time is over end, also while Redis is away.
    fn end_pauses(&self) {
        self.take_pauses(Pauses::new(), false);
    }

    /// Until something is told on the streams, or it is time to look.
    async fn wait(&mut self) {
        let ends = self.state.borrow().paused.values().filter_map(|pause| pause.until).min();
        let most = jittered(self.most).min(ends.map_or(Duration::MAX, until));
        let streams: Vec<(&String, &String)> = self.seen.iter().collect();
        let mut question = cmd("XREAD");
        question.arg("BLOCK").arg(most.as_millis().max(1) as u64).arg("STREAMS");
        streams.iter().for_each(|(stream, _)| {
            question.arg(stream);
        });
        streams.iter().for_each(|(_, id)| {
            question.arg(id);
        });
        // An answer, and none in time, both lead to a look, which says what is wrong. A refusal at once must not turn this into a loop
        let answer: Result<Option<StreamReadReply>, StoreError> = self.waiting.ask("wait for publications", &question).await;
        if let Err(error) = answer {
            debug!("{error}");
            sleep(if error.is_away() { jittered(AGAIN[0]) } else { most }).await;
        }
    }

    /// Tells a change of state, once: Redis may be away in several ways one after the other.
    fn say(&mut self, state: SourceState) {
        self.state.send_if_modified(|situation| {
            if situation.source == state {
                return false;
            }
            let still_away = matches!((&situation.source, &state), (SourceState::Unreachable(_), SourceState::Unreachable(_)));
            match state.why() {
                _ if still_away => {}
                None => info!("configs are followed from Redis again"),
                Some(why) => warn!(state = state.name(), "{why}; what runs goes on as it is"),
            }
            situation.source = state;
            true
        });
    }
}

/// Why what is published must not replace what was taken.
fn went_back(taken: &Publication, current: &Publication) -> Option<String> {
    let remedy = "Redis seems to be restored from an older copy; `analytica apply --recover` publishes anew";
    if current.revision < taken.revision {
        return Some(format!("Redis has revision {}, which is before {} that was taken: {remedy}", current.revision, taken.revision));
    }
    let other = current.revision == taken.revision && current.digest != taken.digest;
    other.then(|| {
        format!("revision {} is {} in Redis and {} here: {remedy}", current.revision, current.digest.short(), taken.digest.short())
    })
}

fn state_of(error: &StoreError) -> SourceState {
    let why = error.to_string();
    match error {
        StoreError::Future { .. } => SourceState::Future(why),
        StoreError::Corrupt { .. } => SourceState::Corrupt(why),
        _ => SourceState::Unreachable(why),
    }
}

/// 70 to 100 per cent of it, so that many workers do not come at once.
fn jittered(span: Duration) -> Duration {
    span.mul_f64(rand::rng().random_range(0.7..=1.0))
}

fn until(moment: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(Timestamp::now())).unwrap_or_default().max(Duration::from_millis(10))
}

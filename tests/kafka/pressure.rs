//! Back-pressure: takers that are slow, or that hold what they took, under limits that are small.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use analytica::kafka::{Message, Source, SourceOptions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::world::{DEADLINE, World, next, number, until};

/// Longer than a source waits at its limit before it pauses.
const PAST_PATIENCE: Duration = Duration::from_millis(800);
/// Nothing that must come at once takes so long, even on a loaded machine.
const PROMPT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_taker_pauses_its_partition_and_stays_a_member() {
    let world = World::real_with(&[("session.timeout.ms", "6000"), ("max.poll.interval.ms", "6000")]).with_events(1).await;
    world.produce(0, 0..50).await;
    let (source, messages) = world.narrow_source(10);
    let held: Vec<Message> = (0..10).map(|_| next(&messages)).collect();
    until("the partition is paused", || source.paused() == 1).await;
    // Longer than both timeouts: a poll that waited for the taker would lose the partition
    assert!(matches!(messages.recv_timeout(Duration::from_secs(7)), Err(RecvTimeoutError::Timeout)));
    assert!(held.iter().all(|message| !message.ticket.revoked().is_cancelled()));
    held.into_iter().for_each(|message| message.ticket.done());
    let mut seen = Vec::new();
    while seen.last() != Some(&49) {
        let message = next(&messages);
        seen.push(number(&message));
        message.ticket.done();
    }
    assert_eq!(seen, (10..50).collect::<Vec<_>>());
    until("all is done", || source.lag() == 0).await;
    source.stop(DEADLINE).await.expect("it stops");
}

/// The numbers seen of each partition, in the order in which they came.
type Seen = BTreeMap<i32, Vec<usize>>;

fn note(seen: &mut Seen, message: &Message) {
    seen.entry(message.origin.partition).or_default().push(number(message));
}

fn whole(partitions: i32, records: usize) -> Seen {
    (0..partitions).map(|partition| (partition, (0..records).collect())).collect()
}

/// Takes all that comes and gives tickets back in any order, now and then only after a while.
fn dawdle(source: &Source, messages: &Receiver<Message>, all: usize, seed: u64) -> Seen {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut seen, mut held, mut taken, mut most_paused) = (Seen::new(), Vec::new(), 0, 0);
    let deadline = Instant::now() + 2 * DEADLINE;
    while taken < all {
        assert!(Instant::now() < deadline, "{taken} of {all} came; {} held", held.len());
        match messages.recv_timeout(Duration::from_millis(10)) {
            Ok(message) => {
                note(&mut seen, &message);
                held.push(message);
                taken += 1;
            }
            Err(_) => {
                if rng.random_bool(0.05) {
                    std::thread::sleep(PAST_PATIENCE);
                    most_paused = most_paused.max(source.paused());
                }
                for _ in 0..rng.random_range(1..=held.len().max(1)) {
                    if !held.is_empty() {
                        held.swap_remove(rng.random_range(0..held.len())).ticket.done();
                    }
                }
            }
        }
    }
    held.into_iter().for_each(|message| message.ticket.done());
    assert_eq!(most_paused, 3, "it was slow enough for all to be paused");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_taker_does_each_record_comes_once_and_in_order() {
    const RECORDS: usize = 300;
    // By records of a partition, and by bytes of all: a record counts a KiB and a little
    for (max_in_flight, max_in_flight_bytes) in [(20, 1 << 30), (100_000, 40 << 10), (25, 60 << 10)] {
        let world = World::real().with_events(3).await;
        for partition in 0..3 {
            world.produce(partition, 0..RECORDS).await;
        }
        let options = SourceOptions { max_in_flight, max_in_flight_bytes, ..world.options() };
        let (source, messages) = world.source_with(options.clone());
        let dawdled = tokio::task::spawn_blocking(move || (dawdle(&source, &messages, 3 * RECORDS, 7), source, messages));
        let (seen, source, messages) = dawdled.await.expect("no panic");
        assert_eq!(seen, whole(3, RECORDS));
        assert!(matches!(messages.recv_timeout(PAST_PATIENCE), Err(RecvTimeoutError::Timeout)), "nothing comes twice");
        source.stop(DEADLINE).await.expect("it stops");

        world.produce(0, RECORDS..RECORDS + 1).await;
        let (source, messages) = world.source_with(options);
        assert_eq!(number(&next(&messages)), RECORDS, "all that was done is committed");
        source.stop(Duration::ZERO).await.expect("it stops");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_stays_blocked_is_paused_while_the_others_go_on_and_it_resumes() {
    let world = World::real().with_events(3).await;
    for partition in 0..3 {
        world.produce(partition, 0..300).await;
    }
    let (source, messages) = world.narrow_source(10);
    let (mut seen, mut blocked) = (Seen::new(), VecDeque::new());
    let others = |seen: &Seen| [0, 2].iter().all(|partition| seen.get(partition).is_some_and(|numbers| numbers.len() == 300));
    while !others(&seen) {
        let message = next(&messages);
        note(&mut seen, &message);
        match message.origin.partition {
            1 => blocked.push_back(message),
            _ => message.ticket.done(),
        }
    }
    until("only the blocked one is paused", || source.paused() == 1).await;
    // A full partition takes nothing more, however long it is left alone
    assert!(matches!(messages.recv_timeout(PAST_PATIENCE), Err(RecvTimeoutError::Timeout)));
    assert_eq!(blocked.len(), 10);
    while seen[&1].len() < 300 {
        if let Some(message) = blocked.pop_front() {
            message.ticket.done();
        }
        while let Ok(message) = messages.try_recv() {
            note(&mut seen, &message);
            blocked.push_back(message);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(seen, whole(3, 300));
    blocked.into_iter().for_each(|message| message.ticket.done());
    until("all is done", || source.lag() == 0 && source.paused() == 0).await;
    source.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_full_stops_at_once_and_commits_what_is_done() {
    let world = World::real().with_events(2).await;
    for partition in 0..2 {
        world.produce(partition, 0..50).await;
    }
    // Stopped before it has paused anything, and when it has
    for (left_alone, first) in [(Duration::ZERO, 0), (PAST_PATIENCE, 4)] {
        let (source, messages) = world.narrow_source(8);
        let mut held: Vec<Message> = (0..16).map(|_| next(&messages)).collect();
        assert!(held.iter().all(|message| (first..first + 8).contains(&number(message))));
        tokio::time::sleep(left_alone).await;
        let began = Instant::now();
        held.extract_if(.., |message| number(message) < first + 4).for_each(|message| message.ticket.done());
        source.stop(Duration::ZERO).await.expect("it stops");
        assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    }
}

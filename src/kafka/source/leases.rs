//! The partitions that a source holds, and what happens to them when the group is rebalanced.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError as ClientError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::Start;
use crate::kafka::embedded::Embedded;
use crate::kafka::log::Problems;
use crate::kafka::ticket::Lease;

/// How long a partition that is taken away may hold the rebalance up: nine times less than the default session timeout (45 s), and heartbeats go on.
const REVOKE_DRAIN: Duration = Duration::from_secs(5);
/// The same on the embedded broker, whose sessions are shorter.
const REVOKE_DRAIN_EMBEDDED: Duration = Duration::from_secs(1);

/// All partitions of one source, shared by its poll thread, its callbacks (called on that thread) and its handle.
#[derive(Debug, Default)]
pub(super) struct Leases {
    table: Mutex<HashMap<(Arc<str>, i32), Held>>,
    /// Bytes of all tickets that are out.
    pub(super) bytes: Arc<AtomicUsize>,
    /// Grows with every change of the table: a lease looked up before is looked up again.
    version: AtomicU64,
}

/// One partition.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) lease: Arc<Lease>,
    pub(super) paused: bool,
    /// What the broker has confirmed, and what was sent to it.
    pub(super) committed: Option<i64>,
    pub(super) sent: Option<i64>,
    /// Where to seek to, and not before when; until it is done nothing of the partition is taken.
    pub(super) rewinding: Option<(i64, Instant)>,
    pub(super) rewound: Option<Instant>,
    /// The partition's first and end offset by the last statistics.
    ends: Option<(i64, i64)>,
}

impl Held {
    fn new(lease: Arc<Lease>) -> Held {
        Held { lease, paused: false, committed: None, sent: None, rewinding: None, rewound: None, ends: None }
    }

    fn lag(&self) -> u64 {
        let (position, next) = {
            let state = self.lease.lock();
            (state.watermark.position(), state.watermark.next())
        };
        let (low, high) = self.ends.unwrap_or((0, 0));
        let position = position.or(self.committed).unwrap_or(low);
        u64::try_from(high.max(next.unwrap_or(0)) - position).unwrap_or(0)
    }
}

impl Leases {
    pub(super) fn table(&self) -> MutexGuard<'_, HashMap<(Arc<str>, i32), Held>> {
        // Nothing under this lock can panic half way
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    pub(super) fn changed(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn find(&self, topic: &str, partition: i32) -> Option<Arc<Lease>> {
        let table = self.table();
        // Few partitions, and asked once a run of records: no key is built for the look-up
        table.iter().find(|((t, p), _)| *p == partition && **t == *topic).map(|(_, held)| Arc::clone(&held.lease))
    }

    pub(super) fn assigned(&self) -> Vec<(Arc<str>, i32)> {
        let mut all: Vec<_> = self.table().keys().cloned().collect();
        all.sort();
        all
    }

    pub(super) fn paused(&self) -> usize {
        self.table().values().filter(|held| held.paused).count()
    }

    pub(super) fn lag(&self) -> u64 {
        self.table().values().map(Held::lag).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        let table = self.table();
        !table.is_empty() && table.values().all(|held| held.ends.is_some() && held.lag() == 0)
    }

    /// Whoever still works on a record of ours need not any more.
    pub(super) fn close(&self) {
        self.table().values().for_each(|held| held.lease.close());
    }

    fn assign(&self, partitions: &TopicPartitionList) {
        let mut table = self.table();
        for element in partitions.elements() {
            let topic: Arc<str> = element.topic().into();
            let position = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let lease = Lease::new(Arc::clone(&topic), element.partition(), position, Arc::clone(&self.bytes));
            if let Some(old) = table.insert((topic, element.partition()), Held::new(lease)) {
                old.lease.close();
            }
        }
        drop(table);
        self.changed();
    }

    fn remove(&self, partitions: &TopicPartitionList) -> Vec<Held> {
        let mut table = self.table();
        let removed = partitions.elements().iter().filter_map(|e| table.remove(&(e.topic().into(), e.partition()))).collect();
        drop(table);
        self.changed();
        removed
    }

    /// What should be committed now: positions past those that were sent, or past those that are confirmed.
    pub(super) fn to_commit(&self, confirmed: bool) -> TopicPartitionList {
        let mut table = self.table();
        positions(table.values_mut(), confirmed)
    }

    pub(super) fn confirm(&self, offsets: &TopicPartitionList) {
        let mut table = self.table();
        for element in offsets.elements() {
            if let (Ok(()), Offset::Offset(offset)) = (element.error(), element.offset())
                && let Some(held) = table.get_mut(&(element.topic().into(), element.partition()))
            {
                held.committed = held.committed.max(Some(offset));
            }
        }
    }

    /// A commit failed: what it said is said again with the next one.
    fn unsend(&self) {
        for held in self.table().values_mut() {
            held.sent = held.committed;
        }
    }
}

fn positions<'a>(held: impl Iterator<Item = &'a mut Held>, confirmed: bool) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for held in held {
        let position = held.lease.lock().watermark.position();
        let known = if confirmed { held.committed } else { held.sent };
        if let Some(offset) = position
            && known < position
        {
            // Any offset of a record is a valid one; the list refuses only logical ones that cannot be written
            if list.add_partition_offset(&held.lease.topic, held.lease.partition, Offset::Offset(offset)).is_ok() {
                held.sent = position;
            }
        }
    }
    list
}

/// librdkafka's callbacks.
pub(super) struct Context {
    pub(super) leases: Arc<Leases>,
    pub(super) problems: Problems,
    /// Whether a revocation still waits for what is in flight: not while stopping, which has waited already.
    pub(super) stopping: AtomicBool,
    /// Keeps the embedded broker alive as long as this client.
    pub(super) embedded: Option<Embedded>,
    start: Start,
}

impl Context {
    pub(super) fn new(leases: Arc<Leases>, problems: Problems, embedded: Option<Embedded>, start: Start) -> Context {
        Context { leases, problems, stopping: AtomicBool::new(false), embedded, start }
    }

    fn assigned(&self, consumer: &BaseConsumer<Context>, partitions: &TopicPartitionList) {
        if partitions.count() == 0 {
            return;
        }
        tracing::debug!(?partitions, "partitions assigned");
        // On the embedded broker a record that is gone must be noticed, so it is asked where each partition begins for us
        let known = self.embedded.is_some().then(|| consumer.committed_offsets(partitions.clone(), Duration::from_secs(5)));
        match known {
            Some(Ok(known)) => {
                if self.start == Start::Earliest {
                    for mut element in known.elements() {
                        if !matches!(element.offset(), Offset::Offset(_)) && element.set_offset(Offset::Offset(0)).is_err() {
                            tracing::debug!("offset 0 could not be set; a loss before the first record would not be noticed");
                        }
                    }
                }
                self.leases.assign(&known);
            }
            _ => self.leases.assign(partitions),
        }
    }

    /// librdkafka keeps our pause of a partition that is taken away: given back later, it would stay silent for ever.
    fn resume(&self, consumer: &BaseConsumer<Context>, held: &[Held]) {
        let mut paused = TopicPartitionList::new();
        for held in held.iter().filter(|held| held.paused) {
            paused.add_partition(&held.lease.topic, held.lease.partition);
        }
        if paused.count() > 0
            && let Err(error) = consumer.resume(&paused)
        {
            self.problems.trouble("resume partitions that are taken away", &error);
        }
    }

    fn revoked(&self, consumer: &BaseConsumer<Context>, partitions: &TopicPartitionList) {
        let mut held = self.leases.remove(partitions);
        for held in &held {
            held.lease.revoked.cancel();
        }
        self.resume(consumer, &held);
        if consumer.assignment_lost() {
            // Others may have them already: nothing of ours counts any more
            tracing::warn!(?partitions, "partitions lost: their records come again");
        } else {
            if !self.stopping.load(Ordering::Acquire) {
                let deadline = Instant::now() + if self.embedded.is_some() { REVOKE_DRAIN_EMBEDDED } else { REVOKE_DRAIN };
                while held.iter().any(|held| held.lease.lock().outstanding > 0) && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            let offsets = positions(held.iter_mut(), true);
            if offsets.count() > 0
                && let Err(error) = consumer.commit(&offsets, CommitMode::Sync)
            {
                self.problems.trouble("commit the partitions that are taken away (their last records come again)", &error);
            }
        }
        for held in held {
            held.lease.close();
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.problems.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.problems.error(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice::<Statistics>(statistics) {
            Ok(statistics) => {
                let mut table = self.leases.table();
                for ((topic, partition), held) in table.iter_mut() {
                    let known = statistics.topics.get(&**topic).and_then(|topic| topic.partitions.get(&partition.to_string()));
                    if let Some(known) = known {
                        let end = if known.ls_offset >= 0 { known.ls_offset } else { known.hi_offset };
                        if end >= 0 {
                            held.ends = Some((known.lo_offset.max(0), end));
                        }
                        if known.committed_offset >= 0 {
                            held.committed = held.committed.max(Some(known.committed_offset));
                        }
                    }
                }
            }
            Err(error) => self.problems.trouble("read librdkafka's statistics (lag is not known)", &error),
        }
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Context>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => self.assigned(consumer, partitions),
            Rebalance::Revoke(partitions) => self.revoked(consumer, partitions),
            Rebalance::Error(error) => self.problems.trouble("rebalance the group", error),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        match result {
            Ok(()) => self.leases.confirm(offsets),
            Err(error) => {
                self.leases.unsend();
                use RDKafkaErrorCode::{IllegalGeneration, NoOffset, RebalanceInProgress, UnknownMemberId};
                match error.rdkafka_error_code() {
                    // Part of every rebalance; the next commit, or the revocation's own, says it again
                    Some(NoOffset | RebalanceInProgress | IllegalGeneration | UnknownMemberId) => tracing::debug!(%error, "commit put off"),
                    _ => self.problems.trouble("commit offsets", &error),
                }
            }
        }
    }
}

/// The few of librdkafka's statistics that lag is made of; offsets that are not known are negative.
#[derive(serde::Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: HashMap<String, TopicStatistics>,
}

#[derive(serde::Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: HashMap<String, PartitionStatistics>,
}

#[derive(serde::Deserialize)]
struct PartitionStatistics {
    lo_offset: i64,
    hi_offset: i64,
    ls_offset: i64,
    committed_offset: i64,
}

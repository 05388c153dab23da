//! The poll thread: takes records, pauses and resumes, rewinds, commits. It never waits for anybody but the broker, and for that only briefly.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::leases::{Context, Held, Leases};
use super::{Control, Message, SourceOptions};
use crate::kafka::client::KafkaError;
use crate::kafka::ticket::Lease;
use crate::pipeline::Origin;

const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
/// A poll with nothing to come back for; records end it at once.
const IDLE: Duration = Duration::from_millis(50);
/// A poll while something is paused, rewound or draining: how late it may be noticed that it is over.
const BUSY: Duration = Duration::from_millis(2);
/// Records between two looks at commits and pauses while they come without a break.
const STRIDE: usize = 256;
/// How long all may be at the limit before it is paused. Pausing throws away what was fetched ahead, which would then be fetched again at every such turn;
/// the group's callbacks wait so long at most.
const PATIENCE: Duration = Duration::from_millis(500);
/// A partition that is rewound again so soon waits this long first.
const REWIND_PAUSE: Duration = Duration::from_secs(1);
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);
/// How many times `max_in_flight` a partition may be ahead of its first record that is not done: what comes again after a crash.
const WINDOW: usize = 10;
/// What a record takes in memory beside its bytes, with the structures of what is made of it.
const RECORD_COST: usize = 1 << 10;

pub(super) struct Poll<T> {
    consumer: BaseConsumer<Context>,
    leases: Arc<Leases>,
    control: Arc<Control>,
    options: SourceOptions,
    take: T,
    /// The lease of the last record, and the table's version when it was looked up.
    last: Option<(u64, Arc<Lease>)>,
    next_commit: Instant,
    /// Too many bytes are out.
    full: bool,
    /// Since when nothing may be taken although not all is paused.
    stuck: Option<Instant>,
    /// Something is to be looked at soon.
    busy: bool,
}

impl<T: FnMut(Message)> Poll<T> {
    pub(super) fn new(
        consumer: BaseConsumer<Context>,
        leases: Arc<Leases>,
        control: Arc<Control>,
        options: SourceOptions,
        take: T,
    ) -> Poll<T> {
        Poll {
            consumer,
            leases,
            control,
            options,
            take,
            last: None,
            next_commit: Instant::now() + COMMIT_INTERVAL,
            full: false,
            stuck: None,
            busy: false,
        }
    }

    pub(super) fn run(mut self) -> Result<(), KafkaError> {
        let polled = self.poll();
        let Poll { consumer, leases, take, .. } = self;
        // Committing may take long, and nothing is taken any more
        drop(take);
        // Whatever ended it: what is done is committed, and closing the consumer (on drop) waits for nobody
        consumer.context().stopping.store(true, Ordering::Release);
        let offsets = leases.to_commit(true);
        if offsets.count() > 0 {
            match consumer.commit(&offsets, CommitMode::Sync) {
                // closing need not say it again
                Ok(()) => leases.confirm(&offsets),
                Err(error) => tracing::warn!("cannot commit the last offsets, their records come again: {error}"),
            }
        }
        polled
    }

    fn poll(&mut self) -> Result<(), KafkaError> {
        loop {
            let stop_by = self.control.stop_by();
            let mut taken = 0;
            let mut wait = if self.busy || stop_by.is_some() { BUSY } else { IDLE };
            if self.stuck.is_some() {
                std::thread::sleep(BUSY);
            }
            while taken < STRIDE && self.stuck.is_none() {
                match self.consumer.poll(wait) {
                    Some(Ok(message)) if stop_by.is_none() => {
                        let limit = self.options.max_in_flight;
                        let full = accept(
                            &self.leases,
                            &mut self.last,
                            &message,
                            limit,
                            self.consumer.context().embedded.is_some(),
                            &mut self.take,
                        )?;
                        taken += 1;
                        if full || self.leases.bytes.load(Ordering::Relaxed) >= self.options.max_in_flight_bytes {
                            break;
                        }
                    }
                    // Stopping: it stays uncommitted, somebody else takes it
                    Some(Ok(_)) => break,
                    Some(Err(ClientError::MessageConsumptionFatal(code))) => {
                        return Err(KafkaError::new(
                            format!("consume as group {}", self.options.group),
                            ClientError::MessageConsumptionFatal(code),
                        ));
                    }
                    // The context's `error` has logged it; librdkafka goes on by itself
                    Some(Err(_)) | None => break,
                }
                wait = Duration::ZERO;
            }
            if taken > 0 {
                self.consumer.context().problems.over();
            }
            if let Some(by) = stop_by {
                let outstanding: usize = self.leases.table().values().map(|held| held.lease.lock().outstanding).sum();
                if outstanding == 0 || Instant::now() >= by {
                    if outstanding > 0 {
                        tracing::warn!(
                            group = self.options.group,
                            records = outstanding,
                            "stopped before all was done: these records come again"
                        );
                    }
                    return Ok(());
                }
            }
            self.look(stop_by.is_some());
        }
    }

    /// Rewinds, pauses, resumes and commits where that is due.
    fn look(&mut self, stopping: bool) {
        self.rewind();
        self.press(stopping);
        let now = Instant::now();
        if now >= self.next_commit {
            self.next_commit = now + COMMIT_INTERVAL;
            let offsets = self.leases.to_commit(false);
            if offsets.count() > 0
                && let Err(error) = self.consumer.commit(&offsets, CommitMode::Async)
            {
                self.consumer.context().problems.trouble("commit offsets", &error);
            }
        }
    }

    /// Partitions of which something failed go back to their first record that is not done, under a new lease.
    fn rewind(&mut self) {
        let now = Instant::now();
        let mut due = TopicPartitionList::new();
        self.busy = false;
        for held in self.leases.table().values_mut() {
            note_rewind(held, now);
            if let Some((position, not_before)) = held.rewinding {
                self.busy = true;
                // As in `positions`: an offset of a record is always a valid one
                if now >= not_before && due.add_partition_offset(&held.lease.topic, held.lease.partition, Offset::Offset(position)).is_err()
                {
                    tracing::error!(
                        topic = &*held.lease.topic,
                        partition = held.lease.partition,
                        position,
                        "cannot name the offset to go back to"
                    );
                }
            }
        }
        if due.count() == 0 {
            return;
        }
        match self.consumer.seek_partitions(due, SEEK_TIMEOUT) {
            Ok(sought) => {
                let mut table = self.leases.table();
                for element in sought.elements() {
                    let Some(held) = table.get_mut(&(element.topic().into(), element.partition())) else { continue };
                    if let (Ok(()), Some((position, _))) = (element.error(), held.rewinding.take()) {
                        tracing::warn!(
                            topic = element.topic(),
                            partition = element.partition(),
                            offset = position,
                            "went back: an output could not be produced"
                        );
                        let lease = &held.lease;
                        held.lease = Lease::new(Arc::clone(&lease.topic), lease.partition, Some(position), Arc::clone(&self.leases.bytes));
                        held.rewound = Some(now);
                    }
                }
                drop(table);
                self.leases.changed();
            }
            // `rewinding` stays, so it is tried again
            Err(error) => self.consumer.context().problems.trouble("seek back", &error),
        }
    }

    /// Back-pressure: partitions are paused at their limit and resumed at half of it; where nothing else is left to take, not before `PATIENCE`.
    fn press(&mut self, stopping: bool) {
        let bytes = self.leases.bytes.load(Ordering::Relaxed);
        let limit = self.options.max_in_flight_bytes;
        self.full = if self.full { bytes > limit / 2 } else { bytes >= limit };
        let full = |held: &Held| self.full || is_full(held, self.options.max_in_flight);
        let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
        let mut table = self.leases.table();
        let stuck = !stopping && table.values().any(|held| !held.paused) && table.values().all(full);
        let since = self.stuck.unwrap_or_else(Instant::now);
        let patient = stuck && since.elapsed() < PATIENCE;
        for held in table.values_mut() {
            let wanted = stopping || full(held);
            if wanted != held.paused && !patient {
                let list = if wanted { &mut pause } else { &mut resume };
                list.add_partition(&held.lease.topic, held.lease.partition);
                held.paused = wanted;
            }
            self.busy |= wanted;
        }
        drop(table);
        self.stuck = patient.then_some(since);
        for (list, paused) in [(pause, true), (resume, false)] {
            if list.count() == 0 {
                continue;
            }
            let done = if paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
            if let Err(error) = done {
                self.consumer.context().problems.trouble(if paused { "pause a partition" } else { "resume a partition" }, &error);
                let mut table = self.leases.table();
                for element in list.elements() {
                    if let Some(held) = table.get_mut(&(element.topic().into(), element.partition())) {
                        held.paused = !paused;
                    }
                }
            }
        }
    }
}

/// Closes a lease that somebody wants rewound, and remembers where to go back to.
fn note_rewind(held: &mut Held, now: Instant) {
    if held.rewinding.is_some() {
        return;
    }
    let wanted = {
        let state = held.lease.lock();
        state.rewind.then(|| state.watermark.position()).flatten()
    };
    if let Some(position) = wanted {
        held.lease.close();
        let soon = held.rewound.is_some_and(|rewound| now.duration_since(rewound) < 10 * REWIND_PAUSE);
        held.rewinding = Some((position, if soon { now + REWIND_PAUSE } else { now }));
    }
}

fn is_full(held: &Held, max_in_flight: usize) -> bool {
    let state = held.lease.lock();
    let (pending, window) = (state.watermark.pending(), state.watermark.window());
    let half = if held.paused { 2 } else { 1 };
    pending >= max_in_flight.div_ceil(half) || window >= (max_in_flight * WINDOW).div_ceil(half)
}

/// Hands one record over; answers whether its partition is at its limit.
fn accept(
    leases: &Leases,
    last: &mut Option<(u64, Arc<Lease>)>,
    message: &BorrowedMessage<'_>,
    limit: usize,
    embedded: bool,
    take: &mut impl FnMut(Message),
) -> Result<bool, KafkaError> {
    let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
    let version = leases.version();
    let known = last.as_ref().filter(|(at, lease)| *at == version && lease.partition == partition && *lease.topic == *topic);
    let lease = match known {
        Some((_, lease)) => Arc::clone(lease),
        None => {
            // Not ours any more: whoever has it now reads it
            let Some(lease) = leases.find(topic, partition) else { return Ok(false) };
            last.insert((version, lease)).1.clone()
        }
    };
    if embedded
        && let Some(expected) = lease.lock().watermark.next()
        && offset > expected
        && !lease.revoked.is_cancelled()
    {
        return Err(KafkaError::Lost { topic: topic.into(), partition, expected, found: offset });
    }
    let headers = crate::kafka::headers::copy(message);
    let in_headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let bytes = message.payload_len() + message.key_len() + in_headers + RECORD_COST;
    let Some(ticket) = lease.take(offset, bytes) else { return Ok(false) };
    take(Message {
        origin: Origin { topic: Arc::clone(&lease.topic), partition, offset, timestamp_ms: message.timestamp().to_millis().unwrap_or(-1) },
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
        ticket,
    });
    let state = lease.lock();
    Ok(state.watermark.pending() >= limit || state.watermark.window() >= limit * WINDOW)
}

//! The machine of one shard: its queues, and what each event does to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{PartitionId, TopicId};

use super::changes::Changes;
use super::deadlines::DelayEnd;
use super::queue::{Queue, RECORD_BATCHES_MAX};
use super::record::{Record, Snapshot, StateBatch, Update};
use super::{Acknowledge, Acquire, Action, Event, QueueKey, Reply};
use crate::clock::Timestamp;
use crate::coordinator::{Applied, Effects, LogEnds, Machine, Ticket};

/// Runs that one queue's window may have before nothing new is leased from it: some 60 MB.
pub const RUNS_MAX: usize = 1_000_000;
/// Queues of one shard: one more is refused with GROUP_MAX_SIZE_REACHED.
const QUEUES_MAX: usize = 100_000;

/// The queues of one shard.
pub struct ShareMachine {
    queues: BTreeMap<QueueKey, Queue>,
    /// When each queue with a lease or a delay is due, monotonic ms.
    timers: BTreeSet<(i64, QueueKey)>,
    /// Groups that were warned of records that are archived and go nowhere.
    warned: BTreeSet<Arc<str>>,
    runs_max: usize,
    queues_max: usize,
}

impl Default for ShareMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl ShareMachine {
    /// A shard without queues.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(RUNS_MAX, QUEUES_MAX)
    }

    /// A shard without queues that is bounded otherwise.
    pub(super) fn with_limits(runs_max: usize, queues_max: usize) -> Self {
        Self {
            queues: BTreeMap::new(),
            timers: BTreeSet::new(),
            warned: BTreeSet::new(),
            runs_max,
            queues_max,
        }
    }

    /// Visit the partition of every queue, for [`LogEnds`]: a queue whose partition is missing
    /// there is taken for that of a deleted topic.
    pub fn each_partition(&self, mut visit: impl FnMut(PartitionId)) {
        for key in self.queues.keys() {
            visit(key.partition);
        }
    }

    #[cfg(test)]
    pub(super) fn queue(&self, key: &QueueKey) -> Option<&Queue> {
        self.queues.get(key)
    }

    /// Write down and apply changes, and see to what follows from them.
    fn commit(
        &mut self,
        now: Timestamp,
        key: &QueueKey,
        changes: Changes<'_>,
        out: &mut Effects<Self>,
    ) {
        let is_ready = |batch: &StateBatch| {
            batch.state == super::record::Durable::Available && batch.not_before_ms == 0
        };
        let mut wakes = changes.batches.iter().any(is_ready);
        let is_empty = changes.batches.is_empty();
        self.write(key, changes.batches, out);
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        queue.tally.dead += changes.dead;
        for delay in &changes.delays {
            let end = DelayEnd(delay.wall_ms);
            queue
                .delays
                .push(delay.until_ms, delay.first, delay.last, end, &queue.runs);
        }
        wakes |= !is_empty && std::mem::take(&mut queue.starved);
        if let Some(offset) = changes.vanished
            && self.warned.insert(key.group.clone())
        {
            out.act(Action::GaveUp {
                key: key.clone(),
                first: ratel_storage::Offset::new(offset),
            });
        }
        if !changes.dead_letters.is_empty() {
            out.act(Action::DeadLetter {
                key: key.clone(),
                ranges: changes.dead_letters,
            });
        }
        if wakes {
            out.act(Action::Wake(key.clone()));
        }
        self.snapshot_if_due(now, key, out);
        self.arm(key);
    }

    fn write(&mut self, key: &QueueKey, batches: Vec<StateBatch>, out: &mut Effects<Self>) {
        if batches.len() <= RECORD_BATCHES_MAX {
            if !batches.is_empty() {
                self.write_part(key, batches, None, out);
            }
            return;
        }
        for part in batches.chunks(RECORD_BATCHES_MAX) {
            self.write_part(key, part.to_vec(), None, out);
        }
    }

    fn write_part(
        &mut self,
        key: &QueueKey,
        batches: Vec<StateBatch>,
        log_start: Option<i64>,
        out: &mut Effects<Self>,
    ) {
        if let Some(queue) = self.queues.get(key) {
            let update = queue.plan(batches, log_start);
            out.record(self, Record::Update(key.clone(), update));
        }
    }

    fn snapshot_if_due(&mut self, now: Timestamp, key: &QueueKey, out: &mut Effects<Self>) {
        let Some(queue) = self.queues.get(key).filter(|queue| queue.snapshot_is_due()) else {
            return;
        };
        let epoch = queue.snapshot_epoch().wrapping_add(1).max(0);
        let parts = queue.snapshot(now.wall_ms, epoch, queue.state_epoch, i64::MAX);
        for record in records(key, parts) {
            out.record(self, record);
        }
    }

    /// Set the timer to when the queue is due next.
    fn arm(&mut self, key: &QueueKey) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        let due = queue.next_due();
        if due == queue.armed {
            return;
        }
        if let Some(old_ms) = std::mem::replace(&mut queue.armed, due) {
            self.timers.remove(&(old_ms, key.clone()));
        }
        if let Some(at_ms) = due {
            self.timers.insert((at_ms, key.clone()));
        }
    }

    /// Begin a queue, or begin it anew, from an offset.
    fn begin(&mut self, now: Timestamp, key: &QueueKey, start: i64, out: &mut Effects<Self>) {
        let old = self.queues.get(key);
        let next = |epoch: i32| epoch.wrapping_add(1).max(0);
        let snapshot = Snapshot {
            snapshot_epoch: old.map_or(0, |queue| next(queue.snapshot_epoch())),
            state_epoch: old.map_or(0, |queue| next(queue.state_epoch)),
            start: start.max(0),
            complete: 0,
            created_ms: now.wall_ms,
            written_ms: now.wall_ms,
            batches: Vec::new(),
        };
        out.record(self, Record::Snapshot(key.clone(), snapshot));
        self.arm(key);
        out.act(Action::Wake(key.clone()));
    }

    fn begin_if_room(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        key: &QueueKey,
        start: i64,
        out: &mut Effects<Self>,
    ) {
        if !self.queues.contains_key(key) && self.queues.len() >= self.queues_max {
            return out.refuse(ticket, ErrorCode::GroupMaxSizeReached);
        }
        self.begin(now, key, start, out);
        out.reply(ticket, Reply::Done);
    }

    fn acquire(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: &Acquire,
        out: &mut Effects<Self>,
    ) {
        self.log_start(now, &event.key, event.log_start.get(), out);
        let Some(queue) = self.queues.get_mut(&event.key) else {
            return out.refuse(ticket, ErrorCode::UnknownTopicOrPartition);
        };
        let reply = queue.acquire(now, event, self.runs_max);
        let leases = matches!(reply, Reply::Acquired { .. });
        out.reply_now(ticket, reply);
        if leases {
            self.arm(&event.key);
        }
    }

    fn acknowledge(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: &Acknowledge,
        out: &mut Effects<Self>,
    ) {
        let Some(queue) = self.queues.get_mut(&event.key) else {
            return out.refuse(ticket, ErrorCode::UnknownTopicOrPartition);
        };
        match queue.acknowledge(now, event) {
            Ok(changes) => {
                self.commit(now, &event.key, changes, out);
                out.reply(ticket, Reply::Done);
            }
            Err(error) => out.refuse(ticket, error),
        }
    }

    /// The log begins at an offset: nothing below it is to be done any more.
    fn log_start(&mut self, now: Timestamp, key: &QueueKey, start: i64, out: &mut Effects<Self>) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        if start <= queue.start {
            return;
        }
        queue.tally.lost += queue.undone_below(start);
        let wakes = std::mem::take(&mut queue.starved);
        self.write_part(key, Vec::new(), Some(start), out);
        if wakes {
            out.act(Action::Wake(key.clone()));
        }
        self.snapshot_if_due(now, key, out);
        self.arm(key);
    }

    fn release(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        key: &QueueKey,
        member: &str,
        out: &mut Effects<Self>,
    ) {
        if let Some(queue) = self.queues.get_mut(key) {
            let config = queue.settings();
            let changes = queue.release(now, member, &config);
            self.commit(now, key, changes, out);
            if let Some(queue) = self.queues.get_mut(key) {
                queue.forget(member);
            }
        }
        out.reply(ticket, Reply::Done);
    }

    /// Forget queues.
    fn delete(&mut self, keys: Vec<QueueKey>, out: &mut Effects<Self>) {
        for key in keys {
            if self.queues.contains_key(&key) {
                out.record(self, Record::Tombstone(key));
            }
        }
    }

    fn keys(&self, mut wanted: impl FnMut(&QueueKey) -> bool) -> Vec<QueueKey> {
        self.queues
            .keys()
            .filter(|key| wanted(key))
            .cloned()
            .collect()
    }

    fn survey(&self, group: Option<&str>) -> Reply {
        let first = |group: &str| QueueKey {
            group: group.into(),
            partition: PartitionId {
                topic: TopicId::nil(),
                index: i32::MIN,
            },
        };
        let queues = match group {
            Some(group) => self.queues.range(first(group)..),
            None => self.queues.range(..),
        };
        let queues = queues.take_while(|(key, _)| group.is_none_or(|group| &*key.group == group));
        Reply::Surveyed(
            queues
                .map(|(key, queue)| (key.clone(), queue.depth()))
                .collect(),
        )
    }

    fn purge(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        key: &QueueKey,
        end: i64,
        out: &mut Effects<Self>,
    ) {
        let Some(queue) = self.queues.get(key) else {
            return out.refuse(ticket, ErrorCode::UnknownTopicOrPartition);
        };
        let config = queue.settings();
        let (changes, purged) = queue.purge(now, end, &config);
        self.commit(now, key, changes, out);
        out.reply(ticket, Reply::Purged(purged));
    }

    /// What is about whole queues.
    fn handle_queue(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: Event,
        out: &mut Effects<Self>,
    ) {
        match event {
            Event::Initialize { key, start } => {
                if self.queues.contains_key(&key) {
                    return out.reply(ticket, Reply::Done);
                }
                self.begin_if_room(now, ticket, &key, start.get(), out);
            }
            Event::Reset { key, start } => self.begin_if_room(now, ticket, &key, start.get(), out),
            Event::GiveBack {
                key,
                member,
                ranges,
            } => {
                let queue = self.queues.get_mut(&key);
                if queue.is_some_and(|queue| queue.give_back(&member, &ranges)) {
                    self.arm(&key);
                    out.act(Action::Wake(key));
                }
                out.reply_now(ticket, Reply::Done);
            }
            Event::Delete { key } => {
                self.delete(vec![key], out);
                out.reply(ticket, Reply::Done);
            }
            Event::DeleteGroup { group } => {
                let keys = self.keys(|key| key.group == group);
                self.delete(keys, out);
                self.warned.remove(&group);
                out.reply(ticket, Reply::Done);
            }
            Event::TopicDeleted(topic) => {
                let keys = self.keys(|key| key.partition.topic == topic);
                self.delete(keys, out);
                out.reply(ticket, Reply::Done);
            }
            Event::Describe { key } => match self.queues.get(&key) {
                Some(queue) => out.reply_now(ticket, Reply::Described(queue.depth())),
                None => out.refuse(ticket, ErrorCode::UnknownTopicOrPartition),
            },
            Event::Survey { group } => out.reply_now(ticket, self.survey(group.as_deref())),
            // `handle` sees to the others.
            _ => {}
        }
    }

    /// Let the state be what the logs still hold.
    fn cut(&mut self, now: Timestamp, ends: &LogEnds, out: &mut Effects<Self>) {
        let gone = self.keys(|key| !ends.ends.contains_key(&key.partition));
        self.delete(gone, out);
        let mut cut = Vec::new();
        for (key, queue) in &self.queues {
            if let Some(end) = ends
                .ends
                .get(&key.partition)
                .filter(|end| end.get() < queue.next)
            {
                let next = |epoch: i32| epoch.wrapping_add(1).max(0);
                let (snapshot_epoch, state_epoch) =
                    (next(queue.snapshot_epoch()), next(queue.state_epoch));
                let parts = queue.snapshot(now.wall_ms, snapshot_epoch, state_epoch, end.get());
                cut.extend(records(key, parts));
            }
        }
        for record in cut {
            out.record(self, record);
        }
    }
}

/// A snapshot as records of a queue.
fn records(
    key: &QueueKey,
    (snapshot, rest): (Snapshot, Vec<Update>),
) -> impl Iterator<Item = Record> {
    let first = Record::Snapshot(key.clone(), snapshot);
    let rest = rest
        .into_iter()
        .map(|part| Record::Update(key.clone(), part));
    std::iter::once(first).chain(rest)
}

impl Machine for ShareMachine {
    type Event = Event;
    type Record = Record;
    type Reply = Reply;
    type Action = Action;

    fn handle(&mut self, now: Timestamp, ticket: Ticket, event: Event, out: &mut Effects<Self>) {
        match event {
            Event::Acquire(event) => self.acquire(now, ticket, &event, out),
            Event::Acknowledge(event) => self.acknowledge(now, ticket, &event, out),
            Event::Release { key, member } => self.release(now, ticket, &key, &member, out),
            Event::LogStart { partition, start } => {
                for key in self.keys(|key| key.partition == partition) {
                    self.log_start(now, &key, start.get(), out);
                }
                out.reply(ticket, Reply::Done);
            }
            Event::DeadLettered { key, ranges } => {
                if let Some(queue) = self.queues.get(&key) {
                    let config = queue.settings();
                    let changes = queue.dead_lettered(now, &ranges, &config);
                    self.commit(now, &key, changes, out);
                }
                out.reply(ticket, Reply::Done);
            }
            Event::Purge { key, end } => self.purge(now, ticket, &key, end.get(), out),
            other => self.handle_queue(now, ticket, other, out),
        }
    }

    fn handle_timeout(&mut self, now: Timestamp, out: &mut Effects<Self>) {
        let mut found = Vec::new();
        let mut due = Vec::new();
        while let Some((at_ms, key)) = self.timers.pop_first() {
            if at_ms > now.monotonic_ms {
                self.timers.insert((at_ms, key));
                break;
            }
            due.push(key);
        }
        for key in due {
            let Some(queue) = self.queues.get_mut(&key) else {
                continue;
            };
            queue.armed = None;
            let config = queue.settings();
            if queue.end_delays(now.monotonic_ms, &mut found) {
                out.act(Action::Wake(key.clone()));
            }
            match queue.expire(now, &config, &mut found) {
                Some(changes) => self.commit(now, &key, changes, out),
                None => self.arm(&key),
            }
        }
    }

    fn next_timeout(&self) -> Option<i64> {
        self.timers.first().map(|(at_ms, _)| *at_ms)
    }

    fn apply(&mut self, _at: Applied, record: &Record) {
        match record {
            Record::Snapshot(key, snapshot) => match self.queues.get_mut(key) {
                Some(queue) if queue.state_epoch == snapshot.state_epoch => {
                    queue.resnapshot(snapshot);
                }
                old => {
                    let mut queue = Queue::install(snapshot);
                    if let Some(old) = old {
                        queue.tally = std::mem::take(&mut old.tally);
                        queue.armed = old.armed;
                    }
                    self.queues.insert(key.clone(), queue);
                }
            },
            Record::Update(key, update) => {
                if let Some(queue) = self.queues.get_mut(key) {
                    queue.update(update);
                }
            }
            Record::Tombstone(key) => {
                if let Some(at_ms) = self.queues.remove(key).and_then(|queue| queue.armed) {
                    self.timers.remove(&(at_ms, key.clone()));
                }
            }
        }
    }

    fn start(&mut self, now: Timestamp, ends: &LogEnds, out: &mut Effects<Self>) {
        self.cut(now, ends, out);
        let mut found = Vec::new();
        for (key, queue) in &mut self.queues {
            queue.begin_delays(now, &mut found);
            let ranges = queue.archiving();
            if !ranges.is_empty() {
                let key = key.clone();
                out.act(Action::DeadLetter { key, ranges });
            }
            // Who waited when the machine before this one was lost: its leases are free now.
            out.act(Action::Wake(key.clone()));
        }
        for key in self.keys(|_| true) {
            self.arm(&key);
        }
    }

    fn snapshot(&self, out: &mut Vec<Record>) {
        for (key, queue) in &self.queues {
            let (snapshot, state) = (queue.snapshot_epoch(), queue.state_epoch);
            // When it was written is not known here: the last time that is.
            let written_ms = queue.created_ms();
            let parts = queue.snapshot(written_ms, snapshot, state, i64::MAX);
            out.extend(records(key, parts));
        }
    }
}

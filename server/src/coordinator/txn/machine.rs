//! The machine of one shard: its transactional ids, and what each event does to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::limits::{UPKEEP_PAUSE_MS, UPKEEP_RECORDS};
use super::markers::Markers;
use super::{
    Action, Add, Event, Limits, NONE, Record, Reply, Status, Transaction, VERSION_WITH_EPOCHS,
};
use crate::clock::Timestamp;
use crate::coordinator::{Applied, Effects, LogEnds, Machine, Ticket};

/// The transactional ids of one shard.
pub struct TransactionMachine {
    pub(super) limits: Arc<Limits>,
    pub(super) transactions: BTreeMap<Arc<str>, Transaction>,
    /// Which of them are to end.
    pub(super) markers: Markers,
    /// Who waits for the markers of a transaction.
    pub(super) parked: BTreeMap<Arc<str>, Vec<Parked>>,
    /// Until when, monotonic ms.
    pub(super) parked_until: BTreeMap<(i64, Ticket), Arc<str>>,
    /// When open transactions are looked at next, monotonic ms.
    next_check_ms: i64,
    /// When unused ids are looked at next, monotonic ms.
    next_expiry_ms: i64,
}

/// A partition that is to be added once markers are written.
pub(super) struct Parked {
    pub(super) ticket: Ticket,
    pub(super) until_ms: i64,
    pub(super) event: Add,
}

impl TransactionMachine {
    /// A shard without transactional ids.
    #[must_use]
    pub fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            transactions: BTreeMap::new(),
            markers: Markers::default(),
            parked: BTreeMap::new(),
            parked_until: BTreeMap::new(),
            next_check_ms: 0,
            next_expiry_ms: 0,
        }
    }

    pub(super) fn put(&mut self, id: &Arc<str>, next: Transaction, out: &mut Effects<Self>) {
        out.record(self, Record::Put(id.clone(), Box::new(next)));
    }

    /// Abort what is open for too long; its producer is fenced by the raised epoch (T-13).
    fn abort_overdue(&mut self, now: Timestamp, out: &mut Effects<Self>) {
        let overdue = self.transactions.iter();
        let overdue = overdue.filter(|(_, known)| known.is_overdue(now.wall_ms));
        let overdue: Vec<_> = overdue
            .map(|(id, _)| id.clone())
            .take(UPKEEP_RECORDS)
            .collect();
        for id in &overdue {
            out.act(Action::TimedOut { id: id.clone() });
            self.prepare(now, id, false, VERSION_WITH_EPOCHS, NONE, out);
        }
        let pause_ms = pause_ms(overdue.len(), self.limits.timeout_check_ms);
        self.next_check_ms = now.monotonic_ms.saturating_add(pause_ms);
    }

    /// Forget ids that nobody used for long. One with an open transaction stays.
    fn expire(&mut self, now: Timestamp, out: &mut Effects<Self>) {
        let oldest_ms = now.wall_ms.saturating_sub(self.limits.expiration_ms);
        let unused = self.transactions.iter().filter(|(_, known)| {
            let is_idle = known.status == Status::Empty || known.status.ended().is_some();
            is_idle && known.updated_ms <= oldest_ms
        });
        let unused: Vec<_> = unused
            .map(|(id, _)| id.clone())
            .take(UPKEEP_RECORDS)
            .collect();
        let pause_ms = pause_ms(unused.len(), self.limits.expiration_check_ms);
        for id in unused {
            out.record(self, Record::Tombstone(id));
        }
        self.next_expiry_ms = now.monotonic_ms.saturating_add(pause_ms);
    }
}

fn pause_ms(done: usize, interval_ms: i64) -> i64 {
    match done < UPKEEP_RECORDS {
        true => interval_ms.max(1),
        false => UPKEEP_PAUSE_MS,
    }
}

impl Machine for TransactionMachine {
    type Event = Event;
    type Record = Record;
    type Reply = Reply;
    type Action = Action;

    fn handle(&mut self, now: Timestamp, ticket: Ticket, event: Event, out: &mut Effects<Self>) {
        match event {
            Event::Init(event) => self.init(now, ticket, &event, out),
            Event::Add(event) => self.add(now, ticket, event, out),
            Event::Verify(event) => self.verify(ticket, &event, out),
            Event::End(event) => self.end(now, ticket, &event, out),
            Event::MarkersWritten {
                id,
                prepared_at,
                left,
            } => self.markers_written(now, &id, prepared_at, left, out),
            Event::Describe { id } => self.describe(ticket, &id, out),
            Event::List(filter) => self.list(now, ticket, &filter, out),
        }
    }

    fn handle_timeout(&mut self, now: Timestamp, out: &mut Effects<Self>) {
        self.refuse_parked(now, out);
        self.retry_markers(now, out);
        if self.next_check_ms <= now.monotonic_ms {
            self.abort_overdue(now, out);
        }
        if self.next_expiry_ms <= now.monotonic_ms {
            self.expire(now, out);
        }
    }

    fn next_timeout(&self) -> Option<i64> {
        let parked = self.parked_until.first_key_value();
        let parked = parked.map_or(i64::MAX, |((until_ms, _), _)| *until_ms);
        let soon = parked.min(self.markers.next_ms().unwrap_or(i64::MAX));
        match self.transactions.is_empty() {
            true => None,
            false => Some(soon.min(self.next_check_ms).min(self.next_expiry_ms)),
        }
    }

    fn apply(&mut self, at: Applied, record: &Record) {
        match record {
            Record::Put(id, value) => {
                match value.status.preparing() {
                    Some(_) => self.markers.prepared(id, at.offset),
                    None => self.markers.forget(id),
                }
                self.transactions.insert(id.clone(), (**value).clone());
            }
            Record::Tombstone(id) => {
                self.markers.forget(id);
                self.transactions.remove(id);
            }
        }
    }

    fn start(&mut self, now: Timestamp, _ends: &LogEnds, out: &mut Effects<Self>) {
        self.next_check_ms = now
            .monotonic_ms
            .saturating_add(self.limits.timeout_check_ms.max(1));
        self.next_expiry_ms = now
            .monotonic_ms
            .saturating_add(self.limits.expiration_check_ms.max(1));
        let unfinished = self.transactions.iter();
        let unfinished = unfinished.filter(|(_, known)| known.status.preparing().is_some());
        let unfinished: Vec<_> = unfinished.map(|(id, _)| id.clone()).collect();
        for id in unfinished {
            self.write_markers(now, &id, out);
        }
    }

    fn snapshot(&self, out: &mut Vec<Record>) {
        let all = self.transactions.iter();
        out.extend(all.map(|(id, known)| Record::Put(id.clone(), Box::new(known.clone()))));
    }
}

//! Offsets inside transactions (T-14): TxnOffsetCommit and the markers that end transactions.

use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{Marker, Offset, Outcome, Producer};

use super::event::{Commit, Reply, TransactionCommit};
use super::record::{Committed, Record};
use super::{Group, GroupMachine, Kind};
use crate::clock::Timestamp;
use crate::coordinator::{Effects, Ticket};

impl GroupMachine {
    pub(super) fn look_at_transaction(
        &self,
        ticket: Ticket,
        producer: Producer,
        out: &mut Effects<Self>,
    ) {
        let reply = Reply::Transaction {
            is_open: self.producers.is_open(producer),
            end: out.next_offset(),
        };
        out.reply_now(ticket, reply);
    }

    /// All accepted offsets of a request become durable together, and stay pending.
    pub(super) fn transaction_commit(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: TransactionCommit,
        out: &mut Effects<Self>,
    ) {
        let TransactionCommit {
            producer,
            verified_at,
            commit,
        } = event;
        let checked = self
            .producers
            .check_commit(producer, verified_at)
            .and_then(|()| self.check_transaction_commit(&commit));
        if let Err(error) = checked {
            return out.refuse(ticket, error);
        }
        let (results, accepted) = self.accept(now, commit.offsets, None);
        for (topic, partition, value) in accepted {
            let record = Record::Pending {
                producer,
                group: commit.group.clone(),
                topic,
                partition,
                value,
            };
            out.record(self, record);
        }
        self.forget_if_gone(&commit.group);
        out.reply(ticket, Reply::Committed(results));
    }

    fn check_transaction_commit(&mut self, event: &Commit) -> Result<(), ErrorCode> {
        match self.groups.get(&event.group).map(|group| &group.kind) {
            Some(Kind::Classic(classic)) => classic.check_transaction_commit(event),
            Some(Kind::Consumer(consumer)) => consumer.check_transaction_commit(event),
            Some(Kind::Share(_)) => Err(ErrorCode::GroupIdNotFound),
            None if event.generation < 0 => self.make(&event.group),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// A marker is written down even if nothing waits for it, as in Kafka: it fences the epochs
    /// below its own.
    pub(super) fn end_transaction(
        &mut self,
        ticket: Ticket,
        marker: &Marker,
        out: &mut Effects<Self>,
    ) {
        if let Err(error) = self.producers.check_marker(marker) {
            return out.refuse(ticket, error);
        }
        out.record(self, Record::Marker(*marker));
        out.reply(ticket, Reply::Done);
    }

    /// A committed transaction's offsets take the place of what is older in the log, and of
    /// nothing newer; an aborted one's are forgotten.
    pub(super) fn apply_marker(&mut self, at: Offset, marker: &Marker) {
        for id in self.producers.ended(at, marker) {
            let Some(group) = self.groups.get_mut(&id) else {
                continue;
            };
            for ((topic, partition), placed) in group.pending.take(marker.producer.id) {
                let is_newer = group.offsets.at(&topic, partition) < Some(placed.at);
                if marker.outcome == Outcome::Commit && is_newer {
                    group.offsets.apply(&topic, partition, Some(placed));
                }
            }
            self.forget_if_gone(&id);
        }
    }
}

impl Group {
    /// Tombstones for at most `limit` partitions that only transactions have offsets for, out of
    /// those that `which` picks.
    pub(super) fn pending_tombstones(
        &self,
        id: &Arc<str>,
        limit: usize,
        mut which: impl FnMut(&Committed) -> bool,
    ) -> Vec<Record> {
        let pending = self.pending.iter().filter(|(_, topic, partition, placed)| {
            self.offsets.committed(topic, *partition).is_none() && which(&placed.committed)
        });
        let keys = pending.map(|(_, topic, partition, _)| (topic.clone(), partition));
        let keys: std::collections::BTreeSet<_> = keys.collect();
        let tombstone = |(topic, partition)| Record::Offset {
            group: id.clone(),
            topic,
            partition,
            value: None,
        };
        keys.into_iter().take(limit).map(tombstone).collect()
    }

    /// All offsets as records, so that for each partition the order in the log stays: what waits
    /// in a transaction counts only against what is older.
    pub(super) fn snapshot_offsets(&self, id: &Arc<str>, out: &mut Vec<Record>) {
        let is_older = |topic: &Arc<str>, partition, at| {
            self.offsets
                .at(topic, partition)
                .is_some_and(|committed| at < committed)
        };
        let older = |topic: &Arc<str>, partition, placed: &super::Placed| {
            is_older(topic, partition, placed.at)
        };
        out.extend(self.pending.records(id, older));
        self.offsets.snapshot(id, out);
        out.extend(
            self.pending
                .records(id, |t, p, placed| !older(t, p, placed)),
        );
    }
}

//! Partitions become part of a transaction (T-5, T-7), or are found to be (T-6).

use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::limits::{PARKED_MAX, PARKED_MS};
use super::machine::Parked;
use super::{Add, EPOCH_MAX, ProducerId, Reply, Status, Transaction, TransactionMachine};
use crate::clock::Timestamp;
use crate::coordinator::{Effects, Ticket};

impl TransactionMachine {
    pub(super) fn add(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: Add,
        out: &mut Effects<Self>,
    ) {
        let Some(known) = self.transactions.get(&event.id) else {
            return out.refuse(ticket, stranger(&event.id));
        };
        // Also what names one partition over and over: it may have to be kept for a while.
        if event.partitions.len() > self.limits.partitions_max {
            return out.refuse(ticket, ErrorCode::PolicyViolation);
        }
        if known.status.preparing().is_some() {
            return match check_successor(known, &event) {
                Ok(()) => self.park(now, ticket, event, out),
                Err(code) => out.refuse(ticket, code),
            };
        }
        let next = match added(known, &event, now) {
            Ok(next) => next,
            Err(code) => return out.refuse(ticket, code),
        };
        if next.partition_count() > self.limits.partitions_max {
            return out.refuse(ticket, ErrorCode::PolicyViolation);
        }
        let adds = known.status != Status::Ongoing || next.partitions != known.partitions;
        if adds {
            self.put(&event.id, next, out);
        }
        out.reply(ticket, Reply::Added);
    }

    /// Markers are on their way: wait for them for a while.
    fn park(&mut self, now: Timestamp, ticket: Ticket, event: Add, out: &mut Effects<Self>) {
        let parked = self.parked.entry(event.id.clone()).or_default();
        if parked.len() >= PARKED_MAX {
            return out.refuse(ticket, ErrorCode::ConcurrentTransactions);
        }
        let until_ms = now.monotonic_ms.saturating_add(PARKED_MS);
        self.parked_until
            .insert((until_ms, ticket), event.id.clone());
        parked.push(Parked {
            ticket,
            until_ms,
            event,
        });
    }

    /// The markers are written: who waited for them is served.
    pub(super) fn unpark(&mut self, now: Timestamp, id: &Arc<str>, out: &mut Effects<Self>) {
        for parked in self.parked.remove(id).unwrap_or_default() {
            self.parked_until.remove(&(parked.until_ms, parked.ticket));
            self.add(now, parked.ticket, parked.event, out);
        }
    }

    /// Send back who has waited for long enough.
    pub(super) fn refuse_parked(&mut self, now: Timestamp, out: &mut Effects<Self>) {
        while let Some(first) = self.parked_until.first_entry()
            && first.key().0 <= now.monotonic_ms
        {
            let ((_, ticket), id) = first.remove_entry();
            if let Some(parked) = self.parked.get_mut(&id) {
                parked.retain(|parked| parked.ticket != ticket);
                if parked.is_empty() {
                    self.parked.remove(&id);
                }
            }
            out.refuse(ticket, ErrorCode::ConcurrentTransactions);
        }
    }

    pub(super) fn verify(&self, ticket: Ticket, event: &Add, out: &mut Effects<Self>) {
        let known = self.transactions.get(&event.id);
        let known = known.ok_or(ErrorCode::InvalidProducerIdMapping);
        let verified = known.and_then(|known| {
            check_producer(known, event)?;
            if known.status.preparing().is_some() {
                return Err(ErrorCode::ConcurrentTransactions);
            }
            let parts = event.partitions.iter();
            Ok(parts
                .map(|part| known.holds(&part.topic, part.index))
                .collect())
        });
        match verified {
            Ok(verified) => out.reply(ticket, Reply::Verified(verified)),
            Err(code) => out.refuse(ticket, code),
        }
    }
}

/// Why an id that nobody began with is refused; the empty one never can be.
pub(super) fn stranger(id: &str) -> ErrorCode {
    if id.is_empty() {
        ErrorCode::InvalidRequest
    } else {
        ErrorCode::InvalidProducerIdMapping
    }
}

fn check_producer(known: &Transaction, event: &Add) -> Result<(), ErrorCode> {
    if known.producer_id != event.producer.id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    // An epoch above the last that is given out has no successor for a marker to carry.
    if known.epoch != event.producer.epoch || known.epoch > EPOCH_MAX {
        return Err(ErrorCode::ProducerFenced);
    }
    Ok(())
}

/// Whether somebody may add partitions once the transaction that ends now has ended.
fn check_successor(known: &Transaction, event: &Add) -> Result<(), ErrorCode> {
    let (id, epoch) = known.successor();
    if event.producer == (ProducerId { id, epoch }) {
        return Ok(());
    }
    check_producer(known, event)
}

/// The transaction with these partitions.
fn added(known: &Transaction, event: &Add, now: Timestamp) -> Result<Transaction, ErrorCode> {
    check_producer(known, event)?;
    let mut next = known.clone();
    if known.status != Status::Ongoing {
        next.status = Status::Ongoing;
        next.started_ms = now.wall_ms;
        next.partitions.clear();
    }
    next.updated_ms = now.wall_ms;
    next.client_version = event.client_version;
    for part in &event.partitions {
        let indexes = next.partitions.entry(part.topic.clone()).or_default();
        indexes.insert(part.index);
    }
    Ok(next)
}

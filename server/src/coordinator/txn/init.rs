//! A producer begins with a transactional id (T-2 to T-4).

use std::collections::BTreeMap;

use ratel_protocol::ErrorCode;

use super::limits::ID_BYTES_MAX;
use super::{
    EPOCH_MAX, Init, Limits, NONE, ProducerId, Reply, Status, Transaction, TransactionMachine,
    VERSION_WITH_EPOCHS,
};
use crate::clock::Timestamp;
use crate::coordinator::{Effects, Ticket};

impl Init {
    /// Whether it makes sense, whoever holds the id.
    ///
    /// # Errors
    /// INVALID_REQUEST for an id that is empty or too long, INVALID_TRANSACTION_TIMEOUT.
    pub fn check(&self, limits: &Limits) -> Result<(), ErrorCode> {
        if self.id.is_empty() || self.id.len() > ID_BYTES_MAX {
            return Err(ErrorCode::InvalidRequest);
        }
        if self.timeout_ms <= 0 || self.timeout_ms > limits.timeout_max_ms {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        Ok(())
    }
}

impl TransactionMachine {
    pub(super) fn init(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: &Init,
        out: &mut Effects<Self>,
    ) {
        if let Err(code) = event.check(&self.limits) {
            return out.refuse(ticket, code);
        }
        let Some(known) = self.transactions.get(&event.id).cloned() else {
            return self.begin(now, ticket, event, out);
        };
        if !event
            .expected
            .is_none_or(|expected| may_be(&known, expected))
        {
            return out.refuse(ticket, ErrorCode::ProducerFenced);
        }
        match known.status {
            Status::PrepareCommit | Status::PrepareAbort => {
                out.refuse(ticket, ErrorCode::ConcurrentTransactions);
            }
            // Whoever had begun it is fenced by the raised epoch; this one comes back.
            Status::Ongoing => {
                self.prepare(now, &event.id, false, VERSION_WITH_EPOCHS, NONE, out);
                out.refuse(ticket, ErrorCode::ConcurrentTransactions);
            }
            Status::Empty | Status::CompleteCommit | Status::CompleteAbort => {
                self.take_over(now, ticket, event, &known, out);
            }
        }
    }

    /// The first producer of this transactional id.
    fn begin(&mut self, now: Timestamp, ticket: Ticket, event: &Init, out: &mut Effects<Self>) {
        if self.transactions.len() >= self.limits.ids_max {
            return out.refuse(ticket, ErrorCode::PolicyViolation);
        }
        let Some(fresh_id) = event.fresh_id else {
            return out.reply_now(ticket, Reply::NeedsProducerId);
        };
        let first = Transaction::new(fresh_id, event.timeout_ms, now.wall_ms);
        self.put_and_answer(ticket, event, first, out);
    }

    /// The next producer of an id that has no open transaction.
    fn take_over(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: &Init,
        known: &Transaction,
        out: &mut Effects<Self>,
    ) {
        let is_current = |expected: ProducerId| {
            // An abort by the server raised the last epoch once more: nobody is given that one.
            let is_spent = known.epoch > EPOCH_MAX && expected.epoch == known.last_epoch;
            expected.epoch == known.epoch || is_spent
        };
        let next = Transaction {
            status: Status::Empty,
            timeout_ms: event.timeout_ms,
            partitions: BTreeMap::new(),
            started_ms: -1,
            updated_ms: now.wall_ms,
            ..known.clone()
        };
        let next = match event.expected {
            _ if known.is_exhausted() && event.expected.is_none_or(is_current) => {
                let Some(fresh_id) = event.fresh_id else {
                    return out.reply_now(ticket, Reply::NeedsProducerId);
                };
                Transaction {
                    producer_id: fresh_id,
                    previous_producer_id: known.producer_id,
                    epoch: 0,
                    last_epoch: event.expected.map_or(-1, |expected| expected.epoch),
                    ..next
                }
            }
            None => Transaction {
                epoch: known.epoch + 1,
                last_epoch: -1,
                ..next
            },
            Some(expected) if is_current(expected) => Transaction {
                epoch: known.epoch + 1,
                last_epoch: known.epoch,
                ..next
            },
            // It did not hear the answer: it is what it asked to become.
            Some(expected) if expected.epoch == known.last_epoch => next,
            Some(_) => return out.refuse(ticket, ErrorCode::ProducerFenced),
        };
        self.put_and_answer(ticket, event, next, out);
    }

    fn put_and_answer(
        &mut self,
        ticket: Ticket,
        event: &Init,
        next: Transaction,
        out: &mut Effects<Self>,
    ) {
        let producer = ProducerId {
            id: next.producer_id,
            epoch: next.epoch,
        };
        self.put(&event.id, next, out);
        out.reply(ticket, Reply::Producer(producer));
    }
}

/// Whether a producer that says so may be the one that is known (KIP-360): by its id, or by the
/// one before if that ran out of epochs.
fn may_be(known: &Transaction, expected: ProducerId) -> bool {
    expected.id == known.producer_id
        || (expected.id == known.previous_producer_id && expected.epoch >= EPOCH_MAX)
}

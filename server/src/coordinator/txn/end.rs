//! A transaction ends (T-8 to T-10, T-13).

use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::{
    EPOCH_MAX, End, NONE, ProducerId, Reply, Status, Transaction, TransactionMachine,
    VERSION_WITH_EPOCHS,
};
use crate::clock::Timestamp;
use crate::coordinator::{Effects, Ticket};

/// What becomes of a request to end a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It ends.
    Ends,
    /// It has ended like that already.
    Ended,
}

impl TransactionMachine {
    pub(super) fn end(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: &End,
        out: &mut Effects<Self>,
    ) {
        let Some(known) = self.transactions.get(&event.id) else {
            return out.refuse(ticket, super::add::stranger(&event.id));
        };
        let raises = event.client_version >= VERSION_WITH_EPOCHS;
        let verdict = match raises {
            true => judge_with_epochs(known, event),
            false => judge(known, event),
        };
        match verdict {
            Err(code) => return out.refuse(ticket, code),
            Ok(Verdict::Ended) => {}
            Ok(Verdict::Ends) => {
                let rotates = raises && known.is_exhausted();
                let fresh_id = match (rotates, event.fresh_id) {
                    (false, _) => NONE,
                    (true, Some(fresh_id)) => fresh_id,
                    (true, None) => return out.reply_now(ticket, Reply::NeedsProducerId),
                };
                let version = event.client_version;
                self.prepare(now, &event.id, event.commit, version, fresh_id, out);
            }
        }
        if let Some(known) = self.transactions.get(&event.id) {
            let (id, epoch) = known.successor();
            out.reply(ticket, Reply::Producer(ProducerId { id, epoch }));
        }
    }

    /// Write down how a transaction ends, and have its markers written.
    pub(super) fn prepare(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        commit: bool,
        version: i16,
        fresh_id: i64,
        out: &mut Effects<Self>,
    ) {
        let Some(known) = self.transactions.get(id) else {
            return;
        };
        let next = known.prepare(commit, version, fresh_id, now.wall_ms);
        self.put(id, next, out);
        self.write_markers(now, id, out);
    }
}

/// Without epochs of its own, a transaction ends at exactly its producer's epoch (T-8).
fn judge(known: &Transaction, event: &End) -> Result<Verdict, ErrorCode> {
    if known.producer_id != event.producer.id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if known.epoch != event.producer.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    match known.status {
        Status::Ongoing => Ok(Verdict::Ends),
        // Whichever end it asks for: it may be that of the next transaction.
        Status::PrepareCommit | Status::PrepareAbort => Err(ErrorCode::ConcurrentTransactions),
        status if status.ended() == Some(event.commit) => Ok(Verdict::Ended),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

/// With epochs, one below the known epoch is that of a client which did not hear the answer (T-9).
fn judge_with_epochs(known: &Transaction, event: &End) -> Result<Verdict, ErrorCode> {
    // The answer to the end that is under way may be out, and its client, with a new epoch or even
    // a new id, at the next one. Who that is, is seen once the markers are written.
    if known.status.preparing().is_some() {
        return Err(ErrorCode::ConcurrentTransactions);
    }
    let ProducerId { id, epoch } = event.producer;
    let rotated = known.previous_producer_id == id && epoch == EPOCH_MAX && known.epoch == 0;
    if known.producer_id != id && !rotated {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    // Only an end that raised the epoch may be asked for again below it: after one that did not,
    // whoever has the epoch below was fenced, and must not be told the epoch of who holds it.
    let raises = known.client_version >= VERSION_WITH_EPOCHS;
    let raised = raises && known.producer_id == id && epoch.checked_add(1) == Some(known.epoch);
    let is_retry = raised || (raises && rotated);
    let is_current = known.producer_id == id && epoch == known.epoch;
    let is_valid = match known.status.ended() {
        None => is_current,
        // An epoch above the last that is given out is not given out by this either.
        Some(_) => (is_retry || is_current) && known.epoch <= EPOCH_MAX,
    };
    if !is_valid {
        return Err(ErrorCode::ProducerFenced);
    }
    match known.status {
        Status::Ongoing => Ok(Verdict::Ends),
        status if is_retry && status.ended() == Some(event.commit) => Ok(Verdict::Ended),
        // A transaction to which nothing was added: there is nothing that could be committed.
        _ if !is_retry && !event.commit => Ok(Verdict::Ends),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

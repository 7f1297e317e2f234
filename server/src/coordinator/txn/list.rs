//! Which transactional ids there are (T-16).

use ratel_protocol::ErrorCode;

use super::{Filter, Listed, Reply, TransactionMachine};
use crate::clock::Timestamp;
use crate::coordinator::{Effects, Ticket};

impl TransactionMachine {
    pub(super) fn describe(&self, ticket: Ticket, id: &str, out: &mut Effects<Self>) {
        match self.transactions.get(id) {
            Some(found) => out.reply_now(ticket, Reply::Described(Box::new(found.clone()))),
            None => out.refuse(ticket, ErrorCode::TransactionalIdNotFound),
        }
    }

    pub(super) fn list(
        &self,
        now: Timestamp,
        ticket: Ticket,
        filter: &Filter,
        out: &mut Effects<Self>,
    ) {
        let wanted = self.transactions.iter().filter(|(id, found)| {
            // As Kafka has it, also of an id whose last transaction has ended, or that had none.
            let is_old = now.wall_ms.saturating_sub(found.started_ms) > filter.longer_than_ms;
            (filter.statuses.is_empty() || filter.statuses.contains(&found.status))
                && (filter.producer_ids.is_empty()
                    || filter.producer_ids.contains(&found.producer_id))
                && (filter.longer_than_ms < 0 || is_old)
                && filter
                    .pattern
                    .as_ref()
                    .is_none_or(|pattern| pattern.is_match(id))
        });
        let listed = wanted.map(|(id, found)| Listed {
            id: id.clone(),
            producer_id: found.producer_id,
            status: found.status,
        });
        out.reply_now(ticket, Reply::Listed(listed.collect()));
    }
}

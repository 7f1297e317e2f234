//! What one request makes and deletes of partitions, held against its client's quota (KIP-599).
//!
//! In newer versions of CreateTopics, DeleteTopics and CreatePartitions a topic is refused with
//! THROTTLING_QUOTA_EXCEEDED once the client has taken too much; older ones do not know that
//! error, and are only told to be silent.

use ratel_protocol::ErrorCode;

use super::Context;
use crate::error::Refusal;

/// What a request has taken of its client's quota.
pub(super) struct Mutations {
    strict: bool,
    /// The partitions of each topic that went on to the catalog, in that order.
    taken: Vec<i32>,
    throttle_ms: i32,
}

impl Mutations {
    /// Nothing yet. Versions from `strict_from` on are refused what is too much.
    pub fn new(cx: &Context, strict_from: i16) -> Self {
        Self {
            strict: cx.version >= strict_from,
            taken: Vec::new(),
            throttle_ms: 0,
        }
    }

    /// Take so many partitions of the next topic.
    ///
    /// # Errors
    /// THROTTLING_QUOTA_EXCEEDED.
    pub fn take(&mut self, cx: &Context, partitions: i32) -> Result<(), Refusal> {
        let quotas = &cx.broker.client_quotas;
        let now_ms = cx.received.monotonic_ms;
        let taken = quotas.mutates(cx.client_id.as_deref(), partitions, now_ms, self.strict);
        if let Err(throttle_ms) = taken {
            self.throttle_ms = self.throttle_ms.max(throttle_ms);
            if self.strict {
                return Err(Refusal::new(
                    ErrorCode::ThrottlingQuotaExceeded,
                    format!(
                        "The client has made and deleted too many partitions for its quota: \
                         it may go on in {throttle_ms} ms."
                    ),
                ));
            }
        }
        self.taken.push(partitions);
        Ok(())
    }

    /// Put back what the catalog refused. Gives for how long, in ms, the client has to be silent,
    /// and has nothing more read of it in that time.
    pub fn settle<T>(self, cx: &Context, outcomes: &[Result<T, Refusal>]) -> i32 {
        let quotas = &cx.broker.client_quotas;
        let refused = self.taken.iter().zip(outcomes);
        let refused = refused.filter(|(_, outcome)| outcome.is_err());
        let refused: i64 = refused.map(|(partitions, _)| i64::from(*partitions)).sum();
        if refused > 0 {
            let now_ms = cx.broker.clock.now().monotonic_ms;
            quotas.put_back(cx.client_id.as_deref(), refused, now_ms);
        }
        cx.mute(self.throttle_ms)
    }
}

#[cfg(test)]
mod tests;

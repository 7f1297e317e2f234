//! What the APIs of transactions share.

use ratel_protocol::ErrorCode;
use ratel_protocol::StrBytes;
use ratel_protocol::messages::TransactionalId;

/// The code for a client that learnt of PRODUCER_FENCED with version `since`: older ones know
/// INVALID_PRODUCER_EPOCH.
pub(super) fn fenced_before(since: i16, version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced if version < since => ErrorCode::InvalidProducerEpoch,
        code => code,
    }
}

/// A transactional id for an answer.
pub(super) fn transactional_id(id: &str) -> TransactionalId {
    TransactionalId(StrBytes::from_string(id.to_owned()))
}

#[cfg(test)]
mod tests;

//! EndTxn (key 26), versions 0 to 5: commit or abort a transaction.
//!
//! The answer comes when it is durable how the transaction ends; its markers follow (T-10).
//! - v2: PRODUCER_FENCED instead of INVALID_PRODUCER_EPOCH; v3: flexible
//! - v4: TRANSACTION_ABORTABLE, never given here
//! - v5: each end raises the producer's epoch, and answers with the producer from now on (T-9)

use std::ops::RangeInclusive;

use ratel_protocol::ApiKey;
use ratel_protocol::messages::{EndTxnRequest, EndTxnResponse};

use super::groups::own;
use super::transactions::fenced_before;
use super::{Api, Context, Later};
use crate::coordinator::txn::{End, ProducerId, VERSION_WITH_EPOCHS};

pub struct EndTxn;

impl Api for EndTxn {
    type Request = EndTxnRequest;
    const KEY: ApiKey = ApiKey::EndTxn;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(cx: Context, request: EndTxnRequest) -> Later {
        let ended = cx.broker.transactions.end(End {
            id: own(&request.transactional_id),
            producer: ProducerId {
                id: request.producer_id.0,
                epoch: request.producer_epoch,
            },
            commit: request.committed,
            client_version: if cx.version >= 5 {
                VERSION_WITH_EPOCHS
            } else {
                0
            },
            fresh_id: None,
        });
        drop(request);
        Later::wait(async move {
            let response = EndTxnResponse::default();
            cx.answer(&match ended.await {
                Ok(producer) if cx.version >= 5 => response
                    .with_producer_id(producer.id.into())
                    .with_producer_epoch(producer.epoch),
                Ok(_) => response,
                Err(code) => response.with_error_code(fenced_before(2, cx.version, code).code()),
            })
        })
    }
}

//! AddOffsetsToTxn (key 25), versions 0 to 4: a group's offsets become part of a transaction.
//!
//! What is added is the partition of `__consumer_offsets` that the group's offsets lie in. Clients
//! of transaction version 2 do not send it: there TxnOffsetCommit adds the partition.
//! - v2: PRODUCER_FENCED instead of INVALID_PRODUCER_EPOCH; v3: flexible
//! - v4: TRANSACTION_ABORTABLE, never given here

use std::ops::RangeInclusive;

use ratel_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::Producer;

use super::groups::code;
use super::transactions::fenced_before;
use super::{Api, Context, Later};
use crate::coordinator::catalog::OFFSETS_TOPIC;
use crate::coordinator::txn::Part;
use crate::transactions::Mode;

pub struct AddOffsetsToTxn;

impl Api for AddOffsetsToTxn {
    type Request = AddOffsetsToTxnRequest;
    const KEY: ApiKey = ApiKey::AddOffsetsToTxn;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    async fn handle(cx: Context, request: AddOffsetsToTxnRequest) -> Later {
        let added = cx
            .broker
            .groups
            .partition_of(&request.group_id)
            .map(|index| {
                let part = Part {
                    topic: OFFSETS_TOPIC.into(),
                    index,
                };
                let producer = Producer {
                    id: request.producer_id.0,
                    epoch: request.producer_epoch,
                };
                let id = &request.transactional_id;
                cx.broker
                    .transactions
                    .add(id, producer, vec![part], Mode::Add(0))
            });
        drop(request);
        Later::wait(async move {
            let outcome = match added {
                Some(added) => added.await.pop().unwrap_or(Ok(())),
                None => Err(ErrorCode::CoordinatorNotAvailable),
            };
            let outcome = outcome.map_err(|code| fenced_before(2, cx.version, code));
            cx.answer(&AddOffsetsToTxnResponse::default().with_error_code(code(outcome)))
        })
    }
}

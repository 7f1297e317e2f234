//! InitProducerId (key 22), versions 0 to 5: an id for an idempotent producer.
//!
//! Every call gives a new id with epoch 0, also to a producer that names the one it had: without
//! a transactional id nothing ties the two together. A transactional id is refused as
//! INVALID_REQUEST until transactions work.
//! - v2: flexible; v3: the id and epoch the producer had, both or neither
//! - v4: PRODUCER_FENCED, never given here; v5: transactional errors, never given here

use std::ops::RangeInclusive;

use ratel_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::{Api, Context, Later};

pub struct InitProducerId;

impl Api for InitProducerId {
    type Request = InitProducerIdRequest;
    const KEY: ApiKey = ApiKey::InitProducerId;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(cx: Context, request: InitProducerIdRequest) -> Later {
        Later::wait(async move {
            let response = InitProducerIdResponse::default();
            cx.answer(&match new_id(&cx, &request).await {
                Ok(id) => response.with_producer_id(id.into()),
                Err(code) => response
                    .with_error_code(code.code())
                    .with_producer_epoch(-1),
            })
        })
    }
}

async fn new_id(cx: &Context, request: &InitProducerIdRequest) -> Result<i64, ErrorCode> {
    let names_half = (request.producer_id.0 == -1) != (request.producer_epoch == -1);
    if request.transactional_id.is_some() || names_half {
        return Err(ErrorCode::InvalidRequest);
    }
    let catalog = &cx.broker.catalog;
    let id = cx.broker.producer_ids.next(|| catalog.producer_id_block());
    id.await
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Bench;
    use crate::config::Config;

    #[tokio::test]
    async fn every_call_gives_another_id_at_every_version() {
        let bench = Bench::started(Config::default()).await;
        let mut given = Vec::new();
        for version in 0..=5 {
            let request = InitProducerIdRequest::default().with_transactional_id(None);
            let response = bench.send(version, &request).await;
            assert_eq!((response.error_code, response.producer_epoch), (0, 0));
            given.push(response.producer_id.0);
        }
        let first = given[0];
        assert_eq!(given, (first..first + 6).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_producer_that_names_its_id_gets_a_new_one() {
        let bench = Bench::started(Config::default()).await;
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        let first = bench.send(3, &request).await.producer_id;
        let again = request.with_producer_id(first).with_producer_epoch(0);
        let again = bench.send(3, &again).await;
        assert_eq!((again.error_code, again.producer_epoch), (0, 0));
        assert_eq!(again.producer_id.0, first.0 + 1);
    }

    #[tokio::test]
    async fn a_transactional_id_and_half_a_producer_are_refused() {
        let bench = Bench::started(Config::default()).await;
        let plain = || InitProducerIdRequest::default().with_transactional_id(None);
        let transactional = InitProducerIdRequest::default();
        let no_epoch = plain().with_producer_id(7.into());
        let no_id = plain().with_producer_epoch(7);
        for (refused, versions) in [(transactional, 0..=5), (no_epoch, 3..=5), (no_id, 3..=5)] {
            for version in versions {
                let response = bench.send(version, &refused).await;
                assert_eq!(
                    (response.error_code, response.producer_id),
                    (42, (-1).into())
                );
            }
        }
    }
}

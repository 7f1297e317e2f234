//! InitProducerId (key 22), versions 0 to 5: a producer's id and epoch.
//!
//! Without a transactional id every call gives a new id with epoch 0, also to a producer that
//! names the one it had: nothing ties the two together. With one the id stays and its epoch rises,
//! which fences whoever had it before (T-2 to T-4).
//! - v2: flexible; v3: the id and epoch the producer had, both or neither (KIP-360)
//! - v4: PRODUCER_FENCED instead of INVALID_PRODUCER_EPOCH
//! - v5: TRANSACTION_ABORTABLE, never given here

use std::ops::RangeInclusive;

use ratel_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::groups::own;
use super::transactions::fenced_before;
use super::{Api, Context, Later};
use crate::coordinator::txn::{Init, ProducerId};

pub struct InitProducerId;

impl Api for InitProducerId {
    type Request = InitProducerIdRequest;
    const KEY: ApiKey = ApiKey::InitProducerId;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(cx: Context, request: InitProducerIdRequest) -> Later {
        Later::wait(async move {
            let response = InitProducerIdResponse::default();
            cx.answer(&match producer(&cx, &request).await {
                Ok(producer) => response
                    .with_producer_id(producer.id.into())
                    .with_producer_epoch(producer.epoch),
                Err(code) => response
                    .with_error_code(fenced_before(4, cx.version, code).code())
                    .with_producer_epoch(-1),
            })
        })
    }
}

async fn producer(cx: &Context, request: &InitProducerIdRequest) -> Result<ProducerId, ErrorCode> {
    let had = ProducerId {
        id: request.producer_id.0,
        epoch: request.producer_epoch,
    };
    if (had.id == -1) != (had.epoch == -1) {
        return Err(ErrorCode::InvalidRequest);
    }
    let broker = &cx.broker;
    let Some(id) = &request.transactional_id else {
        let fetch = || broker.catalog.producer_id_block();
        let id = broker.producer_ids.next(fetch).await?;
        return Ok(ProducerId { id, epoch: 0 });
    };
    let init = broker.transactions.init(Init {
        id: own(id),
        timeout_ms: request.transaction_timeout_ms,
        expected: (had.id != -1).then_some(had),
        fresh_id: None,
    });
    init.await
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
    async fn half_a_producer_is_refused() {
        let bench = Bench::started(Config::default()).await;
        let plain = || InitProducerIdRequest::default().with_transactional_id(None);
        let no_epoch = plain().with_producer_id(7.into());
        let no_id = plain().with_producer_epoch(7);
        for (refused, versions) in [(no_epoch, 3..=5), (no_id, 3..=5)] {
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

//! UnregisterBroker (key 64), version 0: take a broker that is gone off the list.
//!
//! This server is the only one there is: another is BROKER_ID_NOT_REGISTERED, and itself it does
//! not forget (INVALID_REQUEST).

use std::ops::RangeInclusive;

use ratel_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::{Api, Context, Later};
use crate::error::Refusal;

pub struct UnregisterBroker;

impl Api for UnregisterBroker {
    type Request = UnregisterBrokerRequest;
    const KEY: ApiKey = ApiKey::UnregisterBroker;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(cx: Context, request: UnregisterBrokerRequest) -> Later {
        let id = request.broker_id.0;
        let refusal = if id == cx.broker.config.node_id {
            let message = format!("Broker {id} is this server, which is at work.");
            Refusal::new(ErrorCode::InvalidRequest, message)
        } else {
            let message = format!("Broker {id} is not registered.");
            Refusal::new(ErrorCode::BrokerIdNotRegistered, message)
        };
        cx.ready(
            &UnregisterBrokerResponse::default()
                .with_error_code(refusal.code.code())
                .with_error_message(refusal.message),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn there_is_no_broker_to_forget() {
        let bench = Bench::new();
        for (id, code) in [(1, 42), (2, 102)] {
            let request = UnregisterBrokerRequest::default().with_broker_id(id.into());
            assert_eq!(bench.send(0, &request).await.error_code, code);
        }
    }
}

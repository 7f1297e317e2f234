//! ExpireDelegationToken (key 40), versions 1 to 2: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as there
//! are no tokens (see CreateDelegationToken).
//!
//! - v2: flexible

use std::ops::RangeInclusive;

use ratel_protocol::messages::{ExpireDelegationTokenRequest, ExpireDelegationTokenResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::{Api, Context, Later};

pub struct ExpireDelegationToken;

impl Api for ExpireDelegationToken {
    type Request = ExpireDelegationTokenRequest;
    const KEY: ApiKey = ApiKey::ExpireDelegationToken;
    const VERSIONS: RangeInclusive<i16> = 1..=2;

    async fn handle(cx: Context, _request: ExpireDelegationTokenRequest) -> Later {
        cx.ready(
            &ExpireDelegationTokenResponse::default()
                .with_error_code(ErrorCode::DelegationTokenRequestNotAllowed.code())
                .with_expiry_timestamp_ms(-1),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn there_are_no_tokens() {
        for version in 1..=2 {
            let request = ExpireDelegationTokenRequest::default();
            let response = Bench::new().send(version, &request).await;
            assert_eq!(
                (response.error_code, response.expiry_timestamp_ms),
                (64, -1)
            );
        }
    }
}

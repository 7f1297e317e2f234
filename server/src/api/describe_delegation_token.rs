//! DescribeDelegationToken (key 41), versions 1 to 3: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as
//! there are no tokens (see CreateDelegationToken).
//!
//! - v2: flexible; v3: who asked for a token

use std::ops::RangeInclusive;

use ratel_protocol::messages::{DescribeDelegationTokenRequest, DescribeDelegationTokenResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::{Api, Context, Later};

pub struct DescribeDelegationToken;

impl Api for DescribeDelegationToken {
    type Request = DescribeDelegationTokenRequest;
    const KEY: ApiKey = ApiKey::DescribeDelegationToken;
    const VERSIONS: RangeInclusive<i16> = 1..=3;

    async fn handle(cx: Context, _request: DescribeDelegationTokenRequest) -> Later {
        let code = ErrorCode::DelegationTokenRequestNotAllowed.code();
        cx.ready(&DescribeDelegationTokenResponse::default().with_error_code(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn there_are_no_tokens() {
        for version in 1..=3 {
            let request = DescribeDelegationTokenRequest::default().with_owners(None);
            let response = Bench::new().send(version, &request).await;
            assert_eq!((response.error_code, response.tokens.len()), (64, 0));
        }
    }
}

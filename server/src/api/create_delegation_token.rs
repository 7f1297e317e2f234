//! CreateDelegationToken (key 38), versions 1 to 3: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, which is
//! what Kafka says to a connection without authentication. There is no other kind here yet.
//!
//! - v2: flexible; v3: an owner, and who asked

use std::ops::RangeInclusive;

use ratel_protocol::messages::{CreateDelegationTokenRequest, CreateDelegationTokenResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::{Api, Context, Later};
use crate::client_quotas::ANONYMOUS;

pub struct CreateDelegationToken;

/// Kafka's only type of principals.
const USER: StrBytes = StrBytes::from_static_str("User");

impl Api for CreateDelegationToken {
    type Request = CreateDelegationTokenRequest;
    const KEY: ApiKey = ApiKey::CreateDelegationToken;
    const VERSIONS: RangeInclusive<i16> = 1..=3;

    async fn handle(cx: Context, request: CreateDelegationTokenRequest) -> Later {
        let asking = StrBytes::from_static_str(ANONYMOUS);
        let named = request.owner_principal_name.filter(|name| !name.is_empty());
        let (kind, owner) = match named {
            Some(name) => (request.owner_principal_type.unwrap_or_default(), name),
            None => (USER, asking.clone()),
        };
        let mut response = CreateDelegationTokenResponse::default()
            .with_error_code(ErrorCode::DelegationTokenRequestNotAllowed.code())
            .with_principal_type(kind)
            .with_principal_name(owner)
            .with_issue_timestamp_ms(-1)
            .with_expiry_timestamp_ms(-1)
            .with_max_timestamp_ms(-1);
        if cx.version >= 3 {
            response = response
                .with_token_requester_principal_type(USER)
                .with_token_requester_principal_name(asking);
        }
        cx.ready(&response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn nobody_without_authentication_gets_a_token() {
        let request = CreateDelegationTokenRequest::default();
        for version in 1..=3 {
            let response = Bench::new().send(version, &request).await;
            assert_eq!((response.error_code, response.hmac.len()), (64, 0));
            assert_eq!(&*response.principal_name, "ANONYMOUS");
            assert_eq!(response.expiry_timestamp_ms, -1);
        }
    }
}

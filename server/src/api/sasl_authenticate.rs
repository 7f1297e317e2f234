//! SaslAuthenticate (key 36), versions 0 to 2: ILLEGAL_SASL_STATE, as on a listener that asks
//! nobody who it is.
//!
//! - v1: the session's length; v2: flexible

use std::ops::RangeInclusive;

use ratel_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::{Api, Context, Later};

pub struct SaslAuthenticate;

impl Api for SaslAuthenticate {
    type Request = SaslAuthenticateRequest;
    const KEY: ApiKey = ApiKey::SaslAuthenticate;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(cx: Context, _request: SaslAuthenticateRequest) -> Later {
        let message = StrBytes::from_static_str("This listener does not authenticate.");
        cx.ready(
            &SaslAuthenticateResponse::default()
                .with_error_code(ErrorCode::IllegalSaslState.code())
                .with_error_message(Some(message)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn a_8_nobody_is_authenticated() {
        let bench = Bench::new();
        for version in 0..=2 {
            let response = bench
                .send(version, &SaslAuthenticateRequest::default())
                .await;
            assert_eq!((response.error_code, response.auth_bytes.len()), (34, 0));
            assert!(response.error_message.is_some());
        }
    }
}

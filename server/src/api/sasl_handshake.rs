//! SaslHandshake (key 17), versions 0 to 1: ILLEGAL_SASL_STATE and no mechanism, as on a listener
//! that asks nobody who it is.
//!
//! Such listeners advertise it all the same: clients tell from it that a broker is not one of
//! before 0.10.

use std::ops::RangeInclusive;

use ratel_protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::{Api, Context, Later};

pub struct SaslHandshake;

impl Api for SaslHandshake {
    type Request = SaslHandshakeRequest;
    const KEY: ApiKey = ApiKey::SaslHandshake;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(cx: Context, _request: SaslHandshakeRequest) -> Later {
        cx.ready(
            &SaslHandshakeResponse::default().with_error_code(ErrorCode::IllegalSaslState.code()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Bench;
    use ratel_protocol::StrBytes;

    #[tokio::test]
    async fn a_8_no_mechanism_is_offered() {
        let bench = Bench::new();
        for version in 0..=1 {
            let request =
                SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
            let response = bench.send(version, &request).await;
            assert_eq!((response.error_code, response.mechanisms.len()), (34, 0));
        }
    }
}

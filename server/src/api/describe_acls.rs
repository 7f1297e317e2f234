//! DescribeAcls (key 29), versions 1 to 3: SECURITY_DISABLED, as there is no authorizer.
//!
//! - v2: flexible; v3: user resources

use std::ops::RangeInclusive;

use ratel_protocol::messages::{DescribeAclsRequest, DescribeAclsResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::{Api, Context, Later};

pub struct DescribeAcls;

/// What stands with SECURITY_DISABLED.
pub(super) const NO_ACCESS_CONTROL: &str = "This server has no access control yet.";

impl Api for DescribeAcls {
    type Request = DescribeAclsRequest;
    const KEY: ApiKey = ApiKey::DescribeAcls;
    const VERSIONS: RangeInclusive<i16> = 1..=3;

    async fn handle(cx: Context, _request: DescribeAclsRequest) -> Later {
        let message = StrBytes::from_static_str(NO_ACCESS_CONTROL);
        cx.ready(
            &DescribeAclsResponse::default()
                .with_error_code(ErrorCode::SecurityDisabled.code())
                .with_error_message(Some(message)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn a_8_security_is_disabled() {
        let bench = Bench::new();
        for version in 1..=3 {
            let request = DescribeAclsRequest::default().with_pattern_type_filter(3);
            let response = bench.send(version, &request).await;
            assert_eq!((response.error_code, response.resources.len()), (54, 0));
            assert!(response.error_message.is_some());
        }
    }
}

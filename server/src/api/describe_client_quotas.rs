//! DescribeClientQuotas (key 48), versions 0 to 1: no client has a quota.
//!
//! - v1: flexible

use std::ops::RangeInclusive;

use ratel_protocol::ApiKey;
use ratel_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

use super::{Api, Context, Later};

pub struct DescribeClientQuotas;

impl Api for DescribeClientQuotas {
    type Request = DescribeClientQuotasRequest;
    const KEY: ApiKey = ApiKey::DescribeClientQuotas;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(cx: Context, _request: DescribeClientQuotasRequest) -> Later {
        cx.ready(&DescribeClientQuotasResponse::default().with_error_message(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn there_are_no_quotas() {
        let bench = Bench::new();
        for version in 0..=1 {
            let response = bench
                .send(version, &DescribeClientQuotasRequest::default())
                .await;
            assert_eq!((response.error_code, response.entries), (0, Some(vec![])));
        }
    }
}

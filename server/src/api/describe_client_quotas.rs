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

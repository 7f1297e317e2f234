//! DeleteAcls (key 31), versions 1 to 3: SECURITY_DISABLED for each filter, as there is no
//! authorizer.
//!
//! - v2: flexible; v3: user resources

use std::ops::RangeInclusive;

use ratel_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use ratel_protocol::messages::{DeleteAclsRequest, DeleteAclsResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::describe_acls::NO_ACCESS_CONTROL;
use super::{Api, Context, Later};

pub struct DeleteAcls;

impl Api for DeleteAcls {
    type Request = DeleteAclsRequest;
    const KEY: ApiKey = ApiKey::DeleteAcls;
    const VERSIONS: RangeInclusive<i16> = 1..=3;

    async fn handle(cx: Context, request: DeleteAclsRequest) -> Later {
        let refused = DeleteAclsFilterResult::default()
            .with_error_code(ErrorCode::SecurityDisabled.code())
            .with_error_message(Some(StrBytes::from_static_str(NO_ACCESS_CONTROL)));
        let results = vec![refused; request.filters.len()];
        cx.ready(&DeleteAclsResponse::default().with_filter_results(results))
    }
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::delete_acls_request::DeleteAclsFilter;

    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn a_8_no_entry_is_found() {
        let filter = DeleteAclsFilter::default().with_pattern_type_filter(3);
        let request = DeleteAclsRequest::default().with_filters(vec![filter]);
        for version in 1..=3 {
            let response = Bench::new().send(version, &request).await;
            let result = &response.filter_results[0];
            assert_eq!((result.error_code, result.matching_acls.len()), (54, 0));
        }
    }
}

//! CreateAcls (key 30), versions 1 to 3: SECURITY_DISABLED for each, as there is no authorizer
//!
//!
//! - v2: flexible; v3: user resources

use std::ops::RangeInclusive;

use ratel_protocol::messages::create_acls_response::AclCreationResult;
use ratel_protocol::messages::{CreateAclsRequest, CreateAclsResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::describe_acls::NO_ACCESS_CONTROL;
use super::{Api, Context, Later};

pub struct CreateAcls;

impl Api for CreateAcls {
    type Request = CreateAclsRequest;
    const KEY: ApiKey = ApiKey::CreateAcls;
    const VERSIONS: RangeInclusive<i16> = 1..=3;

    async fn handle(cx: Context, request: CreateAclsRequest) -> Later {
        let refused = AclCreationResult::default()
            .with_error_code(ErrorCode::SecurityDisabled.code())
            .with_error_message(Some(StrBytes::from_static_str(NO_ACCESS_CONTROL)));
        let results = vec![refused; request.creations.len()];
        cx.ready(&CreateAclsResponse::default().with_results(results))
    }
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::create_acls_request::AclCreation;

    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn a_8_no_entry_is_made() {
        let creation = AclCreation::default().with_resource_pattern_type(3);
        let request = CreateAclsRequest::default().with_creations(vec![creation; 2]);
        for version in 1..=3 {
            let response = Bench::new().send(version, &request).await;
            let codes = response.results.iter().map(|result| result.error_code);
            assert_eq!(codes.collect::<Vec<_>>(), [54, 54]);
        }
    }
}

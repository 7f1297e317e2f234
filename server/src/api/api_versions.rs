//! ApiVersions (key 18), versions 0 to 4: which APIs and versions are spoken here.
//!
//! Answered before authentication and as often as asked (NET-8). A version above 4 is answered in
//! v0 with UNSUPPORTED_VERSION and the range of this key alone (NET-3: `net/connection.rs`, since
//! the body must not be parsed).
//! - v3: client software name and version, checked (NET-5); flexible, but for the header (NET-2)
//! - v4: features whose minimum is 0 are shown too (NET-6)

use std::ops::RangeInclusive;

use ratel_protocol::ApiKey;
use ratel_protocol::messages::api_versions_response::ApiVersion;
use ratel_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::{Api, Context, Later, ROUTES};

pub struct ApiVersions;

impl Api for ApiVersions {
    type Request = ApiVersionsRequest;
    const KEY: ApiKey = ApiKey::ApiVersions;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    async fn handle(cx: Context, _request: ApiVersionsRequest) -> Later {
        let api_keys = ROUTES
            .iter()
            .map(|route| {
                ApiVersion::default()
                    .with_api_key(route.key as i16)
                    .with_min_version(route.version_min)
                    .with_max_version(route.version_max)
            })
            .collect();
        cx.ready(&ApiVersionsResponse::default().with_api_keys(api_keys))
    }
}

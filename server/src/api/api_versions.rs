//! ApiVersions (key 18), versions 0 to 4: which APIs and versions are spoken here.
//!
//! Answered before authentication and as often as asked (NET-8). A version above 4 is answered in
//! v0 with UNSUPPORTED_VERSION and the range of this key alone, its body unread (NET-3).
//! - v0: the ranges of versions
//! - v1: throttle time, always 0
//! - v2: as v1
//! - v3: client software name and version, checked (NET-5); features (NET-6, NET-7); flexible,
//!   but for the header (NET-2)
//! - v4: features whose minimum is 0 are shown too (NET-6)

use std::ops::RangeInclusive;

use bytes::Bytes;
use ratel_protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use ratel_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::{Api, Context, Later, ROUTES, Route};

pub struct ApiVersions;

/// A feature as clients see it (NET-7). Only what works is finalized, so only that is listed.
pub(super) struct Feature {
    pub(super) name: &'static str,
    pub(super) min: i16,
    pub(super) max: i16,
    /// The level in force; 0 is off.
    pub(super) finalized: i16,
}

/// `metadata.version` 27 is 4.1-IV1: the release whose table of APIs is spoken here.
/// `group.version` 1 is consumer groups (KIP-848), `share.version` 1 is share groups (KIP-932).
/// `transaction.version` 2 tells clients that each transaction has an epoch of its own and that
/// writing adds partitions (KIP-890).
pub(super) const FEATURES: &[Feature] = &[
    Feature {
        name: "group.version",
        min: 0,
        max: 1,
        finalized: 1,
    },
    Feature {
        name: "metadata.version",
        min: 7,
        max: 27,
        finalized: 27,
    },
    Feature {
        name: "share.version",
        min: 0,
        max: 1,
        finalized: 1,
    },
    Feature {
        name: "transaction.version",
        min: 0,
        max: 2,
        finalized: 2,
    },
];

impl Api for ApiVersions {
    type Request = ApiVersionsRequest;
    const KEY: ApiKey = ApiKey::ApiVersions;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    async fn handle(cx: Context, request: ApiVersionsRequest) -> Later {
        let names = [
            &request.client_software_name,
            &request.client_software_version,
        ];
        if cx.version >= 3 && !names.iter().all(|name| is_software_name(name)) {
            let refusal =
                ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
            return cx.ready(&refusal);
        }
        cx.ready(&answer(cx.version))
    }
}

fn answer(version: i16) -> ApiVersionsResponse {
    let shown = ROUTES.iter().filter(|route| !route.key.is_private());
    let response = ApiVersionsResponse::default().with_api_keys(shown.map(range_of).collect());
    if version < 3 {
        return response;
    }
    let supported = FEATURES
        .iter()
        .filter(|feature| version >= 4 || feature.min > 0)
        .map(|feature| {
            SupportedFeatureKey::default()
                .with_name(StrBytes::from_static_str(feature.name))
                .with_min_version(feature.min)
                .with_max_version(feature.max)
        })
        .collect();
    let finalized = FEATURES
        .iter()
        .filter(|feature| feature.finalized > 0)
        .map(|feature| {
            FinalizedFeatureKey::default()
                .with_name(StrBytes::from_static_str(feature.name))
                .with_min_version_level(feature.finalized)
                .with_max_version_level(feature.finalized)
        })
        .collect();
    response
        .with_supported_features(supported)
        .with_finalized_features_epoch(0)
        .with_finalized_features(finalized)
}

fn range_of(route: &Route) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(route.key as i16)
        .with_min_version(route.advertised_min)
        .with_max_version(route.version_max)
}

/// The frame that answers an ApiVersions request above our highest version (NET-3).
pub fn unsupported(correlation_id: i32) -> Bytes {
    let own = ROUTES
        .iter()
        .filter(|route| route.key == ApiKey::ApiVersions);
    let response = ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(own.map(range_of).collect());
    ratel_protocol::response::encode(ApiKey::ApiVersions, 0, correlation_id, &response)
}

/// Letters, digits, dots and dashes, the first and the last a letter or digit (NET-5).
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    ends.is_some_and(|(first, last)| first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::{answer, is_software_name, unsupported};
    use crate::api::ROUTES;
    use bytes::Buf;
    use kafka_protocol::protocol::Decodable;
    use ratel_protocol::ApiKey;
    use ratel_protocol::messages::ApiVersionsResponse;

    #[test]
    fn net_3_too_high_a_version_is_told_our_range_in_v0() {
        let mut frame = unsupported(77);
        assert_eq!(frame.get_i32(), i32::try_from(frame.len()).expect("short"));
        assert_eq!(frame.get_i32(), 77);
        let response = ApiVersionsResponse::decode(&mut frame, 0).expect("v0");
        assert!(!frame.has_remaining());
        assert_eq!(response.error_code, 35);
        let ranges: Vec<_> = response
            .api_keys
            .iter()
            .map(|range| (range.api_key, range.min_version, range.max_version))
            .collect();
        assert_eq!(ranges, [(18, 0, 4)]);
    }

    #[test]
    fn net_5_software_names_are_checked() {
        for name in [
            "a",
            "apache-kafka-java",
            "3.7.0",
            "A1",
            "librdkafka",
            "a--b",
        ] {
            assert!(is_software_name(name), "{name}");
        }
        for name in ["", "-a", "a-", ".", "a b", "a_b", "käfka", "a\n", "a/b"] {
            assert!(!is_software_name(name), "{name}");
        }
    }

    #[test]
    fn net_6_net_7_features_come_with_v3_and_those_from_0_on_with_v4() {
        assert!(answer(2).supported_features.is_empty());
        assert!(answer(2).finalized_features.is_empty());
        for (version, shown) in [(3, 1..2), (4, 0..4)] {
            let response = answer(version);
            let supported = response.supported_features.iter();
            let supported: Vec<_> = supported
                .map(|feature| (&*feature.name, feature.min_version, feature.max_version))
                .collect();
            let all = [
                ("group.version", 0, 1),
                ("metadata.version", 7, 27),
                ("share.version", 0, 1),
                ("transaction.version", 0, 2),
            ];
            assert_eq!(supported, all[shown]);
            let finalized = response.finalized_features.iter().map(|feature| {
                let levels = (feature.min_version_level, feature.max_version_level);
                (&*feature.name, levels)
            });
            let all = [
                ("group.version", (1, 1)),
                ("metadata.version", (27, 27)),
                ("share.version", (1, 1)),
                ("transaction.version", (2, 2)),
            ];
            assert_eq!(finalized.collect::<Vec<_>>(), all);
            assert_eq!(response.finalized_features_epoch, 0);
        }
    }

    #[test]
    fn what_is_shown_is_the_table_and_produce_from_0() {
        let response = answer(4);
        let shown: Vec<_> = ROUTES.iter().filter(|r| !r.key.is_private()).collect();
        assert_eq!(response.api_keys.len(), shown.len());
        for (range, route) in response.api_keys.iter().zip(shown) {
            assert_eq!(range.api_key, route.key as i16);
            let min = if route.key == ApiKey::Produce {
                0
            } else {
                route.version_min
            };
            assert_eq!(
                (range.min_version, range.max_version),
                (min, route.version_max)
            );
        }
        assert!(
            ROUTES.is_sorted_by_key(|route| route.key as i16),
            "in the order of the keys"
        );
    }
}

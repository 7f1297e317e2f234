//! UpdateFeatures (key 57), versions 0 to 2: the levels of features are those of the software.
//!
//! A feature that is to stay at its level stays: success. Everything else is
//! INVALID_UPDATE_VERSION, for the whole request: a level that is not supported, a change in the
//! other direction than the update says, and any other level than the one in force, which is
//! fixed here. With nothing to change, `validate_only` makes no difference.
//! - v0: whether the level may go down, which Kafka does not read
//! - v1: which way it goes (1 up, 2 down, 3 down with loss)
//! - v2: no results for single features

use std::ops::RangeInclusive;

use ratel_protocol::messages::update_features_request::FeatureUpdateKey;
use ratel_protocol::messages::update_features_response::UpdatableFeatureResult;
use ratel_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::api_versions::FEATURES;
use super::{Api, Context, Later};

pub struct UpdateFeatures;

/// The kind of an update that raises a level.
const UPGRADE: i8 = 1;
/// The kinds of updates that lower one.
const DOWNGRADES: RangeInclusive<i8> = 2..=3;

impl Api for UpdateFeatures {
    type Request = UpdateFeaturesRequest;
    const KEY: ApiKey = ApiKey::UpdateFeatures;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(cx: Context, request: UpdateFeaturesRequest) -> Later {
        let mut response = UpdateFeaturesResponse::default().with_error_message(None);
        if let Err(why) = request.feature_updates.iter().try_for_each(check) {
            let message = format!("No feature was changed: {why}");
            response = response
                .with_error_code(ErrorCode::InvalidUpdateVersion.code())
                .with_error_message(Some(message.into()));
        } else if cx.version < 2 {
            let results = request.feature_updates.into_iter().map(|update| {
                UpdatableFeatureResult::default()
                    .with_feature(update.feature)
                    .with_error_message(None)
            });
            response = response.with_results(results.collect());
        }
        cx.ready(&response)
    }
}

/// Why a feature cannot get the level that is asked for.
fn check(update: &FeatureUpdateKey) -> Result<(), String> {
    let name: String = update.feature.chars().take(100).collect();
    let level = update.max_version_level;
    let refuse = |why: String| Err(format!("level {level} of {name}: {why}"));
    if update.upgrade_type != UPGRADE && !DOWNGRADES.contains(&update.upgrade_type) {
        return refuse(format!(
            "there is no update of type {}.",
            update.upgrade_type
        ));
    }
    let known = FEATURES
        .iter()
        .find(|feature| *feature.name == *update.feature);
    let Some(feature) = known else {
        return refuse("this server does not support the feature.".into());
    };
    if !(feature.min..=feature.max).contains(&level) {
        let (min, max) = (feature.min, feature.max);
        return refuse(format!("supported are {min} to {max}."));
    }
    let now = feature.finalized;
    match update.upgrade_type {
        _ if level == now => Ok(()),
        UPGRADE if level < now => refuse(format!("it is at {now}, and this is an upgrade.")),
        UPGRADE => refuse(format!("it is at {now}, which cannot be changed.")),
        _ if level > now => refuse(format!("it is at {now}, and this is a downgrade.")),
        _ => refuse(format!("it is at {now}, which cannot be changed.")),
    }
}

#[cfg(test)]
mod tests {
    use ratel_protocol::StrBytes;

    use super::*;
    use crate::api::testing::Bench;

    async fn update(version: i16, feature: &'static str, level: i16, kind: i8) -> (i16, usize) {
        let update = FeatureUpdateKey::default()
            .with_feature(StrBytes::from_static_str(feature))
            .with_max_version_level(level)
            .with_upgrade_type(if version == 0 { 1 } else { kind });
        let request = UpdateFeaturesRequest::default().with_feature_updates(vec![update]);
        let response = Bench::new().send(version, &request).await;
        assert_eq!(response.error_code != 0, response.error_message.is_some());
        (response.error_code, response.results.len())
    }

    #[tokio::test]
    async fn a_feature_can_only_stay_at_its_level() {
        for (version, results) in [(0, 1), (1, 1), (2, 0)] {
            assert_eq!(update(version, "share.version", 1, 1).await, (0, results));
        }
        for (feature, level, kind) in [
            ("share.version", 1, 0),
            ("share.version", 1, 4),
            ("share.version", 2, 1),
            ("share.version", -1, 2),
            ("share.version", 0, 1),
            ("share.version", 0, 2),
            ("metadata.version", 26, 2),
            ("metadata.version", 28, 1),
            ("no.such.version", 1, 1),
        ] {
            assert_eq!(
                update(1, feature, level, kind).await,
                (95, 0),
                "{feature} {level}"
            );
        }
        assert_eq!(update(1, "share.version", 1, 2).await, (0, 1));
    }
}

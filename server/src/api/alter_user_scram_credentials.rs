//! AlterUserScramCredentials (key 51), version 0: no user has credentials yet, and none is given
//! any.
//!
//! What Kafka would refuse is refused as it does: an empty name and impossible iterations are
//! UNACCEPTABLE_CREDENTIAL, another mechanism is UNSUPPORTED_SASL_MECHANISM, a user who stands in
//! the request twice DUPLICATE_RESOURCE, a deletion of what is not there RESOURCE_NOT_FOUND. New
//! credentials are UNSUPPORTED_VERSION, as from a Kafka of before SCRAM.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ratel_protocol::messages::alter_user_scram_credentials_response as answer;
use ratel_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::{Api, Context, Later};
use crate::error::Refusal;

pub struct AlterUserScramCredentials;

/// SCRAM-SHA-256 and SCRAM-SHA-512.
const MECHANISMS: RangeInclusive<i8> = 1..=2;
/// Kafka's bounds.
const ITERATIONS: RangeInclusive<i32> = 4096..=16_384;

impl Api for AlterUserScramCredentials {
    type Request = AlterUserScramCredentialsRequest;
    const KEY: ApiKey = ApiKey::AlterUserScramCredentials;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(cx: Context, request: AlterUserScramCredentialsRequest) -> Later {
        let deletions = request.deletions.into_iter();
        let deletions = deletions.map(|user| (user.name, user.mechanism, None));
        let upsertions = request.upsertions.into_iter();
        let upsertions = upsertions.map(|user| (user.name, user.mechanism, Some(user.iterations)));
        let mut refusals = BTreeMap::new();
        for (name, mechanism, iterations) in deletions.chain(upsertions) {
            let refusal = refusal(&name, mechanism, iterations);
            let users = refusals.entry(name);
            users
                .and_modify(|refusal| {
                    *refusal = Refusal::new(
                        ErrorCode::DuplicateResource,
                        "The user stands in the request twice.",
                    );
                })
                .or_insert(refusal);
        }
        let results = refusals.into_iter().map(|(name, refusal)| {
            answer::AlterUserScramCredentialsResult::default()
                .with_user(name)
                .with_error_code(refusal.code.code())
                .with_error_message(refusal.message)
        });
        cx.ready(&AlterUserScramCredentialsResponse::default().with_results(results.collect()))
    }
}

/// Why a user's credentials are not changed; `iterations` of new ones.
fn refusal(name: &StrBytes, mechanism: i8, iterations: Option<i32>) -> Refusal {
    let (code, message) = match iterations {
        _ if name.is_empty() => (ErrorCode::UnacceptableCredential, "A user has a name."),
        _ if !MECHANISMS.contains(&mechanism) => (
            ErrorCode::UnsupportedSaslMechanism,
            "The mechanism is neither SCRAM-SHA-256 nor SCRAM-SHA-512.",
        ),
        None => (ErrorCode::ResourceNotFound, "The user has no credentials."),
        Some(iterations) if !ITERATIONS.contains(&iterations) => (
            ErrorCode::UnacceptableCredential,
            "Iterations are 4096 to 16384.",
        ),
        Some(_) => (
            ErrorCode::UnsupportedVersion,
            "This server has no users yet.",
        ),
    };
    Refusal::new(code, message)
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::alter_user_scram_credentials_request::{
        ScramCredentialDeletion, ScramCredentialUpsertion,
    };

    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn what_kafka_refuses_is_refused_as_it_does_and_the_rest_as_not_supported() {
        let deletion = |name, mechanism| {
            ScramCredentialDeletion::default()
                .with_name(StrBytes::from_static_str(name))
                .with_mechanism(mechanism)
        };
        let upsertion = |name, mechanism, iterations| {
            ScramCredentialUpsertion::default()
                .with_name(StrBytes::from_static_str(name))
                .with_mechanism(mechanism)
                .with_iterations(iterations)
        };
        let request = AlterUserScramCredentialsRequest::default()
            .with_deletions(vec![deletion("a", 1), deletion("b", 3), deletion("c", 1)])
            .with_upsertions(vec![
                upsertion("c", 1, 4096),
                upsertion("d", 2, 4095),
                upsertion("e", 2, 16_385),
                upsertion("f", 2, 8192),
                upsertion("", 1, 8192),
            ]);
        let response = Bench::new().send(0, &request).await;
        let results = response.results.iter();
        let codes: Vec<_> = results
            .map(|result| (result.user.as_str(), result.error_code))
            .collect();
        let expected = [
            ("", 93),
            ("a", 91),
            ("b", 33),
            ("c", 92),
            ("d", 93),
            ("e", 93),
            ("f", 35),
        ];
        assert_eq!(codes, expected);
    }
}

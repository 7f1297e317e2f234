//! DescribeUserScramCredentials (key 50), version 0: no user has credentials yet.
//!
//! Without names the answer is empty. A user who is named is RESOURCE_NOT_FOUND, one who is named
//! twice DUPLICATE_RESOURCE.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ratel_protocol::messages::describe_user_scram_credentials_response as answer;
use ratel_protocol::messages::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::{Api, Context, Later};

pub struct DescribeUserScramCredentials;

impl Api for DescribeUserScramCredentials {
    type Request = DescribeUserScramCredentialsRequest;
    const KEY: ApiKey = ApiKey::DescribeUserScramCredentials;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(cx: Context, request: DescribeUserScramCredentialsRequest) -> Later {
        let mut named = BTreeMap::new();
        for user in request.users.unwrap_or_default() {
            *named.entry(user.name).or_insert(0) += 1;
        }
        let results = named.into_iter().map(|(name, times)| {
            let (code, why) = match times {
                1 => (ErrorCode::ResourceNotFound, "has no credentials"),
                _ => (ErrorCode::DuplicateResource, "is named twice"),
            };
            let shown: String = name.chars().take(100).collect();
            let message = StrBytes::from_string(format!("The user {shown} {why}."));
            answer::DescribeUserScramCredentialsResult::default()
                .with_user(name)
                .with_error_code(code.code())
                .with_error_message(Some(message))
        });
        cx.ready(
            &DescribeUserScramCredentialsResponse::default()
                .with_error_message(None)
                .with_results(results.collect()),
        )
    }
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::describe_user_scram_credentials_request::UserName;

    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn nobody_has_credentials() {
        let bench = Bench::new();
        for (users, codes) in [
            (None, vec![]),
            (Some(vec![]), vec![]),
            (Some(vec!["a", "b", "a"]), vec![92, 91]),
        ] {
            let users = users.map(|users: Vec<&'static str>| {
                let users = users.into_iter();
                let named = users
                    .map(|name| UserName::default().with_name(StrBytes::from_static_str(name)));
                named.collect()
            });
            let request = DescribeUserScramCredentialsRequest::default().with_users(users);
            let response = bench.send(0, &request).await;
            let found: Vec<_> = response
                .results
                .iter()
                .map(|user| user.error_code)
                .collect();
            assert_eq!((response.error_code, found), (0, codes));
        }
    }
}

//! FindCoordinator (key 10), versions 0 to 6: who looks after a group.
//!
//! This server looks after all groups, share groups among them, from the moment it listens (G-1).
//! It looks after all transactional ids, too.
//! - v0: groups only; v1: key type (0 group, 1 transactional id), error message, throttle time
//! - v3: flexible; v4: many keys, an answer for each
//! - v5: TRANSACTION_ABORTABLE, never given here; v6: key type 2, the queue of a
//!   share group, by the key `group:topic id:partition` (Kafka's brokers ask so, clients do not)

use std::ops::RangeInclusive;

use ratel_protocol::messages::find_coordinator_response::Coordinator;
use ratel_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::groups::distinct;
use super::{Api, Context, Later};
use crate::advertised;

pub struct FindCoordinator;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

impl Api for FindCoordinator {
    type Request = FindCoordinatorRequest;
    const KEY: ApiKey = ApiKey::FindCoordinator;
    const VERSIONS: RangeInclusive<i16> = 0..=6;

    async fn handle(cx: Context, request: FindCoordinatorRequest) -> Later {
        let keys = if cx.version < 4 {
            vec![request.key]
        } else {
            distinct(request.coordinator_keys)
        };
        let coordinators = keys
            .into_iter()
            .map(|key| find(&cx, key, request.key_type))
            .collect();
        let response = FindCoordinatorResponse::default().with_coordinators(coordinators);
        cx.ready(&downgrade(response, cx.version))
    }
}

fn find(cx: &Context, key: StrBytes, key_type: i8) -> Coordinator {
    let refusal = match key_type {
        GROUP => None,
        TRANSACTION if cx.version >= 1 => None,
        SHARE if cx.version >= 6 && is_queue(&key) => None,
        SHARE if cx.version >= 6 => Some("The key of a queue is group:topic id:partition."),
        _ => Some("There is no such type of key."),
    };
    let answer = Coordinator::default().with_key(key);
    match refusal {
        None => {
            let (host, port) = advertised::endpoint(&cx.broker.config, &cx.session);
            answer
                .with_node_id(cx.broker.config.node_id.into())
                .with_host(host.into())
                .with_port(port.into())
        }
        Some(sentence) => answer
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_error_message(Some(StrBytes::from_static_str(sentence)))
            .with_node_id((-1).into())
            .with_port(-1),
    }
}

/// Whether a key names a queue; the group's id may have colons.
fn is_queue(key: &str) -> bool {
    let mut parts = key.rsplitn(3, ':');
    let (partition, topic, group) = (parts.next(), parts.next(), parts.next());
    let is_id = |topic: &str| {
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        topic.len() == 22 && topic.bytes().all(is_digit)
    };
    partition.is_some_and(|index| index.parse::<i32>().is_ok())
        && topic.is_some_and(is_id)
        && group.is_some_and(|group| !group.trim().is_empty())
}

/// Before v4 the one answer stands at the top, and v0 has no message.
fn downgrade(mut response: FindCoordinatorResponse, version: i16) -> FindCoordinatorResponse {
    if version < 4
        && let Some(only) = response.coordinators.pop()
    {
        response.coordinators.clear();
        response.error_code = only.error_code;
        response.error_message = only.error_message.filter(|_| version >= 1);
        response.node_id = only.node_id;
        response.host = only.host;
        response.port = only.port;
    }
    response
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::FindCoordinatorRequest;

    use super::super::testing::Bench;
    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn g_1_this_server_looks_after_every_group() {
        let bench = Bench::with_groups(Config::default()).await;
        for version in FindCoordinator::VERSIONS {
            let request = FindCoordinatorRequest::default();
            let request = if version < 4 {
                request.with_key("g".into())
            } else {
                request.with_coordinator_keys(vec!["g".into(), "h".into()])
            };
            let response = bench.send(version, &request).await;
            if version < 4 {
                assert_eq!((response.error_code, response.node_id.0), (0, 1));
                assert_eq!((&*response.host, response.port), ("127.0.0.1", 9092));
            } else {
                let keys: Vec<_> = response
                    .coordinators
                    .iter()
                    .map(|found| &*found.key)
                    .collect();
                assert_eq!(keys, ["g", "h"]);
                for found in &response.coordinators {
                    assert_eq!((found.error_code, found.node_id.0), (0, 1));
                    assert_eq!((&*found.host, found.port), ("127.0.0.1", 9092));
                }
            }
        }
    }

    #[tokio::test]
    async fn this_server_looks_after_every_transactional_id() {
        let bench = Bench::with_groups(Config::default()).await;
        for version in 1..=6 {
            let request = FindCoordinatorRequest::default().with_key_type(TRANSACTION);
            let request = match version {
                ..4 => request.with_key("t".into()),
                _ => request.with_coordinator_keys(vec!["t".into()]),
            };
            let response = bench.send(version, &request).await;
            let (code, port) = match response.coordinators.first() {
                Some(found) => (found.error_code, found.port),
                None => (response.error_code, response.port),
            };
            assert_eq!((code, port), (0, 9092), "version {version}");
        }
    }

    #[test]
    fn the_key_of_a_queue_is_read_from_its_end() {
        for key in [
            "g:AAAAAAAAAAAAAAAAAAAAAQ:0",
            "a:b:_-AAAAAAAAAAAAAAAAAAAQ:17",
        ] {
            assert!(is_queue(key), "{key}");
        }
        for key in [
            "",
            "g",
            "g:0",
            "AAAAAAAAAAAAAAAAAAAAAQ:0",
            " :AAAAAAAAAAAAAAAAAAAAAQ:0",
            "g:AAAAAAAAAAAAAAAAAAAAA:0",
            "g:AAAAAAAAAAAAAAAAAAAA+Q:0",
            "g:AAAAAAAAAAAAAAAAAAAAAQ:",
            "g:AAAAAAAAAAAAAAAAAAAAAQ:x",
        ] {
            assert!(!is_queue(key), "{key}");
        }
    }

    #[tokio::test]
    async fn this_server_looks_after_every_queue() {
        let bench = Bench::with_groups(Config::default()).await;
        let key: StrBytes = "g:AAAAAAAAAAAAAAAAAAAAAQ:0".into();
        for (version, code) in [(5, ErrorCode::InvalidRequest.code()), (6, 0)] {
            let request = FindCoordinatorRequest::default()
                .with_key_type(SHARE)
                .with_coordinator_keys(vec![key.clone()]);
            let response = bench.send(version, &request).await;
            assert_eq!(response.coordinators[0].error_code, code);
        }
    }

    #[tokio::test]
    async fn g_1_other_keys_are_refused_with_a_sentence() {
        let bench = Bench::with_groups(Config::default()).await;
        for (version, key_type) in [(1, 3), (3, 2), (5, 2), (6, 2), (6, 3)] {
            let request = FindCoordinatorRequest::default().with_key_type(key_type);
            let request = if version < 4 {
                request.with_key("t".into())
            } else {
                request.with_coordinator_keys(vec!["t".into()])
            };
            let response = bench.send(version, &request).await;
            let (code, message) = match response.coordinators.first() {
                Some(found) => (found.error_code, found.error_message.clone()),
                None => (response.error_code, response.error_message),
            };
            assert_eq!(code, ErrorCode::InvalidRequest.code());
            assert!(message.is_some_and(|message| message.ends_with('.')));
        }
    }
}

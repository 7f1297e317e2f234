use bytes::Bytes;
use ratel_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use ratel_protocol::messages::{GroupId, JoinGroupRequest, TopicName};

use super::super::testing::Bench;
use super::*;
use crate::config::{Config, MigrationPolicy};

fn join() -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId("g".into()))
        .with_member_id("m".into())
        .with_rebalance_timeout_ms(60_000)
        .with_topic_partitions(Some(Vec::new()))
        .with_subscribed_topic_names(Some(vec![TopicName("t".into())]))
}

/// What is said when nothing is new.
fn stay(epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId("g".into()))
        .with_member_id("m".into())
        .with_member_epoch(epoch)
}

#[tokio::test]
async fn h_2_a_member_joins_stays_and_leaves() {
    let bench = Bench::with_groups(Config::default()).await;
    let topic = bench.topic("t", 2);
    let joined = bench.send(1, &join()).await;
    assert_eq!((joined.error_code, joined.member_epoch), (0, 2));
    assert_eq!(joined.heartbeat_interval_ms, 5000);
    assert_eq!(joined.member_id.as_deref(), Some("m"));
    let assignment = joined.assignment.expect("an assignment");
    assert_eq!(assignment.topic_partitions[0].topic_id, topic.id);
    assert_eq!(assignment.topic_partitions[0].partitions, [0, 1]);
    let stays = bench.send(1, &stay(2)).await;
    assert_eq!((stays.error_code, stays.member_epoch), (0, 2));
    assert_eq!(stays.assignment, None);
    let full = join().with_member_epoch(2);
    assert!(bench.send(1, &full).await.assignment.is_some());
    let left = bench.send(1, &stay(-1)).await;
    assert_eq!((left.error_code, left.member_epoch), (0, -1));
    assert_eq!(left.heartbeat_interval_ms, 0);
    let gone = bench.send(1, &stay(2)).await;
    assert_eq!(gone.error_code, ErrorCode::UnknownMemberId.code());
}

#[tokio::test]
async fn h_1_v0_gives_out_ids() {
    let bench = Bench::with_groups(Config::default()).await;
    let request = join().with_member_id("".into());
    let joined = bench.send(0, &request).await;
    let id = joined.member_id.expect("an id");
    assert_eq!((joined.error_code, id.len()), (0, 36));
    let refused = bench.send(1, &request).await;
    assert_eq!(refused.error_code, ErrorCode::InvalidRequest.code());
}

#[tokio::test]
async fn h_1_a_request_that_makes_no_sense_is_invalid() {
    let bench = Bench::with_groups(Config::default()).await;
    let invalid = [
        join().with_group_id(GroupId("".into())),
        join().with_group_id(GroupId(" ".into())),
        join().with_instance_id(Some("".into())),
        join().with_rack_id(Some("".into())),
        join().with_rebalance_timeout_ms(-1),
        join().with_topic_partitions(None),
        join().with_topic_partitions(Some(vec![Owned::default()])),
        join().with_subscribed_topic_names(None),
        stay(-2),
        stay(-3).with_instance_id(Some("i".into())),
    ];
    for request in invalid {
        let response = bench.send(1, &request).await;
        assert_eq!(response.error_code, ErrorCode::InvalidRequest.code());
        assert!(response.error_message.is_some());
        assert_eq!(response.member_id, None);
    }
}

#[tokio::test]
async fn h_10_who_may_not_join_a_classic_group_hears_when_it_may() {
    let config = Config {
        group_initial_rebalance_delay_ms: 0,
        group_consumer_migration_policy: MigrationPolicy::Disabled,
        ..Config::default()
    };
    let bench = Bench::with_groups(config).await;
    let protocol = JoinGroupRequestProtocol::default()
        .with_name("range".into())
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"));
    let classic = JoinGroupRequest::default()
        .with_group_id(GroupId("g".into()))
        .with_session_timeout_ms(45_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type("consumer".into())
        .with_protocols(vec![protocol]);
    assert_eq!(bench.send(3, &classic).await.error_code, 0);
    let refused = bench.send(1, &join()).await;
    assert_eq!(refused.error_code, ErrorCode::GroupIdNotFound.code());
    let why = refused.error_message.expect("a sentence");
    assert!(why.contains("group.consumer.migration.policy"), "{why}");
}

#[tokio::test]
async fn h_6_an_assignor_that_is_not_there_is_refused() {
    let bench = Bench::with_groups(Config::default()).await;
    let named = |name: &'static str| join().with_server_assignor(Some(name.into()));
    let refused = bench.send(1, &named("sticky")).await;
    assert_eq!(refused.error_code, ErrorCode::UnsupportedAssignor.code());
    assert_eq!(bench.send(1, &named("range")).await.error_code, 0);
}

#[tokio::test]
async fn h_7_the_first_answer_tells_what_an_expression_stands_for() {
    let bench = Bench::with_groups(Config::default()).await;
    let topic = bench.topic("abc", 1);
    bench.topic("xabc", 1);
    let regex = |text: &'static str| {
        join()
            .with_subscribed_topic_names(None)
            .with_subscribed_topic_regex(Some(text.into()))
    };
    for invalid in ["a(", "a)(b", "((a{1000}){1000}){1000}", "(?=a)"] {
        let refused = bench.send(1, &regex(invalid)).await;
        let code = ErrorCode::InvalidRegularExpression.code();
        assert_eq!(refused.error_code, code, "{invalid}");
    }
    let joined = bench.send(1, &regex("x|abc?")).await;
    let topics = joined.assignment.expect("an assignment").topic_partitions;
    let ids: Vec<_> = topics.iter().map(|topic| topic.topic_id).collect();
    assert_eq!(ids, [topic.id], "all of a name must match");
}

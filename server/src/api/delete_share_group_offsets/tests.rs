use ratel_protocol::messages::GroupId;
use ratel_protocol::messages::delete_share_group_offsets_request as asked;

use ratel_storage::Offset;

use super::super::groups::text;
use super::super::testing::Bench;
use super::super::testing::queues::{accept, bench, commit, join, lease_one, starts};
use super::*;

async fn deleted(bench: &Bench, group: &str, names: &[&str]) -> DeleteShareGroupOffsetsResponse {
    let topics = names.iter().map(|name| {
        asked::DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(TopicName(text(name)))
    });
    let request = DeleteShareGroupOffsetsRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(topics.collect());
    bench.send(0, &request).await
}

/// Name and code of each topic.
fn rows(answer: &DeleteShareGroupOffsetsResponse) -> Vec<(&str, i16)> {
    assert_eq!(answer.error_code, 0);
    let topics = answer.responses.iter();
    topics
        .map(|topic| (&**topic.topic_name, topic.error_code))
        .collect()
}

#[tokio::test]
async fn a_topics_queues_go_and_old_leases_are_nobodys() {
    let (bench, topic) = bench().await;
    let answer = deleted(&bench, "g", &["jobs", "nothing", "jobs"]).await;
    assert_eq!(rows(&answer), [("jobs", 0), ("nothing", 3)]);
    assert_eq!(answer.responses[0].topic_id, topic.id);
    assert!(answer.responses[1].error_message.is_some());
    assert_eq!(starts(&bench, "g").await, []);
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(accept(&bench, &topic, 1, 0).await, unknown);
    let answer = deleted(&bench, "g", &["jobs"]).await;
    assert_eq!(rows(&answer), [("jobs", 3)]);
    assert_eq!(answer.responses[0].error_message, Some(NOTHING_TO_DELETE));

    // Made anew by a fetch, it begins where the configuration says.
    assert_eq!(lease_one(&bench, &topic).await, None);
    assert_eq!(starts(&bench, "g").await, [(0, 3, 0)]);
    // The group does not know of this one: a death amid the request leaves such.
    assert_eq!(rows(&deleted(&bench, "g", &["jobs"]).await), [("jobs", 0)]);
    assert_eq!(starts(&bench, "g").await, []);

    // Old leases count for nothing in a queue that is made anew.
    let key = QueueKey {
        group: "g".into(),
        partition: topic.partition(0).expect("it has two"),
    };
    let made = bench.broker.shares.reset(key, Offset::ZERO).await;
    made.expect("a queue");
    let invalid = ErrorCode::InvalidRecordState.code();
    assert_eq!(accept(&bench, &topic, 1, 0).await, invalid);
    assert_eq!(starts(&bench, "g").await, [(0, 0, 3)]);
}

#[tokio::test]
async fn a_group_with_members_or_none_of_the_kind_refuses() {
    let (bench, _) = bench().await;
    join(&bench, "busy").await;
    commit(&bench, "classic").await;
    let refused = [
        ("busy", ErrorCode::NonEmptyGroup),
        ("missing", ErrorCode::GroupIdNotFound),
        ("classic", ErrorCode::GroupIdNotFound),
        ("", ErrorCode::InvalidGroupId),
    ];
    for (group, code) in refused {
        let answer = deleted(&bench, group, &["jobs"]).await;
        assert_eq!(
            (answer.error_code, answer.responses.len()),
            (code.code(), 0)
        );
        assert!(answer.error_message.is_some(), "{group}");
    }
    assert_eq!(starts(&bench, "g").await, [(0, 0, 3), (1, 0, 0)]);
}

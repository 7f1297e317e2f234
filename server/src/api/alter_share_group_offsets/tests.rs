use ratel_protocol::messages::GroupId;

use super::super::testing::Bench;
use super::super::testing::queues::{accept, bench, commit, join, lease_one, starts};
use super::*;

async fn alter(
    bench: &Bench,
    group: &str,
    topics: &[(&str, &[(i32, i64)])],
) -> AlterShareGroupOffsetsResponse {
    let topics = topics.iter().map(|(name, starts)| {
        let partitions = starts.iter().map(|(index, start)| {
            asked::AlterShareGroupOffsetsRequestPartition::default()
                .with_partition_index(*index)
                .with_start_offset(*start)
        });
        asked::AlterShareGroupOffsetsRequestTopic::default()
            .with_topic_name(TopicName(text(name)))
            .with_partitions(partitions.collect())
    });
    let request = AlterShareGroupOffsetsRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(topics.collect());
    bench.send(0, &request).await
}

/// Name, partition and code of each row.
fn rows(answer: &AlterShareGroupOffsetsResponse) -> Vec<(&str, i32, i16)> {
    assert_eq!(answer.error_code, 0);
    let topics = answer.responses.iter();
    topics
        .flat_map(|topic| {
            let rows = topic.partitions.iter();
            let name: &str = &topic.topic_name;
            rows.map(move |row| (name, row.partition_index, row.error_code))
        })
        .collect()
}

#[tokio::test]
async fn a_queue_begins_anew_and_old_leases_are_nobodys() {
    let (bench, topic) = bench().await;
    assert_eq!(accept(&bench, &topic, 1, 0).await, 0);
    assert_eq!(lease_one(&bench, &topic).await, Some(1));
    let answer = alter(&bench, "g", &[("jobs", &[(0, 0)])]).await;
    assert_eq!(rows(&answer), [("jobs", 0, 0)]);
    assert_eq!(answer.responses[0].topic_id, topic.id);
    let invalid = ErrorCode::InvalidRecordState.code();
    assert_eq!(accept(&bench, &topic, 1, 1).await, invalid);
    assert_eq!(starts(&bench, "g").await, [(0, 0, 3), (1, 0, 0)]);
    assert_eq!(lease_one(&bench, &topic).await, Some(0), "once more");

    let answer = alter(&bench, "g", &[("jobs", &[(0, 2)])]).await;
    assert_eq!(rows(&answer), [("jobs", 0, 0)]);
    assert_eq!(starts(&bench, "g").await, [(0, 2, 1), (1, 0, 0)]);
    assert_eq!(lease_one(&bench, &topic).await, Some(2));
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_the_rest_is_done() {
    let (bench, _) = bench().await;
    let starts_of_jobs: &[_] = &[(0, 1), (0, 2), (1, 1), (2, 0), (-1, 0)];
    let topics = [("jobs", starts_of_jobs), ("nothing", &[(0, 0)])];
    let answer = alter(&bench, "g", &topics).await;
    let expected = [
        ("jobs", -1, 3),
        ("jobs", 0, 0),
        ("jobs", 1, 1),
        ("jobs", 2, 3),
        ("nothing", 0, 3),
    ];
    assert_eq!(rows(&answer), expected);
    assert_eq!(answer.responses[1].topic_id, TopicId::nil());
    for row in answer.responses.iter().flat_map(|topic| &topic.partitions) {
        assert_eq!(row.error_message.is_some(), row.error_code != 0);
    }
    assert_eq!(starts(&bench, "g").await, [(0, 2, 1), (1, 0, 0)]);
    let answer = alter(&bench, "g", &[("jobs", &[(0, -2), (1, -1)])]).await;
    assert_eq!(rows(&answer), [("jobs", 0, 1), ("jobs", 1, 0)]);
}

#[tokio::test]
async fn minus_one_is_where_the_configuration_says_and_a_dropped_offset_the_logs_first() {
    let (bench, topic) = bench().await;
    let log = bench.broker.partition(&topic, 0).expect("it is open");
    let moved = log.advance_start(Offset::new(1)).await;
    moved.expect("a new start");
    let answer = alter(&bench, "g", &[("jobs", &[(0, -1)])]).await;
    assert_eq!(rows(&answer), [("jobs", 0, 0)]);
    assert_eq!(starts(&bench, "g").await[0], (0, 3, 0), "latest");
    let answer = alter(&bench, "g", &[("jobs", &[(0, 0)])]).await;
    assert_eq!(rows(&answer), [("jobs", 0, 0)]);
    assert_eq!(starts(&bench, "g").await[0], (0, 1, 2));
}

#[tokio::test]
async fn a_group_is_made_if_it_has_a_queue() {
    let (bench, topic) = bench().await;
    assert_eq!(rows(&alter(&bench, "new", &[]).await), []);
    let answer = alter(&bench, "new", &[("nothing", &[(0, 0)])]).await;
    assert_eq!(rows(&answer), [("nothing", 0, 3)]);
    assert!(queues(&bench, "new").await.is_err());
    let answer = alter(&bench, "new", &[("jobs", &[(0, 1)])]).await;
    assert_eq!(rows(&answer), [("jobs", 0, 0)]);
    assert_eq!(starts(&bench, "new").await, [(0, 1, 2)]);
    let listed = queues(&bench, "new").await.expect("a group");
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].0, &*listed[0].1.partitions),
        (topic.id, &[0][..])
    );
}

async fn queues(bench: &Bench, group: &str) -> Result<QueueTopics, ErrorCode> {
    let event = Event::Queues(group.into(), QueueEvent::List);
    match bench.broker.groups.send(group, event).await? {
        crate::coordinator::group::Reply::ShareQueues(list) => Ok(list.topics),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_group_with_members_or_of_another_kind_refuses() {
    let (bench, _) = bench().await;
    join(&bench, "busy").await;
    let refused = [
        ("busy", ErrorCode::NonEmptyGroup),
        ("", ErrorCode::InvalidGroupId),
        ("classic", ErrorCode::GroupIdNotFound),
    ];
    commit(&bench, "classic").await;
    for (group, code) in refused {
        let answer = alter(&bench, group, &[("jobs", &[(0, 1)])]).await;
        assert_eq!(
            (answer.error_code, answer.responses.len()),
            (code.code(), 0)
        );
        assert!(answer.error_message.is_some(), "{group}");
        assert_eq!(starts(&bench, group).await, [], "{group}");
    }
}

use ratel_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ratel_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use ratel_protocol::messages::{OffsetCommitRequest, OffsetFetchRequest};

use super::*;
use crate::api::testing::Bench;
use crate::config::Config;

/// `(topic, partition, offset, leader epoch, metadata, error)` of every partition.
type Row = (String, i32, i64, i32, Option<String>, i16);

/// Commit to partition 0 of a topic, as from outside the group.
async fn commit(bench: &Bench, group: &str, topic: &str, offset: i64) {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(offset)
        .with_committed_leader_epoch(3)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text(topic)))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let response = bench.send(8, &request).await;
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
}

fn request(version: i16, group: &str, topics: Option<&[(&str, i32)]>) -> OffsetFetchRequest {
    let request = OffsetFetchRequest::default();
    if version < 8 {
        let topics = topics.map(|topics| {
            let topics = topics.iter().map(|(name, index)| {
                OffsetFetchRequestTopic::default()
                    .with_name(TopicName(text(name)))
                    .with_partition_indexes(vec![*index])
            });
            topics.collect()
        });
        return request
            .with_group_id(GroupId(text(group)))
            .with_topics(topics);
    }
    let topics = topics.map(|topics| {
        let topics = topics.iter().map(|(name, index)| {
            OffsetFetchRequestTopics::default()
                .with_name(TopicName(text(name)))
                .with_partition_indexes(vec![*index])
        });
        topics.collect()
    });
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(topics);
    request.with_groups(vec![group]).with_require_stable(true)
}

/// The rows of the only group, and its error.
fn rows(version: i16, response: OffsetFetchResponse) -> (Vec<Row>, i16) {
    let mut rows = Vec::new();
    if version < 8 {
        for topic in response.topics {
            for found in topic.partitions {
                rows.push((
                    topic.name.to_string(),
                    found.partition_index,
                    found.committed_offset,
                    found.committed_leader_epoch,
                    found.metadata.map(|metadata| metadata.to_string()),
                    found.error_code,
                ));
            }
        }
        return (rows, response.error_code);
    }
    assert_eq!(response.groups.len(), 1);
    let group = &response.groups[0];
    for topic in &group.topics {
        for found in &topic.partitions {
            rows.push((
                topic.name.to_string(),
                found.partition_index,
                found.committed_offset,
                found.committed_leader_epoch,
                found.metadata.as_ref().map(ToString::to_string),
                found.error_code,
            ));
        }
    }
    (rows, group.error_code)
}

async fn fetch(
    bench: &Bench,
    version: i16,
    group: &str,
    topics: Option<&[(&str, i32)]>,
) -> (Vec<Row>, i16) {
    let response = bench.send(version, &request(version, group, topics)).await;
    rows(version, response)
}

fn row(topic: &str, index: i32, offset: i64, epoch: i32, metadata: &str) -> Row {
    (topic.into(), index, offset, epoch, Some(metadata.into()), 0)
}

#[tokio::test]
async fn o_6_committed_offsets_at_every_version() {
    let bench = Bench::with_groups(Config::default()).await;
    bench.topic("t", 2);
    commit(&bench, "g", "t", 42).await;
    for version in OffsetFetch::VERSIONS {
        let epoch = if version >= 5 { 3 } else { -1 };
        let asked = Some(&[("t", 0), ("t", 1), ("u", 0)][..]);
        let expected = vec![
            row("t", 0, 42, epoch, "note"),
            row("t", 1, -1, -1, ""),
            row("u", 0, -1, -1, ""),
        ];
        assert_eq!(fetch(&bench, version, "g", asked).await, (expected, 0));
        let none = fetch(&bench, version, "h", Some(&[("t", 0)])).await;
        assert_eq!(none, (vec![row("t", 0, -1, -1, "")], 0));
        if version >= 2 {
            let all = fetch(&bench, version, "g", None).await;
            assert_eq!(all, (vec![row("t", 0, 42, epoch, "note")], 0));
            assert_eq!(fetch(&bench, version, "h", None).await, (vec![], 0));
        }
    }
}

#[tokio::test]
async fn o_6_many_groups_in_one_request() {
    let bench = Bench::with_groups(Config::default()).await;
    bench.topic("t", 1);
    commit(&bench, "g", "t", 1).await;
    commit(&bench, "h", "t", 2).await;
    for version in [8, 9] {
        let groups = ["h", "nobody", "g"].map(|group| {
            OffsetFetchRequestGroup::default()
                .with_group_id(GroupId(text(group)))
                .with_topics(None)
        });
        let asked = OffsetFetchRequest::default().with_groups(groups.into());
        let response = bench.send(version, &asked).await;
        let found: Vec<_> = response
            .groups
            .iter()
            .map(|group| {
                let topic = group.topics.first();
                let offset = topic.map(|topic| topic.partitions[0].committed_offset);
                (group.group_id.to_string(), offset)
            })
            .collect();
        let expected = [("h", Some(2)), ("nobody", None), ("g", Some(1))];
        assert_eq!(
            found,
            expected.map(|(group, offset)| (group.to_owned(), offset))
        );
    }
}

#[tokio::test]
async fn o_10_a_recreated_topic_does_not_inherit() {
    let bench = Bench::with_groups(Config::default()).await;
    let old = bench.topic("t", 1);
    commit(&bench, "g", "t", 42).await;
    bench.delete(&old);
    let nothing = || vec![row("t", 0, -1, -1, "")];
    let asked = Some(&[("t", 0)][..]);
    assert_eq!(fetch(&bench, 8, "g", asked).await, (nothing(), 0));
    bench.topic("t", 1);
    assert_eq!(fetch(&bench, 8, "g", asked).await, (nothing(), 0));
    assert_eq!(fetch(&bench, 8, "g", None).await, (vec![], 0));
    commit(&bench, "g", "t", 1).await;
    let found = fetch(&bench, 8, "g", asked).await;
    assert_eq!(found, (vec![row("t", 0, 1, 3, "note")], 0));
}

#[tokio::test]
async fn what_is_wrong_with_a_group_is_said_where_the_version_has_room() {
    let bench = Bench::new();
    for version in OffsetFetch::VERSIONS {
        let (rows, error) = fetch(&bench, version, "g", Some(&[("t", 0)])).await;
        if version < 2 {
            let unavailable = ("t".into(), 0, -1, -1, Some(String::new()), 15);
            assert_eq!((rows, error), (vec![unavailable], 0));
        } else {
            assert_eq!((rows, error), (vec![], 15));
        }
    }
}

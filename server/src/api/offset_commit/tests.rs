use ratel_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ratel_protocol::messages::{GroupId, OffsetCommitRequest};

use super::*;
use crate::api::testing::Bench;
use crate::config::Config;

fn request(generation: i32, offsets: &[(&str, i32, i64, Option<&str>)]) -> OffsetCommitRequest {
    let topics = offsets.iter().map(|(topic, index, offset, metadata)| {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(*index)
            .with_committed_offset(*offset)
            .with_committed_metadata(metadata.map(text));
        OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(vec![partition])
    });
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(topics.collect())
}

fn codes(response: &OffsetCommitResponse) -> Vec<(&str, i32, i16)> {
    let topics = response.topics.iter();
    topics
        .flat_map(|topic| {
            let partitions = topic.partitions.iter();
            let name: &str = &topic.name;
            partitions.map(move |found| (name, found.partition_index, found.error_code))
        })
        .collect()
}

#[tokio::test]
async fn o_4_what_does_not_exist_is_refused_alone() {
    let bench = Bench::with_groups(Config::default()).await;
    bench.topic("t", 2);
    let long = "x".repeat(4097);
    for version in OffsetCommit::VERSIONS {
        let asked = request(
            -1,
            &[
                ("t", 0, 5, None),
                ("t", 2, 5, None),
                ("u", 0, 5, None),
                ("t", 1, 5, Some(&long)),
                ("t", -1, 5, None),
            ],
        );
        let response = bench.send(version, &asked).await;
        let expected = [
            ("t", 0, 0),
            ("t", 2, 3),
            ("u", 0, 3),
            ("t", 1, 12),
            ("t", -1, 3),
        ];
        assert_eq!(codes(&response), expected, "v{version}");
    }
}

#[tokio::test]
async fn o_3_what_is_wrong_with_the_group_is_said_of_every_partition_that_exists() {
    let bench = Bench::with_groups(Config::default()).await;
    bench.topic("t", 1);
    for version in OffsetCommit::VERSIONS {
        let asked = request(7, &[("t", 0, 5, None), ("u", 0, 5, None)]);
        let response = bench.send(version, &asked).await;
        let code = if version >= 9 { 69 } else { 22 };
        assert_eq!(codes(&response), [("t", 0, code), ("u", 0, 3)]);
        let nothing = request(7, &[("u", 0, 5, None)]);
        let response = bench.send(version, &nothing).await;
        assert_eq!(codes(&response), [("u", 0, 3)]);
    }
}

#[tokio::test]
async fn without_groups_the_coordinator_is_not_available() {
    let bench = Bench::new();
    bench.topic("t", 1);
    let response = bench.send(9, &request(-1, &[("t", 0, 5, None)])).await;
    assert_eq!(codes(&response), [("t", 0, 15)]);
}

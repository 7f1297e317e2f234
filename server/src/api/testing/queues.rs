//! A bench with queues.

use std::sync::Arc;

use ratel_protocol::messages::describe_share_group_offsets_request as asked;
use ratel_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ratel_protocol::messages::share_acknowledge_request::{
    AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch,
};
use ratel_protocol::messages::share_fetch_request::{FetchPartition, FetchTopic};
use ratel_protocol::messages::{
    DescribeShareGroupOffsetsRequest, GroupId, OffsetCommitRequest, ShareAcknowledgeRequest,
    ShareFetchRequest, ShareGroupHeartbeatRequest, TopicName,
};
use ratel_storage::{Durability, LogSettings, Origin};

use super::super::groups::text;
use super::{Bench, NOW_MS, batch};
use crate::config::Config;
use crate::coordinator::catalog::{SHARE_STATE_TOPIC, Topic};
use crate::coordinator::group::{Event, QueueEvent, QueueTopic};

/// Group `g` reads the two partitions of `jobs` and has no members. Three records are in the
/// first, of which a session of `m` leases one.
pub(crate) async fn bench() -> (Bench, Arc<Topic>) {
    let bench = Bench::with_groups(Config::default()).await;
    bench.topic_with(SHARE_STATE_TOPIC, 4, true, LogSettings::default());
    let topic = bench.topic("jobs", 2);
    let queues = QueueTopic {
        name: topic.name.clone(),
        partitions: vec![0, 1],
    };
    let altered = QueueEvent::Alter(vec![(topic.id, queues.clone())]);
    let altered = Event::Queues("g".into(), altered);
    let altered = bench.broker.groups.send("g", altered).await;
    altered.expect("a group without members");
    for index in 0..2 {
        let partition = topic.partition(index).expect("it has two");
        let made = bench.broker.shares.initialize(&"g".into(), partition).await;
        made.expect("a queue");
    }
    let initialized = QueueEvent::Initialized(vec![(topic.id, queues)]);
    let groups = &bench.broker.groups;
    groups.tell("g", Event::Queues("g".into(), initialized));
    let log = bench.broker.partition(&topic, 0).expect("it is open");
    let records = batch(&["a", "b", "c"]);
    let appended = log.append(&records, Origin::Client, Durability::Written, NOW_MS);
    appended.await.expect("written");
    assert_eq!(lease_one(&bench, &topic).await, Some(0));
    (bench, topic)
}

/// A new session of `m` leases one record of the first partition. Its offset.
pub(crate) async fn lease_one(bench: &Bench, topic: &Topic) -> Option<i64> {
    let wanted = FetchTopic::default()
        .with_topic_id(topic.id)
        .with_partitions(vec![FetchPartition::default()]);
    let request = ShareFetchRequest::default()
        .with_group_id(Some(GroupId(text("g"))))
        .with_member_id(Some(text("m")))
        .with_max_records(1)
        .with_share_acquire_mode(1)
        .with_topics(vec![wanted]);
    let answer = bench.send(2, &request).await;
    assert_eq!(answer.error_code, 0);
    let ranges = answer.responses.first().map(|topic| &topic.partitions[0]);
    ranges.and_then(|partition| Some(partition.acquired_records.first()?.first_offset))
}

/// `m` accepts a record of the first partition in its session. The partition's error code.
pub(crate) async fn accept(bench: &Bench, topic: &Topic, epoch: i32, offset: i64) -> i16 {
    let batch = AcknowledgementBatch::default()
        .with_first_offset(offset)
        .with_last_offset(offset)
        .with_acknowledge_types(vec![1]);
    let partition = AcknowledgePartition::default().with_acknowledgement_batches(vec![batch]);
    let wanted = AcknowledgeTopic::default()
        .with_topic_id(topic.id)
        .with_partitions(vec![partition]);
    let request = ShareAcknowledgeRequest::default()
        .with_group_id(Some(GroupId(text("g"))))
        .with_member_id(Some(text("m")))
        .with_share_session_epoch(epoch)
        .with_topics(vec![wanted]);
    let answer = bench.send(2, &request).await;
    assert_eq!(answer.error_code, 0);
    answer.responses[0].partitions[0].error_code
}

/// A member joins a group and reads `jobs`.
pub(crate) async fn join(bench: &Bench, group: &str) {
    let join = ShareGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text("m"))
        .with_subscribed_topic_names(Some(vec![TopicName(text("jobs"))]));
    assert_eq!(bench.send(1, &join).await.error_code, 0);
}

/// A classic group commits an offset of `jobs`.
pub(crate) async fn commit(bench: &Bench, group: &str) {
    let partition = OffsetCommitRequestPartition::default();
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text("jobs")))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(vec![topic]);
    let answer = bench.send(2, &request).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

/// Start and lag of each partition for which a group has a queue.
pub(crate) async fn starts(bench: &Bench, group: &str) -> Vec<(i32, i64, i64)> {
    let wanted = asked::DescribeShareGroupOffsetsRequestGroup::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(None);
    let request = DescribeShareGroupOffsetsRequest::default().with_groups(vec![wanted]);
    let mut answer = bench.send(1, &request).await;
    let group = answer.groups.pop().expect("the group that was asked for");
    assert_eq!((group.error_code, answer.groups.len()), (0, 0));
    let rows = group.topics.iter().flat_map(|topic| &topic.partitions);
    rows.map(|row| (row.partition_index, row.start_offset, row.lag))
        .collect()
}

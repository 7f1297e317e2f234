//! OffsetForLeaderEpoch (key 23), versions 2 to 4: where the records of an epoch end, so that a
//! consumer notices a log that was cut behind its back (KIP-320, L-6).
//!
//! - v2: fencing by the current leader epoch (F-7)
//! - v3: replica id, -1 for a consumer; v4: flexible

use std::ops::RangeInclusive;

use ratel_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use ratel_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use ratel_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::{Offset, Partition};

use super::{Api, Context, Later};
use crate::error;

pub struct OffsetForLeaderEpoch;

impl Api for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    const VERSIONS: RangeInclusive<i16> = 2..=4;

    async fn handle(cx: Context, request: OffsetForLeaderEpochRequest) -> Later {
        let topics = request
            .topics
            .iter()
            .map(|topic| {
                let partitions = topic.partitions.iter();
                let partitions = partitions.map(|asked| partition(&cx, &topic.topic, asked));
                OffsetForLeaderTopicResult::default()
                    .with_topic(topic.topic.clone())
                    .with_partitions(partitions.collect())
            })
            .collect();
        cx.ready(&OffsetForLeaderEpochResponse::default().with_topics(topics))
    }
}

fn partition(cx: &Context, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let answer = EpochEndOffset::default().with_partition(asked.partition);
    match epoch_end(cx, topic, asked) {
        Err(code) => answer.with_error_code(code.code()),
        Ok(None) => answer,
        Ok(Some((epoch, end))) => answer.with_leader_epoch(epoch).with_end_offset(end.get()),
    }
}

fn epoch_end(
    cx: &Context,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<(i32, Offset)>, ErrorCode> {
    let partition = cx.broker.partition_by_name(topic, asked.partition)?;
    let offsets = partition.offsets();
    error::check_leader_epoch(asked.current_leader_epoch, offsets.leader_epoch)?;
    // The epoch that goes on has no record yet, maybe: it ends where the log does all the same.
    if asked.leader_epoch == offsets.leader_epoch {
        return Ok(Some((offsets.leader_epoch, offsets.end)));
    }
    // An epoch from the future: nothing is known of it.
    if asked.leader_epoch > offsets.leader_epoch {
        return Ok(None);
    }
    Ok(partition.epoch_end(asked.leader_epoch))
}

/// The epoch of the record at `offset`, or of the next append where there is none.
pub(super) fn epoch_at(partition: &dyn Partition, offset: Offset) -> i32 {
    // Ends grow with the epochs, so the first epoch that ends behind `offset` holds it.
    let (mut low, mut high) = (0, partition.offsets().leader_epoch);
    while low < high {
        let middle = low + (high - low) / 2;
        match partition.epoch_end(middle) {
            Some((_, end)) if end > offset => high = middle,
            _ => low = middle + 1,
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::TopicName;
    use ratel_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderTopic;
    use ratel_storage::{Durability, Origin};

    use super::*;
    use crate::api::testing::{Bench, NOW_MS, batch};

    fn request(topic: &str, current: i32, epoch: i32) -> OffsetForLeaderEpochRequest {
        let partition = OffsetForLeaderPartition::default()
            .with_partition(0)
            .with_current_leader_epoch(current)
            .with_leader_epoch(epoch);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(TopicName(topic.to_owned().into()))
            .with_partitions(vec![partition]);
        OffsetForLeaderEpochRequest::default()
            .with_replica_id((-1).into())
            .with_topics(vec![topic])
    }

    async fn ask(bench: &Bench, topic: &str, current: i32, epoch: i32) -> (i16, i32, i64) {
        let response = bench.send(4, &request(topic, current, epoch)).await;
        let found = &response.topics[0].partitions[0];
        (found.error_code, found.leader_epoch, found.end_offset)
    }

    #[tokio::test]
    async fn l_6_the_current_epoch_ends_at_the_end_and_unknown_ones_nowhere() {
        let bench = Bench::new();
        let topic = bench.topic("t", 1);
        let partition = bench.broker.partition(&topic, 0).expect("a partition");
        let current = partition.offsets().leader_epoch;
        assert_eq!(ask(&bench, "t", -1, current).await, (0, current, 0));
        let batch = batch(&["a", "b"]);
        let appended = partition.append(&batch, Origin::Client, Durability::Synced, NOW_MS);
        appended.await.expect("appended");
        for version in 2..=4 {
            let response = bench.send(version, &request("t", current, current)).await;
            let found = &response.topics[0].partitions[0];
            assert_eq!((found.leader_epoch, found.end_offset), (current, 2));
        }
        assert_eq!(ask(&bench, "t", -1, current + 1).await, (0, -1, -1));
        assert_eq!(ask(&bench, "t", current + 1, current).await, (75, -1, -1));
        assert_eq!(ask(&bench, "nope", -1, current).await, (3, -1, -1));
        assert_eq!(epoch_at(&*partition, Offset::ZERO), current);
        assert_eq!(epoch_at(&*partition, Offset::new(2)), current);
    }
}

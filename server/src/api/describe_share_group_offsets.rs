//! DescribeShareGroupOffsets (key 90), versions 0 to 1: how far share groups have come (KIP-932).
//!
//! Topics that are null are all that the group has queues for. What is not known is absent, not
//! an error: a partition without a queue, of a group that is not there too, begins at -1, and a
//! topic that does not exist has an id of zeros.
//! - v1: lag, which is how many records are not done; -1 where there is no queue (KIP-1226)

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup as AskedGroup,
    DescribeShareGroupOffsetsRequestTopic as AskedTopic,
};
use ratel_protocol::messages::describe_share_group_offsets_response::{
    DescribeShareGroupOffsetsResponseGroup as Group,
    DescribeShareGroupOffsetsResponsePartition as Row,
    DescribeShareGroupOffsetsResponseTopic as Topic,
};
use ratel_protocol::messages::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse, TopicName,
};
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::{PartitionId, TopicId};

use super::groups::{own, text};
use super::{Api, Context, Later};
use crate::coordinator::share::{Depth, QueueKey};

pub struct DescribeShareGroupOffsets;

/// Where a queue begins that is not there, and how many records it has.
const UNKNOWN: i64 = -1;

impl Api for DescribeShareGroupOffsets {
    type Request = DescribeShareGroupOffsetsRequest;
    const KEY: ApiKey = ApiKey::DescribeShareGroupOffsets;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(cx: Context, request: DescribeShareGroupOffsetsRequest) -> Later {
        Later::wait(async move {
            let mut groups = Vec::with_capacity(request.groups.len());
            let known = survey(&cx, &request.groups).await;
            let mut whole = HashSet::new();
            for asked in request.groups {
                // All of a group is told once, however often it is asked for.
                if asked.topics.is_none() && !whole.insert(asked.group_id.clone()) {
                    continue;
                }
                groups.push(group(&cx, asked, &known));
            }
            cx.answer(&DescribeShareGroupOffsetsResponse::default().with_groups(groups))
        })
    }
}

/// Queues of groups, by group and partition.
type Known = BTreeMap<Arc<str>, BTreeMap<PartitionId, Depth>>;

/// The queues of the groups that are asked for, with one look at the shards.
async fn survey(cx: &Context, groups: &[AskedGroup]) -> Result<Known, ErrorCode> {
    let wanted: HashSet<&str> = groups.iter().map(|group| &**group.group_id).collect();
    let only = match &*wanted.iter().collect::<Vec<_>>() {
        [] => return Ok(Known::new()),
        [only] => Some(own(only)),
        _ => None,
    };
    let mut known = Known::new();
    for (QueueKey { group, partition }, depth) in cx.broker.shares.survey(only).await? {
        if wanted.contains(&*group) {
            known.entry(group).or_default().insert(partition, depth);
        }
    }
    Ok(known)
}

fn group(cx: &Context, asked: AskedGroup, known: &Result<Known, ErrorCode>) -> Group {
    let answer = Group::default();
    let none = BTreeMap::new();
    let queues = match known {
        Ok(known) => known.get(&**asked.group_id).unwrap_or(&none),
        Err(error) => {
            return answer
                .with_group_id(asked.group_id)
                .with_error_code(error.code())
                .with_error_message(Some(text("Some queues cannot be looked at now.")));
        }
    };
    let topics = match asked.topics {
        Some(topics) => topics
            .into_iter()
            .map(|topic| named(cx, topic, queues))
            .collect(),
        None => all(cx, queues),
    };
    answer.with_group_id(asked.group_id).with_topics(topics)
}

fn named(cx: &Context, asked: AskedTopic, queues: &BTreeMap<PartitionId, Depth>) -> Topic {
    let id = cx.broker.catalog.view.topic(&asked.topic_name);
    let id = id.map_or(TopicId::nil(), |topic| topic.id);
    let rows = asked.partitions.into_iter().map(|index| {
        let partition = PartitionId { topic: id, index };
        row(cx, partition, queues.get(&partition))
    });
    Topic::default()
        .with_topic_name(asked.topic_name)
        .with_topic_id(id)
        .with_partitions(rows.collect())
}

/// All topics that are still there.
fn all(cx: &Context, queues: &BTreeMap<PartitionId, Depth>) -> Vec<Topic> {
    let mut topics: BTreeMap<TopicId, Vec<Row>> = BTreeMap::new();
    for (partition, depth) in queues {
        let rows = topics.entry(partition.topic).or_default();
        rows.push(row(cx, *partition, Some(depth)));
    }
    let topics = topics.into_iter().filter_map(|(id, rows)| {
        let topic = cx.broker.catalog.view.topic_by_id(id)?;
        Some(
            Topic::default()
                .with_topic_name(TopicName(text(&topic.name)))
                .with_topic_id(id)
                .with_partitions(rows),
        )
    });
    topics.collect()
}

fn row(cx: &Context, partition: PartitionId, depth: Option<&Depth>) -> Row {
    let row = Row::default().with_partition_index(partition.index);
    let Some(depth) = depth else {
        return row.with_start_offset(UNKNOWN);
    };
    let log = cx.broker.engine.partition(partition);
    let lag = log.map_or(UNKNOWN, |log| {
        lag(depth, log.offsets().high_watermark.get())
    });
    row.with_start_offset(depth.start.get()).with_lag(lag)
}

/// Records below `end` that are not done.
fn lag(depth: &Depth, end: i64) -> i64 {
    let complete = i64::try_from(depth.complete).unwrap_or(i64::MAX);
    (end - depth.start.get()).saturating_sub(complete).max(0)
}

#[cfg(test)]
mod tests;

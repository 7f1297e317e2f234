//! DescribeLogDirs (key 35), versions 1 to 4: the data directory and the bytes in it.
//!
//! - v1: topics, null for all, with the size of each partition
//! - v2: flexible; v3: error code of the whole answer; v4: bytes of the file system

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use ratel_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use ratel_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use ratel_protocol::{ApiKey, StrBytes};

use super::{Api, Context, Later};
use crate::coordinator::catalog::Topic;
use crate::disk_space;

pub struct DescribeLogDirs;

impl Api for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
    const VERSIONS: RangeInclusive<i16> = 1..=4;

    async fn handle(cx: Context, request: DescribeLogDirsRequest) -> Later {
        let dir = &cx.broker.config.log_dir;
        let path = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let (total, usable) =
            disk_space::of(dir).map_or((-1, -1), |(total, usable)| (bytes(total), bytes(usable)));
        let result = DescribeLogDirsResult::default()
            .with_log_dir(StrBytes::from_string(path.display().to_string()))
            .with_topics(topics(&cx, &request))
            .with_total_bytes(total)
            .with_usable_bytes(usable);
        cx.ready(&DescribeLogDirsResponse::default().with_results(vec![result]))
    }
}

fn topics(cx: &Context, request: &DescribeLogDirsRequest) -> Vec<DescribeLogDirsTopic> {
    let view = &cx.broker.catalog.view;
    let Some(asked) = &request.topics else {
        let topics = view.topics();
        return topics
            .iter()
            .map(|topic| described(cx, topic, 0..topic.partitions))
            .collect();
    };
    // Each partition once, however often it is named.
    let mut wanted: HashMap<&str, HashSet<i32>> = HashMap::new();
    for topic in asked {
        wanted
            .entry(&topic.topic)
            .or_default()
            .extend(&topic.partitions);
    }
    wanted
        .into_iter()
        .filter_map(|(name, indexes)| Some((view.topic(name)?, indexes)))
        .map(|(topic, indexes)| described(cx, &topic, indexes))
        .collect()
}

fn described(
    cx: &Context,
    topic: &Topic,
    indexes: impl IntoIterator<Item = i32>,
) -> DescribeLogDirsTopic {
    let partitions = indexes.into_iter().filter_map(|index| {
        let size = cx.broker.partition(topic, index).ok()?.size();
        Some(
            DescribeLogDirsPartition::default()
                .with_partition_index(index)
                .with_partition_size(i64::try_from(size).unwrap_or(i64::MAX)),
        )
    });
    DescribeLogDirsTopic::default()
        .with_name(TopicName(StrBytes::from_string(topic.name.to_string())))
        .with_partitions(partitions.collect())
}

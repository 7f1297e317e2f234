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

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
    use ratel_storage::{Durability, Origin};

    use super::*;
    use crate::api::testing::{Bench, NOW_MS, batch};
    use crate::config::Config;

    fn request(topics: Option<&[(&str, &[i32])]>) -> DescribeLogDirsRequest {
        let topics = topics.map(|topics| {
            let topics = topics.iter().map(|(name, indexes)| {
                DescribableLogDirTopic::default()
                    .with_topic(TopicName((*name).to_owned().into()))
                    .with_partitions(indexes.to_vec())
            });
            topics.collect()
        });
        DescribeLogDirsRequest::default().with_topics(topics)
    }

    /// `topic-index=bytes`, sorted.
    async fn sizes(bench: &Bench, request: &DescribeLogDirsRequest) -> Vec<String> {
        let response = bench.send(4, request).await;
        let topics = response.results[0].topics.iter();
        let mut sizes: Vec<_> = topics
            .flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(|p| {
                    assert_eq!((p.offset_lag, p.is_future_key), (0, false));
                    format!(
                        "{}-{}={}",
                        topic.name.as_str(),
                        p.partition_index,
                        p.partition_size
                    )
                })
            })
            .collect();
        sizes.sort();
        sizes
    }

    #[tokio::test]
    async fn a_7_sizes_are_the_bytes_of_the_segments() {
        let bench = Bench::new();
        let topic = bench.topic("t", 2);
        bench.topic("u", 1);
        let partition = bench.broker.partition(&topic, 1).expect("a partition");
        let batch = batch(&["some", "values"]);
        let appended = partition.append(&batch, Origin::Client, Durability::Synced, NOW_MS);
        appended.await.expect("appended");
        let one = format!("t-1={}", batch.bytes().len());
        let all = ["t-0=0".to_owned(), one.clone(), "u-0=0".to_owned()];
        assert_eq!(sizes(&bench, &request(None)).await, all);
        let some = request(Some(&[("t", &[1, 1, 7]), ("t", &[1]), ("nope", &[0])]));
        assert_eq!(sizes(&bench, &some).await, [one]);
        assert_eq!(sizes(&bench, &request(Some(&[]))).await, [""; 0]);
    }

    #[tokio::test]
    async fn a_7_every_version_names_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let bench = Bench::with(Config {
            log_dir: dir.path().to_path_buf(),
            ..Config::default()
        });
        for version in 1..=4 {
            let response = bench.send(version, &request(None)).await;
            let [result] = &response.results[..] else {
                panic!("one directory");
            };
            assert_eq!(&*result.log_dir, dir.path().to_str().expect("a plain path"));
            assert_eq!((response.error_code, result.error_code), (0, 0));
            let (total, usable) = (result.total_bytes, result.usable_bytes);
            if version >= 4 {
                assert!(0 < usable && usable <= total);
            } else {
                assert_eq!((total, usable), (-1, -1));
            }
        }
    }
}

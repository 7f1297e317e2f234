//! AlterReplicaLogDirs (key 34), versions 1 to 2: there is one data directory.
//!
//! A partition that is to lie there lies there already: success. Another directory is
//! LOG_DIR_NOT_FOUND, and only then is the partition looked for (UNKNOWN_TOPIC_OR_PARTITION).
//! - v2: flexible

use std::ops::RangeInclusive;
use std::path::{Path, absolute};

use ratel_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use ratel_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::{Api, Context, Later};

pub struct AlterReplicaLogDirs;

impl Api for AlterReplicaLogDirs {
    type Request = AlterReplicaLogDirsRequest;
    const KEY: ApiKey = ApiKey::AlterReplicaLogDirs;
    const VERSIONS: RangeInclusive<i16> = 1..=2;

    async fn handle(cx: Context, request: AlterReplicaLogDirsRequest) -> Later {
        let ours = absolute(&cx.broker.config.log_dir).ok();
        let mut results = Vec::new();
        for dir in request.dirs {
            let there = ours.is_some() && absolute(Path::new(&*dir.path)).ok() == ours;
            for topic in dir.topics {
                let partitions = topic.partitions.iter().map(|index| {
                    let outcome = if there {
                        cx.broker.partition_by_name(&topic.name, *index).map(drop)
                    } else {
                        Err(ErrorCode::LogDirNotFound)
                    };
                    AlterReplicaLogDirPartitionResult::default()
                        .with_partition_index(*index)
                        .with_error_code(outcome.err().map_or(0, |code| code.code()))
                });
                let partitions = partitions.collect();
                results.push(
                    AlterReplicaLogDirTopicResult::default()
                        .with_topic_name(topic.name)
                        .with_partitions(partitions),
                );
            }
        }
        cx.ready(&AlterReplicaLogDirsResponse::default().with_results(results))
    }
}

#[cfg(test)]
mod tests {
    use ratel_protocol::StrBytes;
    use ratel_protocol::messages::TopicName;
    use ratel_protocol::messages::alter_replica_log_dirs_request::{
        AlterReplicaLogDir, AlterReplicaLogDirTopic,
    };

    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn a_partition_can_only_stay_in_the_one_directory() {
        let bench = Bench::new();
        bench.topic("t", 1);
        let here = absolute(&bench.broker.config.log_dir).expect("a path");
        let dir = |path: String| {
            let topic = AlterReplicaLogDirTopic::default()
                .with_name(TopicName(StrBytes::from_static_str("t")))
                .with_partitions(vec![0, 1]);
            AlterReplicaLogDir::default()
                .with_path(path.into())
                .with_topics(vec![topic])
        };
        let dirs = vec![dir(here.display().to_string()), dir("/elsewhere".into())];
        let request = AlterReplicaLogDirsRequest::default().with_dirs(dirs);
        for version in 1..=2 {
            let response = bench.send(version, &request).await;
            let topics = response.results.iter();
            let codes: Vec<_> = topics
                .flat_map(|topic| topic.partitions.iter().map(|result| result.error_code))
                .collect();
            assert_eq!(codes, [0, 3, 57, 57]);
        }
    }
}

//! DeleteRecords (key 21), versions 0 to 2: move the start of logs up (D-1).
//!
//! An offset of -1 stands for the high watermark; one below the start changes nothing. The answer
//! holds each log's new start, and waits until it is durable. The request's timeout is for other
//! replicas, of which there are none. A topic that is only compacted keeps the last record of each
//! key, so its start is nobody's to move: POLICY_VIOLATION.
//! - v2: flexible

use std::ops::RangeInclusive;

use ratel_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use ratel_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::{Offset, PartitionId, Pending};

use super::{Answer, Api, Context, Later};
use crate::error;

pub struct DeleteRecords;

impl Api for DeleteRecords {
    type Request = DeleteRecordsRequest;
    const KEY: ApiKey = ApiKey::DeleteRecords;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(cx: Context, request: DeleteRecordsRequest) -> Later {
        let started: Vec<_> = request
            .topics
            .iter()
            .flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(|asked| begin(&cx, &topic.name, asked.partition_index, asked.offset))
            })
            .collect();
        Later::wait(answer(cx, request, started))
    }
}

type Started = (PartitionId, Pending<Offset>);

fn begin(cx: &Context, topic: &str, index: i32, offset: i64) -> Result<Started, ErrorCode> {
    let topic = cx.broker.catalog.view.topic(topic);
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if topic.internal {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = cx.broker.partition(&topic, index)?;
    if topic.settings.compact && !topic.settings.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let to = match offset {
        -1 => partition.offsets().high_watermark,
        0.. => Offset::new(offset),
        _ => return Err(ErrorCode::OffsetOutOfRange),
    };
    Ok((partition.id(), partition.advance_start(to)))
}

async fn answer(
    cx: Context,
    request: DeleteRecordsRequest,
    started: Vec<Result<Started, ErrorCode>>,
) -> Answer {
    let mut started = started.into_iter();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (asked, started) in topic.partitions.iter().zip(&mut started) {
            let moved = match started {
                Err(code) => Err(code),
                Ok((id, pending)) => match pending.await {
                    Err(refused) => Err(error::code(&refused)),
                    Ok(start) => {
                        // What is gone is no longer to be done.
                        cx.broker.shares.log_start(id, start);
                        Ok(start)
                    }
                },
            };
            let result =
                DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            partitions.push(match moved {
                Ok(start) => result.with_low_watermark(start.get()),
                Err(code) => result.with_low_watermark(-1).with_error_code(code.code()),
            });
        }
        topics.push(
            DeleteRecordsTopicResult::default()
                .with_name(topic.name)
                .with_partitions(partitions),
        );
    }
    cx.answer(&DeleteRecordsResponse::default().with_topics(topics))
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::TopicName;
    use ratel_protocol::messages::delete_records_request::{
        DeleteRecordsPartition, DeleteRecordsTopic,
    };
    use ratel_storage::{Bound, Durability, LogSettings, Origin, ReadRequest, StorageError};

    use super::*;
    use crate::api::testing::{Bench, NOW_MS, batch};

    fn request(topic: &str, asked: &[(i32, i64)]) -> DeleteRecordsRequest {
        let partitions = asked.iter().map(|(index, offset)| {
            DeleteRecordsPartition::default()
                .with_partition_index(*index)
                .with_offset(*offset)
        });
        let topic = DeleteRecordsTopic::default()
            .with_name(TopicName(topic.to_owned().into()))
            .with_partitions(partitions.collect());
        DeleteRecordsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(30_000)
    }

    /// Delete in partition 0: the code and the new start.
    async fn delete(bench: &Bench, version: i16, topic: &str, offset: i64) -> (i16, i64) {
        let response = bench.send(version, &request(topic, &[(0, offset)])).await;
        let result = &response.topics[0].partitions[0];
        (result.error_code, result.low_watermark)
    }

    async fn bench() -> Bench {
        let bench = Bench::new();
        let topic = bench.topic("t", 1);
        let partition = bench.broker.partition(&topic, 0).expect("a partition");
        for _ in 0..2 {
            let batch = batch(&["a", "b", "c"]);
            let appended = partition.append(&batch, Origin::Client, Durability::Synced, NOW_MS);
            appended.await.expect("appended");
        }
        bench
    }

    #[tokio::test]
    async fn d_1_the_start_moves_up_and_never_back() {
        let bench = bench().await;
        for (version, offset, start) in [(0, 2, 2), (1, 1, 2), (2, 5, 5), (2, 0, 5), (2, -1, 6)] {
            assert_eq!(delete(&bench, version, "t", offset).await, (0, start));
        }
    }

    /// librdkafka's own test asks with a timeout of 0, as Kafka's never runs out on one node.
    #[tokio::test]
    async fn d_1_a_short_timeout_is_no_reason_to_fail() {
        let bench = bench().await;
        for (timeout_ms, offset) in [(0, 2), (-1, 3), (1, 4)] {
            let request = request("t", &[(0, offset)]).with_timeout_ms(timeout_ms);
            let response = bench.send(2, &request).await;
            let result = &response.topics[0].partitions[0];
            assert_eq!((result.error_code, result.low_watermark), (0, offset));
        }
    }

    #[tokio::test]
    async fn d_1_what_cannot_be_deleted_is_refused() {
        let bench = bench().await;
        bench.topic_with("__consumer_offsets", 1, true, LogSettings::default());
        assert_eq!(delete(&bench, 2, "t", 7).await, (1, -1));
        assert_eq!(delete(&bench, 2, "t", -2).await, (1, -1));
        assert_eq!(delete(&bench, 2, "nope", 0).await, (3, -1));
        assert_eq!(delete(&bench, 2, "__consumer_offsets", -1).await, (17, -1));
        let mixed = bench.send(2, &request("t", &[(9, 0), (0, 1)])).await;
        let codes = mixed.topics[0]
            .partitions
            .iter()
            .map(|result| result.error_code);
        assert_eq!(codes.collect::<Vec<_>>(), [3, 0]);
    }

    #[tokio::test]
    async fn d_1_a_topic_that_is_only_compacted_keeps_its_start() {
        let bench = bench().await;
        for (name, delete_too, expected) in [("c", false, (44, -1)), ("cd", true, (0, 0))] {
            let settings = LogSettings {
                compact: true,
                delete: delete_too,
                ..LogSettings::default()
            };
            bench.topic_with(name, 1, false, settings);
            assert_eq!(delete(&bench, 2, name, 0).await, expected);
            assert_eq!(delete(&bench, 2, name, -1).await, expected);
        }
    }

    #[tokio::test]
    async fn d_1_a_read_below_the_start_is_refused_in_the_middle_of_a_segment() {
        let bench = bench().await;
        assert_eq!(delete(&bench, 2, "t", 4).await, (0, 4));
        let partition = bench.broker.partition_by_name("t", 0).expect("a partition");
        let read = |from| {
            partition.read(ReadRequest {
                from: Offset::new(from),
                max_bytes: 1000,
                at_least_one: true,
                bound: Bound::HighWatermark,
            })
        };
        let refused = read(3).await.expect_err("a refusal");
        assert!(matches!(refused, StorageError::OffsetOutOfRange { .. }));
        assert!(read(4).await.expect("a read").records.is_some());
    }
}

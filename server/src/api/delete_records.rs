//! DeleteRecords (key 21), versions 0 to 2: move the start of logs up (D-1).
//!
//! An offset of -1 stands for the high watermark; one below the start changes nothing. The answer
//! holds each log's new start, and waits until it is durable.
//! - v2: flexible

use std::ops::RangeInclusive;
use std::time::Duration;

use ratel_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use ratel_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::{Offset, Pending};

use super::{Answer, Api, Context, Later};
use crate::error;
use crate::long_poll::{deadline, within};

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

fn begin(cx: &Context, topic: &str, index: i32, offset: i64) -> Result<Pending<Offset>, ErrorCode> {
    let topic = cx.broker.catalog.view.topic(topic);
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if topic.internal {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = cx.broker.partition(&topic, index)?;
    let to = match offset {
        -1 => partition.offsets().high_watermark,
        0.. => Offset::new(offset),
        _ => return Err(ErrorCode::OffsetOutOfRange),
    };
    Ok(partition.advance_start(to))
}

async fn answer(
    cx: Context,
    request: DeleteRecordsRequest,
    started: Vec<Result<Pending<Offset>, ErrorCode>>,
) -> Answer {
    let timeout_ms = u64::try_from(request.timeout_ms).unwrap_or(0);
    let deadline = deadline(Duration::from_millis(timeout_ms));
    let mut started = started.into_iter();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (asked, started) in topic.partitions.iter().zip(&mut started) {
            let moved = match started {
                Err(code) => Err(code),
                Ok(pending) => match within(deadline, pending).await {
                    None => Err(ErrorCode::RequestTimedOut),
                    Some(moved) => moved.map_err(|refused| error::code(&refused)),
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

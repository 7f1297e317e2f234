//! WriteTxnMarkers (key 27), version 1: end a producer's transaction in some partitions.
//!
//! Kafka's coordinators send it to leaders, and an operator who aborts a transaction that hangs
//! (`kafka-transactions.sh abort`). Here the coordinator writes markers itself, so it is the
//! operator, and cannot fence the coordinator by naming a higher epoch of it. All markers are in
//! their logs when the connection takes its next request; the answer waits until they are durable.
//! Partitions fail one by one, and one that is named twice counts once: a producer id or epoch
//! below 0 is INVALID_REQUEST for all of its marker.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use ratel_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use ratel_protocol::messages::{TopicName, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::{Marker, Outcome, Producer};

use super::groups::{code, own, text};
use super::{Api, Context, Later};

pub struct WriteTxnMarkers;

impl Api for WriteTxnMarkers {
    type Request = WriteTxnMarkersRequest;
    const KEY: ApiKey = ApiKey::WriteTxnMarkers;
    const VERSIONS: RangeInclusive<i16> = 1..=1;

    async fn handle(cx: Context, request: WriteTxnMarkersRequest) -> Later {
        let markers = request.markers.iter();
        let writing: Vec<_> = markers
            .map(|asked| (asked.producer_id, write(&cx, asked)))
            .collect();
        drop(request);
        Later::wait(async move {
            let mut markers = Vec::new();
            for (producer_id, topics) in writing {
                let mut results = Vec::new();
                for writing in topics {
                    results.push(topic_result(writing).await);
                }
                let result = WritableTxnMarkerResult::default()
                    .with_producer_id(producer_id)
                    .with_topics(results);
                markers.push(result);
            }
            cx.answer(&WriteTxnMarkersResponse::default().with_markers(markers))
        })
    }
}

/// Markers on their way into the partitions of a topic.
struct Writing<F> {
    topic: Arc<str>,
    partitions: Vec<(i32, F)>,
}

/// Append one marker wherever it is asked for, once; its places are fixed when this returns.
fn write(
    cx: &Context,
    asked: &WritableTxnMarker,
) -> Vec<Writing<impl Future<Output = Result<(), ErrorCode>> + use<>>> {
    let marker = marker(asked);
    let mut seen = BTreeSet::new();
    let mut topics = Vec::new();
    for topic in &asked.topics {
        let indexes = topic.partition_indexes.iter().copied();
        let indexes = indexes.filter(|index| seen.insert((&*topic.name, *index)));
        let written = indexes.map(|index| {
            let transactions = &cx.broker.transactions;
            (
                index,
                transactions.write_marker(&marker, &topic.name, index),
            )
        });
        let partitions: Vec<_> = written.collect();
        if !partitions.is_empty() {
            let topic = own(&topic.name);
            topics.push(Writing { topic, partitions });
        }
    }
    topics
}

async fn topic_result(
    writing: Writing<impl Future<Output = Result<(), ErrorCode>>>,
) -> WritableTxnMarkerTopicResult {
    let mut results = Vec::with_capacity(writing.partitions.len());
    for (index, written) in writing.partitions {
        let result = WritableTxnMarkerPartitionResult::default()
            .with_partition_index(index)
            .with_error_code(code(written.await));
        results.push(result);
    }
    WritableTxnMarkerTopicResult::default()
        .with_name(TopicName(text(&writing.topic)))
        .with_partitions(results)
}

/// The marker that is asked for. Version 1 of the request does not say which epochs are right, so
/// it is that of transactions whose epoch stays.
fn marker(asked: &WritableTxnMarker) -> Marker {
    Marker {
        producer: Producer {
            id: asked.producer_id.0,
            epoch: asked.producer_epoch,
        },
        outcome: match asked.transaction_result {
            true => Outcome::Commit,
            false => Outcome::Abort,
        },
        coordinator_epoch: asked.coordinator_epoch,
        transaction_version: 0,
    }
}

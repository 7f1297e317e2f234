//! WriteTxnMarkers (key 27), version 1: end a producer's transaction in some partitions.
//!
//! Kafka's coordinators send it to leaders, and an operator who aborts a transaction that hangs
//! (`kafka-transactions.sh abort`). Here the coordinator writes markers itself, so it is the
//! operator. All markers are in their logs when the connection takes its next request; the answer
//! waits until they are durable. Partitions fail one by one: a producer id or epoch below 0 is
//! INVALID_REQUEST for all of its marker.

use std::ops::RangeInclusive;

use ratel_protocol::ApiKey;
use ratel_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use ratel_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use ratel_protocol::messages::{TopicName, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use ratel_storage::{Marker, Outcome, Producer};

use super::groups::{code, own, text};
use super::{Api, Context, Later};

pub struct WriteTxnMarkers;

impl Api for WriteTxnMarkers {
    type Request = WriteTxnMarkersRequest;
    const KEY: ApiKey = ApiKey::WriteTxnMarkers;
    const VERSIONS: RangeInclusive<i16> = 1..=1;

    async fn handle(cx: Context, request: WriteTxnMarkersRequest) -> Later {
        let mut writing = Vec::new();
        for asked in &request.markers {
            let marker = marker(asked);
            let topics = asked.topics.iter().map(|topic| {
                let indexes = topic.partition_indexes.iter();
                let partitions = indexes.map(|index| {
                    let transactions = &cx.broker.transactions;
                    (
                        *index,
                        transactions.write_marker(&marker, &topic.name, *index),
                    )
                });
                (own(&topic.name), partitions.collect::<Vec<_>>())
            });
            writing.push((asked.producer_id, topics.collect::<Vec<_>>()));
        }
        drop(request);
        Later::wait(async move {
            let mut markers = Vec::new();
            for (producer_id, asked) in writing {
                let mut topics = Vec::new();
                for (topic, asked) in asked {
                    let mut partitions = Vec::new();
                    for (index, written) in asked {
                        let result = WritableTxnMarkerPartitionResult::default()
                            .with_partition_index(index)
                            .with_error_code(code(written.await));
                        partitions.push(result);
                    }
                    let result = WritableTxnMarkerTopicResult::default()
                        .with_name(TopicName(text(&topic)))
                        .with_partitions(partitions);
                    topics.push(result);
                }
                let result = WritableTxnMarkerResult::default()
                    .with_producer_id(producer_id)
                    .with_topics(topics);
                markers.push(result);
            }
            cx.answer(&WriteTxnMarkersResponse::default().with_markers(markers))
        })
    }
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

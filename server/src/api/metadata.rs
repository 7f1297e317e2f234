//! Metadata (key 3), versions 0 to 13: the broker, the topics, and who leads their partitions.
//!
//! One node: it is the controller and the leader, only replica and in-sync replica of everything
//! (M-4, M-5). A topic that is missing is made at once where that is allowed (M-2).
//! - v0: an empty list asks for all topics; v1: null asks for all, empty for none (M-1)
//! - v1: controller, `is_internal`; v2: cluster id; v3: throttle time; v5: offline replicas
//! - v4: `allow_auto_topic_creation` (before: always)
//! - v7: leader epoch; v8: authorized operations (of the cluster only up to v10)
//! - v9: flexible; v10: topic ids in the answer
//! - v12: topics by id (M-3), null names; v13: error code of the whole answer

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::metadata_request::MetadataRequestTopic;
use ratel_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ratel_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::{Api, Context, Later};
use crate::advertised;
use crate::coordinator::catalog::{self, Topic};

pub struct Metadata;

/// What a client may do with a topic where nothing is forbidden: bit n is operation n of
/// KIP-430 (read, write, create, delete, alter, describe, describe and alter configurations).
pub(super) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// The same for the cluster (create, alter, describe, cluster action, describe and alter
/// configurations, idempotent write).
pub(super) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
/// Authorized operations when nobody asked for them (M-5).
pub(super) const NOT_ASKED: i32 = i32::MIN;

impl Api for Metadata {
    type Request = MetadataRequest;
    const KEY: ApiKey = ApiKey::Metadata;
    const VERSIONS: RangeInclusive<i16> = 0..=13;

    async fn handle(cx: Context, request: MetadataRequest) -> Later {
        let operations = if request.include_topic_authorized_operations {
            TOPIC_OPERATIONS
        } else {
            NOT_ASKED
        };
        let topics = match &request.topics {
            Some(named) if cx.version > 0 || !named.is_empty() => {
                named_topics(&cx, named, request.allow_auto_topic_creation).await
            }
            _ => all_topics(&cx),
        };
        let topics = topics
            .into_iter()
            .map(|topic| topic.with_topic_authorized_operations(operations))
            .collect();
        let (host, port) = advertised::endpoint(&cx.broker.config, &cx.session);
        let node_id = cx.broker.config.node_id;
        let response = MetadataResponse::default()
            .with_brokers(vec![
                MetadataResponseBroker::default()
                    .with_node_id(node_id.into())
                    .with_host(host.into())
                    .with_port(port.into()),
            ])
            .with_cluster_id(Some(StrBytes::from_string(
                cx.broker.cluster_id.to_string(),
            )))
            .with_controller_id(node_id.into())
            .with_topics(topics)
            .with_cluster_authorized_operations(if request.include_cluster_authorized_operations {
                CLUSTER_OPERATIONS
            } else {
                NOT_ASKED
            });
        cx.ready(&downgrade(response, cx.version))
    }
}

fn all_topics(cx: &Context) -> Vec<MetadataResponseTopic> {
    let topics = cx.broker.catalog.view.topics();
    topics.iter().map(|topic| found(cx, topic)).collect()
}

/// The answers for topics that a client listed, each once: a request that names a topic of ten
/// thousand partitions a million times must not be answered a million times.
async fn named_topics(
    cx: &Context,
    named: &[MetadataRequestTopic],
    allow_creation: bool,
) -> Vec<MetadataResponseTopic> {
    let may_create =
        cx.broker.config.auto_create_topics_enable && (cx.version < 4 || allow_creation);
    let mut seen = HashSet::with_capacity(named.len());
    let once = named
        .iter()
        .filter(|asked| seen.insert((asked.topic_id, asked.name.as_deref())));
    // All creations are on their way before the first is waited for: they share their syncs.
    let lookups: Vec<_> = once
        .map(|asked| (asked, look_up(cx, asked, may_create)))
        .collect();
    let mut topics = Vec::with_capacity(lookups.len());
    for (asked, lookup) in lookups {
        let topic = match lookup {
            Lookup::Done(outcome) => outcome,
            Lookup::Created(creation) => creation.await,
        };
        topics.push(match topic {
            Ok(topic) => found(cx, &topic),
            Err(code) => missing(asked, code),
        });
    }
    topics
}

/// A topic that is there or is not, or will be.
enum Lookup<F> {
    Done(Result<Arc<Topic>, ErrorCode>),
    Created(F),
}

fn look_up(
    cx: &Context,
    asked: &MetadataRequestTopic,
    may_create: bool,
) -> Lookup<impl Future<Output = Result<Arc<Topic>, ErrorCode>> + use<>> {
    let view = &cx.broker.catalog.view;
    let by_id = !asked.topic_id.is_nil();
    let Some(name) = asked.name.as_deref().filter(|_| !by_id) else {
        return Lookup::Done(if cx.version < 12 {
            Err(ErrorCode::InvalidRequest)
        } else {
            let topic = view.topic_by_id(asked.topic_id);
            topic.ok_or(ErrorCode::UnknownTopicId)
        });
    };
    if let Some(topic) = view.topic(name) {
        return Lookup::Done(Ok(topic));
    }
    if !catalog::is_legal_name(name) {
        return Lookup::Done(Err(ErrorCode::InvalidTopicException));
    }
    // Of the server's own topics only the one that it uses is made.
    let is_foreign = catalog::is_internal_name(name) && name != catalog::OFFSETS_TOPIC;
    if !may_create || is_foreign {
        return Lookup::Done(Err(ErrorCode::UnknownTopicOrPartition));
    }
    // Above the client's quota of partitions the topic is not there yet, and the client asks again.
    let quotas = &cx.broker.client_quotas;
    let partitions = cx.broker.catalog.brokers().effective().num_partitions;
    let now_ms = cx.received.monotonic_ms;
    let taken = quotas.mutates(cx.client_id.as_deref(), partitions, now_ms, true);
    if taken.is_err() {
        return Lookup::Done(Err(ErrorCode::UnknownTopicOrPartition));
    }
    Lookup::Created(cx.broker.catalog.create_automatically(name))
}

fn missing(asked: &MetadataRequestTopic, code: ErrorCode) -> MetadataResponseTopic {
    let by_id = !asked.topic_id.is_nil();
    MetadataResponseTopic::default()
        .with_error_code(code.code())
        .with_topic_id(asked.topic_id)
        .with_name(asked.name.clone().filter(|_| !by_id))
}

fn found(cx: &Context, topic: &Topic) -> MetadataResponseTopic {
    let partitions = (0..topic.partitions)
        .map(|index| partition(cx, topic, index))
        .collect();
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(
            topic.name.to_string(),
        ))))
        .with_topic_id(topic.id)
        .with_is_internal(topic.internal)
        .with_partitions(partitions)
}

pub(super) fn partition(cx: &Context, topic: &Topic, index: i32) -> MetadataResponsePartition {
    let node = cx.broker.config.node_id.into();
    let answer = MetadataResponsePartition::default()
        .with_partition_index(index)
        .with_replica_nodes(vec![node]);
    match cx.broker.partition(topic, index) {
        Ok(partition) => answer
            .with_leader_id(node)
            .with_leader_epoch(partition.offsets().leader_epoch)
            .with_isr_nodes(vec![node]),
        // It could not be opened, or is being deleted.
        Err(_) => answer
            .with_error_code(ErrorCode::LeaderNotAvailable.code())
            .with_leader_id((-1).into())
            .with_offline_replicas(vec![node]),
    }
}

/// Drop what `version` cannot carry.
fn downgrade(mut response: MetadataResponse, version: i16) -> MetadataResponse {
    if !(8..=10).contains(&version) {
        response.cluster_authorized_operations = NOT_ASKED;
    }
    for topic in &mut response.topics {
        if version < 8 {
            topic.topic_authorized_operations = NOT_ASKED;
        }
        if version < 12 && topic.name.is_none() {
            topic.name = Some(TopicName::default());
        }
    }
    response
}

#[cfg(test)]
mod tests;

//! CreateTopics (key 19), versions 2 to 7: make topics.
//!
//! The answer goes out when the topics are durable and can be written to. `validate_only` makes
//! nothing and answers as if it had. One server is one replica: a larger replication factor is
//! refused, unless `replication.factor.clamp` is on. Partitions count towards the client's quota of
//! them (KIP-599).
//! - v4: -1 partitions or replicas stand for the broker's defaults (taken in every version)
//! - v5: flexible; the answer holds partitions, replicas and configuration
//! - v6: THROTTLING_QUOTA_EXCEEDED above the quota; before, the client is only told to be silent
//! - v7: the answer holds the topic's id

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::create_topics_request::CreatableTopic;
use ratel_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use ratel_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::mutations::Mutations;
use super::{Api, Context, Later};
use crate::catalog::fresh_id;
use crate::coordinator::catalog::config_key::ShownDefaults;
use crate::coordinator::catalog::machine::NewTopic;
use crate::coordinator::catalog::topic_config::TOPICS;
use crate::coordinator::catalog::{METADATA_LOG, Topic, check_legal_name, is_internal_name};
use crate::error::{Refusal, cut};

pub struct CreateTopics;

impl Api for CreateTopics {
    type Request = CreateTopicsRequest;
    const KEY: ApiKey = ApiKey::CreateTopics;
    const VERSIONS: RangeInclusive<i16> = 2..=7;

    async fn handle(cx: Context, request: CreateTopicsRequest) -> Later {
        let mut counts: HashMap<&TopicName, usize> = HashMap::new();
        for topic in &request.topics {
            *counts.entry(&topic.name).or_default() += 1;
        }
        let mut results = Vec::with_capacity(request.topics.len());
        let mut wanted = Vec::new();
        let mut mutations = Mutations::new(&cx, 6);
        for topic in &request.topics {
            // Of a name that stands there twice, one answer goes back.
            let outcome = match counts.get_mut(&topic.name).map(std::mem::take) {
                Some(1) => new_topic(&cx, topic).and_then(|new| {
                    mutations.take(&cx, new.partitions)?;
                    Ok(new)
                }),
                Some(0) | None => continue,
                Some(_) => Err(Refusal::new(
                    ErrorCode::InvalidRequest,
                    "The topic stands in the request more than once.",
                )),
            };
            results.push((
                topic.name.clone(),
                outcome.map(|new| wanted.push(new)).err(),
            ));
        }
        let created = cx.broker.catalog.create(wanted, request.validate_only);
        Later::wait(async move {
            let created = created.await;
            let throttle_ms = mutations.settle(&cx, &created);
            let mut created = created.into_iter();
            let defaults = ShownDefaults::new(&TOPICS, &cx.broker.catalog.brokers());
            let topics = results.into_iter().map(|(name, refused)| match refused {
                Some(refusal) => refused_result(name, refusal),
                None => match created.next() {
                    Some(Ok(topic)) => created_result(name, &topic, &defaults),
                    Some(Err(refusal)) => refused_result(name, refusal),
                    None => refused_result(name, ErrorCode::UnknownServerError.into()),
                },
            });
            let response = CreateTopicsResponse::default()
                .with_throttle_time_ms(throttle_ms)
                .with_topics(topics.collect());
            cx.answer(&response)
        })
    }
}

/// What the request asks for, if it makes sense.
fn new_topic(cx: &Context, topic: &CreatableTopic) -> Result<NewTopic, Refusal> {
    check_legal_name(&topic.name)?;
    if topic.name.as_str() == METADATA_LOG {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "__cluster_metadata is the name of the metadata log: no topic can have it.",
        ));
    }
    if cx.broker.catalog.view.topic(&topic.name).is_some() {
        let message = format!("Topic '{}' already exists.", &*topic.name);
        return Err(Refusal::new(ErrorCode::TopicAlreadyExists, message));
    }
    if is_internal_name(&topic.name) {
        return Err(Refusal::new(
            ErrorCode::InvalidTopicException,
            "The server makes this topic for itself when it is needed.",
        ));
    }
    let partitions = match topic.assignments.is_empty() {
        true => partitions(cx, topic)?,
        false => assigned_partitions(cx, topic)?,
    };
    let mut configs = BTreeMap::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            let message = format!("The configuration {} is given no value.", cut(&config.name));
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        };
        configs.insert(config.name.to_string(), value.trim().to_owned());
    }
    Ok(NewTopic {
        name: topic.name.as_str().into(),
        id: fresh_id(),
        partitions,
        configs,
        internal: false,
    })
}

/// How many partitions a request without assignments asks for.
fn partitions(cx: &Context, topic: &CreatableTopic) -> Result<i32, Refusal> {
    let brokers = cx.broker.catalog.brokers();
    let config = brokers.effective();
    let replicas = match topic.replication_factor {
        -1 => config.default_replication_factor,
        replicas => replicas,
    };
    if replicas < 1 {
        let message = format!("{replicas} replicas: a topic has at least one.");
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
    }
    if replicas > 1 && !config.replication_factor_clamp {
        let message = format!(
            "{replicas} replicas where there is 1 broker. Ask for 1 replica, or set \
             replication.factor.clamp=true to have any number taken as 1."
        );
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
    }
    match topic.num_partitions {
        -1 => Ok(config.num_partitions),
        count if count >= 1 => Ok(count),
        count => {
            let message = format!("{count} partitions: a topic has at least one.");
            Err(Refusal::new(ErrorCode::InvalidPartitions, message))
        }
    }
}

/// How many partitions a request places, each on this one broker.
fn assigned_partitions(cx: &Context, topic: &CreatableTopic) -> Result<i32, Refusal> {
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "With assignments, numbers of partitions and replicas must both be -1.",
        ));
    }
    let misplaced =
        |message: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    let mut indexes: Vec<_> = topic
        .assignments
        .iter()
        .map(|to| to.partition_index)
        .collect();
    indexes.sort_unstable();
    if !indexes.iter().copied().eq((0..).take(indexes.len())) {
        return misplaced("The assigned partitions are not 0, 1, 2 and so on, once each.".into());
    }
    let node_id = cx.broker.config.node_id;
    let elsewhere = topic.assignments.iter().find(|to| {
        let mut ids = to.broker_ids.iter();
        ids.next().is_none_or(|id| id.0 != node_id) || ids.next().is_some()
    });
    match elsewhere {
        Some(to) => misplaced(format!(
            "Partition {} must be assigned to broker {node_id}, the only one.",
            to.partition_index
        )),
        None => Ok(i32::try_from(indexes.len()).unwrap_or(i32::MAX)),
    }
}

fn created_result(
    name: TopicName,
    topic: &Arc<Topic>,
    defaults: &ShownDefaults,
) -> CreatableTopicResult {
    let configs = defaults.with(&topic.configs).into_iter().map(|shown| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(shown.name))
            .with_value(shown.value.map(StrBytes::from_string))
            .with_config_source(shown.source as i8)
    });
    CreatableTopicResult::default()
        .with_name(name)
        .with_topic_id(topic.id)
        .with_error_message(None)
        .with_num_partitions(topic.partitions)
        .with_replication_factor(1)
        .with_configs(Some(configs.collect()))
}

fn refused_result(name: TopicName, refusal: Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name)
        .with_error_code(refusal.code.code())
        .with_error_message(refusal.message)
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_configs(Some(Vec::new()))
}

//! CreatePartitions (key 37), versions 0 to 3: give topics more partitions.
//!
//! The number in the request is the one afterwards, and must be above the one before. The answer
//! goes out when the partitions are durable and can be written to.
//! - v2: flexible
//! - v3: THROTTLING_QUOTA_EXCEEDED above the client's quota of partitions (KIP-599); before, the
//!   client is only told to be silent

use std::collections::HashMap;
use std::ops::RangeInclusive;

use ratel_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use ratel_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use ratel_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse, TopicName};
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::TopicId;

use super::mutations::Mutations;
use super::{Api, Context, Later};
use crate::coordinator::catalog::check_growth;
use crate::error::Refusal;

pub struct CreatePartitions;

impl Api for CreatePartitions {
    type Request = CreatePartitionsRequest;
    const KEY: ApiKey = ApiKey::CreatePartitions;
    const VERSIONS: RangeInclusive<i16> = 0..=3;

    async fn handle(cx: Context, request: CreatePartitionsRequest) -> Later {
        let mut counts: HashMap<&TopicName, usize> = HashMap::new();
        for topic in &request.topics {
            *counts.entry(&topic.name).or_default() += 1;
        }
        let mut wanted = Vec::new();
        let mut mutations = Mutations::new(&cx, 3);
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let outcome = match counts.get_mut(&topic.name).map(std::mem::take) {
                Some(1) => check(&cx, topic).and_then(|(id, more)| {
                    mutations.take(&cx, more)?;
                    Ok((id, topic.count))
                }),
                Some(0) | None => continue,
                Some(_) => Err(Refusal::new(
                    ErrorCode::InvalidRequest,
                    "The topic stands in the request more than once.",
                )),
            };
            results.push((
                topic.name.clone(),
                outcome.map(|grown| wanted.push(grown)).err(),
            ));
        }
        let grown = cx.broker.catalog.grow(wanted, request.validate_only);
        Later::wait(async move {
            let grown = grown.await;
            let throttle_ms = mutations.settle(&cx, &grown);
            let mut grown = grown.into_iter();
            let results = results.into_iter().map(|(name, refused)| {
                let result = CreatePartitionsTopicResult::default().with_name(name);
                let missing = || Err(ErrorCode::UnknownServerError.into());
                match refused.or_else(|| grown.next().unwrap_or_else(missing).err()) {
                    None => result,
                    Some(refusal) => result
                        .with_error_code(refusal.code.code())
                        .with_error_message(refusal.message),
                }
            });
            let response = CreatePartitionsResponse::default()
                .with_throttle_time_ms(throttle_ms)
                .with_results(results.collect());
            cx.answer(&response)
        })
    }
}

/// The topic's id, and how many partitions it is to have more.
fn check(cx: &Context, asked: &CreatePartitionsTopic) -> Result<(TopicId, i32), Refusal> {
    let topic = cx.broker.catalog.view.topic(&asked.name);
    let topic = topic.ok_or_else(|| Refusal::unknown_topic(&asked.name))?;
    // The catalog says so, too; but before what is wrong with assignments or quotas, as Kafka.
    check_growth(topic.partitions, asked.count)?;
    let more = asked.count - topic.partitions;
    let Some(assignments) = &asked.assignments else {
        return Ok((topic.id, more));
    };
    let node_id = cx.broker.config.node_id;
    let misplaced =
        |message: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    let given = assignments.len();
    if usize::try_from(more) != Ok(given) {
        return misplaced(format!(
            "{given} assignments are given for {more} new partitions."
        ));
    }
    let here = |ids: &[ratel_protocol::messages::BrokerId]| matches!(ids, [id] if id.0 == node_id);
    match assignments.iter().all(|to| here(&to.broker_ids)) {
        true => Ok((topic.id, more)),
        false => misplaced(format!(
            "Each partition must be assigned to broker {node_id}, the only one."
        )),
    }
}

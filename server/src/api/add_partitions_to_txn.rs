//! AddPartitionsToTxn (key 24), versions 0 to 5: partitions become part of a transaction (T-5).
//!
//! A partition that does not exist fails all of its transaction: it gets its own code, the others
//! OPERATION_NOT_ATTEMPTED. The server's own topics are not for clients (before v4).
//! - v2: PRODUCER_FENCED instead of INVALID_PRODUCER_EPOCH; v3: flexible
//! - v4: many transactions, each of which may only be asked about (Kafka's brokers send it);
//!   v5: TRANSACTION_ABORTABLE for a partition that is not part of it, INVALID_TXN_STATE before

use std::ops::RangeInclusive;

use ratel_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use ratel_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use ratel_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, TopicName};
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::Producer;

use super::groups::{code, own, text};
use super::transactions::{fenced_before, transactional_id};
use super::{Api, Context, Later};
use crate::coordinator::txn::{Part, VERSION_WITH_EPOCHS};
use crate::transactions::Mode;

pub struct AddPartitionsToTxn;

impl Api for AddPartitionsToTxn {
    type Request = AddPartitionsToTxnRequest;
    const KEY: ApiKey = ApiKey::AddPartitionsToTxn;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(cx: Context, request: AddPartitionsToTxnRequest) -> Later {
        let transactions = match cx.version {
            ..4 => vec![
                AddPartitionsToTxnTransaction::default()
                    .with_transactional_id(request.v3_and_below_transactional_id)
                    .with_producer_id(request.v3_and_below_producer_id)
                    .with_producer_epoch(request.v3_and_below_producer_epoch)
                    .with_topics(request.v3_and_below_topics),
            ],
            _ => request.transactions,
        };
        let transactions = transactions.into_iter();
        let added: Vec<_> = transactions.map(|asked| add(&cx, &asked)).collect();
        Later::wait(async move {
            let mut results = Vec::with_capacity(added.len());
            for adding in added {
                results.push(adding.await);
            }
            let response = AddPartitionsToTxnResponse::default();
            if cx.version >= 4 {
                return cx.answer(&response.with_results_by_transaction(results));
            }
            let topics = results.pop().map(|result| result.topic_results);
            cx.answer(&response.with_results_by_topic_v3_and_below(topics.unwrap_or_default()))
        })
    }
}

/// Send one transaction's partitions to its coordinator; its order is fixed when this returns.
fn add(
    cx: &Context,
    asked: &AddPartitionsToTxnTransaction,
) -> impl Future<Output = AddPartitionsToTxnResult> + Send + use<> {
    let id = transactional_id(&asked.transactional_id);
    let parts = parts(&asked.topics);
    let found: Vec<_> = parts.iter().map(|part| check(cx, part)).collect();
    let producer = Producer {
        id: asked.producer_id.0,
        epoch: asked.producer_epoch,
    };
    let mode = match (asked.verify_only, cx.version) {
        (true, _) => Mode::Verify,
        (false, ..4) => Mode::Add(0),
        (false, _) => Mode::Add(VERSION_WITH_EPOCHS),
    };
    let all_found = found.iter().all(Result::is_ok);
    let transactions = &cx.broker.transactions;
    let added = all_found.then(|| transactions.add(&id, producer, parts.clone(), mode));
    let version = cx.version;
    async move {
        let outcomes = match added {
            Some(added) => added.await,
            None => found.into_iter().map(unattempted).collect(),
        };
        let codes = outcomes
            .into_iter()
            .map(|outcome| code(spoken(outcome, version)));
        AddPartitionsToTxnResult::default()
            .with_transactional_id(id)
            .with_topic_results(results(&parts, codes))
    }
}

fn parts(topics: &[AddPartitionsToTxnTopic]) -> Vec<Part> {
    let mut parts = Vec::new();
    for asked in topics {
        let topic = own(&asked.name);
        parts.extend(asked.partitions.iter().map(|index| Part {
            topic: topic.clone(),
            index: *index,
        }));
    }
    parts
}

fn check(cx: &Context, part: &Part) -> Result<(), ErrorCode> {
    let topic = cx.broker.catalog.view.topic(&part.topic);
    if cx.version < 4 && topic.as_ref().is_some_and(|topic| topic.internal) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let found = topic.and_then(|topic| topic.partition(part.index));
    found.map(drop).ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// What becomes of a partition if another one does not exist.
fn unattempted(found: Result<(), ErrorCode>) -> Result<(), ErrorCode> {
    found.and(Err(ErrorCode::OperationNotAttempted))
}

/// The code as this version knows it.
fn spoken(outcome: Result<(), ErrorCode>, version: i16) -> Result<(), ErrorCode> {
    outcome.map_err(|code| match fenced_before(2, version, code) {
        ErrorCode::TransactionAbortable if version < 5 => ErrorCode::InvalidTxnState,
        code => code,
    })
}

/// The codes by topic, in the order of the request.
fn results(parts: &[Part], codes: impl Iterator<Item = i16>) -> Vec<AddPartitionsToTxnTopicResult> {
    let mut topics: Vec<AddPartitionsToTxnTopicResult> = Vec::new();
    for (part, code) in parts.iter().zip(codes) {
        let result = AddPartitionsToTxnPartitionResult::default()
            .with_partition_index(part.index)
            .with_partition_error_code(code);
        match topics
            .last_mut()
            .filter(|topic| *topic.name.0 == *part.topic)
        {
            Some(topic) => topic.results_by_partition.push(result),
            None => topics.push(
                AddPartitionsToTxnTopicResult::default()
                    .with_name(TopicName(text(&part.topic)))
                    .with_results_by_partition(vec![result]),
            ),
        }
    }
    topics
}

//! TxnOffsetCommit (key 28), versions 0 to 5: offsets that count once their transaction is
//! committed (T-14).
//!
//! First the transaction must hold the group's partition of `__consumer_offsets`: up to v4 the
//! client has said so with AddOffsetsToTxn, and it is verified; from v5 on this request adds it
//! (T-7). A transaction that has offsets there already is not asked for again. Then the group
//! looks at who commits. The answer goes when the offsets are durable, as pending ones.
//!
//! - A partition that does not exist: UNKNOWN_TOPIC_OR_PARTITION for it alone; long metadata:
//!   OFFSET_METADATA_TOO_LARGE for it alone. All else is said of every partition that exists.
//! - An empty group: INVALID_GROUP_ID. A fenced producer: INVALID_PRODUCER_EPOCH; what does not
//!   hold the partition: TRANSACTION_ABORTABLE, before v4 INVALID_TXN_STATE.
//! - The group: UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, FENCED_INSTANCE_ID, if a member or a
//!   generation is named (v3+). ILLEGAL_GENERATION if there is no such group.
//! - v2: leader epochs, and clients that know COORDINATOR_LOAD_IN_PROGRESS (before:
//!   COORDINATOR_NOT_AVAILABLE); v3: flexible, members; v4: TRANSACTION_ABORTABLE; v5: adds

use std::ops::RangeInclusive;

use ratel_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use ratel_protocol::messages::{TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::{Offset, Producer};

use super::groups::{STRANGE, code, own, own_or_none, text};
use super::offset_commit::{Plan, Wish, resolve};
use super::{Answer, Api, Context, Later};
use crate::coordinator::catalog::OFFSETS_TOPIC;
use crate::coordinator::group::{Commit, Event, Reply, TransactionCommit};
use crate::coordinator::txn::{Part, VERSION_WITH_EPOCHS};
use crate::transactions::Mode;

pub struct TxnOffsetCommit;

impl Api for TxnOffsetCommit {
    type Request = TxnOffsetCommitRequest;
    const KEY: ApiKey = ApiKey::TxnOffsetCommit;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    /// The transaction's answer belongs to the ordered stage (T-18): nothing that the client sent
    /// later overtakes it.
    async fn handle(cx: Context, request: TxnOffsetCommitRequest) -> Later {
        let topics = request.topics.iter().map(|topic| {
            let wishes = topic.partitions.iter().map(|partition| Wish {
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.as_deref(),
            });
            (&topic.name, wishes)
        });
        let (offsets, plan) = resolve(&cx, topics);
        if offsets.is_empty() {
            return Later::Ready(answer(&cx, &plan, Ok(Vec::new())));
        }
        let verified_at = match verify(&cx, &request).await {
            Ok(verified_at) => verified_at,
            Err(error) => return Later::Ready(answer(&cx, &plan, Err(error))),
        };
        let event = TransactionCommit {
            producer: producer(&request),
            verified_at,
            commit: Commit {
                group: own(&request.group_id),
                member: own(&request.member_id),
                instance: own_or_none(request.group_instance_id.as_ref()),
                generation: request.generation_id,
                retention_ms: None,
                knows_group_id_not_found: false,
                offsets,
            },
        };
        let groups = &cx.broker.groups;
        let reply = groups.send(&request.group_id, Event::TransactionCommit(event));
        drop(request);
        Later::wait(async move {
            let outcomes = match reply.await {
                Ok(Reply::Committed(outcomes)) => Ok(outcomes),
                Ok(_) => Err(STRANGE),
                Err(error) => Err(error),
            };
            answer(&cx, &plan, outcomes)
        })
    }
}

fn producer(request: &TxnOffsetCommitRequest) -> Producer {
    Producer {
        id: request.producer_id.0,
        epoch: request.producer_epoch,
    }
}

/// See to it that the transaction holds the group's partition. Where the partition's log ended
/// when its coordinator was asked; none if it need not be.
async fn verify(
    cx: &Context,
    request: &TxnOffsetCommitRequest,
) -> Result<Option<Offset>, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let (groups, producer) = (&cx.broker.groups, producer(request));
    let look = Event::LookAtTransaction(producer);
    let end = match groups.send(&request.group_id, look).await? {
        Reply::Transaction { is_open: true, .. } => return Ok(None),
        Reply::Transaction { end, .. } => end,
        _ => return Err(STRANGE),
    };
    let index = groups.partition_of(&request.group_id);
    let index = index.ok_or(ErrorCode::CoordinatorNotAvailable)?;
    let part = Part {
        topic: OFFSETS_TOPIC.into(),
        index,
    };
    let mode = match cx.version {
        ..5 => Mode::Verify,
        5.. => Mode::Add(VERSION_WITH_EPOCHS),
    };
    let transactions = &cx.broker.transactions;
    let id = &request.transactional_id;
    let outcomes = transactions.add(id, producer, vec![part], mode).await;
    let outcome = outcomes.into_iter().next().unwrap_or(Err(STRANGE));
    outcome.map_err(|error| translated(error, cx.version))?;
    Ok(Some(end))
}

/// What the transaction's coordinator refuses, in words that this version's clients know.
fn translated(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < 4 => ErrorCode::InvalidTxnState,
        other => other,
    }
}

/// The answer to a plan, out of the outcomes of those that exist, in order.
fn answer(
    cx: &Context,
    plan: &Plan,
    outcomes: Result<Vec<Result<(), ErrorCode>>, ErrorCode>,
) -> Answer {
    let topics = plan.answered(outcomes).map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, outcome)| {
            let outcome = outcome.map_err(|error| match error {
                // Clients of before could not take it (KAFKA-7296).
                ErrorCode::CoordinatorLoadInProgress if cx.version < 2 => {
                    ErrorCode::CoordinatorNotAvailable
                }
                other => other,
            });
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code(outcome))
        });
        TxnOffsetCommitResponseTopic::default()
            .with_name(TopicName(text(name)))
            .with_partitions(partitions.collect())
    });
    let topics = topics.collect();
    cx.answer(&TxnOffsetCommitResponse::default().with_topics(topics))
}

#[cfg(test)]
mod tests;

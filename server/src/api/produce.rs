//! Produce (key 0), versions 3 to 13: append one batch to each of many partitions.
//!
//! Advertised from 0, since librdkafka looks for that before it compresses (KAFKA-18659).
//! All batches are checked and appended in the order of the request before the connection takes
//! its next one; the answer waits for what `acks` asks (DC1 to DC3). Partitions fail one by one
//! (P-3). Acks 0 has no answer, and a failure closes the connection (P-2). There is one replica,
//! so the effective `min.insync.replicas` is 1 and acks=all always has enough of them (P-22).
//! A client above its quota is told for how long it has to be silent, and is not listened to for
//! that time (KIP-219).
//!
//! With a transactional id the partitions belong to a transaction, and its coordinator is asked
//! before the first batch of it in a partition is appended; meanwhile the connection takes no
//! other request (T-18).
//! - v3: magic 2 only; a transactional id
//! - v5: log start offset; v7: zstd (P-6); v8: error message, and records to blame (P-10)
//! - v9: flexible; v10: current leader, on an error this server never gives
//! - v11: TRANSACTION_ABORTABLE for a partition that was not added (T-6), INVALID_TXN_STATE before
//! - v12: writing to a partition adds it to the transaction (T-7)
//! - v13: topics by id (P-4)

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ratel_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use ratel_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use ratel_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};
use ratel_storage::{
    Appended, Batch, BatchHeader, Durability, Origin, Partition, Pending, StorageError, TopicId,
};

use super::{Answer, Api, Context, Later};
use crate::config::DurabilityMode;
use crate::coordinator::catalog::Topic;
use crate::error::Refusal;
use crate::long_poll::Deadline;
use crate::metrics::TopicMetrics;

pub struct Produce;

/// The codec of attribute bits 0 to 2 that came last.
const ZSTD: i16 = 4;
/// Where the low byte of a batch's attributes stands, and its bit of transactions.
const ATTRIBUTES: usize = 22;
const TRANSACTIONAL: u8 = 0x10;
/// Kafka's admin client may write to internal topics (P-21).
const ADMIN_CLIENT: &str = "__admin_client";

impl Api for Produce {
    type Request = ProduceRequest;
    const KEY: ApiKey = ApiKey::Produce;
    const VERSIONS: RangeInclusive<i16> = 3..=13;
    const ADVERTISED_MIN: i16 = 0;

    async fn handle(cx: Context, request: ProduceRequest) -> Later {
        let acks = request.acks;
        let timeout_ms = u64::try_from(request.timeout_ms).unwrap_or(0);
        // Every batch is in its log when this returns. Nothing of the frame may be kept after it:
        // a name that waits for a sync would keep the whole frame in memory.
        let throttle_ms = throttle(&cx, &request);
        let appends = match request.transactional_id {
            None => append_all(&cx, request),
            Some(_) => transactional::append_all(&cx, request).await,
        };
        Later::wait(async move {
            let acknowledged = acknowledge(appends, Duration::from_millis(timeout_ms));
            let (response, failed) = acknowledged.await;
            match (acks, failed) {
                (0, false) => Answer::Nothing,
                (0, true) => Answer::Close,
                _ => {
                    let response = response.with_throttle_time_ms(throttle_ms);
                    cx.answer(&downgrade(response, cx.version))
                }
            }
        })
    }
}

/// For how long the client has to be silent after this, in ms (KIP-219). Nothing more is read of
/// it in that time.
fn throttle(cx: &Context, request: &ProduceRequest) -> i32 {
    let quotas = &cx.broker.client_quotas;
    let throttle_ms = quotas.produced(cx.client_id.as_deref(), || {
        let topics = request.topic_data.iter();
        let partitions = topics.flat_map(|topic| &topic.partition_data);
        let records = partitions.filter_map(|partition| partition.records.as_ref());
        let bytes = records.map(Bytes::len).sum();
        (bytes, cx.received.monotonic_ms)
    });
    cx.mute(throttle_ms)
}

/// The appends of one topic of the request.
struct TopicAppends {
    name: TopicName,
    id: TopicId,
    partitions: Vec<(i32, Result<Pending<Appended>, Refusal>)>,
}

/// What holds for all partitions of a request.
struct Terms<'a> {
    cx: &'a Context,
    durability: Durability,
    now_ms: i64,
}

/// Check and append, partition by partition. Nothing is awaited: the order of the appends is the
/// order of the requests on the connection.
fn append_all(cx: &Context, request: ProduceRequest) -> Vec<TopicAppends> {
    let terms = Terms::of(cx, &request);
    let topics = request.topic_data.into_iter();
    topics
        .map(|topic| append_topic(&terms, topic, cx))
        .collect()
}

impl<'a> Terms<'a> {
    fn of(cx: &'a Context, request: &ProduceRequest) -> Result<Self, Refusal> {
        check_id(request)?;
        let durability = check_acks(request.acks)?;
        Ok(Self {
            cx,
            durability: match cx.broker.config.durability {
                DurabilityMode::Contract => durability,
                DurabilityMode::Relaxed => Durability::Written,
            },
            now_ms: cx.received.wall_ms,
        })
    }
}

/// A batch of a transaction without the transaction's id: nobody could ever end what it begins.
/// Refuses the request as a whole, as Kafka does.
fn check_id(request: &ProduceRequest) -> Result<(), Refusal> {
    let topics = request.topic_data.iter();
    let mut partitions = topics.flat_map(|topic| &topic.partition_data);
    let is_transactional = |partition: &PartitionProduceData| {
        let attributes = partition
            .records
            .as_ref()
            .and_then(|all| all.get(ATTRIBUTES));
        attributes.is_some_and(|low| low & TRANSACTIONAL != 0)
    };
    if request.transactional_id.is_none() && partitions.any(is_transactional) {
        return Err(Refusal::new(
            ErrorCode::TransactionalIdAuthorizationFailed,
            "a batch of a transaction, but no transactional id",
        ));
    }
    Ok(())
}

/// What the acknowledgements promise, unless the request is refused as a whole (P-1).
fn check_acks(acks: i16) -> Result<Durability, Refusal> {
    match acks {
        -1 => Ok(Durability::Synced),
        0 | 1 => Ok(Durability::Written),
        _ => Err(Refusal::new(
            ErrorCode::InvalidRequiredAcks,
            "acks must be -1, 0 or 1",
        )),
    }
}

/// A topic that clients may append to.
struct Target {
    topic: Arc<Topic>,
    metrics: Arc<TopicMetrics>,
}

fn append_topic(
    terms: &Result<Terms<'_>, Refusal>,
    data: TopicProduceData,
    cx: &Context,
) -> TopicAppends {
    let target = target(cx, &data);
    let partitions = data.partition_data.into_iter().map(|partition| {
        let appending = match (terms, &target) {
            (Err(refusal), _) | (_, Err(refusal)) => Err(refusal.clone()),
            (Ok(terms), Ok(target)) => append(terms, target, partition.index, partition.records),
        };
        (partition.index, appending)
    });
    TopicAppends {
        partitions: partitions.collect(),
        // A copy: the name is a slice of the frame.
        name: TopicName(StrBytes::from_string(data.name.to_string())),
        id: data.topic_id,
    }
}

fn target(cx: &Context, data: &TopicProduceData) -> Result<Target, Refusal> {
    let view = &cx.broker.catalog.view;
    let topic = if cx.version >= 13 {
        let topic = view.topic_by_id(data.topic_id);
        topic.ok_or(ErrorCode::UnknownTopicId)?
    } else {
        let topic = view.topic(&data.name);
        topic.ok_or(ErrorCode::UnknownTopicOrPartition)?
    };
    if topic.internal && cx.client_id.as_deref() != Some(ADMIN_CLIENT) {
        return Err(Refusal::new(
            ErrorCode::InvalidTopicException,
            "the topic is the server's own",
        ));
    }
    let metrics = cx.broker.metrics.topic(topic.id);
    Ok(Target { topic, metrics })
}

fn append(
    terms: &Terms<'_>,
    target: &Target,
    index: i32,
    records: Option<Bytes>,
) -> Result<Pending<Appended>, Refusal> {
    let checked = check(terms, target, index, records)?;
    Ok(write(terms, target, &checked, Origin::Client))
}

/// A batch that may be appended, as far as can be seen without its log.
struct Checked {
    partition: Arc<dyn Partition>,
    batch: Batch,
}

fn check(
    terms: &Terms<'_>,
    target: &Target,
    index: i32,
    records: Option<Bytes>,
) -> Result<Checked, Refusal> {
    let partition = terms.cx.broker.partition(&target.topic, index)?;
    let records = records.filter(|records| !records.is_empty());
    let records = records.ok_or(Refusal::new(ErrorCode::InvalidRecord, "no records"))?;
    let batch = Batch::parse(records, target.topic.settings.max_message_bytes)
        .map_err(|error| Refusal::from(&error))?;
    check_version(batch.header(), terms.cx.version)?;
    Ok(Checked { partition, batch })
}

fn write(
    terms: &Terms<'_>,
    target: &Target,
    checked: &Checked,
    origin: Origin,
) -> Pending<Appended> {
    let Checked { partition, batch } = checked;
    let header = batch.header();
    let appending = partition.append(batch, origin, terms.durability, terms.now_ms);
    if !matches!(&appending, Pending::Ready(Some(Err(_)))) {
        let records = u64::try_from(header.count).unwrap_or(0);
        target.metrics.appended(header.bytes as u64, records);
    }
    appending
}

/// Whether this version of the request may carry the batch.
fn check_version(header: &BatchHeader, version: i16) -> Result<(), Refusal> {
    if header.codec() > ZSTD || (header.codec() == ZSTD && version < 7) {
        return Err(Refusal::new(
            ErrorCode::UnsupportedCompressionType,
            "the codec is not one that this version of the request may carry",
        ));
    }
    Ok(())
}

/// Wait for every acknowledgement, `timeout` in all. Also says whether any partition failed.
async fn acknowledge(appends: Vec<TopicAppends>, timeout: Duration) -> (ProduceResponse, bool) {
    let deadline = Deadline::after(timeout);
    let mut failed = false;
    let mut topics = Vec::with_capacity(appends.len());
    for topic in appends {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (index, appending) in topic.partitions {
            let outcome = match appending {
                Err(refusal) => Err(Failed::from(refusal)),
                Ok(Pending::Ready(Some(outcome))) => outcome.map_err(|e| Failed::from(&e)),
                Ok(pending) => match deadline.limit(pending).await {
                    Some(outcome) => outcome.map_err(|error| Failed::from(&error)),
                    None => Err(Failed::from(Refusal::new(
                        ErrorCode::RequestTimedOut,
                        "appended, but not on stable storage yet",
                    ))),
                },
            };
            failed |= outcome.is_err();
            partitions.push(partition_answer(index, outcome));
        }
        topics.push(
            TopicProduceResponse::default()
                .with_name(topic.name)
                .with_topic_id(topic.id)
                .with_partition_responses(partitions),
        );
    }
    (ProduceResponse::default().with_responses(topics), failed)
}

/// Why a batch was not taken, and which of its records are to blame (P-10, P-11).
struct Failed {
    refusal: Refusal,
    records: Vec<i32>,
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            records: Vec::new(),
        }
    }
}

impl From<&StorageError> for Failed {
    fn from(error: &StorageError) -> Self {
        Self {
            refusal: error.into(),
            records: match error {
                StorageError::KeysMissing(records)
                | StorageError::InvalidTimestamp { records, .. } => records.clone(),
                _ => Vec::new(),
            },
        }
    }
}

fn partition_answer(index: i32, outcome: Result<Appended, Failed>) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default().with_index(index);
    match outcome {
        Ok(appended) => answer
            .with_base_offset(appended.base_offset.get())
            .with_log_append_time_ms(appended.log_append_time_ms)
            .with_log_start_offset(appended.start_offset.get()),
        // P-23.
        Err(Failed { refusal, records }) => answer
            .with_error_code(refusal.code.code())
            .with_record_errors(record_errors(refusal.code, &records))
            .with_error_message(refusal.message)
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_log_start_offset(-1),
    }
}

fn record_errors(code: ErrorCode, places: &[i32]) -> Vec<BatchIndexAndErrorMessage> {
    let why = match code {
        ErrorCode::InvalidTimestamp => "The record's timestamp cannot be.",
        _ => "The record has no key.",
    };
    let each = places.iter().map(|place| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(*place)
            .with_batch_index_error_message(Some(StrBytes::from_static_str(why)))
    });
    each.collect()
}

/// Drop what `version` cannot carry.
fn downgrade(mut response: ProduceResponse, version: i16) -> ProduceResponse {
    for topic in &mut response.responses {
        if version >= 13 {
            topic.name = TopicName::default();
        } else {
            topic.topic_id = TopicId::nil();
        }
        if version < 8 {
            for partition in &mut topic.partition_responses {
                partition.error_message = None;
                partition.record_errors.clear();
            }
        }
    }
    response
}

mod transactional;

#[cfg(test)]
mod tests;

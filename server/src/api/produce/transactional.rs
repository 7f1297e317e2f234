//! Appends of a transaction: its coordinator is asked before the first batch of it in a partition
//! (T-6, T-7, T-18).

use std::collections::HashSet;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_protocol::messages::produce_request::TopicProduceData;
use ratel_protocol::messages::{ProduceRequest, TopicName};
use ratel_storage::transaction::Beginning;
use ratel_storage::{Origin, Producer, TopicId, Verification};

use super::{Checked, Target, Terms, TopicAppends, check, target, write};
use crate::api::Context;
use crate::api::groups::{own, text};
use crate::coordinator::txn::{Part, VERSION_WITH_EPOCHS};
use crate::error::Refusal;
use crate::transactions::Mode;

/// The first version in which writing to a partition adds it.
const ADDS: i16 = 12;
/// The first version that knows TRANSACTION_ABORTABLE.
const KNOWS_ABORTABLE: i16 = 11;

/// A topic of the request before anything is appended.
struct Planned {
    name: TopicName,
    id: TopicId,
    target: Result<Target, Refusal>,
    places: Vec<(i32, Result<Place, Refusal>)>,
}

/// A batch, and as what it will be appended.
struct Place {
    checked: Checked,
    origin: Origin,
}

/// As [`super::append_all`], once the coordinator has answered for the partitions in which a
/// transaction begins. All of its producer's batches are appended in the order of the request.
pub(super) async fn append_all(cx: &Context, request: ProduceRequest) -> Vec<TopicAppends> {
    let terms = Terms::of(cx, &request);
    let id = request.transactional_id.as_ref();
    let id = id.map_or_else(|| own(""), |id| own(id));
    let topics = request.topic_data.into_iter();
    let mut topics: Vec<_> = topics.map(|data| plan(&terms, data, cx)).collect();
    if refuse_two_producers(&mut topics) {
        ask(cx, &id, &mut topics).await;
    }
    let written = topics.into_iter().map(|topic| append_topic(&terms, topic));
    written.collect()
}

fn plan(terms: &Result<Terms<'_>, Refusal>, data: TopicProduceData, cx: &Context) -> Planned {
    let target = target(cx, &data);
    let places = data.partition_data.into_iter().map(|partition| {
        let place = match (terms, &target) {
            (Err(refusal), _) | (_, Err(refusal)) => Err(refusal.clone()),
            (Ok(terms), Ok(target)) => check(terms, target, partition.index, partition.records)
                .map(|checked| Place {
                    checked,
                    origin: Origin::Client,
                }),
        };
        (partition.index, place)
    });
    Planned {
        places: places.collect(),
        // A copy: the name is a slice of the frame.
        name: TopicName(text(&data.name)),
        id: data.topic_id,
        target,
    }
}

fn append_topic(terms: &Result<Terms<'_>, Refusal>, topic: Planned) -> TopicAppends {
    let target = topic.target;
    let partitions = topic.places.into_iter().map(|(index, place)| {
        let appending = match (terms, &target, place) {
            (Err(refusal), _, _) | (_, Err(refusal), _) => Err(refusal.clone()),
            (_, _, Err(refusal)) => Err(refusal),
            (Ok(terms), Ok(target), Ok(place)) => {
                Ok(write(terms, target, &place.checked, place.origin))
            }
        };
        (index, appending)
    });
    TopicAppends {
        partitions: partitions.collect(),
        name: topic.name,
        id: topic.id,
    }
}

/// The places whose batches are part of a transaction, with who wrote them.
fn transactional(topics: &mut [Planned]) -> impl Iterator<Item = (Producer, Part, &mut PlaceOr)> {
    topics.iter_mut().flat_map(|topic| {
        let name: Option<Arc<str>> = match &topic.target {
            Ok(target) => Some(target.topic.name.clone()),
            Err(_) => None,
        };
        let places = topic.places.iter_mut();
        places.filter_map(move |(index, place)| {
            let header = place.as_ref().ok()?.checked.batch.header();
            let producer = Producer {
                id: header.producer_id,
                epoch: header.producer_epoch,
            };
            let part = Part {
                topic: name.clone()?,
                index: *index,
            };
            let is_asked = header.is_transactional() && producer.id >= 0;
            is_asked.then_some((producer, part, place))
        })
    })
}

type PlaceOr = Result<Place, Refusal>;

/// One transactional id has one producer, at one epoch: the coordinator is asked about one. Says
/// whether that is so; otherwise no transactional batch of the request is appended.
fn refuse_two_producers(topics: &mut [Planned]) -> bool {
    let producers: HashSet<_> = transactional(topics)
        .map(|(producer, ..)| producer)
        .collect();
    if producers.len() <= 1 {
        return true;
    }
    for (_, _, place) in transactional(topics) {
        *place = Err(Refusal::new(
            ErrorCode::InvalidProducerIdMapping,
            "the request has batches of more than one producer id, or of more than one epoch",
        ));
    }
    false
}

/// Ask the coordinator about all partitions in which the transaction is not open yet.
async fn ask(cx: &Context, id: &str, topics: &mut [Planned]) {
    let adds = cx.version >= ADDS;
    let mut parts = Vec::new();
    let mut asker = None;
    let mut waiting = Vec::new();
    for (producer, part, place) in transactional(topics) {
        match begin(producer, place, adds, cx.received.wall_ms) {
            Ok(false) => {}
            Ok(true) => {
                asker = Some(producer);
                parts.push(part);
                waiting.push(place);
            }
            Err(refusal) => *place = Err(refusal),
        }
    }
    let brokers = cx.broker.catalog.brokers();
    let verifies = brokers
        .effective()
        .transaction_partition_verification_enable;
    let (Some(producer), true) = (asker, adds || verifies) else {
        return;
    };
    let mode = match adds {
        true => Mode::Add(VERSION_WITH_EPOCHS),
        false => Mode::Verify,
    };
    let outcomes = cx.broker.transactions.add(id, producer, parts, mode).await;
    for (place, outcome) in waiting.into_iter().zip(outcomes) {
        if let Err(code) = outcome {
            *place = Err(refusal(code, cx.version));
        }
    }
}

/// Whether the coordinator must be asked; if so, the batch is appended with the log's guard.
fn begin(
    producer: Producer,
    place: &mut PlaceOr,
    bumps_epoch: bool,
    now_ms: i64,
) -> Result<bool, Refusal> {
    let Ok(place) = place else {
        return Ok(false);
    };
    let Checked { partition, batch } = &place.checked;
    let beginning = Beginning {
        producer,
        first_sequence: batch.header().base_sequence,
        bumps_epoch,
    };
    match partition.verify(&beginning, now_ms) {
        Ok(Verification::Open) => Ok(false),
        Ok(Verification::Needed(guard)) => {
            place.origin = Origin::Verified(guard);
            Ok(true)
        }
        Err(error) => Err(Refusal::from(&error)),
    }
}

/// The coordinator's refusal, as producers know it: what passes is something that clients of any
/// age try again.
fn refusal(code: ErrorCode, version: i16) -> Refusal {
    match code {
        ErrorCode::TransactionAbortable if version < KNOWS_ABORTABLE => Refusal::new(
            ErrorCode::InvalidTxnState,
            "the partition was not added to the transaction",
        ),
        ErrorCode::TransactionAbortable => {
            Refusal::new(code, "the partition was not added to the transaction")
        }
        ErrorCode::ProducerFenced => Refusal::new(
            ErrorCode::InvalidProducerEpoch,
            "another producer has begun with the transactional id",
        ),
        ErrorCode::ConcurrentTransactions if version >= ADDS => Refusal::new(
            code,
            "the markers of the transaction before are still on their way",
        ),
        ErrorCode::ConcurrentTransactions | ErrorCode::CoordinatorNotAvailable => Refusal::new(
            ErrorCode::NotEnoughReplicas,
            "the transaction's coordinator cannot say now whether the partition is part of it",
        ),
        code => code.into(),
    }
}

//! AlterShareGroupOffsets (key 91), version 0: have queues begin anew at offsets (KIP-932).
//!
//! The group must have no members (NON_EMPTY_GROUP); one that is not there is made. Each queue
//! forgets what was delivered, and what was leased is nobody's any more. -1 is where the group's
//! configuration has a queue begin; an offset that the log has dropped is its first. One that the
//! log has not reached is refused with OFFSET_OUT_OF_RANGE: after a restart the queue would stand
//! at the log's end. Durable when answered. What is wrong with the whole group is said at the top.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::alter_share_group_offsets_request as asked;
use ratel_protocol::messages::alter_share_group_offsets_response::{
    AlterShareGroupOffsetsResponsePartition as Row, AlterShareGroupOffsetsResponseTopic as Answered,
};
use ratel_protocol::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, TopicName,
};
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::{Offset, PartitionId, TopicId};

use super::groups::{own, send_each, share_refusal, text};
use super::{Api, Context, Later};
use crate::coordinator::group::{Event, QueueEvent, QueueTopic, QueueTopics};
use crate::coordinator::share::QueueKey;
use crate::error::Refusal;

pub struct AlterShareGroupOffsets;

/// Where the group's configuration says.
const WHERE_CONFIGURED: i64 = -1;

impl Api for AlterShareGroupOffsets {
    type Request = AlterShareGroupOffsetsRequest;
    const KEY: ApiKey = ApiKey::AlterShareGroupOffsets;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(cx: Context, request: AlterShareGroupOffsetsRequest) -> Later {
        let plan = Plan::of(&cx, &request.topics);
        let group = own(&request.group_id);
        let event = Event::Queues(group.clone(), QueueEvent::Alter(plan.queues()));
        let permitted = match group.is_empty() {
            true => None,
            false => Some(cx.broker.groups.send(&group, event)),
        };
        Later::wait(async move {
            let permitted = match permitted {
                Some(reply) => reply.await,
                None => Err(ErrorCode::InvalidGroupId),
            };
            let answer = AlterShareGroupOffsetsResponse::default();
            let answer = match permitted {
                Ok(_) => answer.with_responses(plan.carry_out(&cx, &group).await),
                Err(code) => {
                    let refusal = share_refusal(code);
                    answer
                        .with_error_code(refusal.code.code())
                        .with_error_message(refusal.message)
                }
            };
            cx.answer(&answer)
        })
    }
}

/// One partition: where its queue is to begin, or why that cannot be.
type Start = Result<i64, Refusal>;

/// One topic.
struct Part {
    name: Arc<str>,
    /// Zeros if there is no such topic.
    id: TopicId,
    starts: BTreeMap<i32, Start>,
}

/// What is to be done, each partition once: the last word on it counts.
struct Plan(Vec<Part>);

impl Plan {
    fn of(cx: &Context, topics: &[asked::AlterShareGroupOffsetsRequestTopic]) -> Self {
        let mut parts: BTreeMap<&str, Part> = BTreeMap::new();
        for wanted in topics {
            let topic = cx.broker.catalog.view.topic(&wanted.topic_name);
            let part = parts.entry(&wanted.topic_name).or_insert_with(|| Part {
                name: own(&wanted.topic_name),
                id: topic.as_ref().map_or(TopicId::nil(), |topic| topic.id),
                starts: BTreeMap::new(),
            });
            for partition in &wanted.partitions {
                let index = partition.partition_index;
                let place = topic.as_ref().map(|topic| topic.partition(index));
                let start = match place {
                    Some(Some(place)) => start(cx, place, partition.start_offset),
                    Some(None) => Err(Refusal::new(
                        ErrorCode::UnknownTopicOrPartition,
                        "The topic has no such partition.",
                    )),
                    None => Err(Refusal::unknown_topic(&wanted.topic_name)),
                };
                part.starts.insert(index, start);
            }
        }
        Self(parts.into_values().collect())
    }

    /// The queues that can be had begin anew.
    fn queues(&self) -> QueueTopics {
        let topics = self.0.iter().map(|part| {
            let starts = part.starts.iter();
            let possible = starts.filter(|(_, start)| start.is_ok());
            let queue = QueueTopic {
                name: part.name.clone(),
                partitions: possible.map(|(index, _)| *index).collect(),
            };
            (part.id, queue)
        });
        topics
            .filter(|(_, queue)| !queue.partitions.is_empty())
            .collect()
    }

    /// Reset the queues, and tell the group of those that are as wanted.
    async fn carry_out(mut self, cx: &Context, group: &Arc<str>) -> Vec<Answered> {
        let mut wanted = Vec::new();
        for (place, part) in self.0.iter().enumerate() {
            let possible = part.starts.iter().filter_map(|(index, start)| {
                let offset = *start.as_ref().ok()?;
                Some((place, part.id, *index, offset))
            });
            wanted.extend(possible);
        }
        let replies = send_each(wanted, |(place, topic, index, offset)| async move {
            let outcome = reset(cx, group, PartitionId { topic, index }, offset).await;
            outcome.err().map(|code| (place, index, code))
        });
        let failed: Vec<_> = replies.await.all().await.into_iter().flatten().collect();
        for (place, index, code) in &failed {
            self.0[*place].starts.insert(*index, Err((*code).into()));
        }
        let groups = &cx.broker.groups;
        let initialized = QueueEvent::Initialized(self.queues());
        groups.tell(group, Event::Queues(group.clone(), initialized));
        if !failed.is_empty() {
            // The group goes on to make those that are not there.
            groups.tell(group, Event::Queues(group.clone(), QueueEvent::Failed));
        }
        self.0.into_iter().map(Part::answer).collect()
    }
}

impl Part {
    fn answer(self) -> Answered {
        let rows = self.starts.into_iter().map(|(index, start)| {
            let row = Row::default().with_partition_index(index);
            match start {
                Ok(_) => row,
                Err(refusal) => row
                    .with_error_code(refusal.code.code())
                    .with_error_message(refusal.message),
            }
        });
        Answered::default()
            .with_topic_name(TopicName(text(&self.name)))
            .with_topic_id(self.id)
            .with_partitions(rows.collect())
    }
}

/// Whether a queue can begin there, and where exactly.
fn start(cx: &Context, partition: PartitionId, offset: i64) -> Start {
    let Some(log) = cx.broker.engine.partition(partition) else {
        return Err(Refusal::new(
            ErrorCode::KafkaStorageError,
            "The log is not open.",
        ));
    };
    let offsets = log.offsets();
    let (first, end) = (offsets.start.get(), offsets.high_watermark.get());
    match offset {
        WHERE_CONFIGURED => Ok(WHERE_CONFIGURED),
        0.. if offset <= end => Ok(offset.max(first)),
        _ => Err(Refusal::new(
            ErrorCode::OffsetOutOfRange,
            format!("The queue cannot begin at {offset}: the log goes from {first} to {end}."),
        )),
    }
}

async fn reset(
    cx: &Context,
    group: &Arc<str>,
    partition: PartitionId,
    offset: i64,
) -> Result<(), ErrorCode> {
    let shares = &cx.broker.shares;
    let start = match offset {
        WHERE_CONFIGURED => shares.beginning(group, partition).await?,
        offset => Offset::new(offset),
    };
    let key = QueueKey {
        group: group.clone(),
        partition,
    };
    shares.reset(key, start).await
}

#[cfg(test)]
mod tests;

//! OffsetCommit (key 8), versions 2 to 9: where a group's readers are.
//!
//! All that is accepted becomes durable together, with the topic's id (O-10). A partition that
//! does not exist is refused alone; what is wrong with the group is said of all others.
//! - v2: how long the offsets live, up to v4 (O-5); v3: throttle time; v6: leader epochs
//! - v7: static members; v8: flexible; v9: GROUP_ID_NOT_FOUND (O-3)

use std::ops::RangeInclusive;

use ratel_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ratel_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse, TopicName};
use ratel_protocol::{ApiKey, ErrorCode};

use super::groups::{STRANGE, code, own, own_or_none, text};
use super::{Answer, Api, Context, Later};
use crate::coordinator::group::{Commit, CommitOffset, Event, Reply};

pub struct OffsetCommit;

impl Api for OffsetCommit {
    type Request = OffsetCommitRequest;
    const KEY: ApiKey = ApiKey::OffsetCommit;
    const VERSIONS: RangeInclusive<i16> = 2..=9;

    async fn handle(cx: Context, request: OffsetCommitRequest) -> Later {
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
        let commit = Commit {
            group: own(&request.group_id),
            member: own(&request.member_id),
            instance: own_or_none(request.group_instance_id.as_ref()),
            generation: request.generation_id_or_member_epoch,
            retention_ms: Some(request.retention_time_ms).filter(|ms| *ms >= 0),
            knows_group_id_not_found: cx.version >= 9,
            offsets,
        };
        let reply = cx
            .broker
            .groups
            .send(&request.group_id, Event::Commit(commit));
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

/// What is to be committed for one partition.
pub(super) struct Wish<'a> {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: Option<&'a str>,
}

/// What to answer: for each topic its name, and each partition with whether it exists.
pub(super) struct Plan(Vec<(String, Vec<(i32, bool)>)>);

/// The offsets of partitions that exist, and how to answer for all.
pub(super) fn resolve<'a, W: Iterator<Item = Wish<'a>>>(
    cx: &Context,
    topics: impl Iterator<Item = (&'a TopicName, W)>,
) -> (Vec<CommitOffset>, Plan) {
    let mut offsets = Vec::new();
    let mut plan = Vec::new();
    for (name, wishes) in topics {
        let topic = cx.broker.catalog.view.topic(name);
        let mut partitions = Vec::new();
        for wish in wishes {
            let topic = topic
                .as_ref()
                .filter(|topic| topic.partition(wish.partition).is_some());
            partitions.push((wish.partition, topic.is_some()));
            if let Some(topic) = topic {
                offsets.push(CommitOffset {
                    topic: topic.name.clone(),
                    topic_id: topic.id,
                    partition: wish.partition,
                    offset: wish.offset,
                    leader_epoch: wish.leader_epoch,
                    metadata: wish.metadata.unwrap_or("").into(),
                });
            }
        }
        plan.push((name.to_string(), partitions));
    }
    (offsets, Plan(plan))
}

/// Partitions and their outcomes.
pub(super) type Answered = Vec<(i32, Result<(), ErrorCode>)>;

impl Plan {
    /// The outcome of each partition by topic, out of the outcomes of those that exist, in order.
    pub(super) fn answered(
        &self,
        outcomes: Result<Vec<Result<(), ErrorCode>>, ErrorCode>,
    ) -> impl Iterator<Item = (&str, Answered)> {
        let mut outcomes = outcomes.map(Vec::into_iter);
        self.0.iter().map(move |(name, partitions)| {
            let mut outcome = |exists: bool| match &mut outcomes {
                _ if !exists => Err(ErrorCode::UnknownTopicOrPartition),
                Ok(outcomes) => outcomes.next().unwrap_or(Err(STRANGE)),
                Err(error) => Err(*error),
            };
            let partitions = partitions.iter();
            let partitions = partitions.map(|(index, exists)| (*index, outcome(*exists)));
            let answered: Answered = partitions.collect();
            (name.as_str(), answered)
        })
    }
}

fn answer(
    cx: &Context,
    plan: &Plan,
    outcomes: Result<Vec<Result<(), ErrorCode>>, ErrorCode>,
) -> Answer {
    let topics = plan.answered(outcomes).map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, outcome)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code(outcome))
        });
        OffsetCommitResponseTopic::default()
            .with_name(TopicName(text(name)))
            .with_partitions(partitions.collect())
    });
    let topics = topics.collect();
    cx.answer(&OffsetCommitResponse::default().with_topics(topics))
}

#[cfg(test)]
mod tests;

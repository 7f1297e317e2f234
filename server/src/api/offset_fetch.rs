//! OffsetFetch (key 9), versions 1 to 9: where a group's readers were.
//!
//! Nothing committed is offset -1 and no error (O-6). An offset of an earlier topic of the same
//! name is nothing (O-10).
//! - v1: topics of one group; v2: null topics ask for all, an error for the whole answer
//! - v3: throttle time; v5: leader epochs; v6: flexible
//! - v7: `require_stable`: UNSTABLE_OFFSET_COMMIT where a transaction has yet to decide
//! - v8: many groups; v9: member id and epoch, for consumer groups (H-8)

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use ratel_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::groups::{STRANGE, own, own_or_none, send_each, text};
use super::{Api, Context, Later};
use crate::coordinator::group::{Committed, Event, Fetch, FetchedTopic, Reply};

pub struct OffsetFetch;

impl Api for OffsetFetch {
    type Request = OffsetFetchRequest;
    const KEY: ApiKey = ApiKey::OffsetFetch;
    const VERSIONS: RangeInclusive<i16> = 1..=9;

    async fn handle(cx: Context, request: OffsetFetchRequest) -> Later {
        let asked = asked(request, cx.version);
        let replies = send_each(asked, |fetch| send(&cx, fetch)).await;
        Later::wait(async move {
            let groups = replies.all().await.into_iter();
            let groups = groups.map(|fetched| group_response(&cx, fetched));
            let response = OffsetFetchResponse::default().with_groups(groups.collect());
            cx.answer(&downgrade(response, cx.version))
        })
    }
}

/// The questions of a request of any version.
fn asked(request: OffsetFetchRequest, version: i16) -> Vec<Fetch> {
    let copy = |(name, partitions): (TopicName, Vec<i32>)| (own(&name), partitions);
    if version < 8 {
        let topics = request.topics.map(|topics| {
            let topics = topics.into_iter();
            let topics = topics.map(|topic| copy((topic.name, topic.partition_indexes)));
            topics.collect()
        });
        return vec![Fetch {
            group: own(&request.group_id),
            member: None,
            member_epoch: -1,
            topics,
            require_stable: request.require_stable,
        }];
    }
    let require_stable = request.require_stable;
    let groups = request.groups.into_iter();
    groups
        .map(|group| Fetch {
            group: own(&group.group_id),
            member: own_or_none(group.member_id.as_ref()),
            member_epoch: group.member_epoch,
            topics: group.topics.map(|topics| {
                let topics = topics.into_iter();
                let topics = topics.map(|topic| copy((topic.name, topic.partition_indexes)));
                topics.collect()
            }),
            require_stable,
        })
        .collect()
}

/// A group's part of the request, as far as the answer needs it, and what came of it.
struct Fetched {
    group: Arc<str>,
    /// All topics were asked for.
    all: bool,
    /// What was asked for, where an error must be said of each partition.
    asked: Vec<(Arc<str>, Vec<i32>)>,
    topics: Result<Vec<FetchedTopic>, ErrorCode>,
}

fn send(cx: &Context, fetch: Fetch) -> impl Future<Output = Fetched> + Send + use<> {
    let group = fetch.group.clone();
    let all = fetch.topics.is_none();
    let asked = match cx.version {
        ..2 => fetch.topics.clone().unwrap_or_default(),
        2.. => Vec::new(),
    };
    let reply = cx.broker.groups.send(&group, Event::Fetch(fetch));
    async move {
        let topics = match reply.await {
            Ok(Reply::Fetched(topics)) => Ok(topics),
            Ok(_) => Err(STRANGE),
            Err(error) => Err(error),
        };
        Fetched {
            group,
            all,
            asked,
            topics,
        }
    }
}

fn group_response(cx: &Context, fetched: Fetched) -> OffsetFetchResponseGroup {
    let all = fetched.all;
    let response = OffsetFetchResponseGroup::default().with_group_id(GroupId(text(&fetched.group)));
    match fetched.topics {
        Ok(topics) => {
            let topics = topics.into_iter();
            let topics = topics.filter_map(|topic| found(cx, topic, all));
            response.with_topics(topics.collect())
        }
        Err(error) => {
            let topics = fetched.asked.iter().map(|(name, partitions)| {
                let partitions = partitions.iter();
                let partitions = partitions
                    .map(|index| nothing(*index).with_error_code(error.code()))
                    .collect();
                topic_response(name, partitions)
            });
            response
                .with_error_code(error.code())
                .with_topics(topics.collect())
        }
    }
}

/// What is committed for a topic; if all topics are asked for, only what is there.
fn found(cx: &Context, topic: FetchedTopic, all: bool) -> Option<OffsetFetchResponseTopics> {
    let exists = cx.broker.catalog.view.topic(&topic.topic);
    let is_current = |committed: &Committed| {
        committed.topic.is_nil()
            || exists
                .as_ref()
                .is_some_and(|topic| topic.id == committed.topic)
    };
    let partitions: Vec<_> = topic
        .partitions
        .into_iter()
        .filter_map(|(index, committed)| {
            match committed.map(|committed| committed.filter(is_current)) {
                Err(error) => Some(nothing(index).with_error_code(error.code())),
                Ok(Some(committed)) => Some(
                    nothing(index)
                        .with_committed_offset(committed.offset)
                        .with_committed_leader_epoch(committed.leader_epoch)
                        .with_metadata(Some(text(&committed.metadata))),
                ),
                Ok(None) if all => None,
                Ok(None) => Some(nothing(index)),
            }
        })
        .collect();
    (!all || !partitions.is_empty()).then(|| topic_response(&topic.topic, partitions))
}

fn topic_response(
    name: &Arc<str>,
    partitions: Vec<OffsetFetchResponsePartitions>,
) -> OffsetFetchResponseTopics {
    OffsetFetchResponseTopics::default()
        .with_name(TopicName(text(name)))
        .with_partitions(partitions)
}

fn nothing(index: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::default()))
}

/// Before v8 the one group's answer stands at the top, in a type of its own.
fn downgrade(mut response: OffsetFetchResponse, version: i16) -> OffsetFetchResponse {
    if version >= 8 {
        return response;
    }
    let Some(group) = response.groups.pop() else {
        return response;
    };
    response.groups.clear();
    response.error_code = if version >= 2 { group.error_code } else { 0 };
    let partition = |found: OffsetFetchResponsePartitions| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(found.partition_index)
            .with_committed_offset(found.committed_offset)
            .with_committed_leader_epoch(match version {
                ..5 => -1,
                5.. => found.committed_leader_epoch,
            })
            .with_metadata(found.metadata)
            .with_error_code(found.error_code)
    };
    let topics = group.topics.into_iter();
    response.topics = topics
        .map(|topic| {
            OffsetFetchResponseTopic::default()
                .with_name(topic.name)
                .with_partitions(topic.partitions.into_iter().map(partition).collect())
        })
        .collect();
    response
}

#[cfg(test)]
mod tests;

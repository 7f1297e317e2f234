//! DeleteShareGroupOffsets (key 92), version 0: forget the queues of topics (KIP-932).
//!
//! The group must be there (GROUP_ID_NOT_FOUND) and have no members (NON_EMPTY_GROUP): what is
//! wrong with the whole group is said at the top. A topic without a queue of the group gets
//! UNKNOWN_TOPIC_OR_PARTITION. What was leased is nobody's any more; whoever joins afterwards
//! begins where the group's configuration says. Durable when answered.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::delete_share_group_offsets_response as told;
use ratel_protocol::messages::{
    DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse, TopicName,
};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};
use ratel_storage::{PartitionId, TopicId};

use super::groups::{STRANGE, distinct, own, send_each, share_refusal};
use super::{Api, Context, Later};
use crate::coordinator::group::{Event, QueueEvent, Reply, partitions_of};
use crate::coordinator::share::{self, QueueKey};
use crate::error::Refusal;

pub struct DeleteShareGroupOffsets;

/// Kafka's own words.
const NOTHING_TO_DELETE: StrBytes =
    StrBytes::from_static_str("There is no offset information to delete.");

impl Api for DeleteShareGroupOffsets {
    type Request = DeleteShareGroupOffsetsRequest;
    const KEY: ApiKey = ApiKey::DeleteShareGroupOffsets;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(cx: Context, request: DeleteShareGroupOffsetsRequest) -> Later {
        let group = own(&request.group_id);
        let names = request.topics.into_iter().map(|topic| topic.topic_name);
        let names = distinct(names.collect());
        Later::wait(async move {
            let answer = DeleteShareGroupOffsetsResponse::default();
            let answer = match delete(&cx, &group, names).await {
                Ok(topics) => answer.with_responses(topics),
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

/// The queues of a group, by topic.
type Queues = BTreeMap<TopicId, BTreeSet<PartitionId>>;

async fn delete(
    cx: &Context,
    group: &Arc<str>,
    names: Vec<TopicName>,
) -> Result<Vec<told::DeleteShareGroupOffsetsResponseTopic>, ErrorCode> {
    if group.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let queues = queues(cx, group).await?;
    let mut answers = Vec::with_capacity(names.len());
    let mut wanted = Queues::new();
    for name in names {
        let topic = cx.broker.catalog.view.topic(&name);
        let answer = told::DeleteShareGroupOffsetsResponseTopic::default();
        let answer = match topic.map(|topic| (topic.id, queues.get(&topic.id))) {
            Some((id, Some(partitions))) => {
                wanted.insert(id, partitions.clone());
                answer.with_topic_id(id)
            }
            Some((_, None)) => answer
                .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
                .with_error_message(Some(NOTHING_TO_DELETE)),
            None => {
                let refusal = Refusal::unknown_topic(&name);
                answer
                    .with_error_code(refusal.code.code())
                    .with_error_message(refusal.message)
            }
        };
        answers.push(answer.with_topic_name(name));
    }
    // The group forgets them first: whoever joins from here on asks for them anew, and a fetch
    // makes a queue that is not there.
    let remove = QueueEvent::Remove(wanted.keys().copied().collect());
    ask(cx, group, remove).await?;
    let failed = forget(cx, group, &wanted).await;
    for answer in &mut answers {
        if let Some(code) = failed.get(&answer.topic_id) {
            answer.error_code = code.code();
        }
    }
    Ok(answers)
}

/// The queues that the group or their shards know of: a server that died amid this request may
/// have left some that only their shards know.
async fn queues(cx: &Context, group: &Arc<str>) -> Result<Queues, ErrorCode> {
    let mut queues = Queues::new();
    let Reply::ShareQueues(listed) = ask(cx, group, QueueEvent::List).await? else {
        return Err(STRANGE);
    };
    if listed.members > 0 {
        return Err(ErrorCode::NonEmptyGroup);
    }
    let surveyed = cx.broker.shares.survey(Some(group.clone())).await?;
    let surveyed = surveyed.into_iter().map(|(key, _)| key.partition);
    for partition in partitions_of(&listed.topics).chain(surveyed) {
        queues.entry(partition.topic).or_default().insert(partition);
    }
    Ok(queues)
}

fn ask(
    cx: &Context,
    group: &Arc<str>,
    event: QueueEvent,
) -> impl Future<Output = Result<Reply, ErrorCode>> + Send + use<> {
    let event = Event::Queues(group.clone(), event);
    cx.broker.groups.send(group, event)
}

/// Delete queues. The topics of those that could not be, with the reason.
async fn forget(cx: &Context, group: &Arc<str>, wanted: &Queues) -> BTreeMap<TopicId, ErrorCode> {
    let partitions = wanted.values().flatten();
    let replies = send_each(partitions, |partition| {
        let key = QueueKey {
            group: group.clone(),
            partition: *partition,
        };
        let reply = cx
            .broker
            .shares
            .send(&key, share::Event::Delete { key: key.clone() });
        async move { (partition.topic, reply.await) }
    });
    let outcomes = replies.await.all().await.into_iter();
    let failed = outcomes.filter_map(|(topic, outcome)| match outcome {
        // There is no queue at all.
        Ok(_) | Err(ErrorCode::UnknownTopicOrPartition) => None,
        Err(code) => Some((topic, code)),
    });
    failed.collect()
}

#[cfg(test)]
mod tests;

//! QueueAdmin (key 20000), version 0: how queues stand, and purging them while
//! members live (queues.md 3). Ours alone: ApiVersions does not show it.
//!
//! A request asks for exactly one thing, else INVALID_REQUEST.
//! - `describe_queues`: the queues of the groups that are named, or all. A group without queues
//!   has no row.
//! - `purge_queues`: what is ready at the moment of the request is archived, what is leased stays
//!   leased. GROUP_ID_NOT_FOUND if the group has no queue; a partition that is named and has none
//!   gets UNKNOWN_TOPIC_OR_PARTITION and the others are purged. Durable when answered.
//! - `start_redrive`, `list_redrives`, `cancel_redrive`, `resume_redrive`: dead letters go home by
//!   jobs of the server, which outlive it. The answer holds the jobs; INVALID_REQUEST for a group
//!   without dead letters, and for a job that is not there or not in the state for it.

mod redrive;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use ratel_protocol::messages::queue_admin_request::{DescribeQueues, PurgeQueues, QueueTopic};
use ratel_protocol::messages::queue_admin_response::{PurgedQueue, QueueDescription};
use ratel_protocol::messages::{GroupId, QueueAdminRequest, QueueAdminResponse, TopicName};
use ratel_protocol::{ApiKey, ErrorCode};

use super::groups::{STRANGE, own, send_each, text};
use super::{Api, Context, Later};
use crate::coordinator::share::{Event, Reply};
use crate::error::Refusal;
use crate::queue_stats::{QueueStats, gather};

pub struct QueueAdmin;

impl Api for QueueAdmin {
    type Request = QueueAdminRequest;
    const KEY: ApiKey = ApiKey::QueueAdmin;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(cx: Context, request: QueueAdminRequest) -> Later {
        Later::wait(async move {
            let answer = match task(request) {
                Ok(Task::Describe(wanted)) => describe(&cx, wanted).await,
                Ok(Task::Purge(wanted)) => purge(&cx, wanted).await,
                Ok(Task::Redrive(task)) => redrive::answer(&cx.broker, task).await,
                Err(refusal) => Err(refusal),
            };
            let answer = answer.unwrap_or_else(|refusal| {
                QueueAdminResponse::default()
                    .with_error_code(refusal.code.code())
                    .with_error_message(refusal.message)
            });
            cx.answer(&answer)
        })
    }
}

/// What one request asks for.
#[derive(Debug, PartialEq)]
enum Task {
    Describe(DescribeQueues),
    Purge(PurgeQueues),
    Redrive(redrive::Task),
}

fn task(request: QueueAdminRequest) -> Result<Task, Refusal> {
    let redrives = [
        request.start_redrive.map(redrive::Task::Start),
        request.list_redrives.map(redrive::Task::List),
        (request.cancel_redrive).map(|job| redrive::Task::Cancel(job.job_id)),
        (request.resume_redrive).map(|job| redrive::Task::Resume(job.job_id)),
    ];
    let mut asked: Vec<Task> = redrives.into_iter().flatten().map(Task::Redrive).collect();
    asked.extend(request.describe_queues.map(Task::Describe));
    asked.extend(request.purge_queues.map(Task::Purge));
    match (asked.pop(), asked.pop()) {
        (Some(task), None) => Ok(task),
        _ => Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "A request asks for exactly one thing.",
        )),
    }
}

fn unavailable(code: ErrorCode) -> Refusal {
    Refusal::new(code, "Some queues cannot be looked at now.")
}

async fn describe(cx: &Context, wanted: DescribeQueues) -> Result<QueueAdminResponse, Refusal> {
    let mut queues = Vec::new();
    match wanted.group_ids {
        None => queues = gather(&cx.broker, None).await.map_err(unavailable)?,
        Some(groups) => {
            let groups: BTreeSet<_> = groups.iter().map(|group| own(group)).collect();
            for group in groups {
                let found = gather(&cx.broker, Some(group)).await;
                queues.extend(found.map_err(unavailable)?);
            }
        }
    }
    Ok(QueueAdminResponse::default().with_queues(queues.iter().map(description).collect()))
}

fn description(queue: &QueueStats) -> QueueDescription {
    let depth = &queue.depth;
    QueueDescription::default()
        .with_group_id(GroupId(text(&queue.key.group)))
        .with_topic_name(TopicName(text(&queue.topic)))
        .with_topic_id(queue.key.partition.topic)
        .with_partition_index(queue.key.partition.index)
        .with_start_offset(depth.start.get())
        .with_next_offset(depth.next.get())
        .with_end_offset(queue.end.get())
        .with_ready(count(queue.ready))
        .with_in_flight(count(depth.in_flight))
        .with_delayed(count(depth.delayed))
        .with_archiving(count(depth.archiving))
        .with_dead(count(depth.dead))
        .with_redelivered(count(depth.redelivered))
        .with_lock_expired(count(depth.lock_expired))
        .with_oldest_ready_age_ms(queue.oldest_ready_age_ms.unwrap_or(-1))
        .with_consumers(i32::try_from(queue.consumers).unwrap_or(i32::MAX))
        .with_paused(queue.paused)
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

async fn purge(cx: &Context, wanted: PurgeQueues) -> Result<QueueAdminResponse, Refusal> {
    let group = own(&wanted.group_id);
    let mut queues = gather(&cx.broker, Some(group)).await.map_err(unavailable)?;
    if queues.is_empty() {
        return Err(Refusal::new(
            ErrorCode::GroupIdNotFound,
            "The group has no queues.",
        ));
    }
    let topics = wanted.topics.as_deref();
    let mut purged = missing(topics, &queues);
    queues.retain(|queue| is_meant(topics, queue));
    let replies = send_each(queues, |queue| {
        let event = Event::Purge {
            key: queue.key.clone(),
            end: queue.end,
        };
        let reply = cx.broker.shares.send(&queue.key, event);
        let row = row(&queue.topic, queue.key.partition.index);
        async move {
            match reply.await {
                Ok(Reply::Purged(records)) => row.with_records(count(records)),
                Ok(_) => row.with_error_code(STRANGE.code()),
                Err(error) => row.with_error_code(error.code()),
            }
        }
    });
    purged.extend(replies.await.all().await);
    purged.sort_by(|a, b| place(a).cmp(&place(b)));
    Ok(QueueAdminResponse::default().with_purged(purged))
}

fn place(row: &PurgedQueue) -> (&str, i32) {
    (row.topic_name.as_str(), row.partition_index)
}

fn row(topic: &str, partition: i32) -> PurgedQueue {
    PurgedQueue::default()
        .with_topic_name(TopicName(text(topic)))
        .with_partition_index(partition)
}

fn is_meant(topics: Option<&[QueueTopic]>, queue: &QueueStats) -> bool {
    let names = |topic: &QueueTopic| {
        let partitions = topic.partitions.as_deref();
        *queue.topic == **topic.topic_name
            && partitions.is_none_or(|indexes| indexes.contains(&queue.key.partition.index))
    };
    topics.is_none_or(|topics| topics.iter().any(names))
}

/// A row for each that is named and is no queue of the group; a topic without any has one, of
/// partition -1.
fn missing(topics: Option<&[QueueTopic]>, queues: &[QueueStats]) -> Vec<PurgedQueue> {
    let there: BTreeSet<_> = queues
        .iter()
        .map(|queue| (&*queue.topic, queue.key.partition.index))
        .collect();
    let mut places = BTreeSet::new();
    for topic in topics.unwrap_or_default() {
        let name: &str = &topic.topic_name;
        match &topic.partitions {
            Some(indexes) => places.extend(indexes.iter().map(|index| (name, *index))),
            None if there.range((name, 0)..=(name, i32::MAX)).next().is_none() => {
                places.insert((name, -1));
            }
            None => {}
        }
    }
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    places
        .difference(&there)
        .map(|(name, index)| row(name, *index).with_error_code(unknown))
        .collect()
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::queue_admin_request::{ListRedrives, RedriveId, StartRedrive};

    use super::super::testing::Bench;
    use super::super::testing::queues::bench;
    use super::*;

    async fn described(bench: &Bench, groups: Option<&[&str]>) -> Vec<QueueDescription> {
        let groups = groups.map(|groups| groups.iter().map(|group| GroupId(text(group))).collect());
        let wanted = DescribeQueues::default().with_group_ids(groups);
        let request = QueueAdminRequest::default().with_describe_queues(Some(wanted));
        let answer = bench.send(0, &request).await;
        assert_eq!(answer.error_code, 0);
        answer.queues
    }

    #[tokio::test]
    async fn a_queue_is_counted_to_the_record() {
        let (bench, topic) = bench().await;
        bench.clock.advance_ms(5000);
        let queues = described(&bench, None).await;
        let [first, second] = &queues[..] else {
            panic!("{queues:?}");
        };
        assert_eq!((&**first.group_id, &**first.topic_name), ("g", "jobs"));
        assert_eq!(first.topic_id, topic.id);
        assert_eq!((first.ready, first.in_flight, first.delayed), (2, 1, 0));
        let offsets = (first.start_offset, first.next_offset, first.end_offset);
        assert_eq!(offsets, (0, 1, 3));
        assert_eq!(first.oldest_ready_age_ms, 5000);
        assert_eq!((first.consumers, first.paused), (0, false));
        assert_eq!((second.partition_index, second.ready), (1, 0));
        assert_eq!(second.oldest_ready_age_ms, -1, "nothing is ready");
        assert_eq!(described(&bench, Some(&["g", "g"])).await.len(), 2);
        assert_eq!(described(&bench, Some(&["other"])).await, []);
    }

    async fn purged(
        bench: &Bench,
        group: &str,
        topics: Option<Vec<QueueTopic>>,
    ) -> QueueAdminResponse {
        let wanted = PurgeQueues::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(topics);
        let request = QueueAdminRequest::default().with_purge_queues(Some(wanted));
        bench.send(0, &request).await
    }

    #[tokio::test]
    async fn a_purge_takes_what_is_ready_and_leaves_what_is_leased() {
        let (bench, _) = bench().await;
        let topic = |name, partitions| {
            QueueTopic::default()
                .with_topic_name(TopicName(text(name)))
                .with_partitions(partitions)
        };
        let wanted = vec![topic("jobs", Some(vec![1, 7])), topic("nothing", None)];
        let answer = purged(&bench, "g", Some(wanted)).await;
        let rows = answer.purged.iter().map(|row| {
            let name: &str = &row.topic_name;
            (name, row.partition_index, row.records, row.error_code)
        });
        let expected = [("jobs", 1, 0, 0), ("jobs", 7, 0, 3), ("nothing", -1, 0, 3)];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
        assert_eq!(described(&bench, None).await[0].ready, 2, "not meant");

        let answer = purged(&bench, "g", None).await;
        let records: Vec<_> = answer.purged.iter().map(|row| row.records).collect();
        assert_eq!(records, [2, 0]);
        let first = &described(&bench, None).await[0];
        assert_eq!((first.ready, first.in_flight), (0, 1));

        let answer = purged(&bench, "other", None).await;
        assert_eq!(answer.error_code, ErrorCode::GroupIdNotFound.code());
    }

    #[tokio::test]
    async fn a_request_asks_for_one_thing() {
        let (bench, _) = bench().await;
        let nothing = QueueAdminRequest::default();
        let two = nothing
            .clone()
            .with_describe_queues(Some(DescribeQueues::default()))
            .with_list_redrives(Some(ListRedrives::default()));
        for request in [nothing, two] {
            let answer = bench.send(0, &request).await;
            assert_eq!(answer.error_code, ErrorCode::InvalidRequest.code());
            assert!(
                answer
                    .error_message
                    .is_some_and(|why| why.contains("one thing"))
            );
        }
    }

    #[tokio::test]
    async fn a_redrive_needs_dead_letters_and_a_job_that_is_there() {
        let (bench, _) = bench().await;
        let nothing = QueueAdminRequest::default();
        let start = StartRedrive::default().with_group_id(GroupId("g".into()));
        let id = RedriveId::default().with_job_id(7);
        let refused = [
            (
                nothing.clone().with_start_redrive(Some(start)),
                "no dead-letter topic",
            ),
            (
                nothing.clone().with_cancel_redrive(Some(id.clone())),
                "no redrive 7",
            ),
            (
                nothing.clone().with_resume_redrive(Some(id)),
                "no redrive 7",
            ),
        ];
        for (request, why) in refused {
            let answer = bench.send(0, &request).await;
            assert_eq!(answer.error_code, ErrorCode::InvalidRequest.code());
            let said = answer.error_message.expect("a sentence");
            assert!(said.contains(why), "{said}");
        }
        let list = nothing.with_list_redrives(Some(ListRedrives::default()));
        let answer = bench.send(0, &list).await;
        assert_eq!((answer.error_code, answer.redrives), (0, vec![]));
    }
}

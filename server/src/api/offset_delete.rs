//! OffsetDelete (key 47), version 0: forget committed offsets (O-7).
//!
//! A topic that members read keeps its offsets (GROUP_SUBSCRIBED_TO_TOPIC). What is wrong with the
//! whole group is said at the top.

use std::ops::RangeInclusive;

use ratel_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ratel_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::groups::{STRANGE, code, own};
use super::{Api, Context, Later};
use crate::coordinator::group::{DeleteOffsets, Event, Reply};

pub struct OffsetDelete;

impl Api for OffsetDelete {
    type Request = OffsetDeleteRequest;
    const KEY: ApiKey = ApiKey::OffsetDelete;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(cx: Context, request: OffsetDeleteRequest) -> Later {
        if request.group_id.is_empty() {
            let refused = ErrorCode::InvalidGroupId.code();
            return cx.ready(&OffsetDeleteResponse::default().with_error_code(refused));
        }
        let mut offsets = Vec::new();
        for asked in &request.topics {
            if let Some(topic) = cx.broker.catalog.view.topic(&asked.name) {
                let partitions = asked.partitions.iter();
                let existing = partitions
                    .map(|partition| partition.partition_index)
                    .filter(|index| topic.partition(*index).is_some());
                offsets.extend(existing.map(|index| (topic.name.clone(), index)));
            }
        }
        let delete = DeleteOffsets {
            group: own(&request.group_id),
            offsets,
        };
        let groups = &cx.broker.groups;
        let reply = groups.send(&request.group_id, Event::DeleteOffsets(delete));
        Later::wait(async move {
            let response = match reply.await {
                Ok(Reply::DeletedOffsets(outcomes)) => outcome_response(&cx, &request, outcomes),
                Ok(_) => OffsetDeleteResponse::default().with_error_code(STRANGE.code()),
                Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
            };
            cx.answer(&response)
        })
    }
}

fn outcome_response(
    cx: &Context,
    request: &OffsetDeleteRequest,
    outcomes: Vec<Result<(), ErrorCode>>,
) -> OffsetDeleteResponse {
    let mut outcomes = outcomes.into_iter();
    let topics = request.topics.iter().map(|asked| {
        let topic = cx.broker.catalog.view.topic(&asked.name);
        let partitions = asked.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let exists = topic.as_ref().and_then(|topic| topic.partition(index));
            let outcome = match exists {
                Some(_) => outcomes.next().unwrap_or(Err(STRANGE)),
                None => Err(ErrorCode::UnknownTopicOrPartition),
            };
            OffsetDeleteResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code(outcome))
        });
        OffsetDeleteResponseTopic::default()
            .with_name(asked.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::offset_delete_request::{
        OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    };
    use ratel_protocol::messages::{GroupId, TopicName};

    use super::super::groups::text;
    use super::super::testing::Bench;
    use super::*;
    use crate::config::Config;
    use crate::coordinator::group::{Commit, CommitOffset};

    fn request(topics: &[(&str, i32)]) -> OffsetDeleteRequest {
        let topics = topics.iter().map(|(name, index)| {
            let partition = OffsetDeleteRequestPartition::default().with_partition_index(*index);
            OffsetDeleteRequestTopic::default()
                .with_name(TopicName(text(name)))
                .with_partitions(vec![partition])
        });
        OffsetDeleteRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_topics(topics.collect())
    }

    #[tokio::test]
    async fn o_7_offsets_are_forgotten_and_errors_stand_where_they_belong() {
        let bench = Bench::with_groups(Config::default()).await;
        let topic = bench.topic("t", 1);
        let asked = request(&[("t", 0), ("t", 1), ("u", 0)]);
        let response = bench.send(0, &asked).await;
        assert_eq!((response.error_code, response.topics.len()), (69, 0));
        let nameless = asked.clone().with_group_id(GroupId(text("")));
        assert_eq!(bench.send(0, &nameless).await.error_code, 24);
        let commit = Commit {
            group: "g".into(),
            member: "".into(),
            instance: None,
            generation: -1,
            retention_ms: None,
            knows_group_id_not_found: false,
            offsets: vec![CommitOffset {
                topic: "t".into(),
                topic_id: topic.id,
                partition: 0,
                offset: 5,
                leader_epoch: -1,
                metadata: "".into(),
            }],
        };
        let groups = &bench.broker.groups;
        groups.send("g", Event::Commit(commit)).await.unwrap();
        let response = bench.send(0, &asked).await;
        assert_eq!(response.error_code, 0);
        let found: Vec<_> = response
            .topics
            .iter()
            .map(|topic| (&*topic.name.0, topic.partitions[0].error_code))
            .collect();
        assert_eq!(found, [("t", 0), ("t", 3), ("u", 3)]);
        assert_eq!(
            groups.survey().await,
            [],
            "the group went with its only offset"
        );
    }
}

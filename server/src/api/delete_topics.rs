//! DeleteTopics (key 20), versions 1 to 6: delete topics with all they hold.
//!
//! The answer goes out when the deletion is durable and the files are gone. A topic of the same
//! name made afterwards has another id and begins at offset 0.
//! - v3: TOPIC_DELETION_DISABLED where `delete.topic.enable` is off, INVALID_REQUEST before
//! - v4: flexible
//! - v5: the answer explains refusals; THROTTLING_QUOTA_EXCEEDED above the client's quota of
//!   partitions (KIP-599), before which it is only told to be silent
//! - v6: by name or by id, one of them

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::delete_topics_request::DeleteTopicState;
use ratel_protocol::messages::delete_topics_response::DeletableTopicResult;
use ratel_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};
use ratel_storage::TopicId;

use super::mutations::Mutations;
use super::{Api, Context, Later};
use crate::coordinator::catalog::Topic;
use crate::error::Refusal;

pub struct DeleteTopics;

impl Api for DeleteTopics {
    type Request = DeleteTopicsRequest;
    const KEY: ApiKey = ApiKey::DeleteTopics;
    const VERSIONS: RangeInclusive<i16> = 1..=6;

    async fn handle(cx: Context, request: DeleteTopicsRequest) -> Later {
        let by_name = request.topic_names.into_iter();
        let by_name = by_name.map(|name| DeleteTopicState::default().with_name(Some(name)));
        let asked: Vec<_> = request.topics.into_iter().chain(by_name).collect();
        let found: Vec<_> = asked.iter().map(|topic| find(&cx, topic)).collect();
        let mut counts: HashMap<TopicId, usize> = HashMap::new();
        for topic in found.iter().flatten() {
            *counts.entry(topic.id).or_default() += 1;
        }
        let mut wanted = Vec::new();
        let mut mutations = Mutations::new(&cx, 5);
        let mut refused = Vec::with_capacity(found.len());
        for found in &found {
            refused.push(match found {
                Ok(topic) if counts.get(&topic.id) == Some(&1) => {
                    let taken = mutations.take(&cx, topic.partitions);
                    taken.map(|()| wanted.push(topic.id)).err()
                }
                Ok(_) => Some(Refusal::new(
                    ErrorCode::InvalidRequest,
                    "The topic stands in the request more than once.",
                )),
                Err(refusal) => Some(refusal.clone()),
            });
        }
        let deleted = cx.broker.catalog.delete(wanted);
        Later::wait(async move {
            let deleted = deleted.await;
            let throttle_ms = mutations.settle(&cx, &deleted);
            let mut deleted = deleted.into_iter();
            let rows = asked.into_iter().zip(found).zip(refused);
            let responses = rows.map(|((asked, found), refused)| {
                let refusal = refused.or_else(|| deleted.next().and_then(Result::err));
                result(asked, found.ok(), refusal)
            });
            let response = DeleteTopicsResponse::default()
                .with_throttle_time_ms(throttle_ms)
                .with_responses(responses.collect());
            cx.answer(&response)
        })
    }
}

fn find(cx: &Context, asked: &DeleteTopicState) -> Result<Arc<Topic>, Refusal> {
    if !cx.broker.config.delete_topic_enable {
        return Err(Refusal::new(
            if cx.version < 3 {
                ErrorCode::InvalidRequest
            } else {
                ErrorCode::TopicDeletionDisabled
            },
            "Topics cannot be deleted: delete.topic.enable is false.",
        ));
    }
    let view = &cx.broker.catalog.view;
    match (&asked.name, asked.topic_id) {
        (Some(name), id) if id.is_nil() => {
            view.topic(name).ok_or_else(|| Refusal::unknown_topic(name))
        }
        (None, id) if !id.is_nil() => view
            .topic_by_id(id)
            .ok_or_else(|| Refusal::unknown_topic_id(id)),
        _ => Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "A topic is deleted by its name or by its id, one of the two.",
        )),
    }
}

fn result(
    asked: DeleteTopicState,
    found: Option<Arc<Topic>>,
    refusal: Option<Refusal>,
) -> DeletableTopicResult {
    let by_name = asked.name.is_some();
    let (id, name) = match found {
        Some(topic) => {
            let name = StrBytes::from_string(topic.name.to_string());
            (topic.id, Some(TopicName(name)))
        }
        None => (asked.topic_id, asked.name),
    };
    let result = DeletableTopicResult::default()
        .with_topic_id(id)
        .with_name(name);
    match refusal {
        None => result,
        Some(refusal) => {
            // Somebody else deleted it in between.
            let code = match refusal.code {
                ErrorCode::UnknownTopicId if by_name => ErrorCode::UnknownTopicOrPartition,
                code => code,
            };
            result
                .with_error_code(code.code())
                .with_error_message(refusal.message)
        }
    }
}

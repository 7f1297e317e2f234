//! ShareAcknowledge (key 79), versions 1 to 2: what became of records that a member of a share
//! group leases.
//!
//! Goes on with a share session or closes it; it cannot open one: epoch 0 is
//! INVALID_SHARE_SESSION_EPOCH, a session that is not there SHARE_SESSION_NOT_FOUND. Each
//! partition is all or nothing, and answered once it is durable; all are on their way at once. On
//! close all else that the member leases is released, after its acknowledgements.
//! - v2: renewals (KIP-1222), and how long a lease lasts

use std::ops::RangeInclusive;

use ratel_protocol::messages::share_acknowledge_response::{
    PartitionData, ShareAcknowledgeTopicResponse,
};
use ratel_protocol::messages::{ShareAcknowledgeRequest, ShareAcknowledgeResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::share_acks::{self, Acked, Acks};
use super::{Answer, Api, Context, Later};
use crate::share_sessions::{EPOCH_CLOSE, EPOCH_OPEN, Gone, SessionKey};

pub struct ShareAcknowledge;

impl Api for ShareAcknowledge {
    type Request = ShareAcknowledgeRequest;
    const KEY: ApiKey = ApiKey::ShareAcknowledge;
    const VERSIONS: RangeInclusive<i16> = 1..=2;

    async fn handle(cx: Context, request: ShareAcknowledgeRequest) -> Later {
        let group = request.group_id.as_ref().map(|group| &*group.0 as &str);
        let begun = share_acks::session_key(group, request.member_id.as_ref())
            .and_then(|key| Ok((begin(&cx, &key, request.share_session_epoch)?, key)));
        let (gone, key) = match begun {
            Ok(begun) => begun,
            Err(code) => {
                let refused = ShareAcknowledgeResponse::default().with_error_code(code.code());
                return cx.ready(&refused);
            }
        };
        let acks = Acks {
            cx: &cx,
            key: &key,
            renews: request.is_renew_ack,
        };
        let mut sent = Vec::new();
        for topic in &request.topics {
            for partition in &topic.partitions {
                let batches = &partition.acknowledgement_batches;
                sent.push(acks.send(topic.topic_id, partition.partition_index, batches));
            }
        }
        if let Some(gone) = gone {
            share_acks::release(&cx, &gone);
        }
        Later::wait(answer(cx, key, sent))
    }
}

/// Go on with the session, or close it: what is to be released then.
fn begin(cx: &Context, key: &SessionKey, epoch: i32) -> Result<Option<Gone>, ErrorCode> {
    let sessions = &cx.broker.share_sessions;
    match epoch {
        EPOCH_OPEN => Err(ErrorCode::InvalidShareSessionEpoch),
        EPOCH_CLOSE => sessions.close(key).map(Some),
        _ => sessions.go_on(key, epoch, Vec::new(), &[]).map(|_| None),
    }
}

async fn answer(cx: Context, key: SessionKey, sent: Vec<Acked>) -> Answer {
    let mut topics: Vec<ShareAcknowledgeTopicResponse> = Vec::new();
    for acked in sent {
        let (topic, index, outcome) = acked.outcome().await;
        let code = outcome.err().map_or(0, |code| code.code());
        let partition = PartitionData::default()
            .with_partition_index(index)
            .with_error_code(code);
        match topics.last_mut().filter(|last| last.topic_id == topic) {
            Some(last) => last.partitions.push(partition),
            None => topics.push(
                ShareAcknowledgeTopicResponse::default()
                    .with_topic_id(topic)
                    .with_partitions(vec![partition]),
            ),
        }
    }
    let lock_timeout_ms = share_acks::lock_timeout_ms(&cx, &key.group);
    let response = ShareAcknowledgeResponse::default()
        .with_acquisition_lock_timeout_ms(lock_timeout_ms)
        .with_responses(topics);
    cx.answer(&response)
}

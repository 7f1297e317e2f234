//! Acknowledgements, as ShareFetch and ShareAcknowledge carry them: the rules that they keep
//! before a queue sees them, and what comes of each partition.
//!
//! First at or below last, batches in ascending order, one type for all offsets or one for each,
//! types up to 3 (Renew, 4, from version 2 on and only in a request that says `IsRenewAck`): else
//! INVALID_REQUEST for the whole partition. What a queue refuses (INVALID_RECORD_STATE for records
//! that the member does not lease) it refuses for the whole partition too.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ratel_protocol::messages::share_fetch_request::AcknowledgementBatch;
use ratel_protocol::{ErrorCode, StrBytes};
use ratel_storage::{Offset, PartitionId, TopicId};

use super::Context;
use crate::coordinator::share::{AckType, Acknowledge, AcknowledgeBatch, Event, QueueKey};
use crate::share_sessions::{Gone, SessionKey};

/// The longest member id (KIP-932).
const MEMBER_ID_MAX: usize = 36;

/// Who asks.
///
/// # Errors
/// INVALID_REQUEST without a group or with a member id that none has.
pub(super) fn session_key(
    group: Option<&str>,
    member: Option<&StrBytes>,
) -> Result<SessionKey, ErrorCode> {
    let group = group.filter(|group| !group.is_empty());
    let member = member.filter(|member| (1..=MEMBER_ID_MAX).contains(&member.chars().count()));
    match (group, member) {
        (Some(group), Some(member)) => Ok(SessionKey {
            group: group.into(),
            member: (**member).into(),
        }),
        _ => Err(ErrorCode::InvalidRequest),
    }
}

type Outcome = Result<(), ErrorCode>;

/// The acknowledgements of one partition on their way.
pub(super) struct Acked {
    /// The topic.
    pub topic: TopicId,
    /// The partition's index.
    pub index: i32,
    outcome: Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

impl Acked {
    /// What came of them, once it is durable.
    pub async fn outcome(self) -> (TopicId, i32, Outcome) {
        (self.topic, self.index, self.outcome.await)
    }
}

/// Sends a request's acknowledgements.
pub(super) struct Acks<'a> {
    /// The request.
    pub cx: &'a Context,
    /// Whose they are.
    pub key: &'a SessionKey,
    /// Whether it may renew (`IsRenewAck`).
    pub renews: bool,
}

impl Acks<'_> {
    /// Send those of one partition: their order is fixed when this returns.
    pub fn send(&self, topic: TopicId, index: i32, batches: &[AcknowledgementBatch]) -> Acked {
        let outcome: Pin<Box<dyn Future<Output = Outcome> + Send>> =
            match self.event(topic, index, batches) {
                Err(code) => Box::pin(std::future::ready(Err(code))),
                Ok(None) => Box::pin(std::future::ready(Ok(()))),
                Ok(Some(event)) => {
                    let reply = self
                        .cx
                        .broker
                        .shares
                        .send(&event.key.clone(), Event::Acknowledge(event));
                    Box::pin(async move { reply.await.map(drop) })
                }
            };
        Acked {
            topic,
            index,
            outcome,
        }
    }

    fn event(
        &self,
        topic: TopicId,
        index: i32,
        batches: &[AcknowledgementBatch],
    ) -> Result<Option<Acknowledge>, ErrorCode> {
        let topic = self.cx.broker.catalog.view.topic_by_id(topic);
        let topic = topic.ok_or(ErrorCode::UnknownTopicId)?;
        let batches = checked(batches, self.cx.version >= 2 && self.renews)?;
        let partition = topic.partition(index);
        let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if batches.is_empty() {
            return Ok(None);
        }
        Ok(Some(Acknowledge {
            key: queue_key(self.key, partition),
            member: self.key.member.clone(),
            config: self.cx.broker.shares.config(&self.key.group),
            batches,
        }))
    }
}

/// The queue that a member reads of a partition.
pub(super) fn queue_key(key: &SessionKey, partition: PartitionId) -> QueueKey {
    QueueKey {
        group: key.group.clone(),
        partition,
    }
}

/// Release all that a member leased through a session that is over.
pub(super) fn release(cx: &Context, gone: &Gone) {
    cx.broker.release(gone);
}

fn checked(
    batches: &[AcknowledgementBatch],
    may_renew: bool,
) -> Result<Vec<AcknowledgeBatch>, ErrorCode> {
    // A batch may begin where the last one ended, as at Apache Kafka: the queue refuses it then.
    let mut from = 0;
    let batches = batches.iter().map(|batch| {
        let (first, last) = (batch.first_offset, batch.last_offset);
        let count = batch.acknowledge_types.len();
        let fits = count == 1 || i64::try_from(count) == Ok(last.saturating_sub(first) + 1);
        if first > last || first < from || last == i64::MAX || !fits {
            return Err(ErrorCode::InvalidRequest);
        }
        from = last;
        let types = batch.acknowledge_types.iter();
        Ok(AcknowledgeBatch {
            first: Offset::new(first),
            last: Offset::new(last),
            types: types
                .map(|number| ack_type(*number, may_renew))
                .collect::<Result<_, _>>()?,
        })
    });
    batches.collect()
}

fn ack_type(number: i8, may_renew: bool) -> Result<AckType, ErrorCode> {
    match number {
        0 => Ok(AckType::Gap),
        1 => Ok(AckType::Accept),
        2 => Ok(AckType::Release),
        3 => Ok(AckType::Reject),
        4 if may_renew => Ok(AckType::Renew),
        _ => Err(ErrorCode::InvalidRequest),
    }
}

/// How long leases of a group last, ms, as far as an answer can say it.
pub(super) fn lock_timeout_ms(cx: &Context, group: &Arc<str>) -> i32 {
    let config = cx.broker.shares.config(group);
    i32::try_from(config.lock_duration_ms).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: i64, last: i64, types: &[i8]) -> AcknowledgementBatch {
        AcknowledgementBatch::default()
            .with_first_offset(first)
            .with_last_offset(last)
            .with_acknowledge_types(types.to_vec())
    }

    #[test]
    fn batches_are_checked_before_a_queue_sees_them() {
        let good: &[&[AcknowledgementBatch]] = &[
            &[],
            &[batch(0, 9, &[1])],
            &[batch(0, 2, &[0, 1, 2]), batch(3, 3, &[3])],
            &[batch(0, 2, &[1]), batch(2, 3, &[1])],
        ];
        for batches in good {
            assert_eq!(
                checked(batches, false).map(|all| all.len()),
                Ok(batches.len())
            );
        }
        let bad: &[&[AcknowledgementBatch]] = &[
            &[batch(1, 0, &[1])],
            &[batch(-1, 0, &[1])],
            &[batch(0, 5, &[1]), batch(4, 6, &[1])],
            &[batch(0, 1, &[])],
            &[batch(0, 2, &[1, 1])],
            &[batch(0, 0, &[-1])],
            &[batch(0, 0, &[4])],
            &[batch(0, 0, &[5])],
            &[batch(0, i64::MAX, &[1])],
        ];
        for batches in bad {
            assert_eq!(
                checked(batches, false),
                Err(ErrorCode::InvalidRequest),
                "{batches:?}"
            );
        }
        assert!(checked(&[batch(0, 0, &[4])], true).is_ok());
    }
}

//! One connection of a worker: a member of the share group with one share session.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use kafka_protocol::messages::{GroupId, ShareGroupHeartbeatRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use ratel_protocol::messages::share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic};
use ratel_protocol::messages::share_fetch_request::{
    AcknowledgementBatch, FetchPartition, FetchTopic,
};
use ratel_protocol::messages::{ShareAcknowledgeRequest, ShareFetchRequest, ShareFetchResponse};
use ratel_storage::{Batch, BatchHeader, records};

use super::{Journal, Settings, now_us};
use crate::history::{Span, Value};
use crate::queue_history::{Delivery, MemberNumber, OPEN, Op, Said, Word};
use crate::{Random, RawClient};

/// A connection that took longer to make than this, microseconds, may belong to either of two
/// lives of the server, and is not used.
const CONNECT_US: u64 = 5_000;
/// What a delivery holds whose record was not among those that came with it.
const NOTHING: Value = Value::MAX;

/// What is to be said, by partition and offset.
pub(super) type Words = BTreeMap<(i32, i64), Word>;

/// What is asked for in one fetch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) records: i32,
    pub(super) wait_ms: i32,
    /// 0 whole batches, 1 never more than `records`.
    pub(super) mode: i8,
    pub(super) batch_size: i32,
    pub(super) max_bytes: i32,
}

/// A member of the group.
pub(super) struct Member<'a> {
    settings: &'a Settings,
    client: RawClient,
    number: MemberNumber,
    id: StrBytes,
    group_epoch: i32,
    session_epoch: i32,
}

/// One word for each partition of a request, as it is written down.
struct Spoken {
    /// Their numbers in the journal.
    lines: Vec<(u64, i32)>,
    by_partition: BTreeMap<i32, Vec<(i64, Word)>>,
    begin_us: u64,
}

impl<'a> Member<'a> {
    /// Connect and join; `None` if that took too long to tell which life of the server it is.
    pub(super) async fn join(
        settings: &'a Settings,
        number: MemberNumber,
        journal: &mut Journal,
    ) -> io::Result<Option<Self>> {
        let begin_us = now_us();
        let client = RawClient::try_connect(settings.server).await?;
        let span = Span {
            begin_us,
            end_us: now_us(),
        };
        if span.end_us - begin_us > CONNECT_US {
            return Ok(None);
        }
        journal.note(&Op::Joined {
            member: number,
            span,
        })?;
        let mut member = Self {
            settings,
            client,
            number,
            id: StrBytes::from_string(format!("worker-{number}")),
            group_epoch: 0,
            session_epoch: 0,
        };
        member.beat().await?;
        Ok(Some(member))
    }

    /// Tell the group that it lives; join again if it is not known there.
    pub(super) async fn beat(&mut self) -> io::Result<()> {
        let topics = vec![TopicName(StrBytes::from_string(
            self.settings.topic.clone(),
        ))];
        let request = ShareGroupHeartbeatRequest::default()
            .with_group_id(self.group())
            .with_member_id(self.id.clone())
            .with_member_epoch(self.group_epoch)
            .with_subscribed_topic_names((self.group_epoch == 0).then_some(topics));
        let answer = self.client.try_send(1, &request).await?;
        self.group_epoch = match answer.error_code {
            0 => answer.member_epoch,
            _ => 0,
        };
        Ok(())
    }

    fn group(&self) -> GroupId {
        GroupId(StrBytes::from_string(self.settings.group.clone()))
    }

    fn next_session_epoch(&mut self, closes: bool) -> i32 {
        let epoch = self.session_epoch;
        self.session_epoch += 1;
        if closes { -1 } else { epoch }
    }

    /// Ask for records, after saying something of others.
    pub(super) async fn fetch(
        &mut self,
        ask: Ask,
        words: &Words,
        journal: &mut Journal,
        random: &mut Random,
    ) -> io::Result<Vec<Delivery>> {
        let spoken = self.write_words(words, journal)?;
        let mut span = Span {
            begin_us: spoken.begin_us,
            end_us: OPEN,
        };
        let member = self.number;
        let op = |span, answer| Op::Fetch {
            member,
            span,
            answer,
        };
        let line = journal.note(&op(span, None))?;
        let partitions = (0..self.settings.partitions).map(|index| {
            let said = spoken.by_partition.get(&index);
            FetchPartition::default()
                .with_partition_index(index)
                .with_acknowledgement_batches(batches(said, random))
        });
        let topic = FetchTopic::default()
            .with_topic_id(self.settings.topic_id)
            .with_partitions(partitions.collect());
        let request = ShareFetchRequest::default()
            .with_group_id(Some(self.group()))
            .with_member_id(Some(self.id.clone()))
            .with_share_session_epoch(self.session_epoch)
            .with_max_wait_ms(ask.wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(ask.max_bytes)
            .with_max_records(ask.records)
            .with_batch_size(ask.batch_size)
            .with_share_acquire_mode(ask.mode)
            .with_topics(vec![topic]);
        self.next_session_epoch(false);
        let answer = self.client.try_send(2, &request).await;
        span.end_us = now_us();
        let answer = match answer {
            Ok(answer) => answer,
            Err(lost) => {
                journal.replace(line, &op(span, None))?;
                return Err(lost);
            }
        };
        let given = given(&answer)?;
        journal.replace(line, &op(span, Some(given.clone())))?;
        let codes = answer.responses.iter().flat_map(|topic| &topic.partitions);
        let codes = codes.map(|line| (line.partition_index, line.acknowledge_error_code));
        self.write_outcome(&spoken, answer.error_code, codes.collect(), journal)?;
        within_session(answer.error_code)?;
        Ok(given)
    }

    /// Say something of records. Ends the session with it if told so.
    pub(super) async fn acknowledge(
        &mut self,
        words: &Words,
        closes: bool,
        journal: &mut Journal,
        random: &mut Random,
    ) -> io::Result<()> {
        let spoken = self.write_words(words, journal)?;
        if closes {
            journal.note(&Op::Left {
                member: self.number,
                at_us: spoken.begin_us,
            })?;
        }
        let partitions = spoken.by_partition.iter().map(|(index, said)| {
            AcknowledgePartition::default()
                .with_partition_index(*index)
                .with_acknowledgement_batches(batches(Some(said), random))
        });
        let topic = AcknowledgeTopic::default()
            .with_topic_id(self.settings.topic_id)
            .with_partitions(partitions.collect());
        let request = ShareAcknowledgeRequest::default()
            .with_group_id(Some(self.group()))
            .with_member_id(Some(self.id.clone()))
            .with_share_session_epoch(self.next_session_epoch(closes))
            .with_is_renew_ack(words.values().any(|word| *word == Word::Renew))
            .with_topics(vec![topic]);
        let answer = self.client.try_send(2, &request).await?;
        let codes = answer.responses.iter().flat_map(|topic| &topic.partitions);
        let codes = codes.map(|line| (line.partition_index, line.error_code));
        self.write_outcome(&spoken, answer.error_code, codes.collect(), journal)?;
        within_session(answer.error_code)
    }

    /// The connection is about to be dropped, and with it all leases.
    pub(super) fn leave(self, journal: &mut Journal) -> io::Result<()> {
        journal.note(&Op::Left {
            member: self.number,
            at_us: now_us(),
        })?;
        Ok(())
    }

    /// Write words down before they are sent.
    fn write_words(&self, words: &Words, journal: &mut Journal) -> io::Result<Spoken> {
        let mut by_partition: BTreeMap<i32, Vec<(i64, Word)>> = BTreeMap::new();
        for ((partition, offset), word) in words {
            let said = by_partition.entry(*partition).or_default();
            said.push((*offset, *word));
        }
        let mut spoken = Spoken {
            lines: Vec::new(),
            by_partition,
            begin_us: now_us(),
        };
        let span = Span {
            begin_us: spoken.begin_us,
            end_us: OPEN,
        };
        for (partition, said) in &spoken.by_partition {
            let op = self.op(*partition, said, span, Said::Unknown);
            spoken.lines.push((journal.note(&op)?, *partition));
        }
        Ok(spoken)
    }

    /// Write down what was said of them. A partition that the answer left out is not known.
    fn write_outcome(
        &self,
        spoken: &Spoken,
        code: i16,
        codes: BTreeMap<i32, i16>,
        journal: &mut Journal,
    ) -> io::Result<()> {
        let span = Span {
            begin_us: spoken.begin_us,
            end_us: now_us(),
        };
        for (line, partition) in &spoken.lines {
            let said = match (code, codes.get(partition)) {
                (0, Some(0)) => Said::Held,
                (0, Some(code)) => Said::Refused(*code),
                (0, None) => Said::Unknown,
                (code, _) => Said::Refused(code),
            };
            let words = spoken.by_partition.get(partition);
            let op = self.op(*partition, words.map_or(&[], Vec::as_slice), span, said);
            journal.replace(*line, &op)?;
        }
        Ok(())
    }

    fn op(&self, partition: i32, words: &[(i64, Word)], span: Span, said: Said) -> Op {
        Op::Ack {
            member: self.number,
            partition,
            words: words.to_vec(),
            span,
            said,
        }
    }
}

/// A session that the server does not know or that is out of step is over.
fn within_session(code: i16) -> io::Result<()> {
    match code {
        0 => Ok(()),
        code => Err(io::Error::other(format!("the session ended with {code}"))),
    }
}

/// Words as batches: stretches without a gap, with one type for all or one for each.
fn batches(said: Option<&Vec<(i64, Word)>>, random: &mut Random) -> Vec<AcknowledgementBatch> {
    let said = said.map_or(&[][..], Vec::as_slice);
    let stretches = said.chunk_by(|(left, _), (right, _)| left + 1 == *right);
    stretches
        .filter_map(|stretch| {
            let ((first, one), (last, _)) = (stretch.first()?, stretch.last()?);
            let is_same = stretch.iter().all(|(_, word)| word == one);
            let types = match is_same && random.percent(50) {
                true => vec![*one as i8],
                false => stretch.iter().map(|(_, word)| *word as i8).collect(),
            };
            let batch = AcknowledgementBatch::default()
                .with_first_offset(*first)
                .with_last_offset(*last)
                .with_acknowledge_types(types);
            Some(batch)
        })
        .collect()
}

/// What an answer leases.
fn given(answer: &ShareFetchResponse) -> io::Result<Vec<Delivery>> {
    let mut given = Vec::new();
    for line in answer.responses.iter().flat_map(|topic| &topic.partitions) {
        let values = values(&line.records)?;
        for range in &line.acquired_records {
            for offset in range.first_offset..=range.last_offset {
                given.push(Delivery {
                    partition: line.partition_index,
                    offset,
                    count: range.delivery_count,
                    value: values.get(&offset).copied().unwrap_or(NOTHING),
                });
            }
        }
    }
    Ok(given)
}

/// The records of whole batches, by offset.
pub(super) fn values(batches: &Bytes) -> io::Result<BTreeMap<i64, Value>> {
    let mut values = BTreeMap::new();
    for record in super::unpack(batches)? {
        let value = record.value.as_deref().map(<[u8; 8]>::try_from);
        if let Some(Ok(value)) = value {
            values.insert(record.offset.get(), Value::from_be_bytes(value));
        }
    }
    Ok(values)
}

/// All records of whole batches.
///
/// # Errors
/// What does not parse.
pub fn unpack(batches: &Bytes) -> io::Result<Vec<ratel_storage::Record>> {
    let wrong = |why: ratel_storage::StorageError| io::Error::other(why.to_string());
    let (mut rest, mut all) = (batches.clone(), Vec::new());
    while !rest.is_empty() {
        let header = BatchHeader::decode(&rest).map_err(wrong)?;
        if header.bytes > rest.len() {
            break;
        }
        let batch = Batch::parse(rest.split_to(header.bytes), usize::MAX).map_err(wrong)?;
        for record in records(&batch).map_err(wrong)? {
            all.push(record.map_err(wrong)?);
        }
    }
    Ok(all)
}

//! `ratel queue peek`: an ordinary fetch from a queue's first record on.

use clap::Args;
use ratel_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use ratel_protocol::messages::fetch_response::PartitionData;
use ratel_protocol::messages::{BrokerId, FetchRequest, TopicName};
use ratel_storage::{Batch, BatchHeader, Record, StorageError, records};
use serde_json::{Value, json};

use super::super::Failure;
use super::super::client::{Client, ServerFlags, check, text};
use super::super::output::List;
use super::describe::topics;

/// Bytes that one fetch asks for.
const FETCH_BYTES: i32 = 1 << 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct Peek {
    /// The queue
    queue: String,
    /// How many records of each partition
    #[arg(long, short = 'n', default_value_t = 10, value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// Only this topic
    #[arg(long, short)]
    topic: Option<String>,
    /// Only this partition
    #[arg(long, short, requires = "topic")]
    partition: Option<i32>,
    #[command(flatten)]
    server: ServerFlags,
}

pub(super) fn peek(peek: &Peek) -> Result<(), Failure> {
    let mut client = Client::connect(&peek.server)?;
    let mut list = List::new(&[
        "topic",
        "partition",
        "offset",
        "time_ms",
        "key",
        "value",
        "headers",
    ]);
    for topic in topics(&mut client, &peek.queue)? {
        let name = topic.topic_name.as_str();
        if peek.topic.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        for partition in topic.partitions {
            let index = partition.partition_index;
            if peek.partition.is_some_and(|wanted| wanted != index) || partition.start_offset < 0 {
                continue;
            }
            let mut reading = Reading {
                client: &mut client,
                topic: name,
                partition: index,
                next: partition.start_offset,
            };
            for record in reading.take(peek.count as usize)? {
                list.row(row(name, index, &record));
            }
        }
    }
    list.print(peek.server.output)
}

fn row(topic: &str, partition: i32, record: &Record) -> Vec<Value> {
    let plain = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = record.headers.iter().map(|(name, value)| {
        let value = value.as_deref().map(plain);
        json!([plain(name), value])
    });
    vec![
        json!(topic),
        json!(partition),
        json!(record.offset.get()),
        json!(record.timestamp_ms),
        json!(record.key.as_deref().map(plain)),
        json!(record.value.as_deref().map(plain)),
        headers.collect(),
    ]
}

/// Where reading of a partition has come to.
struct Reading<'a> {
    client: &'a mut Client,
    topic: &'a str,
    partition: i32,
    next: i64,
}

impl Reading<'_> {
    /// The next records, up to so many; fewer at the log's end.
    fn take(&mut self, count: usize) -> Result<Vec<Record>, Failure> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let before = self.next;
            let fetched = self.fetch()?;
            let bytes = fetched.records.unwrap_or_default();
            self.unpack(bytes, count, &mut taken).map_err(|error| {
                let place = format!("{}-{}", self.topic, self.partition);
                Failure::failed(format!("{place} holds what cannot be read: {error}"))
            })?;
            if self.next == before {
                break;
            }
        }
        Ok(taken)
    }

    fn fetch(&mut self) -> Result<PartitionData, Failure> {
        let partition = FetchPartition::default()
            .with_partition(self.partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(self.next)
            .with_partition_max_bytes(FETCH_BYTES);
        let topic = FetchTopic::default()
            .with_topic(TopicName(text(self.topic)))
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_bytes(FETCH_BYTES)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let answer = self.client.send(12, &request)?;
        let place = format!("{}-{}", self.topic, self.partition);
        check(answer.error_code, &place, None)?;
        let mut found = answer.responses.into_iter();
        let found = found.next().and_then(|mut topic| topic.partitions.pop());
        let found =
            found.ok_or_else(|| Failure::failed(format!("the server says nothing of {place}")))?;
        check(found.error_code, &place, None)?;
        Ok(found)
    }

    /// Take records out of batches, one behind the other; the last may be cut short.
    fn unpack(
        &mut self,
        mut bytes: bytes::Bytes,
        count: usize,
        taken: &mut Vec<Record>,
    ) -> Result<(), StorageError> {
        while taken.len() < count {
            let Ok(header) = BatchHeader::decode(&bytes) else {
                break;
            };
            if header.bytes > bytes.len() {
                break;
            }
            let batch = Batch::parse(bytes.split_to(header.bytes), header.bytes)?;
            if !header.is_control() {
                for record in records(&batch)? {
                    let record = record?;
                    if record.offset.get() >= self.next && taken.len() < count {
                        taken.push(record);
                    }
                }
            }
            let last = header.base_offset + i64::from(header.last_offset_delta);
            self.next = self.next.max(last + 1);
        }
        Ok(())
    }
}

//! `ratel queue peek`: an ordinary fetch from a queue's first record on.

use clap::Args;
use ratel_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use ratel_protocol::messages::fetch_response::PartitionData;
use ratel_protocol::messages::{BrokerId, FetchRequest, TopicName};
use ratel_storage::{Batch, BatchHeader, Record, StorageError, records};
use serde_json::json;

use super::super::Failure;
use super::super::client::{Client, ServerFlags, check, text};
use super::super::output::{List, Output};
use super::describe::topics;
use super::no_queue;
use crate::clock::{Clock, SystemClock};

/// Bytes that one fetch asks for.
const FETCH_BYTES: i32 = 1 << 20;
/// What a table shows of a record.
const KEY_CHARS: usize = 20;
const VALUE_CHARS: usize = 34;
const HEADERS_CHARS: usize = 34;

#[derive(Debug, Args)]
pub(in crate::cli) struct Peek {
    /// The queue
    #[arg(value_parser = super::named)]
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
    let mut found = Vec::new();
    let queues = topics(&mut client, &peek.queue)?;
    if queues.is_empty() {
        return Err(no_queue(&peek.queue));
    }
    for topic in queues {
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
                found.push((name.to_owned(), index, record));
            }
        }
    }
    match peek.server.output {
        Output::Table => table(&found),
        output => all(&found, output),
    }
}

/// A record with its topic and partition.
type Found = (String, i32, Record);

/// Records whole.
fn all(found: &[Found], output: Output) -> Result<(), Failure> {
    let mut list = List::new(&[
        "topic",
        "partition",
        "offset",
        "time_ms",
        "key",
        "value",
        "headers",
    ]);
    for (topic, partition, record) in found {
        let headers = record.headers.iter().map(|(name, value)| {
            let value = value.as_deref().map(plain);
            json!([plain(name), value])
        });
        list.row(vec![
            json!(topic),
            json!(partition),
            json!(record.offset.get()),
            json!(record.timestamp_ms),
            json!(record.key.as_deref().map(plain)),
            json!(record.value.as_deref().map(plain)),
            headers.collect(),
        ]);
    }
    list.print(output)
}

/// A record in each line of a narrow screen, cut short.
fn table(found: &[Found]) -> Result<(), Failure> {
    let now_ms = SystemClock::new().now().wall_ms;
    let has_headers = found
        .iter()
        .any(|(_, _, record)| !record.headers.is_empty());
    let mut list = if has_headers {
        List::new(&["partition", "offset", "age_ms", "key", "value", "headers"])
    } else {
        List::new(&["partition", "offset", "age_ms", "key", "value"])
    };
    for (topic, partition, record) in found {
        let short = |bytes: Option<&[u8]>, most| bytes.map(|bytes| cut(&plain(bytes), most));
        let mut row = vec![
            json!(format!("{topic}-{partition}")),
            json!(record.offset.get()),
            json!(now_ms.saturating_sub(record.timestamp_ms).max(0)),
            json!(short(record.key.as_deref(), KEY_CHARS)),
            json!(short(record.value.as_deref(), VALUE_CHARS)),
        ];
        if has_headers {
            let headers = record.headers.iter();
            let headers: Vec<_> = headers
                .map(|(name, value)| match value {
                    Some(value) => format!("{}={}", plain(name), plain(value)),
                    None => plain(name),
                })
                .collect();
            row.push(json!(cut(&headers.join(" "), HEADERS_CHARS)));
        }
        list.row(row);
    }
    list.print_or(Output::Table, "there is nothing in it to look at\n")
}

fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// At most so many characters, the last a mark if it had more.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most - 1).chain(['\u{2026}']).collect(),
    }
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

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn what_is_too_long_for_a_line_is_cut_and_marked() {
        assert_eq!(cut("four", 4), "four");
        assert_eq!(cut("fives", 4), "fiv\u{2026}");
        assert_eq!(cut("\u{e4}\u{f6}\u{fc}", 2), "\u{e4}\u{2026}");
    }
}

//! A dead letter as a redrive sees it: whether it is meant, where it belongs, what it was.

use ratel_storage::{Batch, BatchBuilder, Record};

use super::Job;
use crate::dead_letters::{GROUP, INCOMPLETE, MESSAGE, OFFSET, ORIGIN_PREFIX, PARTITION, TOPIC};

/// The text of a letter's header of this name.
fn text<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    let mut headers = record.headers.iter();
    let (_, value) = headers.find(|(key, _)| key == name.as_bytes())?;
    std::str::from_utf8(value.as_ref()?).ok()
}

/// Whether a job means this letter.
pub(super) fn matches(job: &Job, record: &Record) -> bool {
    let filter = &job.filter;
    let number = |name| text(record, name).and_then(|text| text.parse::<i64>().ok());
    let is_header = |name: &String| {
        let mut own = record.headers.iter();
        own.any(|(key, value)| {
            let is_value = filter.header_value.is_none() || filter.header_value == *value;
            key == name.as_bytes() && is_value
        })
    };
    text(record, GROUP) == Some(&job.group)
        && filter
            .topic
            .as_deref()
            .is_none_or(|topic| text(record, TOPIC) == Some(topic))
        && filter
            .partition
            .is_none_or(|partition| number(PARTITION) == Some(partition.into()))
        && number(OFFSET)
            .is_some_and(|offset| (filter.first_offset..=filter.last_offset).contains(&offset))
        && filter
            .message
            .as_deref()
            .is_none_or(|message| text(record, MESSAGE) == Some(message))
        && (filter.from_ms..=filter.to_ms).contains(&record.timestamp_ms)
        && filter
            .key
            .as_ref()
            .is_none_or(|key| record.key.as_ref() == Some(key))
        && filter.header.as_ref().is_none_or(is_header)
}

/// Whether another job has brought this letter home.
pub(super) fn took(other: &Job, partition: i32, record: &Record) -> bool {
    other.is_past(partition, record.offset) && matches(other, record)
}

/// The topic and partition that a letter comes from.
///
/// # Errors
/// Why it cannot go back, as the end of a sentence.
pub(super) fn origin(record: &Record) -> Result<(String, i32), String> {
    if let Some(why) = text(record, INCOMPLETE) {
        return Err(format!("the letter is not whole: {why}"));
    }
    let own = record.headers.iter();
    let has_own = own
        .filter(|(name, _)| !name.starts_with(ORIGIN_PREFIX.as_bytes()))
        .count()
        > 0;
    if record.key.is_none() && record.value.is_none() && !has_own {
        return Err("the letter holds no copy of the record".into());
    }
    let partition = text(record, PARTITION).and_then(|text| text.parse().ok());
    match (text(record, TOPIC), partition) {
        (Some(topic), Some(partition)) => Ok((topic.to_owned(), partition)),
        _ => Err("the letter does not say where it comes from".into()),
    }
}

/// Records as they were before they died, in batches of one producer.
pub(super) struct Copies {
    producer_id: i64,
    sequence: i64,
    now_ms: i64,
    builder: BatchBuilder,
}

impl Copies {
    /// None yet; the first has this sequence.
    pub(super) fn new(producer_id: i64, sequence: i64, now_ms: i64) -> Self {
        Self {
            producer_id,
            sequence,
            now_ms,
            builder: begin(producer_id, sequence, now_ms),
        }
    }

    /// Add the record of a letter; gives the batch before it if that is full.
    pub(super) fn put(&mut self, record: &Record, bytes: usize) -> Option<Batch> {
        let size = record.key.as_ref().map_or(0, bytes::Bytes::len)
            + record.value.as_ref().map_or(0, bytes::Bytes::len);
        let full = !self.builder.is_empty() && self.builder.size_bytes() + size > bytes;
        let batch = if full { self.take() } else { None };
        let own = record.headers.iter();
        let own = own.filter(|(name, _)| !name.starts_with(ORIGIN_PREFIX.as_bytes()));
        let headers: Vec<_> = own
            .map(|(name, value)| (&**name, value.as_deref()))
            .collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        self.builder.record_at(self.now_ms, key, value, &headers);
        batch
    }

    /// The batch so far, if it holds anything.
    pub(super) fn take(&mut self) -> Option<Batch> {
        let next = self.sequence + i64::from(self.builder.count());
        let empty = begin(self.producer_id, next, self.now_ms);
        self.sequence = next;
        std::mem::replace(&mut self.builder, empty).build()
    }
}

fn begin(producer_id: i64, sequence: i64, now_ms: i64) -> BatchBuilder {
    let sequence = i32::try_from(sequence).unwrap_or(i32::MAX);
    BatchBuilder::new(now_ms).producer(producer_id, 0, sequence)
}

//! What a dead letter says: the record as it was, and headers that tell where it comes from and
//! why it was given up (KIP-1191).

use ratel_storage::{Batch, BatchBuilder, Offset, Record};

use crate::coordinator::share::{DeadRange, QueueKey};

/// What the names of all headers of a dead letter begin with.
pub const ORIGIN_PREFIX: &str = "__dlq.errors.";
/// Header: the name of the topic that the record comes from.
pub const TOPIC: &str = "__dlq.errors.topic";
/// Header: the number of its partition, in decimal.
pub const PARTITION: &str = "__dlq.errors.partition";
/// Header: its offset there, in decimal.
pub const OFFSET: &str = "__dlq.errors.offset";
/// Header: the share group that gave it up.
pub const GROUP: &str = "__dlq.errors.group";
/// Header: how often it was delivered, in decimal.
pub const DELIVERY_COUNT: &str = "__dlq.errors.delivery.count";
/// Header: why it was given up, in Kafka's words.
pub const MESSAGE: &str = "__dlq.errors.message";
/// Header, ours: why the letter lacks the record's key, headers and payload.
pub const INCOMPLETE: &str = "__dlq.errors.incomplete";

/// A batch of letters is about this long at most, in bytes, unless one letter is longer.
const BATCH_BYTES: usize = 1 << 20;

/// What lengths, times and counts of one record take at most, in bytes.
const RECORD_BYTES: usize = 48;
/// What the two lengths of a header take at most, in bytes.
const HEADER_LENGTHS_BYTES: usize = 10;
/// A batch's own header, in bytes.
const BATCH_HEADER_BYTES: usize = ratel_storage::batch::HEADER_BYTES;

type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// Letters of one range of records that become one batch.
pub(super) struct Letters {
    builder: BatchBuilder,
    now_ms: i64,
    /// The largest batch that the dead-letter topic takes, in bytes.
    largest: usize,
    origin: Origin,
    incomplete: u64,
}

/// What all of them have in common.
struct Origin {
    topic: String,
    partition: String,
    group: String,
    delivery_count: String,
    message: &'static str,
}

impl Letters {
    pub(super) fn new(
        now_ms: i64,
        key: &QueueKey,
        topic: &str,
        range: &DeadRange,
        largest: usize,
    ) -> Self {
        Self {
            builder: BatchBuilder::new(now_ms),
            now_ms,
            largest,
            origin: Origin {
                topic: topic.to_owned(),
                partition: key.partition.index.to_string(),
                group: key.group.to_string(),
                delivery_count: range.delivery_count.to_string(),
                message: super::sentence(range.reason),
            },
            incomplete: 0,
        }
    }

    /// Add the copy of a record; without its key, headers and payload if no batch could hold
    /// them. False, and nothing is added, if the batch is full.
    pub(super) fn put(&mut self, record: &Record) -> bool {
        let (offset, now_ms) = (record.offset.get().to_string(), self.now_ms);
        let own = record.headers.iter();
        // A record that comes back from a dead-letter topic and dies again has new ones.
        let own = own.filter(|(name, _)| !name.starts_with(ORIGIN_PREFIX.as_bytes()));
        let mut headers: Vec<Header<'_>> = own
            .map(|(name, value)| (&**name, value.as_deref()))
            .collect();
        headers.extend(self.origin.headers(&offset));
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let bytes = size(key, value, &headers);
        if BATCH_HEADER_BYTES + bytes > self.largest {
            let why = format!(
                "the record takes {bytes} bytes, and the dead-letter topic's \
                 max.message.bytes={} has no room for it",
                self.largest
            );
            return self.put_bare(record.offset, Some(&why));
        }
        if !self.has_room(bytes) {
            return false;
        }
        self.builder.record_at(now_ms, key, value, &headers);
        true
    }

    /// Add a letter that says where a record was, and if it should have been more, why it is not.
    /// False, and nothing is added, if the batch is full.
    pub(super) fn put_bare(&mut self, offset: Offset, why: Option<&str>) -> bool {
        let (offset, now_ms) = (offset.get().to_string(), self.now_ms);
        let mut headers = self.origin.headers(&offset).to_vec();
        if let Some(why) = why {
            headers.push((INCOMPLETE.as_bytes(), Some(why.as_bytes())));
        }
        if !self.has_room(size(None, None, &headers)) {
            return false;
        }
        self.builder.record_at(now_ms, None, None, &headers);
        self.incomplete += u64::from(why.is_some());
        true
    }

    /// Whether so many bytes more fit. The first letter always does.
    fn has_room(&self, bytes: usize) -> bool {
        let full = self.largest.min(BATCH_BYTES);
        self.builder.is_empty() || self.builder.size_bytes() + bytes <= full
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.builder.count()).unwrap_or(0)
    }

    /// How many lack a payload that was wanted.
    pub(super) fn incomplete(&self) -> u64 {
        self.incomplete
    }

    /// The batch; `None` if there are no letters.
    pub(super) fn build(self) -> Option<Batch> {
        self.builder.build()
    }
}

impl Origin {
    fn headers<'a>(&'a self, offset: &'a str) -> [Header<'a>; 6] {
        [
            (TOPIC, &*self.topic),
            (PARTITION, &*self.partition),
            (OFFSET, offset),
            (GROUP, &*self.group),
            (DELIVERY_COUNT, &*self.delivery_count),
            (MESSAGE, self.message),
        ]
        .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())))
    }
}

/// What a record takes in a batch at most, in bytes.
fn size(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = headers.iter();
    let headers = headers.map(|(name, value)| name.len() + length(*value) + HEADER_LENGTHS_BYTES);
    RECORD_BYTES + length(key) + length(value) + headers.sum::<usize>()
}

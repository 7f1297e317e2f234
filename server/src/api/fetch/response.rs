//! The answer's frame, written by hand in pieces. What the codec would write is the test: see
//! below.

use bytes::BufMut;
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::{AbortedTransaction, Offset, Read, Slice};

use super::super::Answer;
use super::super::pieces::{Pieces, at_hand};
use crate::fetch_sessions::{Entry, TopicKey};

/// The front of an answer.
pub(super) struct Head {
    /// The error of the whole request.
    pub code: i16,
    /// For how long the client has to be silent, in ms.
    pub throttle_ms: i32,
    /// The session, 0 for none.
    pub session_id: i32,
    /// Whether aborted transactions are listed: a list, if an empty one, instead of null (F-4).
    pub read_committed: bool,
}

/// One partition of an answer.
#[derive(Debug)]
pub(super) struct Line {
    /// The topic, as the client named it.
    pub topic: TopicKey,
    /// The partition's index.
    pub index: i32,
    /// 0, or what is wrong.
    pub code: i16,
    /// High watermark, last stable offset, start; -1 with an error (F-5).
    pub offsets: [Offset; 3],
    /// Whole batches, if there are any.
    pub records: Option<Slice>,
    /// The aborted transactions of which something lies in them; read_committed alone (F-4).
    pub aborted: Vec<AbortedTransaction>,
}

impl Line {
    /// What a look at a partition gave. Small ranges of files are read here.
    pub(super) fn new(entry: &Entry, outcome: Result<Read, ErrorCode>) -> Self {
        let outcome = outcome.and_then(|read| {
            let records = read.records.filter(|records| !records.is_empty());
            Ok((
                records.map(at_hand).transpose()?,
                read.offsets,
                read.aborted,
            ))
        });
        let (code, offsets, records, aborted) = match outcome {
            Ok((records, now, aborted)) => {
                let offsets = [now.high_watermark, now.stable, now.start];
                (0, offsets, records, aborted)
            }
            Err(code) => (code.code(), [Offset::new(-1); 3], None, Vec::new()),
        };
        Self {
            topic: entry.topic.clone(),
            index: entry.index,
            code,
            offsets,
            records,
            aborted,
        }
    }
}

/// The whole answer. Neighbouring lines of one topic stand under one heading.
pub(super) fn frame(version: i16, correlation_id: i32, head: &Head, lines: &[Line]) -> Answer {
    let mut writer = Writer {
        version,
        out: Pieces::begin(ApiKey::Fetch, version, correlation_id),
    };
    writer.out.buffer.put_i32(head.throttle_ms);
    if version >= 7 {
        writer.out.buffer.put_i16(head.code);
        writer.out.buffer.put_i32(head.session_id);
    }
    let topics = || lines.chunk_by(|a, b| a.topic == b.topic);
    writer.put_count(topics().count());
    for topic in topics() {
        writer.put_topic(&topic[0].topic);
        writer.put_count(topic.len());
        for line in topic {
            writer.put_line(line, head.read_committed);
        }
        writer.put_no_tags();
    }
    writer.put_no_tags();
    writer.out.finish()
}

struct Writer {
    version: i16,
    out: Pieces,
}

impl Writer {
    fn is_flexible(&self) -> bool {
        self.version >= 12
    }

    fn put_line(&mut self, line: &Line, read_committed: bool) {
        let [high_watermark, stable, start] = line.offsets;
        self.out.buffer.put_i32(line.index);
        self.out.buffer.put_i16(line.code);
        self.out.buffer.put_i64(high_watermark.get());
        self.out.buffer.put_i64(stable.get());
        if self.version >= 5 {
            self.out.buffer.put_i64(start.get());
        }
        // Aborted transactions.
        match (read_committed, self.is_flexible()) {
            (true, _) => self.put_aborted(&line.aborted),
            (false, true) => self.out.buffer.put_u8(0),
            (false, false) => self.out.buffer.put_i32(-1),
        }
        if self.version >= 11 {
            self.out.buffer.put_i32(-1); // preferred_read_replica
        }
        self.put_records(line.records.as_ref());
        self.put_no_tags();
    }

    fn put_aborted(&mut self, aborted: &[AbortedTransaction]) {
        self.put_count(aborted.len());
        for one in aborted {
            self.out.buffer.put_i64(one.producer_id);
            self.out.buffer.put_i64(one.first_offset.get());
            self.put_no_tags();
        }
    }

    fn put_records(&mut self, records: Option<&Slice>) {
        self.put_count(records.map_or(0, Slice::len));
        if let Some(records) = records {
            self.out.put_slice(records);
        }
    }

    fn put_topic(&mut self, topic: &TopicKey) {
        match topic {
            TopicKey::Id(id) => self.out.buffer.put_slice(id.as_bytes()),
            TopicKey::Name(name) => {
                if self.is_flexible() {
                    self.put_count(name.len());
                } else {
                    let length = i16::try_from(name.len());
                    self.out
                        .buffer
                        .put_i16(length.expect("the name came with such a length"));
                }
                self.out.buffer.put_slice(name.as_bytes());
            }
        }
    }

    /// The length of an array, a compact string or records: one more in flexible versions, where
    /// 0 is null.
    fn put_count(&mut self, count: usize) {
        if self.is_flexible() {
            self.out.put_compact_count(count);
        } else {
            self.out.put_plain_count(count);
        }
    }

    fn put_no_tags(&mut self) {
        if self.is_flexible() {
            self.out.buffer.put_u8(0);
        }
    }
}

#[cfg(test)]
mod tests;

//! The answer's frame, written by hand: a skeleton in memory, and the records where they lie.
//!
//! The codec would copy every record into its buffer. Here large slices become pieces of their own
//! (sendfile takes them from the page cache), and only small ones are copied. What the codec
//! would write is the test: see below.

use bytes::{BufMut, Bytes, BytesMut};
use ratel_protocol::{ApiKey, response};
use ratel_storage::{Offset, Read, Slice};

use super::super::Answer;
use crate::error;
use crate::fetch_sessions::{Entry, TopicKey};
use ratel_protocol::ErrorCode;

/// From this length on records are a piece of their own: below, one copy is cheaper than the
/// system calls that a piece costs.
const PIECE_BYTES: usize = 16 << 10;

/// The front of an answer.
pub(super) struct Head {
    /// The error of the whole request.
    pub code: i16,
    /// The session, 0 for none.
    pub session_id: i32,
    /// Whether aborted transactions are listed: an empty list instead of none.
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
}

impl Line {
    /// What a look at a partition gave. Small ranges of files are read here.
    pub(super) fn new(entry: &Entry, outcome: Result<Read, ErrorCode>) -> Self {
        let outcome = outcome.and_then(|read| {
            let records = match read.records.filter(|records| !records.is_empty()) {
                Some(small @ Slice::File(_)) if small.len() < PIECE_BYTES => {
                    let bytes = small.to_bytes().map_err(|failed| error::code(&failed))?;
                    Some(Slice::Bytes(bytes))
                }
                other => other,
            };
            Ok((records, read.offsets))
        });
        let (code, offsets, records) = match outcome {
            Ok((records, now)) => (0, [now.high_watermark, now.stable, now.start], records),
            Err(code) => (code.code(), [Offset::new(-1); 3], None),
        };
        Self {
            topic: entry.topic.clone(),
            index: entry.index,
            code,
            offsets,
            records,
        }
    }
}

/// The whole answer. Neighbouring lines of one topic stand under one heading.
pub(super) fn frame(version: i16, correlation_id: i32, head: &Head, lines: &[Line]) -> Answer {
    let mut writer = Writer::new(version);
    writer.buffer.put_i32(0);
    response::put_header(&mut writer.buffer, ApiKey::Fetch, version, correlation_id);
    writer.buffer.put_i32(0); // throttle_time_ms
    if version >= 7 {
        writer.buffer.put_i16(head.code);
        writer.buffer.put_i32(head.session_id);
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
    writer.finish()
}

struct Writer {
    version: i16,
    buffer: BytesMut,
    pieces: Vec<Piece>,
}

enum Piece {
    Skeleton(BytesMut),
    Records(Slice),
}

impl Writer {
    fn new(version: i16) -> Self {
        Self {
            version,
            buffer: BytesMut::with_capacity(512),
            pieces: Vec::new(),
        }
    }

    fn is_flexible(&self) -> bool {
        self.version >= 12
    }

    fn put_line(&mut self, line: &Line, read_committed: bool) {
        let [high_watermark, stable, start] = line.offsets;
        self.buffer.put_i32(line.index);
        self.buffer.put_i16(line.code);
        self.buffer.put_i64(high_watermark.get());
        self.buffer.put_i64(stable.get());
        if self.version >= 5 {
            self.buffer.put_i64(start.get());
        }
        // Aborted transactions.
        match (read_committed, self.is_flexible()) {
            (true, _) => self.put_count(0),
            (false, true) => self.buffer.put_u8(0),
            (false, false) => self.buffer.put_i32(-1),
        }
        if self.version >= 11 {
            self.buffer.put_i32(-1); // preferred_read_replica
        }
        self.put_records(line.records.as_ref());
        self.put_no_tags();
    }

    fn put_records(&mut self, records: Option<&Slice>) {
        self.put_count(records.map_or(0, Slice::len));
        match records {
            None => {}
            Some(Slice::Bytes(bytes)) if bytes.len() < PIECE_BYTES => self.buffer.put_slice(bytes),
            Some(records) => {
                self.pieces.push(Piece::Skeleton(self.buffer.split()));
                self.pieces.push(Piece::Records(records.clone()));
            }
        }
    }

    fn put_topic(&mut self, topic: &TopicKey) {
        match topic {
            TopicKey::Id(id) => self.buffer.put_slice(id.as_bytes()),
            TopicKey::Name(name) => {
                if self.is_flexible() {
                    self.put_count(name.len());
                } else {
                    let length = i16::try_from(name.len());
                    self.buffer
                        .put_i16(length.expect("the name came with such a length"));
                }
                self.buffer.put_slice(name.as_bytes());
            }
        }
    }

    /// The length of an array, a compact string or records: one more in flexible versions, where
    /// 0 is null.
    fn put_count(&mut self, count: usize) {
        let count = u32::try_from(count)
            .ok()
            .filter(|count| *count < i32::MAX as u32);
        let count = count.expect("limits keep answers below 2 GiB");
        if self.is_flexible() {
            self.put_varint(count + 1);
        } else {
            self.buffer.put_u32(count);
        }
    }

    fn put_varint(&mut self, mut value: u32) {
        while value > 0x7f {
            self.buffer.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }

    fn put_no_tags(&mut self) {
        if self.is_flexible() {
            self.buffer.put_u8(0);
        }
    }

    fn finish(mut self) -> Answer {
        if self.pieces.is_empty() {
            response::close_frame(&mut self.buffer, 0);
            return Answer::Body(self.buffer.freeze());
        }
        self.pieces.push(Piece::Skeleton(self.buffer));
        let behind = self.pieces[1..].iter().map(Piece::len).sum();
        if let Piece::Skeleton(first) = &mut self.pieces[0] {
            response::close_frame(first, behind);
        }
        Answer::Pieces(self.pieces.into_iter().map(Piece::into_slice).collect())
    }
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Skeleton(bytes) => bytes.len(),
            Self::Records(slice) => slice.len(),
        }
    }

    fn into_slice(self) -> Slice {
        match self {
            Self::Skeleton(bytes) => Slice::Bytes(Bytes::from(bytes)),
            Self::Records(slice) => slice,
        }
    }
}

#[cfg(test)]
mod tests;

//! The answer's frame, written by hand in pieces. What the codec would read is the test: see
//! `tests`.

use bytes::BufMut;
use ratel_protocol::ApiKey;
use ratel_storage::{Slice, TopicId};

use super::super::Answer;
use super::super::pieces::Pieces;
use crate::coordinator::share::Acquired;

/// The front of an answer.
pub(super) struct Head {
    /// The error of the whole request.
    pub code: i16,
    /// For how long the client has to be silent, ms.
    pub throttle_ms: i32,
    /// How long the leases last, ms.
    pub lock_timeout_ms: i32,
}

/// One partition of an answer.
#[derive(Debug)]
pub(super) struct Line {
    /// The topic.
    pub topic: TopicId,
    /// The partition's index.
    pub index: i32,
    /// 0, or why nothing was leased.
    pub code: i16,
    /// 0, or why its acknowledgements were refused.
    pub acknowledge_code: i16,
    /// Whole batches, in order.
    pub records: Vec<Slice>,
    /// What is leased of them.
    pub acquired: Vec<Acquired>,
}

impl Line {
    /// A partition of which there is nothing to say.
    pub(super) fn new(topic: TopicId, index: i32) -> Self {
        Self {
            topic,
            index,
            code: 0,
            acknowledge_code: 0,
            records: Vec::new(),
            acquired: Vec::new(),
        }
    }

    /// Bytes of its records.
    pub(super) fn bytes(&self) -> usize {
        self.records.iter().map(Slice::len).sum()
    }
}

/// The whole answer. Neighbouring lines of one topic stand under one heading. Both versions look
/// the same.
pub(super) fn frame(version: i16, correlation_id: i32, head: &Head, lines: &[Line]) -> Answer {
    let mut out = Pieces::begin(ApiKey::ShareFetch, version, correlation_id);
    out.buffer.put_i32(head.throttle_ms);
    out.buffer.put_i16(head.code);
    out.buffer.put_u8(0); // error_message
    out.buffer.put_i32(head.lock_timeout_ms);
    let topics = || lines.chunk_by(|a, b| a.topic == b.topic);
    out.put_compact_count(topics().count());
    for topic in topics() {
        out.buffer.put_slice(topic[0].topic.as_bytes());
        out.put_compact_count(topic.len());
        for line in topic {
            put_line(&mut out, line);
        }
        out.buffer.put_u8(0); // tags
    }
    out.put_compact_count(0); // node_endpoints
    out.buffer.put_u8(0); // tags
    out.finish()
}

fn put_line(out: &mut Pieces, line: &Line) {
    out.buffer.put_i32(line.index);
    out.buffer.put_i16(line.code);
    out.buffer.put_u8(0); // error_message
    out.buffer.put_i16(line.acknowledge_code);
    out.buffer.put_u8(0); // acknowledge_error_message
    // Current leader: not known, which is said only with NOT_LEADER_OR_FOLLOWER anyway.
    out.buffer.put_i32(-1);
    out.buffer.put_i32(-1);
    out.buffer.put_u8(0); // tags
    out.put_compact_count(line.bytes());
    for records in &line.records {
        out.put_slice(records);
    }
    out.put_compact_count(line.acquired.len());
    for range in &line.acquired {
        out.buffer.put_i64(range.first.get());
        out.buffer.put_i64(range.last.get());
        out.buffer.put_i16(range.delivery_count);
        out.buffer.put_u8(0); // tags
    }
    out.buffer.put_u8(0); // tags
}

//! An answer written by hand: a skeleton in memory, and records where they lie.
//!
//! The codec would copy every record into its buffer. Here large slices become pieces of their own
//! (sendfile takes them from the page cache), and only small ones are copied.

use bytes::{BufMut, Bytes, BytesMut};
use ratel_protocol::{ApiKey, ErrorCode, response};
use ratel_storage::Slice;

use super::Answer;
use crate::error;

/// From this length on records are a piece of their own: below, one copy is cheaper than the
/// system calls that a piece costs.
pub(super) const PIECE_BYTES: usize = 16 << 10;

/// A frame in the making.
pub(super) struct Pieces {
    /// Where the skeleton goes on.
    pub buffer: BytesMut,
    before: Vec<Piece>,
}

enum Piece {
    Skeleton(BytesMut),
    Records(Slice),
}

/// Records as an answer holds them: small ranges of files are read here.
///
/// # Errors
/// KAFKA_STORAGE_ERROR if the file cannot be read.
pub(super) fn at_hand(records: Slice) -> Result<Slice, ErrorCode> {
    match records {
        Slice::File(_) if records.len() < PIECE_BYTES => match records.to_bytes() {
            Ok(bytes) => Ok(Slice::Bytes(bytes)),
            Err(failed) => Err(error::code(&failed)),
        },
        other => Ok(other),
    }
}

impl Pieces {
    /// A frame that begins with its header.
    pub fn begin(key: ApiKey, version: i16, correlation_id: i32) -> Self {
        let mut buffer = BytesMut::with_capacity(512);
        buffer.put_i32(0);
        response::put_header(&mut buffer, key, version, correlation_id);
        Self {
            buffer,
            before: Vec::new(),
        }
    }

    /// Append records.
    pub fn put_slice(&mut self, records: &Slice) {
        match records {
            Slice::Bytes(bytes) if bytes.len() < PIECE_BYTES => self.buffer.put_slice(bytes),
            records => {
                self.before.push(Piece::Skeleton(self.buffer.split()));
                self.before.push(Piece::Records(records.clone()));
            }
        }
    }

    /// The length of an array, a compact string or records in a flexible version: one more, since
    /// 0 is null.
    pub fn put_compact_count(&mut self, count: usize) {
        self.put_varint(wire_count(count) + 1);
    }

    /// The same in a version that is not flexible.
    pub fn put_plain_count(&mut self, count: usize) {
        self.buffer.put_u32(wire_count(count));
    }

    fn put_varint(&mut self, mut value: u32) {
        while value > 0x7f {
            self.buffer.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }

    /// The whole frame.
    pub fn finish(mut self) -> Answer {
        if self.before.is_empty() {
            response::close_frame(&mut self.buffer, 0);
            return Answer::Body(self.buffer.freeze());
        }
        self.before.push(Piece::Skeleton(self.buffer));
        let behind = self.before[1..].iter().map(Piece::len).sum();
        if let Piece::Skeleton(first) = &mut self.before[0] {
            response::close_frame(first, behind);
        }
        Answer::Pieces(self.before.into_iter().map(Piece::into_slice).collect())
    }
}

fn wire_count(count: usize) -> u32 {
    let count = u32::try_from(count)
        .ok()
        .filter(|count| *count < i32::MAX as u32);
    count.expect("limits keep answers below 2 GiB")
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

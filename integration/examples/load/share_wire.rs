//! One member's connection for ShareFetch version 2, written by hand: of an answer it reads what
//! is leased and steps over the records, so that the client costs as little as it can.

use bytes::{Buf, BufMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::Fault;

const SHARE_FETCH: i16 = 78;
const VERSION: i16 = 2;
const ACCEPT: i8 = 1;
/// What Java's consumer asks for when nobody says otherwise.
const MAX_BYTES: i32 = 50 << 20;

/// Records that a member leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The partition's index.
    pub partition: i32,
    /// The first offset.
    pub first: i64,
    /// The last offset.
    pub last: i64,
}

impl Range {
    /// How many offsets it has.
    pub fn len(&self) -> u64 {
        u64::try_from(self.last - self.first + 1).unwrap_or(0)
    }
}

/// How a member asks.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// The most records of one answer.
    pub max_records: i32,
    /// How long the server may wait for records, ms.
    pub max_wait_ms: i32,
    /// Never more than `max_records`, instead of up to the end of a batch.
    pub exactly: bool,
}

/// A member with its share session.
pub struct Member {
    stream: TcpStream,
    group: String,
    id: String,
    topic: Uuid,
    /// What it reads; told to the server with the first request.
    partitions: Vec<i32>,
    epoch: i32,
    buffer: Vec<u8>,
    request: Vec<u8>,
    /// What is to be acknowledged with the next request.
    pub leased: Vec<Range>,
}

impl Member {
    /// Connect; the session begins with the first [`Self::ask`].
    ///
    /// # Errors
    /// Whatever the system says.
    pub async fn connect(
        server: &str,
        group: &str,
        id: &str,
        topic: Uuid,
        partitions: Vec<i32>,
    ) -> Result<Self, Fault> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            group: group.into(),
            id: id.into(),
            topic,
            partitions,
            epoch: 0,
            buffer: vec![0; 64 << 10],
            request: Vec::new(),
            leased: Vec::new(),
        })
    }

    /// Accept all that is leased and ask for more. Gives how many records the server took the
    /// acknowledgements of; what it leases now is in [`Self::leased`].
    ///
    /// # Errors
    /// A broken connection, or an error that the server answers.
    pub async fn ask(&mut self, wish: Wish) -> Result<u64, Fault> {
        self.encode(wish);
        self.stream.write_all(&self.request).await?;
        let accepted = self.leased.iter().map(Range::len).sum();
        self.epoch += 1;
        self.leased.clear();
        let length = self.receive().await?;
        let mut answer = &self.buffer[4..length];
        decode(&mut answer, &mut self.leased)
            .map_err(|why| format!("{} in session epoch {}: {why}", self.id, self.epoch - 1))?;
        Ok(accepted)
    }

    fn encode(&mut self, wish: Wish) {
        let out = &mut self.request;
        out.clear();
        out.put_i32(0);
        out.put_i16(SHARE_FETCH);
        out.put_i16(VERSION);
        out.put_i32(self.epoch);
        out.put_i16(-1); // client id
        out.put_u8(0); // tags
        put_string(out, &self.group);
        put_string(out, &self.id);
        out.put_i32(self.epoch);
        out.put_i32(wish.max_wait_ms);
        out.put_i32(1);
        out.put_i32(MAX_BYTES);
        out.put_i32(wish.max_records);
        out.put_i32(wish.max_records); // batch size
        out.put_i8(i8::from(wish.exactly));
        out.put_u8(0); // renews nothing
        if self.epoch == 0 {
            put_varint(out, 2);
            out.put_slice(self.topic.as_bytes());
            put_varint(out, self.partitions.len() as u64 + 1);
            for index in &self.partitions {
                out.put_i32(*index);
                put_varint(out, 1);
                out.put_u8(0);
            }
            out.put_u8(0);
        } else if self.leased.is_empty() {
            put_varint(out, 1);
        } else {
            put_varint(out, 2);
            out.put_slice(self.topic.as_bytes());
            put_acks(out, &self.leased);
            out.put_u8(0);
        }
        put_varint(out, 1); // nothing is forgotten
        out.put_u8(0);
        let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
        out[..4].copy_from_slice(&length.to_be_bytes());
    }

    /// Read one answer into the buffer; gives one past its last byte.
    async fn receive(&mut self) -> Result<usize, Fault> {
        let (mut filled, mut wanted) = (0, 4);
        while filled < wanted {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err(format!("the server closed {}'s connection", self.id).into());
            }
            filled += read;
            if let Some(length) = self.buffer[..filled].first_chunk::<4>() {
                wanted = 4 + u32::from_be_bytes(*length) as usize;
                if self.buffer.len() < wanted {
                    self.buffer.resize(wanted, 0);
                }
            }
        }
        Ok(wanted)
    }
}

/// Acknowledgements by partition, each range as one batch.
fn put_acks(out: &mut Vec<u8>, leased: &[Range]) {
    let partitions = || leased.chunk_by(|left, right| left.partition == right.partition);
    put_varint(out, partitions().count() as u64 + 1);
    for ranges in partitions() {
        out.put_i32(ranges[0].partition);
        put_varint(out, ranges.len() as u64 + 1);
        for range in ranges {
            out.put_i64(range.first);
            out.put_i64(range.last);
            put_varint(out, 2);
            out.put_i8(ACCEPT);
            out.put_u8(0);
        }
        out.put_u8(0);
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64 + 1);
    out.put_slice(text.as_bytes());
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn decode(answer: &mut &[u8], leased: &mut Vec<Range>) -> Result<(), Fault> {
    answer.try_get_i32()?; // correlation id
    skip_tags(answer)?;
    answer.try_get_i32()?; // throttle time
    expect(answer, "the request")?;
    answer.try_get_i32()?; // lock timeout
    for _ in 0..count(answer)? {
        skip(answer, 16)?;
        for _ in 0..count(answer)? {
            decode_partition(answer, leased)?;
        }
        skip_tags(answer)?;
    }
    Ok(())
}

fn decode_partition(answer: &mut &[u8], leased: &mut Vec<Range>) -> Result<(), Fault> {
    let partition = answer.try_get_i32()?;
    expect(answer, "a partition")?;
    expect(answer, "acknowledgements")?;
    skip(answer, 8)?; // current leader
    skip_tags(answer)?;
    let records = varint(answer)?.saturating_sub(1);
    skip(answer, usize::try_from(records)?)?;
    for _ in 0..count(answer)? {
        let range = Range {
            partition,
            first: answer.try_get_i64()?,
            last: answer.try_get_i64()?,
        };
        answer.try_get_i16()?; // delivery count
        skip_tags(answer)?;
        leased.push(range);
    }
    skip_tags(answer)
}

/// An error code that must be 0, and its message.
fn expect(answer: &mut &[u8], what: &str) -> Result<(), Fault> {
    let code = answer.try_get_i16()?;
    let length = usize::try_from(varint(answer)?.saturating_sub(1))?;
    if code != 0 {
        let text = answer.get(..length).unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        return Err(format!("error {code} for {what} {text}").into());
    }
    skip(answer, length)
}

/// How many elements follow.
fn count(answer: &mut &[u8]) -> Result<u64, Fault> {
    Ok(varint(answer)?.saturating_sub(1))
}

fn varint(answer: &mut &[u8]) -> Result<u64, Fault> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = answer.try_get_u8()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number of more than five bytes".into())
}

fn skip(answer: &mut &[u8], bytes: usize) -> Result<(), Fault> {
    *answer = answer.get(bytes..).ok_or("the answer ends early")?;
    Ok(())
}

fn skip_tags(answer: &mut &[u8]) -> Result<(), Fault> {
    for _ in 0..varint(answer)? {
        varint(answer)?;
        let length = usize::try_from(varint(answer)?)?;
        skip(answer, length)?;
    }
    Ok(())
}

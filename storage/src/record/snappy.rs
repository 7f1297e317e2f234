//! Snappy as Kafka's clients write it: one raw block, or the Java library's framing (a header of
//! 16 bytes, then blocks behind their lengths).

use std::io::{self, Read};

/// `\x82SNAPPY\0`, then two version numbers.
const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const HEAD_BYTES: usize = 16;

/// Unpacks block by block.
pub(super) struct Decoder<'a> {
    packed: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    at: usize,
    block_bytes_max: usize,
}

impl<'a> Decoder<'a> {
    /// A decoder of these bytes that refuses blocks of more than `block_bytes_max`.
    pub fn new(packed: &'a [u8], block_bytes_max: usize) -> Self {
        let framed = packed.len() >= HEAD_BYTES && packed.starts_with(MAGIC);
        Self {
            packed: if framed {
                &packed[HEAD_BYTES..]
            } else {
                packed
            },
            framed,
            block: Vec::new(),
            at: 0,
            block_bytes_max,
        }
    }

    fn next_block(&mut self) -> io::Result<()> {
        let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let len = if self.framed {
            let (head, rest) = self
                .packed
                .split_first_chunk::<4>()
                .ok_or_else(|| invalid("cut short"))?;
            self.packed = rest;
            u32::from_be_bytes(*head) as usize
        } else {
            self.packed.len()
        };
        let (block, rest) = self
            .packed
            .split_at_checked(len)
            .ok_or_else(|| invalid("cut short"))?;
        self.packed = rest;
        let unpacked = snap::raw::decompress_len(block).map_err(io::Error::other)?;
        // Snappy copies at most 64 bytes per tag of three: what claims more is a lie.
        if unpacked > self.block_bytes_max || unpacked / 32 > block.len() {
            return Err(invalid("claims too much"));
        }
        self.block.clear();
        self.block.resize(unpacked, 0);
        self.at = 0;
        let len = snap::raw::Decoder::new()
            .decompress(block, &mut self.block)
            .map_err(io::Error::other)?;
        self.block.truncate(len);
        Ok(())
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if self.packed.is_empty() {
                return Ok(0);
            }
            self.next_block()?;
        }
        let len = buffer.len().min(self.block.len() - self.at);
        buffer[..len].copy_from_slice(&self.block[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

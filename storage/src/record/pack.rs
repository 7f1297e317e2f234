//! Compressing records, for batches that are written anew.

use std::io::{self, Write};

use crate::StorageError;

/// What the Java library puts in front of its blocks: a name, a version and the version that can
/// read it, both 1.
const SNAPPY_HEAD: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// The Java library's block.
const SNAPPY_BLOCK_BYTES: usize = 32 << 10;
/// zstd's own default, and Kafka's.
const ZSTD_LEVEL: i32 = 3;

/// Records compressed with this codec (bits 0 to 2 of a batch's attributes) at this level, where
/// it has levels; 0 leaves them as they are.
///
/// # Errors
/// [`StorageError::InvalidBatch`] for a codec that does not exist.
pub(crate) fn pack(
    codec: i16,
    records: Vec<u8>,
    level: Option<i32>,
) -> Result<Vec<u8>, StorageError> {
    let packed = match codec {
        0 => return Ok(records),
        1 => gzip(&records, level),
        2 => snappy(&records),
        3 => lz4(&records),
        4 => zstd::bulk::compress(&records, level.unwrap_or(ZSTD_LEVEL)),
        _ => return Err(StorageError::InvalidBatch("an unknown compression codec")),
    };
    packed.map_err(|_| CANNOT)
}

const CANNOT: StorageError = StorageError::InvalidBatch("the records cannot be compressed");

/// Compresses one batch after the other at the usual levels, in memory that stays.
#[derive(Default)]
pub(crate) struct Packer {
    packed: Vec<u8>,
    /// Making one costs more than packing a small batch.
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

/// What is kept for the next batch.
const KEPT_BYTES_MAX: usize = 4 << 20;

impl Packer {
    /// As [`pack`].
    ///
    /// # Errors
    /// As [`pack`].
    pub fn pack<'a>(&'a mut self, codec: i16, records: &'a [u8]) -> Result<&'a [u8], StorageError> {
        match codec {
            0 => return Ok(records),
            4 => self.pack_zstd(records).map_err(|_| CANNOT)?,
            _ => self.packed = pack(codec, records.to_vec(), None)?,
        }
        Ok(&self.packed)
    }

    fn pack_zstd(&mut self, records: &[u8]) -> io::Result<()> {
        let compressor = match &mut self.zstd {
            Some(compressor) => compressor,
            None => self.zstd.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        };
        self.packed.clear();
        self.packed.shrink_to(KEPT_BYTES_MAX);
        self.packed
            .reserve(zstd::zstd_safe::compress_bound(records.len()));
        compressor.compress_to_buffer(records, &mut self.packed)?;
        Ok(())
    }
}

/// A level below 0 is the library's own choice.
fn gzip(records: &[u8], level: Option<i32>) -> io::Result<Vec<u8>> {
    let level = level.and_then(|level| u32::try_from(level).ok());
    let level = level.map_or_else(flate2::Compression::default, |level| {
        flate2::Compression::new(level.min(9))
    });
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(records)?;
    encoder.finish()
}

fn snappy(records: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = SNAPPY_HEAD.to_vec();
    let mut encoder = snap::raw::Encoder::new();
    for block in records.chunks(SNAPPY_BLOCK_BYTES) {
        let packed = encoder.compress_vec(block).map_err(io::Error::other)?;
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(out)
}

/// Kafka's clients read blocks that do not depend on each other, and make them 64 KiB large.
fn lz4(records: &[u8]) -> io::Result<Vec<u8>> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_mode(lz4_flex::frame::BlockMode::Independent)
        .block_size(lz4_flex::frame::BlockSize::Max64KB);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(records)?;
    encoder.finish().map_err(io::Error::other)
}

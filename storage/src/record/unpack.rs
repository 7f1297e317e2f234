//! Unpacking the records of many batches one after the other, in memory that stays.

use std::io::Read;

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::{MALFORMED, TOO_LARGE, UNPACKED_BYTES_MAX, ZSTD_WINDOW_LOG_MAX, unpacker};
use crate::batch::HEADER_BYTES;
use crate::{Batch, StorageError};

/// What is kept for the next batch: most unfold to less.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// What a zstd frame gets at least, so that a small one is unpacked in one go.
const ZSTD_STEP_BYTES: usize = 128 << 10;

/// Memory for one batch after the other.
#[derive(Default)]
pub(crate) struct Unpacker {
    buffer: Vec<u8>,
    /// Making one costs more than unpacking a small batch.
    zstd: Option<Decoder<'static>>,
}

impl Unpacker {
    /// The bytes of a batch's records, uncompressed. A batch that a cleaning emptied has none.
    ///
    /// # Errors
    /// [`StorageError::InvalidBatch`] if they do not unpack within [`UNPACKED_BYTES_MAX`].
    pub fn unpack<'a>(&'a mut self, batch: &'a Batch) -> Result<&'a [u8], StorageError> {
        let packed = &batch.bytes()[HEADER_BYTES..];
        let codec = batch.header().codec();
        if batch.header().count == 0 {
            return Ok(&[]);
        }
        if codec == 0 {
            return Ok(packed);
        }
        self.buffer.truncate(KEPT_BYTES_MAX);
        self.buffer.shrink_to(KEPT_BYTES_MAX);
        let filled = if codec == 4 {
            self.unpack_zstd(packed)?
        } else {
            self.buffer.clear();
            unpacker(batch)?
                .take(UNPACKED_BYTES_MAX as u64 + 1)
                .read_to_end(&mut self.buffer)
                .map_err(|_| MALFORMED)?
        };
        if filled > UNPACKED_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        Ok(&self.buffer[..filled])
    }

    /// Frames up to the end of `packed`, as the library's own reader takes them: the last may be
    /// cut short, and then what is missing is missed by who reads the records. Gives how much of
    /// the buffer they fill; what lies behind is of earlier batches, and is not cleared for each.
    fn unpack_zstd(&mut self, packed: &[u8]) -> Result<usize, StorageError> {
        let decoder = match &mut self.zstd {
            Some(decoder) => decoder,
            None => {
                let mut made = Decoder::new().map_err(|_| MALFORMED)?;
                made.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(
                    ZSTD_WINDOW_LOG_MAX,
                ))
                .map_err(|_| MALFORMED)?;
                self.zstd.insert(made)
            }
        };
        decoder.reinit().map_err(|_| MALFORMED)?;
        let mut input = InBuffer::around(packed);
        let mut filled = 0;
        loop {
            if self.buffer.len() - filled < ZSTD_STEP_BYTES / 2 {
                if filled > UNPACKED_BYTES_MAX {
                    return Err(TOO_LARGE);
                }
                let most = UNPACKED_BYTES_MAX + ZSTD_STEP_BYTES;
                let len = (2 * filled).clamp(ZSTD_STEP_BYTES, most);
                self.buffer.resize(len, 0);
            }
            let (read, left) = (input.pos(), self.buffer.len() - filled);
            let mut output = OutBuffer::around_pos(&mut self.buffer[..], filled);
            decoder
                .run(&mut input, &mut output)
                .map_err(|_| MALFORMED)?;
            let made = output.pos() - filled;
            filled += made;
            // With room left and nothing more to read, all that there is has come.
            if made < left && (input.pos() == packed.len() || (made == 0 && input.pos() == read)) {
                return Ok(filled);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchBuilder;
    use crate::record::pack;

    fn batch(records: usize, value: &[u8], codec: i16) -> Batch {
        let mut builder = BatchBuilder::new(0);
        (0..records).for_each(|_| builder.record(Some(b"k"), Some(value)));
        let plain = builder.build().unwrap();
        let packed = pack::pack(codec, plain.packed_records().to_vec(), None).unwrap();
        plain.repacked(codec, &packed).unwrap()
    }

    #[test]
    fn one_after_the_other_in_every_codec_and_size() {
        let mut unpacker = Unpacker::default();
        let value: Vec<u8> = (0..10_000_u32).map(|n| ((n * n) >> 3) as u8).collect();
        for (records, len) in [(1, 0), (1, 10_000), (300, 9000), (2, 5), (40, 3300)] {
            for codec in 0..=4 {
                let plain = batch(records, &value[..len], 0);
                let packed = batch(records, &value[..len], codec);
                let found = unpacker.unpack(&packed).unwrap();
                assert!(
                    found == &plain.packed_records()[..],
                    "{records} {len} {codec}"
                );
            }
        }
    }

    #[test]
    fn what_is_cut_short_or_no_frame_does_no_harm() {
        let mut unpacker = Unpacker::default();
        let whole = batch(50, b"a value of some bytes", 4);
        let packed = whole.packed_records();
        for len in 0..packed.len() {
            let cut = whole.repacked(4, &packed[..len]).unwrap();
            if let Ok(found) = unpacker.unpack(&cut) {
                assert!(found.len() < 50 * 40);
            }
        }
        let two = [&packed[..], &packed[..]].concat();
        let twice = whole.repacked(4, &two).unwrap();
        let len = unpacker.unpack(&twice).unwrap().len();
        assert_eq!(len, 2 * unpacker.unpack(&whole).unwrap().len());
        assert!(
            unpacker
                .unpack(&whole.repacked(4, b"no frame").unwrap())
                .is_err()
        );
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit_and_its_memory_goes() {
        let mut unpacker = Unpacker::default();
        let zeros = vec![0; UNPACKED_BYTES_MAX + 1];
        let small = batch(1, b"v", 4);
        for codec in 1..=4 {
            let bomb = pack::pack(codec, zeros.clone(), None).unwrap();
            let bomb = small.repacked(codec, &bomb).unwrap();
            let refused = unpacker.unpack(&bomb);
            assert!(
                matches!(refused, Err(StorageError::InvalidBatch(_))),
                "{codec}"
            );
            unpacker.unpack(&small).unwrap();
            assert!(unpacker.buffer.capacity() <= KEPT_BYTES_MAX);
        }
    }
}

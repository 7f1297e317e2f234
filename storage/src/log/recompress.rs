//! Batches as the log stores them, where it does not keep them as they came (`compression.type`,
//! P-25).
//!
//! The records stay byte for byte what the producer sent, with their headers and times, and so do
//! the fields of the batch; the codec, the length and the CRC are new, and the largest time is that
//! of the records. A batch that has the codec
//! already is kept whole, as in Kafka, whatever its level. Every record is walked either way
//! (P-14).

use crate::log::checks;
use crate::record::{self, pack};
use crate::{Batch, Codec, LogSettings, StorageError};

/// The most bytes that a batch may unfold to here: it is held whole, on the thread of its
/// connection.
const UNPACKED_BYTES_MAX: usize = 64 << 20;
/// The most bytes for each byte of the compressed batch, so that a small request costs little...
const UNPACKED_RATIO_MAX: usize = 200;
/// ... above this, which any batch may unfold to.
const UNPACKED_BYTES_FREE: usize = 4 << 20;

/// The batch to be stored in place of this one, which passed [`checks::check_client`]; `None` if
/// it is stored as it came.
///
/// # Errors
/// [`StorageError::InvalidBatch`] and [`StorageError::InvalidTimestamp`] for records that are not
/// well-formed or unfold to too much; [`StorageError::BatchTooLarge`] and
/// [`StorageError::BatchAboveSegment`] if what would be stored is too large.
pub(crate) fn recompressed(
    batch: &Batch,
    settings: &LogSettings,
    now_ms: i64,
) -> Result<Option<Batch>, StorageError> {
    let Some(codec) = settings.compression.bits() else {
        return Ok(None);
    };
    if codec == batch.header().codec() {
        let newest_ms = checks::check_records(batch, settings, now_ms)?;
        return Ok(checks::dated(batch, newest_ms, settings));
    }
    let most = batch.bytes().len().saturating_mul(UNPACKED_RATIO_MAX);
    let most = most.clamp(UNPACKED_BYTES_FREE, UNPACKED_BYTES_MAX);
    let plain = batch.repacked(0, &record::unpacked(batch, most)?)?;
    let newest_ms = checks::check_records(&plain, settings, now_ms)?;
    let plain = checks::dated(&plain, newest_ms, settings).unwrap_or(plain);
    if codec == 0 {
        return fits(plain, settings).map(Some);
    }
    let level = match settings.compression {
        Codec::Gzip => Some(settings.gzip_level),
        Codec::Zstd => Some(settings.zstd_level),
        _ => None,
    };
    // Of the plain batch only its fields are needed from here on.
    let packed = pack::pack(codec, plain.packed_records().to_vec(), level)?;
    let head = plain.repacked(0, &[])?;
    drop(plain);
    fits(head.repacked(codec, &packed)?, settings).map(Some)
}

fn fits(batch: Batch, settings: &LogSettings) -> Result<Batch, StorageError> {
    checks::check_size(batch.header(), settings)?;
    Ok(batch)
}

#[cfg(test)]
mod tests;

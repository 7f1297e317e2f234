//! What a client's batch must fulfil before it is appended (P-7 to P-11, P-14).

use crate::batch::BatchHeader;
use crate::error::BLAMED_MAX;
use crate::log::index::NO_TIMESTAMP;
use crate::record;
use crate::{Batch, Codec, LogSettings, StorageError, TimestampType, Validation};

/// The codecs there are: none, gzip, snappy, lz4, zstd.
const CODEC_MAX: i16 = 4;

/// Check a batch from a producer on the network. Gives the largest time of its records if they were
/// walked.
///
/// # Errors
/// The first rule that it breaks.
pub(crate) fn check_client(
    batch: &Batch,
    settings: &LogSettings,
    now_ms: i64,
) -> Result<Option<i64>, StorageError> {
    let header = batch.header();
    check_size(header, settings)?;
    check_shape(header)?;
    check_time(batch, settings, now_ms)?;
    // What may be packed anew is unpacked then, and walked there (`recompress`).
    let is_walked_later = settings.compression != Codec::Producer;
    let wants_walk = settings.validation == Validation::Records || settings.compact;
    (wants_walk && !is_walked_later)
        .then(|| check_records(batch, settings, now_ms))
        .transpose()
}

/// The batch with the largest time of its records in its header, as Kafka writes it there; `None`
/// if that is there already, or gives way to the time of the append.
pub(crate) fn dated(batch: &Batch, newest_ms: i64, settings: &LogSettings) -> Option<Batch> {
    let is_kept = settings.timestamp_type != TimestampType::CreateTime;
    let is_right = batch.header().max_timestamp == newest_ms;
    (!is_kept && !is_right).then(|| batch.with_max_timestamp(newest_ms))
}

/// The size rules alone, which hold for everybody's batches.
pub(crate) fn check_segment(
    header: &BatchHeader,
    settings: &LogSettings,
) -> Result<(), StorageError> {
    let limit = usize::try_from(settings.segment_bytes).unwrap_or(usize::MAX);
    if header.bytes > limit {
        return Err(StorageError::BatchAboveSegment {
            bytes: header.bytes,
            limit,
        });
    }
    Ok(())
}

/// The size rules for what is stored of a producer's batch.
pub(crate) fn check_size(header: &BatchHeader, settings: &LogSettings) -> Result<(), StorageError> {
    if header.bytes > settings.max_message_bytes {
        return Err(StorageError::BatchTooLarge {
            bytes: header.bytes,
            limit: settings.max_message_bytes,
        });
    }
    check_segment(header, settings)
}

fn check_shape(header: &BatchHeader) -> Result<(), StorageError> {
    let invalid = |why| Err(StorageError::InvalidBatch(why));
    if header.base_offset != 0 {
        return invalid("a producer's batch begins at offset 0");
    }
    if header.is_control() {
        return invalid("producers do not write control batches");
    }
    if header.count <= 0 || header.last_offset_delta != header.count - 1 {
        return invalid("the count of records does not fit the offsets");
    }
    if header.codec() > CODEC_MAX {
        return invalid("an unknown compression codec");
    }
    if header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return invalid("an idempotent producer's batch has an epoch and a sequence");
    }
    Ok(())
}

fn check_time(batch: &Batch, settings: &LogSettings, now_ms: i64) -> Result<(), StorageError> {
    let header = batch.header();
    let limits = || {
        check_timestamp(header.max_timestamp, settings, now_ms)?;
        let first = header.base_timestamp.min(header.max_timestamp);
        check_timestamp(first, settings, now_ms)
    };
    let refused = match header.is_log_append_time() {
        true => Err("producers do not set the timestamp type to LogAppendTime".into()),
        false => limits(),
    };
    refused.map_err(|why| StorageError::InvalidTimestamp {
        why,
        records: blamed(batch, settings, now_ms),
    })
}

/// The records to blame for a timestamp that cannot be.
fn blamed(batch: &Batch, settings: &LogSettings, now_ms: i64) -> Vec<i32> {
    let header = batch.header();
    let mut places = Vec::new();
    if header.codec() != 0 {
        return places;
    }
    let mut place = 0;
    // A batch that is not what it says has been refused already; the walk ends where it breaks.
    let _ = record::walk(batch, |record| {
        let timestamp = header.base_timestamp.saturating_add(record.timestamp_delta);
        let is_wrong = check_timestamp(timestamp, settings, now_ms).is_err();
        if (is_wrong || header.is_log_append_time()) && places.len() < BLAMED_MAX {
            places.push(place);
        }
        place += 1;
        Ok(())
    });
    places
}

fn check_timestamp(timestamp: i64, settings: &LogSettings, now_ms: i64) -> Result<(), String> {
    if settings.timestamp_type != TimestampType::CreateTime || timestamp == NO_TIMESTAMP {
        return Ok(());
    }
    if timestamp > now_ms.saturating_add(settings.timestamp_after_max_ms) {
        return Err(format!(
            "timestamp {timestamp} is more than message.timestamp.after.max.ms={} after {now_ms}",
            settings.timestamp_after_max_ms
        ));
    }
    if timestamp < now_ms.saturating_sub(settings.timestamp_before_max_ms) {
        return Err(format!(
            "timestamp {timestamp} is more than message.timestamp.before.max.ms={} before {now_ms}",
            settings.timestamp_before_max_ms
        ));
    }
    Ok(())
}

/// Walk every record of a batch. In a compacted log each has a key (P-10). Gives their largest
/// time.
pub(crate) fn check_records(
    batch: &Batch,
    settings: &LogSettings,
    now_ms: i64,
) -> Result<i64, StorageError> {
    let header = batch.header();
    let mut expected = 0;
    let mut newest_ms = NO_TIMESTAMP;
    let mut missing = Vec::new();
    record::walk(batch, |record| {
        if record.offset_delta != expected {
            return Err(StorageError::InvalidBatch(
                "a record's offset is out of line",
            ));
        }
        if settings.compact && !record.has_key && missing.len() < BLAMED_MAX {
            missing.push(expected);
        }
        let timestamp = header.base_timestamp.saturating_add(record.timestamp_delta);
        newest_ms = newest_ms.max(timestamp);
        let checked = check_timestamp(timestamp, settings, now_ms);
        let place = expected;
        expected += 1;
        checked.map_err(|why| StorageError::InvalidTimestamp {
            why,
            records: vec![place],
        })
    })?;
    if expected != header.count {
        return Err(StorageError::InvalidBatch(
            "the batch holds fewer records than it says",
        ));
    }
    if !missing.is_empty() {
        return Err(StorageError::KeysMissing(missing));
    }
    Ok(newest_ms)
}

#[cfg(test)]
mod tests;

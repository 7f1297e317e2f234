//! Building a machine from its log.

use bytes::Bytes;
use ratel_storage::{
    Batch, BatchHeader, Bound, Marker, Offset, Partition, Producer, ReadRequest, StorageError,
    records,
};

use super::runner::Failure;
use crate::coordinator::{Applied, Machine, Record};

/// Bytes that one read of the replay asks for.
const READ_BYTES: usize = 1 << 20;

/// What a replay found.
pub(super) struct Replayed {
    /// The log's end: where the next record goes.
    pub end: Offset,
    /// Bytes of log that were read.
    pub bytes: u64,
}

/// Apply every record of the log to `machine`, from the log's start to its end.
pub(super) async fn replay<M: Machine>(
    machine: &mut M,
    partition: &dyn Partition,
) -> Result<Replayed, Failure> {
    let offsets = partition.offsets();
    let mut from = offsets.start;
    let mut bytes = 0;
    while from < offsets.end {
        let read = partition
            .read(ReadRequest {
                from,
                max_bytes: READ_BYTES,
                at_least_one: true,
                bound: Bound::End,
            })
            .await?;
        let batches = match read.records {
            Some(slice) => slice.to_bytes()?,
            None => return Err(Failure::broken(format!("nothing to read at {from}"))),
        };
        bytes += batches.len() as u64;
        let end = apply_batches(machine, batches, from)?;
        if end <= from {
            return Err(Failure::broken(format!("the log does not go on at {from}")));
        }
        from = end;
        tokio::task::yield_now().await;
    }
    Ok(Replayed { end: from, bytes })
}

/// Apply the records at and above `from`; gives one past the last batch.
fn apply_batches<M: Machine>(
    machine: &mut M,
    mut batches: Bytes,
    from: Offset,
) -> Result<Offset, Failure> {
    let mut end = from;
    while !batches.is_empty() {
        let header = BatchHeader::decode(&batches)?;
        if header.bytes > batches.len() {
            return Err(StorageError::CorruptBatch("cut short").into());
        }
        let batch = Batch::parse(batches.split_to(header.bytes), header.bytes)?;
        end = Offset::new(header.base_offset).plus(i64::from(header.last_offset_delta) + 1);
        if header.is_control() {
            apply_marker(machine, &batch, from);
            continue;
        }
        let producer = header.is_transactional().then_some(Producer {
            id: header.producer_id,
            epoch: header.producer_epoch,
        });
        for record in records(&batch)? {
            apply_record(machine, producer, record?, from)?;
        }
    }
    Ok(end)
}

/// Control batches of other kinds mean nothing to a machine.
fn apply_marker<M: Machine>(machine: &mut M, batch: &Batch, from: Offset) {
    let header = batch.header();
    let at = Applied {
        offset: Offset::new(header.base_offset),
        timestamp_ms: header.max_timestamp,
    };
    let marker = Marker::from_batch(batch).and_then(M::Record::marker);
    if let Some(record) = marker.filter(|_| at.offset >= from) {
        machine.apply(at, &record);
    }
}

fn apply_record<M: Machine>(
    machine: &mut M,
    producer: Option<Producer>,
    record: ratel_storage::Record,
    from: Offset,
) -> Result<(), Failure> {
    // A read may begin with a batch that starts before what was asked for.
    let Some(key) = record.key.filter(|_| record.offset >= from) else {
        return Ok(());
    };
    let at = Applied {
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
    };
    let decoded = M::Record::decode(&key, record.value.as_deref())
        .map_err(|why| Failure::broken(format!("the record at {}: {why}", at.offset)))?;
    let placed = match producer {
        Some(producer) => decoded.and_then(|record| record.within(producer)),
        None => decoded,
    };
    if let Some(record) = placed {
        machine.apply(at, &record);
    }
    Ok(())
}

//! Building a machine from its log.

use ratel_storage::{Bound, Offset, Partition, ReadRequest, StorageError};

use super::runner::Failure;
use crate::coordinator::record::each_record;
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
        let records = match read.records {
            Some(slice) => slice.to_bytes()?,
            None => return Err(Failure::broken(format!("nothing to read at {from}"))),
        };
        bytes += records.len() as u64;
        let end = apply_batches(machine, &records, from)?;
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
    records: &bytes::Bytes,
    from: Offset,
) -> Result<Offset, Failure> {
    let mut broken = None;
    let end = each_record(records, |record| {
        if record.offset < from || broken.is_some() {
            return;
        }
        let at = Applied {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
        };
        let (Some(key), value) = (record.key, record.value) else {
            return;
        };
        match M::Record::decode(&key, value.as_deref()) {
            Ok(Some(record)) => machine.apply(at, &record),
            Ok(None) => {}
            Err(why) => broken = Some(format!("the record at {}: {why}", at.offset)),
        }
    })
    .map_err(|error: StorageError| Failure::from(error))?;
    match broken {
        Some(why) => Err(Failure::broken(why)),
        None => Ok(end),
    }
}

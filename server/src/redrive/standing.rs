//! How many copies of a job stand in a target's log.

use ratel_storage::{Bound, Offset, Partition, ReadRequest, StorageError, TimeQuery};

use super::{Job, STEP_BYTES};

/// Copies of one job in one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// So many.
    Copies(i64),
    /// None is left, and the log has lost records that are younger than the job: there may have
    /// been some.
    Unknown,
}

/// Ask a log: it remembers its producers for a while (`producer.id.expiration.ms`), and what was
/// appended since the job began can be gone through after that.
///
/// # Errors
/// What kept the log from being read.
pub(super) async fn standing(log: &dyn Partition, job: &Job) -> Result<Standing, StorageError> {
    let producers = log.producers();
    let own = producers
        .iter()
        .find(|it| it.producer_id == job.producer_id);
    if let Some(own) = own {
        return Ok(Standing::Copies(i64::from(own.last_sequence) + 1));
    }
    // The job's copies are not older than the job.
    let since = TimeQuery::AtOrAfter(job.started_ms);
    let Some(begin) = log.offset_at(since, Bound::End).await? else {
        return Ok(Standing::Copies(0));
    };
    let (count, from) = (last_copy(log, job, begin.offset).await?, begin.offset);
    let start = log.offsets().start;
    let has_lost = start > Offset::ZERO && from <= start;
    Ok(match count {
        0 if has_lost => Standing::Unknown,
        count => Standing::Copies(count),
    })
}

/// One past the highest sequence of the job's batches from an offset on.
async fn last_copy(log: &dyn Partition, job: &Job, from: Offset) -> Result<i64, StorageError> {
    let (mut from, mut count, own) = (from, 0, job.producer_id);
    loop {
        let read = log.read(ReadRequest {
            from,
            max_bytes: STEP_BYTES,
            at_least_one: true,
            bound: Bound::End,
        });
        let Some(records) = read.await?.records else {
            return Ok(count);
        };
        let looked = tokio::task::spawn_blocking(move || {
            let (mut next, mut last) = (from, -1);
            for batch in records.batches() {
                let batch = batch?;
                next = batch.last().plus(1);
                if batch.header.producer_id == own {
                    let sequence = i64::from(batch.header.base_sequence);
                    last = last.max(sequence + i64::from(batch.header.last_offset_delta));
                }
            }
            Ok::<_, StorageError>((next, last))
        });
        let looked = looked.await.unwrap_or(Err(StorageError::Closed));
        let (next, last) = looked?;
        count = count.max(last + 1);
        if next <= from {
            return Ok(count);
        }
        from = next;
    }
}

//! How old what waits in a log is: the time of a batch, from its header alone.

use ratel_storage::{Bound, Offset, Partition, ReadRequest};

/// When the batch with this offset was written (with the log's first if that is past it), ms
/// since 1970: the time of its append where the topic keeps that, else that of its first record.
/// `None` if it cannot be read or has no time.
pub async fn batch_time(log: &dyn Partition, offset: Offset) -> Option<i64> {
    let request = ReadRequest {
        from: offset.max(log.offsets().start),
        max_bytes: 1,
        at_least_one: true,
        bound: Bound::HighWatermark,
    };
    let slice = log.read(request).await.ok()?.records?;
    // Its header may have to come from the disk.
    let first = tokio::task::spawn_blocking(move || slice.batches().next()).await;
    let header = first.ok()??.ok()?.header;
    let time_ms = match header.is_log_append_time() {
        true => header.max_timestamp,
        false => header.base_timestamp,
    };
    Some(time_ms).filter(|time_ms| *time_ms >= 0)
}

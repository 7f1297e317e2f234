//! What the suites of this folder share: disks, batches, and a synchronous way to wait.
#![allow(dead_code, reason = "each suite uses its part of it")]

pub mod model;

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use ratel_storage::batch::BatchBuilder;
use ratel_storage::disk::{Disk, OsDisk};
use ratel_storage::disk_memory::MemoryDisk;
use ratel_storage::{
    Appended, Batch, BatchHeader, Bound, Durability, Engine, LocalEngine, LocalOptions,
    LogSettings, Offset, Origin, Partition, PartitionId, Pending, ReadRequest, StorageError,
    TopicId,
};

/// A wall clock that tests move by hand.
pub const NOW_MS: i64 = 1_700_000_000_000;

/// A place to keep logs in: made once, started on again and again.
pub trait Place {
    fn new() -> Self;
    fn disk(&self) -> Arc<dyn Disk>;
}

pub struct OnDisk {
    _dir: tempfile::TempDir,
    disk: Arc<dyn Disk>,
}

impl Place for OnDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(OsDisk::new(dir.path().to_owned()));
        Self { _dir: dir, disk }
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }
}

pub struct InMemory(pub MemoryDisk);

impl Place for InMemory {
    fn new() -> Self {
        Self(MemoryDisk::new())
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.0.clone())
    }
}

/// Start an engine on a disk.
pub fn start(disk: Arc<dyn Disk>) -> Result<Arc<LocalEngine>, StorageError> {
    start_with(disk, LocalOptions::default())
}

pub fn start_with(
    disk: Arc<dyn Disk>,
    options: LocalOptions,
) -> Result<Arc<LocalEngine>, StorageError> {
    let boot_id = disk
        .boot_id()
        .map_err(|error| StorageError::Io(Arc::new(error)))?;
    let options = LocalOptions {
        boot_id,
        // Every upkeep looks at everything.
        retention_check_ms: 0,
        ..options
    };
    LocalEngine::open(disk, Path::new(""), options, NOW_MS)
}

pub fn partition_id(index: i32) -> PartitionId {
    PartitionId {
        topic: TopicId::from_u128(0xA11CE),
        index,
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Wait for an answer on this thread. One that does not come within ten seconds is a failure.
pub fn wait<T: Unpin>(pending: Pending<T>) -> Result<T, StorageError> {
    block_on(pending)
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    for _ in 0..100 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    panic!("no answer within ten seconds");
}

/// Look once whether an answer is there.
pub fn poll_once<T: Unpin>(pending: &mut Pending<T>) -> Option<Result<T, StorageError>> {
    let mut cx = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(pending).poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A batch with one record for each value.
pub fn batch(values: &[&str]) -> Batch {
    batch_at(NOW_MS, values)
}

pub fn batch_at(timestamp_ms: i64, values: &[&str]) -> Batch {
    fill(BatchBuilder::new(timestamp_ms), values)
}

/// A batch of an idempotent producer.
pub fn produced(id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Batch {
    fill(
        BatchBuilder::new(NOW_MS).producer(id, epoch, sequence),
        values,
    )
}

/// A batch of a transaction, as a coordinator writes it for a producer.
pub fn transactional(id: i64, values: &[&str]) -> Batch {
    let builder = BatchBuilder::new(NOW_MS).producer(id, 0, -1);
    fill(builder.transactional(), values)
}

fn fill(mut builder: BatchBuilder, values: &[&str]) -> Batch {
    for value in values {
        builder.record(None, Some(value.as_bytes()));
    }
    builder.build().unwrap()
}

/// Append for a client and wait for the answer.
pub fn append(
    partition: &Arc<dyn Partition>,
    batch: &Batch,
    durability: Durability,
) -> Result<Appended, StorageError> {
    wait(partition.append(batch, Origin::Client, durability, NOW_MS))
}

/// All batches from `from` up to `bound`, header and bytes.
pub fn read_batches(
    partition: &Arc<dyn Partition>,
    from: Offset,
    bound: Bound,
) -> Result<Vec<(BatchHeader, Vec<u8>)>, StorageError> {
    let mut batches = Vec::new();
    let mut next = from;
    loop {
        let request = ReadRequest {
            from: next,
            max_bytes: 64 << 10,
            at_least_one: true,
            bound,
        };
        let Some(slice) = wait(partition.read(request))?.records else {
            return Ok(batches);
        };
        let bytes = slice.to_bytes()?;
        let mut rest = &bytes[..];
        assert!(!rest.is_empty(), "an empty slice is no answer");
        while !rest.is_empty() {
            let header = BatchHeader::decode(rest)?;
            let (one, behind) = rest.split_at(header.bytes);
            assert_eq!(
                crc32c::crc32c(&one[21..]),
                header.crc,
                "a bad record was served"
            );
            next = Offset::new(header.base_offset + i64::from(header.last_offset_delta) + 1);
            batches.push((header, one.to_vec()));
            rest = behind;
        }
    }
}

/// Every record from `from` up to `bound`: its offset and value.
pub fn read_values(
    partition: &Arc<dyn Partition>,
    from: Offset,
    bound: Bound,
) -> Result<Vec<(i64, String)>, StorageError> {
    let mut values = Vec::new();
    for (header, bytes) in read_batches(partition, from, bound)? {
        let mut at = 61;
        for index in 0..header.count {
            let (value, next) = record_value(&bytes, at);
            values.push((header.base_offset + i64::from(index), value));
            at = next;
        }
        assert_eq!(at, bytes.len(), "records fill the batch");
    }
    values.retain(|(offset, _)| *offset >= from.get());
    Ok(values)
}

fn record_value(bytes: &[u8], at: usize) -> (String, usize) {
    let (len, body) = varint(bytes, at);
    let end = body + usize::try_from(len).unwrap();
    let (_, at) = varint(bytes, body + 1);
    let (_, at) = varint(bytes, at);
    let (key, at) = varint(bytes, at);
    let at = at + usize::try_from(key.max(0)).unwrap();
    let (len, at) = varint(bytes, at);
    let value = &bytes[at..at + usize::try_from(len).unwrap()];
    (String::from_utf8(value.to_vec()).unwrap(), end)
}

fn varint(bytes: &[u8], mut at: usize) -> (i64, usize) {
    let (mut raw, mut shift) = (0u64, 0);
    loop {
        let byte = bytes[at];
        at += 1;
        raw |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return ((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed(), at);
        }
        shift += 7;
    }
}

/// The records that were appended one by one, as [`read_values`] gives them.
pub fn numbered(values: &[&str]) -> Vec<(i64, String)> {
    (0..)
        .zip(values.iter().map(|value| (*value).to_owned()))
        .collect()
}

pub fn settings() -> Arc<LogSettings> {
    Arc::new(LogSettings::default())
}

pub fn open(engine: &LocalEngine, index: i32) -> Arc<dyn Partition> {
    engine.open(partition_id(index), settings()).unwrap()
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

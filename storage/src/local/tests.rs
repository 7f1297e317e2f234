use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::disk_memory::MemoryDisk;
use crate::{
    Appended, Batch, BatchBuilder, Bound, Durability, Offset, Origin, Pending, Read, ReadRequest,
    records,
};

mod basics;
mod model;
mod recovery;
mod rules;
mod transactions;

pub(super) const NOW_MS: i64 = 1_700_000_000_000;

pub(super) fn id(index: i32) -> PartitionId {
    PartitionId {
        topic: uuid::Uuid::from_u128(7),
        index,
    }
}

/// A disk and the engine on it.
pub(super) struct Rig {
    pub disk: MemoryDisk,
    pub engine: Arc<LocalEngine>,
    pub boot: String,
}

impl Rig {
    pub fn new() -> Self {
        Self::on(MemoryDisk::new(), "boot 1")
    }

    pub fn on(disk: MemoryDisk, boot: &str) -> Self {
        let options = LocalOptions {
            boot_id: boot.to_owned(),
            ..LocalOptions::default()
        };
        let engine =
            LocalEngine::open(Arc::new(disk.clone()), Path::new("data"), options, NOW_MS).unwrap();
        Self {
            disk,
            engine,
            boot: boot.to_owned(),
        }
    }

    pub fn open(&self, settings: LogSettings) -> Arc<dyn Partition> {
        self.engine.open(id(0), Arc::new(settings)).unwrap()
    }

    /// The process ends as it should, and comes back.
    pub fn restart(self) -> Self {
        let boot = self.boot.clone();
        Self::on(self.close(), &boot)
    }

    /// The process ends as it should. Gives what is on the disk.
    pub fn close(self) -> MemoryDisk {
        wait(self.engine.close()).unwrap();
        self.disk.crash()
    }

    /// The process dies. Gives what is on the disk.
    pub fn stop(self) -> (MemoryDisk,) {
        (self.disk.crash(),)
    }

    /// The process dies and comes back on the same boot.
    pub fn crash(self) -> Self {
        let disk = self.disk.crash();
        Self::on(disk, &self.boot)
    }
}

/// Wait for an answer on this thread.
pub(super) fn wait<T: Unpin>(pending: Pending<T>) -> Result<T, StorageError> {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut pending = pin!(pending);
    loop {
        match pending.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => std::thread::park(),
        }
    }
}

pub(super) fn batch(values: &[&str]) -> Batch {
    batch_at(NOW_MS, values)
}

pub(super) fn batch_at(timestamp_ms: i64, values: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new(timestamp_ms);
    for value in values {
        builder.record(None, Some(value.as_bytes()));
    }
    builder.build().unwrap()
}

pub(super) fn append(
    partition: &Arc<dyn Partition>,
    batch: &Batch,
    durability: Durability,
) -> Result<Appended, StorageError> {
    wait(partition.append(batch, Origin::Client, durability, NOW_MS))
}

pub(super) fn read_from(
    partition: &Arc<dyn Partition>,
    from: i64,
    max_bytes: usize,
) -> Result<Read, StorageError> {
    wait(partition.read(ReadRequest {
        from: Offset::new(from),
        max_bytes,
        at_least_one: true,
        bound: Bound::HighWatermark,
    }))
}

/// The batches in these bytes, checked.
pub(super) fn batches(read: &Read) -> Vec<Batch> {
    let Some(slice) = &read.records else {
        return Vec::new();
    };
    let mut bytes = slice.to_bytes().unwrap();
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let header = crate::BatchHeader::decode(&bytes).unwrap();
        let one = bytes.split_to(header.bytes);
        found.push(Batch::parse(one, usize::MAX).unwrap());
    }
    found
}

/// Offset and value of every record from `from` on.
pub(super) fn all_from(partition: &Arc<dyn Partition>, from: i64) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    let mut next = from;
    loop {
        let read = read_from(partition, next, 1 << 20).unwrap();
        let got = batches(&read);
        if got.is_empty() {
            return found;
        }
        for record in got.iter().flat_map(|batch| records(batch).unwrap()) {
            let record = record.unwrap();
            if record.offset.get() >= from {
                let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                found.push((record.offset.get(), value));
            }
            next = record.offset.get() + 1;
        }
    }
}

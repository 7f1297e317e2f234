//! The log's hot paths on the real file system: append, and the look-ups of a read.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ratel_storage::disk::OsDisk;
use ratel_storage::{
    Batch, BatchBuilder, Bound, Durability, Engine, LocalEngine, LocalOptions, LogSettings, Offset,
    Origin, Partition, PartitionId, Pending, ReadRequest, StorageError, TopicId,
};

const NOW_MS: i64 = 1_700_000_000_000;

/// An engine in a directory of its own, with one log.
struct Bench {
    engine: Arc<LocalEngine>,
    log: Arc<dyn Partition>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let disk = Arc::new(OsDisk::new(dir.path().to_owned()));
        let engine = LocalEngine::open(disk, Path::new(""), LocalOptions::default(), NOW_MS)
            .expect("an empty directory opens");
        let id = PartitionId {
            topic: TopicId::from_u128(1),
            index: 0,
        };
        // Old segments go, so that a long run does not fill the disk.
        let settings = LogSettings {
            segment_bytes: 64 << 20,
            retention_bytes: Some(128 << 20),
            file_delete_delay_ms: 0,
            ..LogSettings::default()
        };
        let log = engine
            .open(id, Arc::new(settings))
            .expect("a new log opens");
        Self {
            engine,
            log,
            _dir: dir,
        }
    }

    fn append(&self, batch: &Batch) {
        let appended = self
            .log
            .append(batch, Origin::Client, Durability::Written, NOW_MS);
        let appended = ready(appended).expect("an append");
        black_box(appended);
    }
}

/// The outcome of something that does not wait.
fn ready<T>(pending: Pending<T>) -> Result<T, StorageError> {
    match pending {
        Pending::Ready(Some(outcome)) => outcome,
        _ => unreachable!("nothing here waits"),
    }
}

fn batch(bytes: usize, sequence: Option<i32>) -> Batch {
    let builder = BatchBuilder::new(NOW_MS);
    let mut builder = match sequence {
        Some(sequence) => builder.producer(7, 0, sequence),
        None => builder,
    };
    let value = vec![b'v'; 1000.min(bytes)];
    while builder.size_bytes() + value.len() <= bytes + 100 {
        builder.record(None, Some(&value));
    }
    builder.build().expect("at least one record")
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    for bytes in [1 << 10, 16 << 10, 1 << 20] {
        let bench = Bench::new();
        let one = batch(bytes, None);
        group.throughput(Throughput::Bytes(one.bytes().len() as u64));
        let mut written = 0_usize;
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter(|| {
                bench.append(&one);
                written += one.bytes().len();
                if written > 256 << 20 {
                    written = 0;
                    bench.engine.upkeep(NOW_MS + 400_000);
                }
            });
        });
    }
    group.finish();
}

fn append_repeated(c: &mut Criterion) {
    let bench = Bench::new();
    let one = batch(1 << 10, Some(0));
    bench.append(&one);
    c.bench_function("append/duplicate", |b| b.iter(|| bench.append(&one)));
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for bytes in [1 << 10, 16 << 10, 1 << 20] {
        let one = batch(bytes, None);
        group.throughput(Throughput::Bytes(one.bytes().len() as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter(|| Batch::parse(black_box(one.bytes().clone()), usize::MAX));
        });
    }
    group.finish();
}

fn read(c: &mut Criterion) {
    let bench = Bench::new();
    let one = batch(1 << 10, None);
    for _ in 0..20_000 {
        bench.append(&one);
    }
    let end = bench.log.offsets().end.get();
    let read = |from: i64, max_bytes: usize| {
        let request = ReadRequest {
            from: Offset::new(from),
            max_bytes,
            at_least_one: true,
            bound: Bound::HighWatermark,
        };
        black_box(ready(bench.log.read(request)).expect("a read"));
    };
    c.bench_function("read/tail", |b| b.iter(|| read(end - 1, 1 << 20)));
    c.bench_function("read/at_end", |b| b.iter(|| read(end, 1 << 20)));
    let mut from = 0;
    c.bench_function("read/1MiB_anywhere", |b| {
        b.iter(|| {
            from = (from + 7919) % (end - 2000);
            read(from, 1 << 20);
        });
    });
}

criterion_group!(benches, append, append_repeated, parse, read);
criterion_main!(benches);

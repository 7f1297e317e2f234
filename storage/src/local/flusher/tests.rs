use std::io::IoSlice;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::TopicId;
use crate::disk::Open;
use crate::disk_memory::{Call, Errno, Fault, Keep, MemoryDisk};
use crate::log::segment;

/// A partition of one segment, appended to by hand.
struct Stub {
    id: PartitionId,
    file: Arc<dyn File>,
    written: AtomicU64,
    synced: AtomicU64,
    failed: AtomicBool,
    refusals: AtomicU64,
}

impl Source for Stub {
    fn take_dirty(&self) -> Result<Option<Dirty>, StorageError> {
        if self.refusals.load(Ordering::SeqCst) > 0 {
            self.refusals.fetch_sub(1, Ordering::SeqCst);
            return Err(StorageError::TooManyFiles);
        }
        let (from, to) = (
            self.synced.load(Ordering::SeqCst),
            self.written.load(Ordering::SeqCst),
        );
        Ok((from < to).then(|| Dirty {
            partition: self.id,
            dirs: vec![],
            files: vec![DirtyFile {
                file: Arc::clone(&self.file),
                base: Offset::ZERO,
                from,
                to,
            }],
            through: Place {
                position: to,
                ..Place::default()
            },
        }))
    }

    fn synced(&self, through: Place) -> u64 {
        let before = self.synced.fetch_max(through.position, Ordering::SeqCst);
        through.position.saturating_sub(before)
    }

    fn failed(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }
}

fn path(id: PartitionId, base: Offset) -> PathBuf {
    segment::path(Path::new(&id.to_string()), base, "log")
}

struct Bench {
    disk: MemoryDisk,
    health: Arc<Health>,
    flusher: Flusher,
    stubs: Vec<Arc<Stub>>,
    rounds: Arc<Mutex<Vec<RoundEvent>>>,
}

impl Bench {
    fn new(partitions: i32) -> Self {
        let disk = MemoryDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let health = Arc::new(Health::new(Arc::new(|_| {})));
        let journal = Journal::open(Arc::clone(&shared), Path::new(""), Path::new("")).unwrap();
        let rounds: Arc<Mutex<Vec<RoundEvent>>> = Arc::default();
        let told = Arc::clone(&rounds);
        let on_round = Arc::new(move |event| lock(&told).push(event));
        let flusher = Flusher::start(shared, Arc::clone(&health), journal, on_round).unwrap();
        let stubs = (0..partitions)
            .map(|index| Arc::new(stub(&disk, index)))
            .collect();
        disk.sync_dir(Path::new("")).unwrap();
        Self {
            disk,
            health,
            flusher,
            stubs,
            rounds,
        }
    }

    fn write(&self, bytes: &[u8]) {
        for stub in &self.stubs {
            let at = stub.written.load(Ordering::SeqCst);
            stub.file.write_at(&[IoSlice::new(bytes)], at).unwrap();
            stub.written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
    }

    fn sources(&self) -> Vec<Arc<dyn Source>> {
        self.stubs
            .iter()
            .map(|stub| Arc::clone(stub) as Arc<dyn Source>)
            .collect()
    }

    /// Sync in one round; gives how many files that took.
    fn sync(&self) -> u64 {
        let before = self.disk.counts().of(Call::Sync);
        self.flusher.sync(&self.sources()).unwrap();
        let written = self
            .stubs
            .iter()
            .map(|stub| stub.written.load(Ordering::SeqCst));
        let synced = self
            .stubs
            .iter()
            .map(|stub| stub.synced.load(Ordering::SeqCst));
        assert!(written.eq(synced));
        self.disk.counts().of(Call::Sync) - before
    }

    /// What each segment holds after a power cut and a start.
    fn after_cut(&self) -> Vec<Vec<u8>> {
        let cut = self.disk.power_cut(Keep::Nothing);
        Journal::open(Arc::new(cut.clone()), Path::new(""), Path::new("")).unwrap();
        let contents = self.stubs.iter().map(|stub| {
            let file = cut.open(&path(stub.id, Offset::ZERO), Open::Read).unwrap();
            let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
            crate::disk::read_exact_at(&*file, &mut bytes, 0).unwrap();
            bytes
        });
        contents.collect()
    }

    fn journals(&self) -> usize {
        self.disk.list(Path::new("journal")).unwrap().len()
    }
}

fn stub(disk: &MemoryDisk, index: i32) -> Stub {
    let id = PartitionId {
        topic: TopicId::from_u128(1),
        index,
    };
    let path = path(id, Offset::ZERO);
    let dir = path.parent().unwrap();
    disk.create_dir(dir).unwrap();
    let file = disk.open(&path, Open::Create).unwrap();
    disk.sync_dir(dir).unwrap();
    Stub {
        id,
        file,
        written: AtomicU64::new(0),
        synced: AtomicU64::new(0),
        failed: AtomicBool::new(false),
        refusals: AtomicU64::new(0),
    }
}

fn until(what: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if what() {
            return;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    panic!("it did not come to pass");
}

#[test]
fn a_round_tells_when_it_begins_and_how_much_it_made_durable() {
    let bench = Bench::new(2);
    bench.write(b"12345");
    bench.sync();
    bench.write(b"678");
    bench.sync();
    // The stubs take a byte for a record.
    assert_eq!(
        *lock(&bench.rounds),
        [
            RoundEvent::Began,
            RoundEvent::Ended { records: 10 },
            RoundEvent::Began,
            RoundEvent::Ended { records: 6 },
        ]
    );
}

#[test]
fn sixteen_segments_are_synced_themselves_and_one_more_goes_to_the_journal() {
    for (partitions, files) in [(1, 1), (16, 16), (17, 1)] {
        let bench = Bench::new(partitions);
        bench.write(b"first");
        assert_eq!(bench.sync(), files, "of {partitions}");
        bench.write(b"second");
        assert_eq!(bench.sync(), files, "of {partitions}");
        assert_eq!(bench.sync(), 0, "nothing is left");
        assert!(
            bench
                .after_cut()
                .iter()
                .all(|bytes| bytes == b"firstsecond")
        );
    }
}

#[test]
fn ft_13_a_round_over_a_thousand_partitions_syncs_at_most_17_files() {
    let bench = Bench::new(1000);
    for stub in &bench.stubs[..20] {
        let long = vec![7; 300 << 10];
        stub.file.write_at(&[IoSlice::new(&long)], 0).unwrap();
        stub.written.store(long.len() as u64, Ordering::SeqCst);
    }
    bench.write(b"short");
    assert_eq!(bench.sync(), 17);
    let lens: Vec<_> = bench.after_cut().iter().map(Vec::len).collect();
    assert!(lens[..20].iter().all(|len| *len == (300 << 10) + 5));
    assert!(lens[20..].iter().all(|len| *len == 5));
}

#[test]
fn a_narrow_round_after_a_wide_one_loses_nothing() {
    let bench = Bench::new(30);
    bench.write(b"wide");
    assert_eq!(bench.sync(), 1);
    bench.stubs[3]
        .file
        .write_at(&[IoSlice::new(b"narrow")], 4)
        .unwrap();
    bench.stubs[3].written.store(10, Ordering::SeqCst);
    assert_eq!(bench.sync(), 1);
    assert_eq!(bench.journals(), 1);
    let after = bench.after_cut();
    assert_eq!(after[3], b"widenarrow");
    assert_eq!(after[4], b"wide");
}

#[test]
fn a_checkpoint_removes_the_journal_once_its_segments_are_synced() {
    let bench = Bench::new(20);
    bench.write(b"1");
    bench.sync();
    let before = bench.disk.counts().of(Call::Sync);
    bench.flusher.upkeep(CHECKPOINT_INTERVAL_MS);
    assert_eq!(bench.disk.counts().of(Call::Sync) - before, 20);
    assert_eq!(bench.journals(), 0);
    bench.write(b"2");
    bench.sync();
    bench.flusher.upkeep(2 * CHECKPOINT_INTERVAL_MS - 1);
    assert_eq!(bench.journals(), 1, "not so soon again");
    assert!(bench.after_cut().iter().all(|bytes| bytes == b"12"));
}

#[test]
fn a_journal_that_has_grown_is_removed_in_the_background() {
    let bench = Bench::new(300);
    let bytes = vec![3; 250 << 10];
    bench.write(&bytes);
    bench.sync();
    until(|| bench.journals() == 0);
    assert_eq!(
        bench.disk.counts().widest_round,
        64,
        "no more are opened at once"
    );
    bench.write(&bytes);
    bench.write(&bytes);
    // More than the journal may hold: the segments are synced themselves.
    assert_eq!(bench.sync(), 300);
    assert!(
        bench
            .after_cut()
            .iter()
            .all(|after| after.len() == 3 * bytes.len())
    );
}

#[test]
fn dc_5_a_failed_sync_poisons_and_tells_who_waits() {
    for (partitions, call) in [(3, Call::Sync), (30, Call::Sync), (30, Call::Write)] {
        let bench = Bench::new(partitions);
        bench.write(b"x");
        bench.disk.fail(Fault::nth(call, 1, Errno::IO));
        assert!(bench.flusher.sync(&bench.sources()).is_err());
        let told = |stub: &Arc<Stub>| stub.failed.load(Ordering::SeqCst);
        assert!(bench.stubs.iter().all(told));
        assert!(bench.health.is_poisoned());
        assert!(
            bench
                .stubs
                .iter()
                .all(|stub| stub.synced.load(Ordering::SeqCst) == 0)
        );
        assert!(matches!(
            bench.flusher.sync(&bench.sources()),
            Err(StorageError::Poisoned)
        ));
    }
}

#[test]
fn dc_5_no_space_for_the_journal_is_no_failure_but_no_space_out_of_a_sync_is() {
    let bench = Bench::new(30);
    bench.write(b"x");
    bench.disk.fail(Fault::nth(Call::Write, 2, Errno::NOSPC));
    assert_eq!(bench.sync(), 30);
    assert!(!bench.health.is_poisoned());
    bench.write(b"y");
    bench.disk.fail(Fault::nth(Call::Sync, 1, Errno::NOSPC));
    assert!(bench.flusher.sync(&bench.sources()).is_err());
    assert!(bench.health.is_poisoned());
}

#[test]
fn dc_5_without_descriptors_the_flusher_tries_again() {
    let bench = Bench::new(2);
    bench.write(b"x");
    bench.stubs[0].refusals.store(3, Ordering::SeqCst);
    for source in bench.sources() {
        bench.flusher.request(source);
    }
    until(|| {
        bench
            .stubs
            .iter()
            .all(|stub| stub.synced.load(Ordering::SeqCst) == 1)
    });
    assert!(!bench.health.is_poisoned());
}

#[test]
fn what_comes_during_a_round_goes_into_the_next_as_one() {
    let bench = Bench::new(8);
    bench.disk.hold_syncs();
    bench.write(b"a");
    bench.flusher.request(bench.sources().remove(0));
    until(|| bench.disk.counts().rounds == 1);
    for source in bench.sources() {
        bench.flusher.request(source);
    }
    bench.disk.release_syncs();
    until(|| {
        bench
            .stubs
            .iter()
            .all(|stub| stub.synced.load(Ordering::SeqCst) == 1)
    });
    let counts = bench.disk.counts();
    assert_eq!(
        (counts.rounds, counts.of(Call::Sync), counts.widest_round),
        (2, 8, 7)
    );
}

#[test]
fn a_forgotten_partition_is_not_brought_back() {
    let bench = Bench::new(20);
    bench.write(b"old");
    bench.sync();
    let id = bench.stubs[5].id;
    bench.flusher.forget(id).unwrap();
    bench.disk.remove_dir(Path::new(&id.to_string())).unwrap();
    let again = stub(&bench.disk, 5);
    again.file.write_at(&[IoSlice::new(b"new!")], 0).unwrap();
    again.file.sync().unwrap();
    bench.disk.sync_dir(Path::new("")).unwrap();
    let after = bench.after_cut();
    assert_eq!((&after[5][..], &after[6][..]), (&b"new!"[..], &b"old"[..]));
}

use std::io::IoSlice;

use super::*;
use crate::disk::{Open, read_exact_at};
use crate::disk_memory::MemoryDisk;
use crate::local::tests::{Rig, all_from, append, batch, id};
use crate::{Durability, LogSettings, Offset, Partition};

/// A closed directory with one log of several segments, and its records.
fn directory() -> (MemoryDisk, Vec<(i64, String)>) {
    let rig = Rig::new();
    let settings = LogSettings {
        segment_bytes: 600,
        ..LogSettings::default()
    };
    let log = rig.open(settings);
    for n in 0..20 {
        append(&log, &batch(&[&format!("{n}"), "x"]), Durability::Written).unwrap();
    }
    let records = all_from(&log, 0);
    (rig.close(), records)
}

fn look(disk: &MemoryDisk, repair: bool) -> Report {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    check(&disk, Path::new("data"), repair).unwrap()
}

fn log_dir() -> PathBuf {
    PathBuf::from("data/topics").join(id(0).to_string())
}

fn logs(disk: &MemoryDisk) -> Vec<PathBuf> {
    let mut logs: Vec<_> = disk
        .list(&log_dir())
        .unwrap()
        .into_iter()
        .filter(|entry| entry.name.ends_with(".log"))
        .map(|entry| log_dir().join(entry.name))
        .collect();
    logs.sort();
    logs
}

fn flip(disk: &MemoryDisk, path: &Path, at: u64) {
    let file = disk.open(path, Open::Write).unwrap();
    let mut byte = [0];
    read_exact_at(&*file, &mut byte, at).unwrap();
    file.write_at(&[IoSlice::new(&[byte[0] ^ 1])], at).unwrap();
}

fn reopened(disk: MemoryDisk) -> (Arc<dyn Partition>, Rig) {
    let rig = Rig::on(disk, "boot 2");
    (rig.open(LogSettings::default()), rig)
}

#[test]
fn a_healthy_directory_is_counted_and_nothing_is_found() {
    let (disk, _) = directory();
    let report = look(&disk, false);
    assert_eq!(report.findings, []);
    assert!(report.is_clean && report.is_healthy());
    assert_eq!((report.partitions, report.batches), (1, 20));
    assert_eq!(report.segments, logs(&disk).len() as u64);
    assert_eq!(look(&disk, true), report);
}

#[test]
fn a_flipped_byte_is_found_and_cut_only_when_asked() {
    let (disk, records) = directory();
    let logs = logs(&disk);
    flip(&disk, &logs[1], 70);
    let report = look(&disk, false);
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert_eq!(report.findings[0].severity, Severity::Damage);
    assert!(!report.is_healthy());
    assert_eq!(look(&disk, false), report, "looking changes nothing");
    let repaired = look(&disk, true);
    assert!(repaired.is_healthy(), "{:?}", repaired.findings);
    assert_eq!(look(&disk, true).findings, []);
    let (log, rig) = reopened(disk);
    assert_eq!(log.damage(), None);
    let left = all_from(&log, 0);
    assert_eq!(left, records[..left.len()]);
    assert!(!left.is_empty() && left.len() < records.len());
    append(&log, &batch(&["goes on"]), Durability::Synced).unwrap();
    let cuts = rig.disk.list(&log_dir()).unwrap();
    let cuts = cuts.iter().filter(|entry| entry.name.ends_with(".cut"));
    assert_eq!(cuts.count(), logs.len() - 1);
}

#[test]
fn a_mark_of_damage_goes_with_the_repair() {
    let (disk, records) = directory();
    let logs = logs(&disk);
    flip(&disk, &logs[0], 70);
    let (log, rig) = reopened(disk);
    assert!(crate::local::tests::read_from(&log, 0, 1000).is_err());
    drop(log);
    let disk = rig.close();
    // Somebody put the right bytes back.
    flip(&disk, &logs[0], 70);
    let report = look(&disk, false);
    assert_eq!(report.findings.len(), 1);
    assert!(report.findings[0].what.contains("read-only"));
    assert!(look(&disk, true).is_healthy());
    let (log, _rig) = reopened(disk);
    assert_eq!((log.damage(), all_from(&log, 0)), (None, records));
}

#[test]
fn missing_segments_in_front_move_the_start_and_in_the_middle_cut() {
    let (disk, records) = directory();
    let logs = logs(&disk);
    disk.remove_file(&logs[0]).unwrap();
    assert!(!look(&disk, false).is_healthy());
    assert!(look(&disk, true).is_healthy());
    let (log, rig) = reopened(disk);
    let first = log.offsets().start.get();
    assert!(first > 0);
    assert_eq!(
        all_from(&log, first),
        records[usize::try_from(first).unwrap()..]
    );
    drop(log);
    let disk = rig.close();
    disk.remove_file(&logs[2]).unwrap();
    assert!(!look(&disk, false).is_healthy());
    assert!(look(&disk, true).is_healthy());
    let (log, _rig) = reopened(disk);
    let left = all_from(&log, first);
    assert_eq!(
        left[..],
        records[usize::try_from(first).unwrap()..][..left.len()]
    );
    assert_eq!(log.damage(), None);
}

#[test]
fn torn_ends_and_spoilt_small_files_are_notes() {
    let (disk, records) = directory();
    let rig = Rig::on(disk, "boot 2");
    let log = rig.open(LogSettings::default());
    append(&log, &batch(&["late"]), Durability::Written).unwrap();
    let (disk,) = rig.stop();
    let last = logs(&disk).pop().unwrap();
    let file = disk.open(&last, Open::Write).unwrap();
    file.set_len(file.size().unwrap() - 3).unwrap();
    flip(&disk, Path::new("data/boot"), 3);
    let report = look(&disk, false);
    assert!(!report.is_clean);
    assert!(report.is_healthy(), "{:?}", report.findings);
    assert_eq!(report.findings.len(), 2, "{:?}", report.findings);
    assert!(look(&disk, true).is_healthy());
    let (log, _rig) = reopened(disk);
    assert_eq!(all_from(&log, 0), records);
}

#[test]
fn a_checkpoint_that_says_otherwise_is_corrected() {
    let (disk, records) = directory();
    let path = Path::new("data/checkpoint");
    let size = disk.open(path, Open::Read).unwrap().size().unwrap();
    flip(&disk, path, size / 2);
    let report = look(&disk, false);
    assert!(report.is_healthy() && !report.findings.is_empty());
    assert!(look(&disk, true).is_healthy());
    assert_eq!(look(&disk, false).findings, []);
    let (log, _rig) = reopened(disk);
    assert_eq!(all_from(&log, 0), records);
}

/// A closed directory with aborted transactions in it, and the files of them.
fn aborted_directory() -> (MemoryDisk, Vec<PathBuf>) {
    let rig = Rig::new();
    let settings = LogSettings {
        segment_bytes: 600,
        ..LogSettings::default()
    };
    let log = rig.open(settings);
    for id in 0..6 {
        let mut builder = crate::BatchBuilder::new(1)
            .producer(id, 0, -1)
            .transactional();
        builder.record(None, Some(b"x"));
        let marker = crate::Marker {
            producer: crate::Producer { id, epoch: 0 },
            outcome: crate::Outcome::Abort,
            coordinator_epoch: 0,
            transaction_version: 0,
        };
        for batch in [builder.build().unwrap(), marker.to_batch(1)] {
            let origin = crate::Origin::Coordinator;
            let appended = log.append(&batch, origin, Durability::Synced, 1);
            crate::local::tests::wait(appended).unwrap();
        }
    }
    let disk = rig.close();
    let names = disk.list(&log_dir()).unwrap().into_iter();
    let names = names
        .map(|entry| entry.name)
        .filter(|name| name.ends_with(".txnindex"));
    let files = names.map(|name| log_dir().join(name)).collect();
    (disk, files)
}

#[test]
fn files_of_aborted_transactions_that_do_not_fit_are_noted_and_made_again() {
    let (disk, files) = aborted_directory();
    assert_eq!(look(&disk, false).findings, []);
    assert!(files.len() > 1);
    // Another segment's, and a flipped one.
    let first = crate::local::files::read(&disk, &files[0])
        .unwrap()
        .unwrap();
    let file = disk.open(&files[1], Open::Truncate).unwrap();
    file.write_at(&[IoSlice::new(&first)], 0).unwrap();
    flip(&disk, &files[0], 30);
    let report = look(&disk, true);
    assert_eq!(report.findings.len(), 2, "{:?}", report.findings);
    let is_note = |finding: &Finding| finding.severity == Severity::Note;
    assert!(report.findings.iter().all(is_note));
    assert_eq!(look(&disk, false).findings, []);
    let (log, _rig) = reopened(disk);
    let found = log.aborted(Offset::ZERO, Offset::new(12));
    assert_eq!(crate::local::tests::wait(found).unwrap().len(), 6);
}

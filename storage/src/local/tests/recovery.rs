//! What a crash leaves, at the places where it matters (DC5 to DC10, FT5 to FT7).

use super::*;
use crate::disk::{File, Open, read_exact_at};
use crate::disk_memory::Keep;
use std::io::IoSlice;
use std::path::PathBuf;

fn dir() -> PathBuf {
    PathBuf::from("data/topics").join(id(0).to_string())
}

fn path_of(base: i64, ending: &str) -> PathBuf {
    dir().join(format!("{base:020}.{ending}"))
}

fn names(disk: &MemoryDisk) -> Vec<String> {
    let mut names: Vec<_> = disk
        .list(&dir())
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    names.sort();
    names
}

fn open_file(disk: &MemoryDisk, path: &Path) -> Arc<dyn File> {
    disk.open(path, Open::Write).unwrap()
}

fn contents(disk: &MemoryDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Open::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
    read_exact_at(&*file, &mut bytes, 0).unwrap();
    bytes
}

/// Replace a file's contents, durably.
fn set(disk: &MemoryDisk, path: &Path, bytes: &[u8]) {
    let file = open_file(disk, path);
    file.set_len(0).unwrap();
    file.write_at(&[IoSlice::new(bytes)], 0).unwrap();
    file.sync().unwrap();
}

fn flip(disk: &MemoryDisk, path: &Path, at: usize) {
    let mut bytes = contents(disk, path);
    bytes[at] ^= 1 << (at % 8);
    set(disk, path, &bytes);
}

/// Batches of three records of different lengths, `count` of them.
fn fill(partition: &Arc<dyn Partition>, count: usize) {
    for n in 0..count {
        let value = format!("{n} {}", "x".repeat(n * 7 % 50));
        let one = batch(&[&value, "second", "third"]);
        append(partition, &one, Durability::Written).unwrap();
    }
}

fn values(partition: &Arc<dyn Partition>) -> Vec<(i64, String)> {
    all_from(partition, partition.offsets().start.get())
}

/// Check that an engine works: what it has is a prefix of `whole`, and an append goes behind it.
fn check_prefix(rig: &Rig, whole: &[(i64, String)]) -> usize {
    let partition = rig.open(LogSettings::default());
    assert_eq!(partition.damage(), None);
    let left = values(&partition);
    assert_eq!(left, whole[..left.len()]);
    let appended = append(&partition, &batch(&["new"]), Durability::Synced).unwrap();
    assert_eq!(appended.base_offset.get(), left.len() as i64);
    assert_eq!(
        values(&partition).last(),
        Some(&(left.len() as i64, "new".to_owned()))
    );
    left.len()
}

#[test]
fn a_clean_close_is_believed_and_costs_no_scan_and_no_epoch() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    fill(&partition, 20);
    let whole = values(&partition);
    let rig = rig.restart();
    let partition = rig.open(LogSettings::default());
    assert_eq!(partition.offsets().leader_epoch, 0);
    assert_eq!(values(&partition), whole);
    assert_eq!(check_prefix(&rig, &whole), 60);
}

#[test]
fn dc_7_each_unclean_start_raises_the_epoch_and_a_clean_one_does_not() {
    let mut rig = Rig::new();
    let mut ends = Vec::new();
    for round in 0..3 {
        let partition = rig.open(LogSettings::default());
        assert_eq!(partition.offsets().leader_epoch, round);
        fill(&partition, 2);
        ends.push(partition.offsets().end);
        rig = rig.crash();
    }
    let partition = rig.open(LogSettings::default());
    assert_eq!(partition.epoch_end(0), Some((0, ends[0])));
    assert_eq!(partition.epoch_end(1), Some((1, ends[1])));
    assert_eq!(partition.epoch_end(2), Some((2, ends[2])));
    assert_eq!(partition.epoch_end(3), Some((3, ends[2])));
    assert_eq!(partition.epoch_end(4), None);
    let rig = rig.restart();
    assert_eq!(rig.open(LogSettings::default()).offsets().leader_epoch, 3);
}

#[test]
fn dc_7_an_epoch_is_never_used_again_when_the_boot_file_is_lost() {
    let rig = Rig::new();
    fill(&rig.open(LogSettings::default()), 1);
    let rig = rig.crash().crash().crash();
    fill(&rig.open(LogSettings::default()), 1);
    let rig = rig.stop();
    rig.0.remove_file(Path::new("data/boot")).unwrap();
    let rig = Rig::on(rig.0, "boot 1");
    let partition = rig.open(LogSettings::default());
    assert_eq!(partition.offsets().leader_epoch, 4);
}

#[test]
fn ft_5_a_log_cut_at_any_byte_of_its_tail_keeps_a_whole_prefix() {
    for boot in ["boot 1", "boot 2"] {
        let rig = Rig::new();
        let partition = rig.open(LogSettings::default());
        fill(&partition, 6);
        let whole = values(&partition);
        let disk = rig.stop().0;
        let bytes = contents(&disk, &path_of(0, "log"));
        let mut last = 0;
        for len in 0..=bytes.len() {
            let disk = disk.crash();
            set(&disk, &path_of(0, "log"), &bytes[..len]);
            let left = check_prefix(&Rig::on(disk, boot), &whole);
            assert!(left >= last, "{len} bytes: {left} records");
            last = left;
        }
        assert_eq!(last, whole.len());
    }
}

#[test]
fn ft_5_a_cut_index_boot_or_start_file_changes_no_answer() {
    let rig = Rig::new();
    let settings = LogSettings {
        segment_bytes: 1000,
        ..LogSettings::default()
    };
    let partition = rig.open(settings);
    fill(&partition, 20);
    wait(partition.advance_start(Offset::new(4))).unwrap();
    let whole = values(&partition);
    assert_eq!(whole.len(), 56);
    let disk = rig.close();
    let index = names(&disk)
        .into_iter()
        .find(|name| name.ends_with(".index"));
    let files = [
        dir().join(index.unwrap()),
        PathBuf::from("data/boot"),
        dir().join("start"),
        PathBuf::from("data/clean"),
    ];
    let files = files.map(|path| (contents(&disk, &path), path));
    for (bytes, path) in files {
        for len in 0..bytes.len() {
            let disk = disk.crash();
            set(&disk, &path, &bytes[..len]);
            let rig = Rig::on(disk, "boot 1");
            let partition = rig.open(LogSettings::default());
            assert_eq!(values(&partition), whole, "{} of {}", len, path.display());
        }
    }
}

#[test]
fn dc_10_a_checkpoint_cut_at_any_byte_costs_a_scan_and_nothing_else() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    fill(&partition, 5);
    let mut builder = BatchBuilder::new(NOW_MS).producer(9, 0, 0);
    builder.record(None, Some(b"p"));
    let produced = builder.build().unwrap();
    append(&partition, &produced, Durability::Synced).unwrap();
    let whole = values(&partition);
    let disk = rig.close();
    let path = Path::new("data/checkpoint");
    let bytes = contents(&disk, path);
    for len in 0..bytes.len() {
        let disk = disk.crash();
        set(&disk, path, &bytes[..len]);
        let rig = Rig::on(disk, "boot 2");
        let partition = rig.open(LogSettings::default());
        assert_eq!(values(&partition), whole);
        let again = append(&partition, &produced, Durability::Synced).unwrap();
        assert!(again.duplicate, "{len} bytes");
        assert_eq!(again.base_offset.get(), 15);
    }
}

#[test]
fn ft_6_a_flipped_bit_in_the_tail_cuts_there_or_makes_it_read_only() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    fill(&partition, 5);
    let whole = values(&partition);
    let disk = rig.stop().0;
    let bytes = contents(&disk, &path_of(0, "log"));
    let last = bytes.len()
        - batch(&["4 ".to_owned().as_str(), "second", "third"])
            .bytes()
            .len();
    for at in 0..bytes.len() {
        // Only the process died: with valid batches behind it this is damage.
        let same = disk.crash();
        flip(&same, &path_of(0, "log"), at);
        let rig = Rig::on(same, "boot 1");
        let partition = rig.open(LogSettings::default());
        if at < last - 60 {
            assert!(partition.damage().is_some(), "byte {at}");
            assert_eq!(partition.offsets().end.get(), 15, "byte {at}");
            assert!(matches!(
                append(&partition, &batch(&["x"]), Durability::Written),
                Err(StorageError::Corrupt { .. })
            ));
            assert_eq!(rig.engine.complaints().len(), 1);
        }
        // The machine died: cut, and what lay behind is kept beside the log.
        let other = disk.crash();
        flip(&other, &path_of(0, "log"), at);
        let rig = Rig::on(other, "boot 2");
        check_prefix(&rig, &whole);
        if at < last - 60 {
            assert!(
                names(&rig.disk).contains(&format!("{:020}.cut", 0)),
                "byte {at}"
            );
            assert!(rig.engine.cut_bytes() > 0);
            assert_eq!(rig.engine.cuts(), 1);
        }
    }
}

#[test]
fn dc_6_a_bad_record_below_the_recovery_point_is_never_served() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    fill(&partition, 8);
    let whole = values(&partition);
    let disk = rig.close();
    let bytes = contents(&disk, &path_of(0, "log"));
    for at in 0..bytes.len() {
        let disk = disk.crash();
        flip(&disk, &path_of(0, "log"), at);
        let rig = Rig::on(disk, "boot 2");
        let partition = rig.open(LogSettings::default());
        assert_eq!(partition.offsets().end.get(), 24, "never shorter");
        let mut next = 0;
        let refused = loop {
            match read_from(&partition, next, 1 << 20) {
                Ok(read) => {
                    let got = batches(&read);
                    assert!(!got.is_empty(), "byte {at}: nothing at {next}");
                    for record in got.iter().flat_map(|batch| records(batch).unwrap()) {
                        let record = record.unwrap();
                        let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                        assert_eq!((record.offset.get(), value), whole[next as usize]);
                        next += 1;
                    }
                }
                Err(StorageError::Corrupt { .. }) => break true,
                Err(error) => panic!("{error}"),
            }
            if next == 24 {
                break false;
            }
        };
        assert!(refused, "byte {at}");
        assert!(partition.damage().is_some());
    }
}

#[test]
fn dc_6_damage_is_remembered_until_somebody_repairs_it() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    fill(&partition, 8);
    let disk = rig.close();
    flip(&disk, &path_of(0, "log"), 90);
    let rig = Rig::on(disk, "boot 1");
    let partition = rig.open(LogSettings::default());
    assert!(read_from(&partition, 0, 1 << 20).is_err());
    let rig = Rig::on(rig.close(), "boot 2");
    let partition = rig.open(LogSettings::default());
    assert!(partition.damage().is_some());
    assert_eq!(partition.offsets().end.get(), 24);
}

#[test]
fn dc_6_a_log_shorter_than_its_recovery_point_is_damage_and_its_end_stays() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    fill(&partition, 8);
    let disk = rig.close();
    let bytes = contents(&disk, &path_of(0, "log"));
    for cut in [Some(bytes.len() - 1), Some(300), Some(0), None] {
        let disk = disk.crash();
        match cut {
            Some(len) => set(&disk, &path_of(0, "log"), &bytes[..len]),
            None => disk.remove_file(&path_of(0, "log")).unwrap(),
        }
        let rig = Rig::on(disk, "boot 2");
        let partition = rig.open(LogSettings::default());
        assert!(partition.damage().is_some(), "{cut:?}");
        assert_eq!(partition.offsets().end.get(), 24);
        let read = read_from(&partition, 23, 1 << 20);
        assert!(
            matches!(read, Err(StorageError::Corrupt { .. })),
            "{cut:?} {read:?}"
        );
    }
}

#[test]
fn ft_7_zeros_stale_bytes_and_repeated_pages_behind_the_end_are_cut() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    fill(&partition, 6);
    let whole = values(&partition);
    let disk = rig.stop().0;
    let bytes = contents(&disk, &path_of(0, "log"));
    let stale = {
        let mut other = bytes.clone();
        other.truncate(bytes.len() / 2);
        other
    };
    for tail in [
        vec![0; 4096],
        stale,
        bytes[bytes.len() - 300..].to_vec(),
        bytes.clone(),
    ] {
        for boot in ["boot 1", "boot 2"] {
            let disk = disk.crash();
            set(&disk, &path_of(0, "log"), &[&bytes[..], &tail[..]].concat());
            assert_eq!(check_prefix(&Rig::on(disk, boot), &whole), whole.len());
        }
    }
}

#[test]
fn ft_7_an_empty_file_behind_the_log_is_no_loss() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    fill(&partition, 3);
    let whole = values(&partition);
    let disk = rig.stop().0;
    for base in [9, 12, 5000] {
        let disk = disk.crash();
        disk.open(&path_of(base, "log"), Open::Create).unwrap();
        assert_eq!(check_prefix(&Rig::on(disk, "boot 2"), &whole), 9);
    }
}

#[test]
fn dc_6_a_hole_between_segments_cuts_and_keeps_what_is_behind() {
    let rig = Rig::new();
    let settings = LogSettings {
        segment_bytes: 700,
        ..LogSettings::default()
    };
    let partition = rig.open(settings);
    fill(&partition, 24);
    let whole = values(&partition);
    let logs: Vec<_> = names(&rig.disk)
        .into_iter()
        .filter(|name| name.ends_with(".log"))
        .collect();
    assert!(logs.len() >= 4, "{logs:?}");
    let disk = rig.stop().0;
    disk.remove_file(&dir().join(&logs[1])).unwrap();
    let (disk, same) = (disk.crash(), disk.crash());
    let rig = Rig::on(same, "boot 1");
    let partition = rig.open(LogSettings::default());
    assert!(partition.damage().is_some());
    assert_eq!(partition.offsets().end.get(), 72);
    let rig = Rig::on(disk, "boot 2");
    let left = check_prefix(&rig, &whole);
    assert!(left > 0 && left < 72);
    let cuts = names(&rig.disk)
        .into_iter()
        .filter(|name| name.ends_with(".cut"))
        .count();
    assert_eq!(cuts, logs.len() - 2);
}

#[test]
fn dc_1_a_power_cut_takes_nothing_that_was_synced() {
    for seed in 0..20 {
        let rig = Rig::new();
        let settings = LogSettings {
            segment_bytes: 600,
            ..LogSettings::default()
        };
        let partition = rig.open(settings.clone());
        fill(&partition, 7);
        append(&partition, &batch(&["synced"]), Durability::Synced).unwrap();
        let whole = values(&partition);
        fill(&partition, 7);
        let cut = rig.disk.power_cut(Keep::Seed(seed));
        let rig = Rig::on(cut, "boot 2");
        let partition = rig.open(settings);
        assert_eq!(partition.damage(), None, "seed {seed}");
        let left = values(&partition);
        assert!(
            left.len() >= whole.len(),
            "seed {seed}: {} records",
            left.len()
        );
        assert_eq!(left[..whole.len()], whole);
    }
}

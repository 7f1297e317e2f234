use uuid::Uuid;

use super::recovery::{Recovered, recover as recover_in};
use super::*;
use crate::disk_memory::{Call, Errno, Fault, Keep, MemoryDisk};

fn id(index: i32) -> PartitionId {
    PartitionId {
        topic: Uuid::from_u128(7),
        index,
    }
}

fn log_path(partition: PartitionId, base: Offset) -> PathBuf {
    segment_path(Path::new(""), (partition, base))
}

fn start(disk: &MemoryDisk) -> Journal {
    Journal::open(Arc::new(disk.clone()), Path::new(""), Path::new("")).unwrap()
}

/// A segment whose entry is durable and whose bytes are not.
fn segment(disk: &MemoryDisk, index: i32, base: i64, bytes: &[u8]) -> Range {
    let path = log_path(id(index), Offset::new(base));
    let dir = path.parent().unwrap();
    disk.create_dir(dir).unwrap();
    let file = disk.open(&path, Open::Create).unwrap();
    disk.sync_dir(dir).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    file.write_at(&[IoSlice::new(bytes)], 0).unwrap();
    Range {
        partition: id(index),
        base: Offset::new(base),
        file,
        from: 0,
        to: bytes.len() as u64,
    }
}

fn content(disk: &MemoryDisk, index: i32, base: i64) -> Option<Vec<u8>> {
    let file = disk
        .open(&log_path(id(index), Offset::new(base)), Open::Read)
        .ok()?;
    let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
    read_exact_at(&*file, &mut bytes, 0).unwrap();
    Some(bytes)
}

fn recover(disk: &MemoryDisk) -> Recovered {
    recover_in(disk, Path::new("journal"), Path::new("")).unwrap()
}

fn journals(disk: &MemoryDisk) -> usize {
    disk.list(Path::new("journal")).unwrap().len()
}

#[test]
fn what_segments_lack_comes_back_from_the_journal() {
    let disk = MemoryDisk::new();
    let mut journal = start(&disk);
    let mut ranges = Vec::new();
    for index in 0..40 {
        ranges.push(segment(
            &disk,
            index,
            100,
            format!("partition {index}").as_bytes(),
        ));
    }
    let long: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    ranges.push(segment(&disk, 40, 0, &long));
    let before = disk.counts();
    assert!(journal.append(&ranges).unwrap());
    assert_eq!(disk.counts().of(Call::Sync) - before.of(Call::Sync), 1);
    assert_eq!(journal.segments(), 41);
    for seed in 0..40 {
        let cut = disk.power_cut(Keep::Seed(seed));
        assert_eq!(recover(&cut).entries, 43);
        assert_eq!(journals(&cut), 0);
        // What recovery did is durable.
        let again = cut.power_cut(Keep::Nothing);
        for index in 0..40 {
            let expected = format!("partition {index}").into_bytes();
            assert_eq!(content(&again, index, 100).unwrap(), expected);
        }
        assert_eq!(content(&again, 40, 0).unwrap(), long);
    }
}

#[test]
fn what_a_failed_sync_left_in_memory_alone_becomes_durable() {
    let disk = MemoryDisk::new();
    let mut journal = start(&disk);
    let range = segment(&disk, 0, 0, b"abc");
    assert!(journal.append(std::slice::from_ref(&range)).unwrap());
    disk.fail(Fault::nth(Call::Sync, 1, Errno::IO));
    assert!(range.file.sync().is_err());
    let again = disk.crash();
    let expected = Recovered {
        entries: 1,
        bytes: 3,
    };
    assert_eq!(recover(&again), expected);
    assert_eq!(
        content(&again.power_cut(Keep::Nothing), 0, 0).unwrap(),
        b"abc"
    );
}

#[test]
fn later_rounds_go_on_where_the_last_one_ended() {
    let disk = MemoryDisk::new();
    let mut journal = start(&disk);
    let mut range = segment(&disk, 0, 0, b"first");
    assert!(journal.append(std::slice::from_ref(&range)).unwrap());
    range.file.write_at(&[IoSlice::new(b"second")], 5).unwrap();
    (range.from, range.to) = (5, 11);
    assert!(journal.append(&[range]).unwrap());
    let cut = disk.power_cut(Keep::Nothing);
    assert_eq!(recover(&cut).bytes, 11);
    assert_eq!(content(&cut, 0, 0).unwrap(), b"firstsecond");
}

#[test]
fn a_torn_round_gives_what_is_whole_of_it() {
    let disk = MemoryDisk::new();
    let mut journal = start(&disk);
    journal
        .append(&[segment(&disk, 0, 0, b"acknowledged")])
        .unwrap();
    let acknowledged = journal.bytes();
    journal
        .append(&[segment(&disk, 1, 0, b"one"), segment(&disk, 2, 0, b"two")])
        .unwrap();
    let end = journal.bytes();
    for len in 0..end {
        let cut = disk.power_cut(Keep::Nothing);
        let file = cut
            .open(Path::new("journal/0000000001.journal"), Open::Write)
            .unwrap();
        file.set_len(len).unwrap();
        recover(&cut);
        let found = [0, 1, 2].map(|index| content(&cut, index, 0).unwrap());
        let first = if len < acknowledged {
            &b""[..]
        } else {
            b"acknowledged"
        };
        assert_eq!(found[0], first, "cut at {len}");
        assert!(found[1].is_empty() || found[1] == b"one");
        assert_eq!(found[2], b"");
    }
}

#[test]
fn a_flipped_bit_ends_the_replay_before_it() {
    let disk = MemoryDisk::new();
    let mut journal = start(&disk);
    journal
        .append(&[segment(&disk, 0, 0, b"zero"), segment(&disk, 1, 0, b"one")])
        .unwrap();
    let size = journal.bytes();
    for at in 0..size {
        let cut = disk.power_cut(Keep::Nothing);
        let file = cut
            .open(Path::new("journal/0000000001.journal"), Open::Write)
            .unwrap();
        let mut byte = [0];
        read_exact_at(&*file, &mut byte, at).unwrap();
        file.write_at(&[IoSlice::new(&[byte[0] ^ 0x10])], at)
            .unwrap();
        let recovered = recover_in(&cut, Path::new("journal"), Path::new(""));
        match at {
            8..12 => assert_eq!(recovered.unwrap_err().kind(), io::ErrorKind::Unsupported),
            0..72 => assert_eq!(recovered.unwrap().entries, 0, "flipped at {at}"),
            _ => assert_eq!(recovered.unwrap().entries, 1, "flipped at {at}"),
        }
        if at >= 72 {
            assert_eq!(content(&cut, 0, 0).unwrap(), b"zero");
            assert_eq!(content(&cut, 1, 0).unwrap(), b"");
        }
    }
}

#[test]
fn a_segment_that_was_deleted_does_not_come_back() {
    let disk = MemoryDisk::new();
    let mut journal = start(&disk);
    journal
        .append(&[segment(&disk, 0, 0, b"old"), segment(&disk, 0, 50, b"new")])
        .unwrap();
    disk.remove_file(&log_path(id(0), Offset::ZERO)).unwrap();
    disk.sync_dir(Path::new(&id(0).to_string())).unwrap();
    let cut = disk.power_cut(Keep::Nothing);
    recover(&cut);
    assert_eq!(content(&cut, 0, 0), None);
    assert_eq!(content(&cut, 0, 50).unwrap(), b"new");
}

#[test]
fn a_forgotten_partition_made_again_keeps_its_new_bytes() {
    for seal in [false, true] {
        let disk = MemoryDisk::new();
        let mut journal = start(&disk);
        journal
            .append(&[segment(&disk, 0, 0, b"old"), segment(&disk, 1, 0, b"other")])
            .unwrap();
        let sealed = if seal { journal.seal() } else { None };
        assert!(journal.forget(id(0)).unwrap());
        assert!(journal.forget(id(5)).unwrap());
        disk.remove_dir(Path::new(&id(0).to_string())).unwrap();
        let again = segment(&disk, 0, 0, b"NEW AGAIN");
        again.file.sync().unwrap();
        let cut = disk.power_cut(Keep::Nothing);
        assert_eq!(recover(&cut).bytes, 5, "sealed: {}", sealed.is_some());
        assert_eq!(content(&cut, 0, 0).unwrap(), b"NEW AGAIN");
        assert_eq!(content(&cut, 1, 0).unwrap(), b"other");
    }
}

#[test]
fn a_sealed_journal_goes_once_its_segments_are_synced() {
    let disk = MemoryDisk::new();
    let mut journal = start(&disk);
    assert!(journal.append(&[segment(&disk, 0, 0, b"sealed")]).unwrap());
    let mut sealed = journal.seal().unwrap();
    assert_eq!(journal.bytes(), 0);
    assert!(journal.append(&[segment(&disk, 1, 0, b"open")]).unwrap());
    assert_eq!(journals(&disk), 2);
    let files = journal.next_unsynced(&mut sealed).unwrap();
    assert_eq!(files.len(), 1);
    disk.sync_all(&files).unwrap();
    assert!(journal.next_unsynced(&mut sealed).unwrap().is_empty());
    journal.remove(sealed.number).unwrap();
    assert_eq!(journals(&disk), 1);
    let cut = disk.power_cut(Keep::Nothing);
    assert_eq!(recover(&cut).entries, 1);
    assert_eq!(content(&cut, 0, 0).unwrap(), b"sealed");
    assert_eq!(content(&cut, 1, 0).unwrap(), b"open");
}

#[test]
fn after_a_full_disk_the_journal_goes_on_where_it_was() {
    let disk = MemoryDisk::new();
    let mut journal = start(&disk);
    assert!(journal.append(&[segment(&disk, 0, 0, b"kept")]).unwrap());
    disk.fail(Fault::nth(Call::Write, 2, Errno::NOSPC).torn_after(30));
    let full = segment(&disk, 1, 0, b"never told");
    assert!(!journal.append(&[full]).unwrap());
    assert!(journal.append(&[segment(&disk, 2, 0, b"after")]).unwrap());
    let cut = disk.power_cut(Keep::Nothing);
    assert_eq!(recover(&cut).entries, 2);
    let found = [0, 1, 2].map(|index| content(&cut, index, 0).unwrap());
    assert_eq!(found, [b"kept".to_vec(), b"".to_vec(), b"after".to_vec()]);
}

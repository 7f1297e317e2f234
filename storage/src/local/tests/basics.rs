use super::*;

#[test]
fn what_is_appended_is_read_back_with_its_offsets() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    let first = append(&partition, &batch(&["a", "b"]), Durability::Written).unwrap();
    assert_eq!((first.base_offset.get(), first.end_offset.get()), (0, 2));
    assert_eq!(first.log_append_time_ms, -1);
    let second = append(&partition, &batch(&["c"]), Durability::Synced).unwrap();
    assert_eq!((second.base_offset.get(), second.end_offset.get()), (2, 3));
    let found = all_from(&partition, 0);
    assert_eq!(found, [(0, "a".into()), (1, "b".into()), (2, "c".into())]);
    assert_eq!(all_from(&partition, 2), [(2, "c".into())]);
}

#[test]
fn dc_8_a_synced_batch_is_seen_only_after_the_sync() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    rig.disk.hold_syncs();
    let pending = partition.append(&batch(&["a"]), Origin::Client, Durability::Synced, NOW_MS);
    let offsets = partition.offsets();
    assert_eq!((offsets.high_watermark.get(), offsets.end.get()), (0, 1));
    append(&partition, &batch(&["b"]), Durability::Written).unwrap();
    assert_eq!(partition.offsets().high_watermark, Offset::ZERO);
    assert_eq!(all_from(&partition, 0), []);
    rig.disk.release_syncs();
    assert_eq!(wait(pending).unwrap().base_offset, Offset::ZERO);
    assert_eq!(all_from(&partition, 0).len(), 2);
}

#[test]
fn a_log_is_there_again_after_the_process_died() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    append(&partition, &batch(&["a", "b"]), Durability::Written).unwrap();
    let rig = rig.crash();
    let partition = rig.open(LogSettings::default());
    append(&partition, &batch(&["c"]), Durability::Written).unwrap();
    let found = all_from(&partition, 0);
    assert_eq!(found, [(0, "a".into()), (1, "b".into()), (2, "c".into())]);
}

#[test]
fn f_1_the_first_batch_comes_whatever_the_limit_and_later_ones_only_whole() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    for value in ["a", "b", "c"] {
        append(&partition, &batch(&[value]), Durability::Written).unwrap();
    }
    let bytes = batch(&["a"]).bytes().len();
    assert_eq!(batches(&read_from(&partition, 0, 1).unwrap()).len(), 1);
    assert_eq!(
        batches(&read_from(&partition, 0, bytes * 2).unwrap()).len(),
        2
    );
    assert_eq!(
        batches(&read_from(&partition, 0, bytes * 3 - 1).unwrap()).len(),
        2
    );
    let none = wait(partition.read(ReadRequest {
        from: Offset::ZERO,
        max_bytes: bytes - 1,
        at_least_one: false,
        bound: Bound::HighWatermark,
    }));
    assert!(none.unwrap().records.is_none());
}

#[test]
fn a_read_below_an_offset_holds_all_of_that_and_little_more() {
    let rig = Rig::new();
    let settings = LogSettings {
        segment_bytes: 60_000,
        ..LogSettings::default()
    };
    let partition = rig.open(settings);
    let value = "x".repeat(500);
    for _ in 0..300 {
        append(&partition, &batch(&[&value]), Durability::Written).unwrap();
    }
    let below = |from, end| {
        let read = wait(partition.read(ReadRequest {
            from: Offset::new(from),
            max_bytes: 1 << 20,
            at_least_one: true,
            bound: Bound::Below(Offset::new(end)),
        }));
        let found = batches(&read.unwrap());
        let ends = found.first().zip(found.last());
        ends.map(|(first, last)| (first.header().base_offset, last.header().base_offset))
    };
    for from in 0..300 {
        for end in [from - 1, from, from + 1, from + 7, from + 100, 299, 1000] {
            let (first, last) = below(from, end).unwrap();
            assert_eq!(first, from);
            // A segment ends an answer, as it ends every one. An index entry each 16 KiB.
            let all = read_from(&partition, from, 1 << 20).unwrap();
            let most = batches(&all).last().unwrap().header().base_offset;
            assert!(last >= most.min(end - 1), "{from} to {end}: {last}");
            assert!(
                last <= most.min(end.max(from + 1) + 30),
                "{from} to {end}: {last}"
            );
        }
    }
}

#[test]
fn f_6_offsets_outside_the_log_are_refused_and_the_end_is_not() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    append(&partition, &batch(&["a", "b"]), Durability::Written).unwrap();
    assert!(read_from(&partition, 2, 100).unwrap().records.is_none());
    assert!(matches!(
        read_from(&partition, 3, 100),
        Err(StorageError::OffsetOutOfRange { offset, start, end })
            if (offset.get(), start.get(), end.get()) == (3, 0, 2)
    ));
}

#[test]
fn a_deleted_partition_lets_its_waiters_go_and_its_files_are_gone() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings::default());
    append(&partition, &batch(&["a"]), Durability::Synced).unwrap();
    let notify = Arc::new(tokio::sync::Notify::new());
    let _watch = partition.watch(Offset::new(5), Bound::HighWatermark, &notify);
    rig.engine.delete(id(0)).unwrap();
    assert!(rig.engine.partition(id(0)).is_none());
    assert!(matches!(
        append(&partition, &batch(&["b"]), Durability::Written),
        Err(StorageError::UnknownPartition(_))
    ));
    let mut woken = pin!(notify.notified());
    assert!(woken.as_mut().enable());
    assert_eq!(rig.disk.list(Path::new("data/topics")).unwrap(), []);
}

/// A checkpoint that found the directory gone took it for a failure of the disk and ended the
/// server: clients that make, fill and delete topics all the time met it.
#[test]
fn a_partition_may_be_deleted_while_a_checkpoint_is_written() {
    let rig = Rig::new();
    let partition = rig.open(LogSettings {
        segment_bytes: 200,
        ..LogSettings::default()
    });
    for _ in 0..4 {
        append(&partition, &batch(&["sealed"]), Durability::Written).unwrap();
    }
    assert!(partition.segments() > 1);
    let seen = rig.engine.shared.all();
    rig.engine.delete(id(0)).unwrap();
    rig.engine.shared.checkpoint_of(1, &seen).unwrap();
    assert_eq!(rig.engine.complaints(), Vec::<String>::new());
    assert_eq!(rig.disk.list(Path::new("data/topics")).unwrap(), []);
}

/// The checkpoint tells of partitions that nobody has opened, such as the catalog does not know.
/// It waits for one that is being opened, and that must not wait for it.
#[test]
fn a_partition_may_be_opened_while_a_checkpoint_is_written() {
    let rig = Rig::new();
    rig.open(LogSettings::default());
    let rig = rig.restart();
    let shared = &rig.engine.shared;
    let place = shared.partitions.entry(id(0));
    std::thread::scope(|scope| {
        let checkpoint = scope.spawn(|| shared.checkpoint_of(1, &[]));
        let looks = (0..50).filter(|_| {
            std::thread::sleep(std::time::Duration::from_millis(4));
            shared.sections.try_lock().is_ok()
        });
        let free = looks.count();
        drop(place);
        checkpoint.join().unwrap().unwrap();
        assert!(free > 40, "free at {free} of 50 looks");
    });
    assert!(shared.section(id(0)).is_some(), "still known");
}

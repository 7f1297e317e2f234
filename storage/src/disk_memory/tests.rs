use std::collections::BTreeSet;

use super::*;
use crate::disk::read_exact_at;

fn write(disk: &MemoryDisk, path: &str, bytes: &[u8], position: u64) -> Arc<dyn File> {
    let file = disk.open(Path::new(path), Open::Create).unwrap();
    file.write_at(&[IoSlice::new(bytes)], position).unwrap();
    file
}

fn content(disk: &MemoryDisk, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(Path::new(path), Open::Read).ok()?;
    let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
    read_exact_at(&*file, &mut bytes, 0).unwrap();
    Some(bytes)
}

fn names(disk: &MemoryDisk) -> Vec<String> {
    let mut names: Vec<_> = disk
        .list(Path::new(""))
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    names.sort();
    names
}

#[test]
fn a_cut_takes_what_was_not_synced_and_a_crash_does_not() {
    let disk = MemoryDisk::new();
    let file = write(&disk, "a", b"kept", 0);
    file.sync().unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    write(&disk, "a", b"lost", 4);
    write(&disk, "b", b"no entry", 0).sync().unwrap();
    let crashed = disk.crash();
    assert_eq!(content(&crashed, "a").unwrap(), b"keptlost");
    assert_eq!(content(&crashed, "b").unwrap(), b"no entry");
    let cut = crashed.power_cut(Keep::Nothing);
    assert_eq!(content(&cut, "a").unwrap(), b"kept");
    assert_eq!(content(&cut, "b"), None);
    let all = disk.power_cut(Keep::Everything);
    assert_eq!(content(&all, "a").unwrap(), b"keptlost");
    assert_eq!(content(&all, "b").unwrap(), b"no entry");
    assert_eq!(disk.boot_id().unwrap(), crashed.boot_id().unwrap());
    assert_ne!(disk.boot_id().unwrap(), all.boot_id().unwrap());
}

#[test]
fn a_dead_disk_refuses_every_call() {
    let disk = MemoryDisk::new();
    let file = write(&disk, "a", b"x", 0);
    let _ = disk.power_cut(Keep::Nothing);
    let eio = Some(Errno::IO.raw_os_error());
    assert_eq!(file.sync().unwrap_err().raw_os_error(), eio);
    assert_eq!(
        file.write_at(&[IoSlice::new(b"y")], 1)
            .unwrap_err()
            .raw_os_error(),
        eio
    );
    assert_eq!(disk.list(Path::new("")).unwrap_err().raw_os_error(), eio);
}

#[test]
fn the_power_fails_before_the_nth_call_that_changes_something() {
    for stop in 1..5 {
        let disk = MemoryDisk::new();
        disk.stop_before(stop);
        let file = disk.open(Path::new("a"), Open::Create);
        let written = file.as_ref().map(|file| {
            let size = file.size();
            (size, file.write_at(&[IoSlice::new(b"x")], 0), file.sync())
        });
        assert_eq!(disk.is_off(), stop <= 3);
        let cut = disk.power_cut(Keep::Everything);
        let expected = [None, Some(vec![]), Some(b"x".to_vec()), Some(b"x".to_vec())];
        assert_eq!(
            content(&cut, "a"),
            expected[usize::try_from(stop).unwrap() - 1]
        );
        assert_eq!(
            written.is_ok_and(|(_, _, synced)| synced.is_ok()),
            stop == 4
        );
    }
}

#[test]
fn a_synced_file_in_an_unsynced_new_directory_is_gone() {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new("p/q")).unwrap();
    write(&disk, "p/q/f", b"x", 0).sync().unwrap();
    disk.sync_dir(Path::new("p/q")).unwrap();
    disk.sync_dir(Path::new("p")).unwrap();
    assert_eq!(names(&disk.crash().power_cut(Keep::Nothing)), [""; 0]);
    let again = disk.crash();
    again.sync_dir(Path::new("")).unwrap();
    assert_eq!(
        content(&again.power_cut(Keep::Nothing), "p/q/f").unwrap(),
        b"x"
    );
}

#[test]
fn a_rename_is_whole_or_not_at_all() {
    let disk = MemoryDisk::new();
    write(&disk, "state", b"old", 0).sync().unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    write(&disk, "state.tmp", b"new", 0).sync().unwrap();
    disk.rename(Path::new("state.tmp"), Path::new("state"))
        .unwrap();
    let mut seen = BTreeSet::new();
    assert_eq!(disk.choices(), 2);
    for mask in 0..4 {
        let cut = disk.power_cut(Keep::Mask(mask));
        seen.insert((content(&cut, "state").unwrap(), content(&cut, "state.tmp")));
    }
    let expected = BTreeSet::from([
        (b"old".to_vec(), None),
        (b"old".to_vec(), Some(b"new".to_vec())),
        (b"new".to_vec(), None),
    ]);
    assert_eq!(seen, expected);
}

#[test]
fn masks_give_every_subset_of_a_files_pages() {
    let disk = MemoryDisk::new();
    let file = write(&disk, "a", &[1; 10], 0);
    file.sync().unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    file.write_at(&[IoSlice::new(&[2; 4090])], 10).unwrap();
    file.set_len(4095).unwrap();
    assert_eq!(disk.choices(), 3);
    let lens: Vec<usize> = (0..8)
        .map(|mask| {
            content(&disk.power_cut(Keep::Mask(mask)), "a")
                .unwrap()
                .len()
        })
        .collect();
    assert_eq!(lens, [10, 4096, 4100, 4100, 4095, 4095, 4095, 4095]);
}

#[test]
fn seeds_give_many_states_and_the_same_one_twice() {
    let disk = MemoryDisk::new();
    for i in 0..5 {
        let file = write(&disk, &format!("{i}"), &[7; 9000], 0);
        file.write_at(&[IoSlice::new(&[8; 9000])], 9000).unwrap();
    }
    let state = |seed| -> Vec<_> {
        let cut = disk.power_cut(Keep::Seed(seed));
        (0..5).map(|i| content(&cut, &format!("{i}"))).collect()
    };
    let states: BTreeSet<_> = (0..200).map(state).collect();
    assert!(states.len() > 100, "{} states", states.len());
    assert_eq!(state(77), state(77));
}

#[test]
fn the_nth_call_fails_and_a_torn_write_leaves_its_front() {
    let disk = MemoryDisk::new();
    let file = write(&disk, "a", b"", 0);
    disk.fail(Fault::nth(Call::Write, 2, Errno::IO).torn_after(3));
    disk.fail(Fault::from_nth(Call::Open, 1, Errno::MFILE));
    file.write_at(&[IoSlice::new(b"ok")], 0).unwrap();
    assert!(!disk.has_failed());
    let torn = file.write_at(&[IoSlice::new(b"torn")], 2).unwrap_err();
    assert_eq!(torn.raw_os_error(), Some(Errno::IO.raw_os_error()));
    assert!(disk.has_failed());
    file.write_at(&[IoSlice::new(b"!")], 5).unwrap();
    for _ in 0..3 {
        let refused = disk.open(Path::new("a"), Open::Read).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::MFILE.raw_os_error()));
    }
    disk.mend();
    assert_eq!(content(&disk, "a").unwrap(), b"oktor!");
    assert_eq!(disk.counts().of(Call::Write), 4);
    assert_eq!(disk.counts().of(Call::Open), 5);
}

#[test]
fn what_a_failed_sync_did_not_write_no_later_sync_writes() {
    let disk = MemoryDisk::new();
    let file = write(&disk, "a", b"first", 0);
    disk.sync_dir(Path::new("")).unwrap();
    disk.fail(Fault::nth(Call::Sync, 1, Errno::IO));
    assert!(file.sync().is_err());
    file.write_at(&[IoSlice::new(b"later")], 5).unwrap();
    file.sync().unwrap();
    assert_eq!(content(&disk, "a").unwrap(), b"firstlater");
    assert_eq!(
        content(&disk.power_cut(Keep::Everything), "a").unwrap(),
        b"\0\0\0\0\0later"
    );
}

#[test]
fn a_full_disk_takes_what_fits_and_gives_space_back() {
    let disk = MemoryDisk::new();
    disk.set_capacity(10);
    write(&disk, "a", b"123456", 0);
    let file = write(&disk, "b", b"", 0);
    let full = file.write_at(&[IoSlice::new(b"123456")], 0).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
    assert_eq!((file.size().unwrap(), disk.used()), (4, 10));
    assert!(file.set_len(5).is_err());
    file.write_at(&[IoSlice::new(b"over")], 0).unwrap();
    disk.remove_file(Path::new("a")).unwrap();
    assert_eq!(disk.free_bytes(Path::new("")).unwrap(), 6);
    file.write_at(&[IoSlice::new(b"123456")], 4).unwrap();
    file.set_len(1).unwrap();
    write(&disk, "c", b"123", 0);
    disk.rename(Path::new("c"), Path::new("b")).unwrap();
    assert_eq!(disk.used(), 3);
    file.write_at(&[IoSlice::new(&[0; 100])], 0).unwrap();
    assert_eq!(disk.used(), 3);
}

#[test]
fn held_syncs_wait() {
    let disk = MemoryDisk::new();
    let files = [write(&disk, "a", b"x", 0), write(&disk, "b", b"x", 0)];
    disk.hold_syncs();
    let syncing = std::thread::spawn({
        let disk = disk.clone();
        move || disk.sync_all(&files)
    });
    while disk.counts().rounds == 0 {
        std::thread::yield_now();
    }
    assert!(!syncing.is_finished());
    assert_eq!(disk.counts().of(Call::Sync), 0);
    disk.release_syncs();
    syncing.join().unwrap().unwrap();
    assert_eq!(
        (disk.counts().of(Call::Sync), disk.counts().widest_round),
        (2, 2)
    );
}

#[test]
fn directories_behave_as_on_a_real_disk() {
    let disk = MemoryDisk::new();
    let kind = |error: io::Error| error.kind();
    assert_eq!(
        kind(disk.list(Path::new("d")).unwrap_err()),
        io::ErrorKind::NotFound
    );
    disk.create_dir(Path::new("d/e")).unwrap();
    write(&disk, "d/f", b"1", 0);
    write(&disk, "d/e/g", b"22", 0);
    assert_eq!(
        disk.list(Path::new("d")).unwrap(),
        [
            Entry {
                name: "e".to_owned(),
                is_dir: true,
                len: 0
            },
            Entry {
                name: "f".to_owned(),
                is_dir: false,
                len: 1
            },
        ]
    );
    disk.rename(Path::new("d"), Path::new("x")).unwrap();
    assert_eq!(content(&disk, "x/e/g").unwrap(), b"22");
    assert!(disk.open(Path::new("x/../x/f"), Open::Read).is_err());
    assert!(disk.open(Path::new("x"), Open::Read).is_err());
    disk.remove_dir(Path::new("x")).unwrap();
    assert_eq!((names(&disk), disk.used()), (vec![], 0));
}

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn disk() -> (tempfile::TempDir, OsDisk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = OsDisk::new(dir.path().to_owned());
    (dir, disk)
}

fn read(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
    read_exact_at(file, &mut bytes, 0).unwrap();
    bytes
}

#[test]
fn many_buffers_land_one_behind_the_other() {
    let (_dir, disk) = disk();
    let file = disk.open(Path::new("a"), Open::Create).unwrap();
    file.write_at(&[IoSlice::new(b"head"), IoSlice::new(b"tail")], 0)
        .unwrap();
    file.write_at(&[IoSlice::new(b"!")], 8).unwrap();
    assert_eq!(read(&*file), b"headtail!");
    file.set_len(4).unwrap();
    file.sync().unwrap();
    assert_eq!(read(&*file), b"head");
    assert!(file.descriptor().is_some());
}

#[test]
fn more_buffers_than_one_call_takes_are_all_written() {
    let (_dir, disk) = disk();
    let file = disk.open(Path::new("a"), Open::Create).unwrap();
    let pieces: Vec<[u8; 2]> = (0..3000u16).map(u16::to_be_bytes).collect();
    let buffers: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    file.write_at(&buffers, 5).unwrap();
    assert_eq!(read(&*file)[5..], pieces.concat());
}

#[test]
fn each_way_to_open_does_what_it_says() {
    let (_dir, disk) = disk();
    let path = Path::new("a");
    for open in [Open::Read, Open::Write] {
        assert_eq!(
            disk.open(path, open).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
    let file = disk.open(path, Open::Create).unwrap();
    file.write_at(&[IoSlice::new(b"x")], 0).unwrap();
    assert_eq!(disk.open(path, Open::Create).unwrap().size().unwrap(), 1);
    let reader = disk.open(path, Open::Read).unwrap();
    assert!(reader.write_at(&[IoSlice::new(b"y")], 0).is_err());
    assert_eq!(disk.open(path, Open::Truncate).unwrap().size().unwrap(), 0);
}

#[test]
fn a_name_never_leads_out_of_the_root() {
    let (dir, disk) = disk();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("target");
    std::fs::write(&target, b"unchanged").unwrap();
    symlink(&target, dir.path().join("link")).unwrap();
    for open in [Open::Read, Open::Write, Open::Create, Open::Truncate] {
        let refused = disk.open(Path::new("link"), open).unwrap_err();
        assert_eq!(
            refused.raw_os_error(),
            Some(rustix::io::Errno::LOOP.raw_os_error())
        );
        for path in [Path::new("../x"), Path::new("a/../../x"), target.as_path()] {
            let refused = disk.open(path, open).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
    }
    assert_eq!(std::fs::read(&target).unwrap(), b"unchanged");
}

#[test]
fn directories_are_made_listed_renamed_and_removed() {
    let (dir, disk) = disk();
    disk.create_dir(Path::new("a/b")).unwrap();
    disk.create_dir(Path::new("a/b")).unwrap();
    let mode = |path: &str| {
        std::fs::metadata(dir.path().join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("a/b"), 0o700);
    disk.open(Path::new("a/f"), Open::Create)
        .unwrap()
        .write_at(&[IoSlice::new(b"123")], 0)
        .unwrap();
    assert_eq!(mode("a/f"), 0o600);
    let mut entries = disk.list(Path::new("a")).unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let entry = |name: &str, is_dir, len| Entry {
        name: name.to_owned(),
        is_dir,
        len,
    };
    assert_eq!(entries, [entry("b", true, 0), entry("f", false, 3)]);
    disk.rename(Path::new("a/f"), Path::new("a/b/g")).unwrap();
    disk.sync_dir(Path::new("a")).unwrap();
    disk.sync_dir(Path::new("a/b")).unwrap();
    disk.remove_dir(Path::new("a")).unwrap();
    assert_eq!(disk.list(Path::new("")).unwrap(), []);
    assert!(disk.free_bytes(Path::new("")).unwrap() > 0);
    assert_eq!(disk.boot_id().unwrap().len(), 36);
}

#[test]
fn a_mapped_file_keeps_its_bytes_after_it_is_removed() {
    let (_dir, disk) = disk();
    let path = Path::new("index");
    let file = disk.open(path, Open::Create).unwrap();
    assert_eq!(disk.map(path).unwrap(), Bytes::new());
    file.write_at(&[IoSlice::new(b"sealed")], 0).unwrap();
    let bytes = disk.map(path).unwrap();
    disk.remove_file(path).unwrap();
    assert_eq!(bytes, &b"sealed"[..]);
}

/// A file whose sync fails or counts.
#[derive(Debug)]
struct Probe(std::sync::atomic::AtomicUsize, bool);

impl File for Probe {
    fn write_at(&self, _: &[IoSlice<'_>], _: u64) -> io::Result<()> {
        Ok(())
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if self.1 {
            Err(rustix::io::Errno::IO.into())
        } else {
            Ok(())
        }
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[test]
fn sync_all_syncs_each_file_once_and_gives_the_error() {
    let (_dir, disk) = disk();
    for (count, broken) in [
        (0, None),
        (1, None),
        (2, None),
        (100, None),
        (100, Some(50)),
    ] {
        let probes: Vec<_> = (0..count)
            .map(|i| Arc::new(Probe(0.into(), Some(i) == broken)))
            .collect();
        let files: Vec<Arc<dyn File>> = probes
            .iter()
            .map(|probe| Arc::clone(probe) as Arc<dyn File>)
            .collect();
        let outcome = disk.sync_all(&files).map_err(|error| error.raw_os_error());
        let errno = rustix::io::Errno::IO.raw_os_error();
        assert_eq!(outcome, broken.map_or(Ok(()), |_: usize| Err(Some(errno))));
        for probe in probes {
            assert_eq!(probe.0.load(std::sync::atomic::Ordering::SeqCst), 1);
        }
    }
}

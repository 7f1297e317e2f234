//! Taking bytes and files out of a log's directory: for good, or kept beside it as `.cut`.

use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};

use crate::disk::{Disk, File, Open, read_exact_at};
use crate::local::aborted::ENDING;
use crate::local::{Shared, io};
use crate::log::segment;
use crate::{Offset, Position, StorageError};

/// What is copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Remove a segment's files. What is gone already is no error.
pub(crate) fn remove_segment(
    shared: &Shared,
    dir: &Path,
    base: Offset,
) -> Result<(), StorageError> {
    for ending in ["index", ENDING, "log"] {
        remove(&*shared.disk, &segment::path(dir, base, ending))?;
    }
    Ok(())
}

/// Remove a file. One that is gone already is no error.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io(error)),
        _ => Ok(()),
    }
}

/// Copy `from..end` of a segment to a `.cut` file beside it, durably. Never removed by us (DC6).
pub(crate) fn keep_tail(
    disk: &dyn Disk,
    dir: &Path,
    base: Offset,
    file: &dyn File,
    from: Position,
    end: Position,
) -> Result<(), StorageError> {
    let copy = disk
        .open(&free_name(disk, dir, base)?, Open::Create)
        .map_err(io)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = from;
    while at < end {
        let len = usize::try_from(end - at)
            .unwrap_or(COPY_BYTES)
            .min(COPY_BYTES);
        read_exact_at(file, &mut buffer[..len], at).map_err(io)?;
        copy.write_at(&[IoSlice::new(&buffer[..len])], at - from)
            .map_err(io)?;
        at += len as u64;
    }
    copy.sync().map_err(io)?;
    disk.sync_dir(dir).map_err(io)
}

/// Write a file's bytes again as they are, so that a sync has something to write.
pub(crate) fn write_again(file: &dyn File, from: Position) -> Result<(), StorageError> {
    let end = file.size().map_err(io)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = from;
    while at < end {
        let len = usize::try_from(end - at)
            .unwrap_or(COPY_BYTES)
            .min(COPY_BYTES);
        read_exact_at(file, &mut buffer[..len], at).map_err(io)?;
        file.write_at(&[IoSlice::new(&buffer[..len])], at)
            .map_err(io)?;
        at += len as u64;
    }
    Ok(())
}

/// Take a whole segment out of the log but keep it as a `.cut` file.
pub(crate) fn keep_segment(disk: &dyn Disk, dir: &Path, base: Offset) -> Result<(), StorageError> {
    let to = free_name(disk, dir, base)?;
    disk.rename(&segment::path(dir, base, "log"), &to)
        .map_err(io)?;
    remove(disk, &segment::path(dir, base, ENDING))?;
    remove(disk, &segment::path(dir, base, "index"))
}

/// `<segment>.cut`, or with a number when an earlier cut has that name.
fn free_name(disk: &dyn Disk, dir: &Path, base: Offset) -> Result<PathBuf, StorageError> {
    let entries = disk.list(dir).map_err(io)?;
    let plain = segment::path(dir, base, "cut");
    let names =
        std::iter::once(plain).chain((1..).map(|n| segment::path(dir, base, &format!("{n}.cut"))));
    let is_free = |path: &PathBuf| {
        !entries
            .iter()
            .any(|entry| path.file_name().is_some_and(|name| *name == *entry.name))
    };
    Ok(names
        .into_iter()
        .find(is_free)
        .expect("a directory has fewer files than there are numbers"))
}

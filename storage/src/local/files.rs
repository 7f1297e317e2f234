//! Whole small files: read at once, replaced at once.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::disk::{Disk, Open, read_exact_at};

/// The largest small file that is read: a checkpoint of some million producers.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// All of a file; `None` if there is none.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Bytes>> {
    let file = match disk.open(path, Open::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = file.size()?.min(FILE_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    read_exact_at(&*file, &mut bytes, 0)?;
    Ok(Some(bytes.into()))
}

/// Put a file in another's place, durably: after a power cut one of both is there, whole.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = write_beside(disk, path, bytes)?;
    put_in_place(disk, &beside, path)
}

/// The first half of [`replace`]: until the second nothing has changed.
pub(crate) fn write_beside(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let file = disk.open(&beside, Open::Truncate)?;
    file.write_at(&[IoSlice::new(bytes)], 0)?;
    file.sync()?;
    Ok(beside)
}

/// The second half of [`replace`].
pub(crate) fn put_in_place(disk: &dyn Disk, beside: &Path, path: &Path) -> io::Result<()> {
    disk.rename(beside, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new("")))
}

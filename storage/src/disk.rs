//! The one way to the file system. Nothing else in this crate opens a file, so that faults, power
//! cuts and crash states can be injected in process (`disk_memory.rs`).

mod syncers;

use std::fmt::Debug;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::OFlags;

use crate::mmap;
use syncers::{Durable, Syncers};

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// It must exist; reads only.
    Read,
    /// It must exist; reads and writes.
    Write,
    /// Made if it is missing; reads and writes.
    Create,
    /// Made anew, emptied if it exists; reads and writes.
    Truncate,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file's or directory's name, without its folder.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Its length in bytes (0 for a directory).
    pub len: u64,
}

/// A file system, or something that behaves like one.
///
/// Paths are relative to the disk's root and never leave it.
///
/// What a sync is assumed to do is written in `FORMAT.md`: after [`File::sync`] returns, the
/// file's bytes and length survive a power cut; after [`Disk::sync_dir`] returns, so do the
/// directory's entries.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Open a file. A symbolic link in the last place is refused.
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>>;
    /// The entries of a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Make a directory and those above it. One that exists is no error. What is new is durable
    /// once [`Disk::sync_dir`] ran on the directory above each new one.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Move a file or directory, replacing a file that is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Remove a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Remove a directory and all in it.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Make a directory's entries durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Make the entries of many directories durable, in parallel where that is faster. All are
    /// tried; the first error is given.
    fn sync_dirs(&self, dirs: &[PathBuf]) -> io::Result<()> {
        let mut outcome = Ok(());
        for dir in dirs {
            outcome = outcome.and(self.sync_dir(dir));
        }
        outcome
    }
    /// Make the bytes and lengths of many files durable; in parallel where that is faster. All are
    /// tried; the first error is given.
    fn sync_all(&self, files: &[Arc<dyn File>]) -> io::Result<()>;
    /// Make everything in the file system durable in one go. `false` if the disk cannot: then
    /// files are synced one by one.
    ///
    /// # Errors
    /// As a sync of each file.
    fn sync_everything(&self) -> io::Result<bool> {
        Ok(false)
    }
    /// A whole file as bytes, mapped where the disk can. For sealed files only.
    fn map(&self, path: &Path) -> io::Result<Bytes>;
    /// Bytes that can still be written.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// Names the time since the machine was started: another one means that what was not synced
    /// may be gone, the same one that only the process can have died (DC6).
    fn boot_id(&self) -> io::Result<String>;
}

/// An open file. All methods take `&self`: the caller owns the order of its writes.
pub trait File: Debug + Send + Sync + 'static {
    /// Write all of `buffers`, one behind the other, at `position`. On an error any part of them
    /// may have been written.
    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()>;
    /// Read into `buffer` from `position`. Returns how much was read, 0 at the end.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Make the file's bytes and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Cut or extend (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// The file's length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// The descriptor behind it, if there is one: what sendfile needs.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}

/// Read exactly `buffer.len()` bytes.
///
/// # Errors
/// `UnexpectedEof` if the file ends before.
pub fn read_exact_at(file: &dyn File, buffer: &mut [u8], position: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], position + done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(())
}

/// The most directories that are open at once to be synced.
const DIRS_AT_ONCE: usize = 64;

/// The operating system's file system, below one directory.
///
/// Symbolic links are not followed in the last place of a path, and a path with `..` in it is
/// refused, so no name leads out of the root. What is made is for its owner alone (0700, 0600).
#[derive(Debug, Clone)]
pub struct OsDisk {
    root: PathBuf,
    syncers: Arc<Syncers>,
}

impl OsDisk {
    /// A disk whose files all lie below `root`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            syncers: Arc::default(),
        }
    }

    /// The directory that all files lie below.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where `path` lies. A path that is below the root already is taken as it is.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        if below
            .components()
            .all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
        {
            return Ok(self.root.join(below));
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the path {} leaves the data directory", path.display()),
        ))
    }

    fn open_file(&self, path: &Path, open: Open) -> io::Result<std::fs::File> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        match open {
            Open::Read => {}
            Open::Write => {
                options.write(true);
            }
            Open::Create => {
                options.write(true).create(true);
            }
            Open::Truncate => {
                options.write(true).create(true).truncate(true);
            }
        }
        options.open(self.resolve(path)?)
    }

    fn open_dir(&self, dir: &Path) -> io::Result<OpenDir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = rustix::fs::Mode::empty();
        Ok(OpenDir(rustix::fs::open(self.resolve(dir)?, flags, mode)?))
    }
}

#[derive(Debug)]
struct OpenDir(OwnedFd);

impl Disk for OsDisk {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(OsFile(self.open_file(path, open)?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(self.resolve(dir)?)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: metadata.is_dir(),
                len: if metadata.is_dir() { 0 } else { metadata.len() },
            });
        }
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.resolve(dir)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(self.resolve(from)?, self.resolve(to)?)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(self.resolve(path)?)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(self.resolve(dir)?)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.open_dir(dir)?.sync()
    }

    fn sync_dirs(&self, dirs: &[PathBuf]) -> io::Result<()> {
        match dirs {
            [] => Ok(()),
            [dir] => self.sync_dir(dir),
            _ => {
                let mut outcome = Ok(());
                for some in dirs.chunks(DIRS_AT_ONCE) {
                    let opened = some.iter().map(|dir| self.open_dir(dir));
                    let opened = opened.collect::<io::Result<Vec<_>>>();
                    let synced = opened.and_then(|dirs| self.syncers.sync_all(dirs));
                    outcome = outcome.and(synced);
                }
                outcome
            }
        }
    }

    fn sync_all(&self, files: &[Arc<dyn File>]) -> io::Result<()> {
        match files {
            [] => Ok(()),
            [file] => file.sync(),
            _ => self.syncers.sync_all(files.to_vec()),
        }
    }

    fn sync_everything(&self) -> io::Result<bool> {
        rustix::fs::syncfs(rustix::fs::open(
            &self.root,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?)?;
        Ok(true)
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        mmap::map(&self.open_file(path, Open::Read)?)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(self.resolve(dir)?)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn boot_id(&self) -> io::Result<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(id.trim().to_owned())
    }
}

impl Durable for OpenDir {
    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }
}

impl Durable for Arc<dyn File> {
    fn sync(&self) -> io::Result<()> {
        File::sync(&**self)
    }
}

#[derive(Debug)]
struct OsFile(std::fs::File);

impl File for OsFile {
    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let total: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        // Nearly always one call does it all; only then no copy of the list is needed.
        let mut done = match pwritev(&self.0, buffers, position) {
            Ok(written) if written == total => return Ok(()),
            Ok(written) => written,
            Err(error) => return Err(error),
        };
        let mut copy = buffers.to_vec();
        let mut rest = &mut copy[..];
        IoSlice::advance_slices(&mut rest, done);
        while done < total {
            // After a short write the next call says why: a full disk, or nothing was wrong.
            match pwritev(&self.0, rest, position + done as u64)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => {
                    done += written;
                    IoSlice::advance_slices(&mut rest, written);
                }
            }
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

/// The most buffers that one call takes (IOV_MAX of Linux).
const BUFFERS_MAX: usize = 1024;

fn pwritev(file: &std::fs::File, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
    let buffers = &buffers[..buffers.len().min(BUFFERS_MAX)];
    loop {
        match rustix::io::pwritev(file, buffers, position) {
            Err(rustix::io::Errno::INTR) => {}
            outcome => return Ok(outcome?),
        }
    }
}

#[cfg(test)]
mod tests;

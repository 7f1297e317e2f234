//! The one way to the file system. Nothing else in this crate opens a file, so that faults, power
//! cuts and crash states can be injected in process (`disk_memory.rs`).

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

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
/// What a sync is assumed to do is written in `FORMAT.md`: after [`File::sync`] returns, the
/// file's bytes and length survive a power cut; after [`Disk::sync_dir`] returns, so do the
/// directory's entries.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Open a file. A symbolic link in the last place is refused.
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>>;
    /// The entries of a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Make a directory and those above it. One that exists is no error.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Move a file or directory, replacing a file that is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Remove a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Remove a directory and all in it.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Make a directory's entries durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Make the bytes and lengths of many files durable; in parallel where that is faster.
    fn sync_all(&self, files: &[Arc<dyn File>]) -> io::Result<()>;
    /// A whole file as bytes, mapped where the disk can. For sealed files only.
    fn map(&self, path: &Path) -> io::Result<Bytes>;
    /// Bytes that can still be written.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
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

/// The operating system's file system.
#[derive(Debug, Clone)]
pub struct OsDisk {
    root: PathBuf,
}

impl OsDisk {
    /// A disk whose files all lie below `root`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The directory that all files lie below.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

//! A disk that knows how many of its files are open.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::disk::{Disk, Entry, File, Open};

/// Counts open files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handles(Arc<AtomicUsize>);

impl Handles {
    /// How many are open.
    pub fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Another disk, with a count of its open files.
#[derive(Debug)]
pub(crate) struct CountedDisk {
    inner: Arc<dyn Disk>,
    handles: Handles,
}

impl CountedDisk {
    pub fn new(inner: Arc<dyn Disk>, handles: Handles) -> Self {
        Self { inner, handles }
    }
}

impl Disk for CountedDisk {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        let inner = self.inner.open(path, open)?;
        self.handles.0.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(CountedFile {
            inner,
            handles: self.handles.clone(),
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn sync_dirs(&self, dirs: &[PathBuf]) -> io::Result<()> {
        self.inner.sync_dirs(dirs)
    }

    fn sync_all(&self, files: &[Arc<dyn File>]) -> io::Result<()> {
        self.inner.sync_all(files)
    }

    fn sync_everything(&self) -> io::Result<bool> {
        self.inner.sync_everything()
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.inner.map(path)
    }

    fn boot_id(&self) -> io::Result<String> {
        self.inner.boot_id()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.inner.free_bytes(dir)
    }
}

#[derive(Debug)]
struct CountedFile {
    inner: Arc<dyn File>,
    handles: Handles,
}

impl Drop for CountedFile {
    fn drop(&mut self) {
        self.handles.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl File for CountedFile {
    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.inner.write_at(buffers, position)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, position)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inner.descriptor()
    }
}

//! Opening files, and what it means when that fails.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::disk::{File, Open};
use crate::local::Shared;
use crate::local::partition::LocalPartition;
use crate::log::segment;
use crate::{Offset, StorageError};

impl Shared {
    /// What a failed open, write or rename means (DC5).
    pub(super) fn refused(&self, what: &str, error: io::Error) -> StorageError {
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::DQUOT) => {
                self.is_full.store(true, Ordering::Relaxed);
                StorageError::DiskFull
            }
            Some(Errno::MFILE | Errno::NFILE) => StorageError::TooManyFiles,
            _ => {
                self.health
                    .fatal(&format!("a write to {what} failed: {error}"));
                StorageError::Poisoned
            }
        }
    }

    /// Open a segment. Without a descriptor left, idle ones are closed first.
    pub(super) fn open_segment_file(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        if self.handles.open() >= self.options.open_files_max {
            self.close_idle_files();
        }
        match self.disk.open(path, how) {
            Err(error)
                if matches!(
                    Errno::from_io_error(&error),
                    Some(Errno::MFILE | Errno::NFILE)
                ) =>
            {
                self.close_all_idle();
                self.disk.open(path, how)
            }
            opened => opened,
        }
    }
}

/// A failed read harms nothing but the answer.
pub(crate) fn read_failed(error: io::Error) -> StorageError {
    match Errno::from_io_error(&error) {
        Some(Errno::MFILE | Errno::NFILE) => StorageError::TooManyFiles,
        _ => StorageError::Io(Arc::new(error)),
    }
}

impl LocalPartition {
    /// What a failed open, write or rename means (DC5).
    pub(super) fn refused(&self, error: io::Error) -> StorageError {
        self.shared.refused(&self.id.to_string(), error)
    }

    /// The open file of a segment. It fails with `NotFound` if a cleaning put another file into
    /// its place since it was looked up at this version.
    pub(super) fn file(
        &self,
        base: Offset,
        version: u64,
        open: Option<Arc<dyn File>>,
    ) -> Result<Arc<dyn File>, StorageError> {
        if let Some(file) = open {
            return Ok(file);
        }
        let path = segment::path(&self.dir, base, "log");
        let file = self
            .shared
            .open_segment_file(&path, Open::Write)
            .map_err(read_failed)?;
        // Only now is it certain which file was opened: a cleaned segment is known before it gets
        // the name.
        match self.state().log.segment_of(base, version) {
            Some(segment) => {
                segment.file.get_or_insert_with(|| Arc::clone(&file));
                segment.used = true;
                Ok(file)
            }
            None => Err(read_failed(io::ErrorKind::NotFound.into())),
        }
    }
}

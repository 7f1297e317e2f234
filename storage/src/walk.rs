//! From batch to batch through what was read, without its records where it lies in a file.

use std::ops::Range;

use crate::engine::FileRange;
use crate::log::reader::Window;
use crate::{BatchHeader, Offset, Slice, StorageError};

/// A batch inside a [`Slice`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchAt {
    /// Which bytes of the slice it is.
    pub bytes: Range<usize>,
    /// Its header.
    pub header: BatchHeader,
}

impl BatchAt {
    /// Its first offset.
    #[must_use]
    pub fn first(&self) -> Offset {
        Offset::new(self.header.base_offset)
    }

    /// Its last offset.
    #[must_use]
    pub fn last(&self) -> Offset {
        self.first().plus(i64::from(self.header.last_offset_delta))
    }
}

/// The batches of a slice, in order. Ends at the first error.
pub struct Batches<'a> {
    window: Window<'a>,
    start: u64,
    at: u64,
    failed: bool,
}

impl Slice {
    /// The batches in it. Reads their headers alone if it lies in a file, which may block.
    #[must_use]
    pub fn batches(&self) -> Batches<'_> {
        let (window, start) = match self {
            Self::Bytes(bytes) => (Window::holding(bytes), 0),
            Self::File(range) => {
                let end = range.position + range.len as u64;
                (Window::hopping(&*range.file, end), range.position)
            }
        };
        Batches {
            window,
            start,
            at: start,
            failed: false,
        }
    }

    /// Part of it. Nothing is copied.
    ///
    /// # Panics
    /// If the part reaches past the end.
    #[must_use]
    pub fn part(&self, bytes: Range<usize>) -> Self {
        assert!(bytes.start <= bytes.end && bytes.end <= self.len());
        match self {
            Self::Bytes(all) => Self::Bytes(all.slice(bytes)),
            Self::File(range) => Self::File(FileRange {
                file: range.file.clone(),
                position: range.position + bytes.start as u64,
                len: bytes.len(),
            }),
        }
    }
}

impl Iterator for Batches<'_> {
    /// Fails with [`StorageError::Io`], or [`StorageError::CorruptBatch`] where none begins.
    type Item = Result<BatchAt, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let hop = match self.window.hop(self.at) {
            Ok(hop) => hop?,
            Err(error) => {
                self.failed = true;
                return Some(Err(error));
            }
        };
        self.at = hop.next();
        let within = |position: u64| usize::try_from(position - self.start).unwrap_or(usize::MAX);
        Some(Ok(BatchAt {
            bytes: within(hop.position)..within(hop.next()),
            header: hop.header,
        }))
    }
}

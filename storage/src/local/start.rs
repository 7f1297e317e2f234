//! The front end of a log: DeleteRecords and retention move its start, durably and never back
//! . Segments before it go a little later.

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::disk::Disk;
use crate::local::fields::{Fields, begin, seal, unseal};
use crate::local::flusher::Source;
use crate::local::partition::LocalPartition;
use crate::local::state::Doomed;
use crate::local::{cut, files, io, lock};
use crate::log::retention;
use crate::{Offset, StorageError};

/// The file that holds a log's first offset.
pub(crate) const START: &str = "start";
const MAGIC: &[u8; 8] = b"ratelsta";
const VERSION: u16 = 1;

/// The start in a partition's directory; `None` if the file is unusable.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Offset>, StorageError> {
    let Some(bytes) = files::read(disk, &dir.join(START)).map_err(io)? else {
        return Ok(None);
    };
    let start = unseal(&bytes, MAGIC, VERSION).and_then(|body| {
        let start = Fields(&body).i64().ok_or("too short")?;
        if start < 0 {
            Err("a negative offset")
        } else {
            Ok(start)
        }
    });
    match start {
        Ok(start) => Ok(Some(Offset::new(start))),
        Err(why) => {
            tracing::warn!("{}: {why}: the checkpoint's start counts", dir.display());
            Ok(None)
        }
    }
}

/// Write the start into a partition's directory, durably.
pub(crate) fn write(disk: &dyn Disk, dir: &Path, start: Offset) -> std::io::Result<()> {
    let mut out = begin(MAGIC, VERSION);
    out.extend_from_slice(&start.get().to_be_bytes());
    files::replace(disk, &dir.join(START), &seal(out))
}

impl LocalPartition {
    /// Move the start up to `to`; blocks for the disk.
    pub(super) fn advance_start_now(&self, to: Offset) -> Result<Offset, StorageError> {
        let _one = lock(&self.start_mover);
        let (offsets, is_durable) = {
            let state = self.state();
            self.check_usable(&state)?;
            (state.log.offsets(), to <= state.log.durable().offset)
        };
        if to > offsets.high_watermark {
            return Err(StorageError::OffsetOutOfRange {
                offset: to,
                start: offsets.start,
                end: offsets.high_watermark,
            });
        }
        if to <= offsets.start {
            return Ok(offsets.start);
        }
        self.shared.health.check_open()?;
        if !is_durable {
            // The start must never lie behind what a power cut leaves.
            self.shared.flusher.sync(&[self.as_source()])?;
        }
        write(&*self.shared.disk, &self.dir, to).map_err(|error| self.refused(error))?;
        self.drop_before(to);
        Ok(to)
    }

    fn drop_before(&self, start: Offset) {
        let mut writer = lock(&self.writer);
        let mut state = self.state();
        let gone = state.log.advance_start(start);
        if state.log.segments().is_empty() {
            writer.active = None;
        }
        state
            .doomed
            .extend(gone.iter().map(|gone| Doomed::new(gone.base, &self.shared)));
        let woken = state.wake_all();
        drop(state);
        drop(writer);
        self.after(false, woken);
    }

    /// Drop what retention no longer keeps.
    pub(super) fn retain(&self, now_ms: i64) {
        let start = {
            let state = self.state();
            if state.log.damage.is_some() {
                return;
            }
            let (offsets, segments) = (state.log.offsets(), state.log.segments());
            let settings = self.settings();
            retention::new_start(
                segments,
                offsets.high_watermark,
                offsets.end,
                &settings,
                now_ms,
            )
        };
        if let Some(start) = start {
            match self.advance_start_now(start) {
                Ok(start) => tracing::info!(partition = %self.id, %start, "retention"),
                Err(error) => tracing::warn!(partition = %self.id, "retention: {error}"),
            }
        }
    }

    /// Remove the files of segments that were dropped `file.delete.delay.ms` ago, or `at_once` if
    /// the disk is full. Those that no checkpoint stands in for stay in any case: producers may be
    /// known from them alone (DC9).
    pub(super) fn remove_doomed(&self, now_ms: i64, at_once: bool) {
        let delay_ms = self.settings().file_delete_delay_ms;
        let written = self.shared.checkpoints_written.load(Ordering::SeqCst);
        let due: Vec<Offset> = {
            let mut state = self.state();
            let mut due = Vec::new();
            state.doomed.retain_mut(|doomed| {
                let at = *doomed.due_ms.get_or_insert(now_ms.saturating_add(delay_ms));
                let is_due = (at_once || at <= now_ms) && doomed.checkpoint <= written;
                if is_due {
                    due.push(doomed.base);
                }
                !is_due
            });
            due
        };
        for base in due {
            if let Err(error) = cut::remove_segment(&self.shared, &self.dir, base) {
                tracing::warn!(partition = %self.id, segment = %base, "not removed: {error}");
            }
        }
    }

    /// Whether a sync is overdue by `flush.ms`.
    pub(super) fn flush_if_due(&self, now_ms: i64) {
        let flush_ms = self.settings().flush_ms;
        if self.state().log.unsynced_ms(now_ms) >= flush_ms {
            self.request_sync();
        }
    }
}

/// What the flusher is handed.
impl LocalPartition {
    pub(super) fn as_source(&self) -> std::sync::Arc<dyn Source> {
        self.this()
    }
}

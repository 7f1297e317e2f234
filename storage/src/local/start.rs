//! The front end of a log: DeleteRecords and retention move its start.

use crate::local::lock;
use crate::local::partition::{LocalPartition, files_of};
use crate::log::segment::Segment;
use crate::{Offset, StorageError};

impl LocalPartition {
    /// Move the start up, durably.
    pub(super) fn advance_start_now(&self, to: Offset) -> Result<Offset, StorageError> {
        let (start, gone) = {
            let mut writer = lock(&self.writer);
            let mut state = self.state();
            self.check_usable(&state)?;
            let offsets = state.log.offsets();
            if to > offsets.high_watermark {
                return Err(StorageError::OffsetOutOfRange {
                    offset: to,
                    start: offsets.start,
                    end: offsets.high_watermark,
                });
            }
            let gone = state.log.advance_start(to);
            if state.log.segments().is_empty() {
                writer.active = None;
            }
            (state.log.offsets().start, gone)
        };
        self.remove(&gone);
        Ok(start)
    }

    fn remove(&self, gone: &[Segment]) {
        for segment in gone {
            for path in files_of(self, segment) {
                if let Err(error) = self.shared.disk.remove_file(&path)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    tracing::warn!(partition = %self.id, "cannot remove a segment: {error}");
                }
            }
        }
    }

    /// Everything that is due by time.
    pub(super) fn upkeep(&self, now_ms: i64) {
        let settings = self.settings();
        let since = self.state().log.unsynced_since_ms();
        if since.is_some_and(|since| now_ms.saturating_sub(since) >= settings.flush_ms) {
            self.request_sync();
        }
        let horizon = now_ms.saturating_sub(self.shared.options.producer_expiration_ms);
        lock(&self.writer).producers.expire(horizon);
    }
}

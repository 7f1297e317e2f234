//! Opening a partition: what the disk holds of it, walked and mended.

use std::sync::Arc;

use crate::disk::Open;
use crate::local::partition::{LocalPartition, Recovered};
use crate::local::{Shared, io};
use crate::log::Log;
use crate::log::epochs::Epochs;
use crate::log::recovery::{self, Begin};
use crate::log::segment::{self, Segment};
use crate::log::writer::Writer;
use crate::{LogSettings, Offset, PartitionId, StorageError};

/// Open a partition, recovering what a crash left.
pub(super) fn partition(
    shared: &Arc<Shared>,
    id: PartitionId,
    settings: Arc<LogSettings>,
) -> Result<Arc<LocalPartition>, StorageError> {
    let dir = shared.topics_dir.join(id.to_string());
    let entries = match shared.disk.list(&dir) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(io(error)),
    };
    let has_dir = entries.is_some();
    let mut bases: Vec<(Offset, u64)> = entries
        .unwrap_or_default()
        .iter()
        .filter_map(|entry| Some((segment::base_of(&entry.name, "log")?, entry.len)))
        .collect();
    bases.sort_unstable();
    let mut writer = Writer::default();
    let mut epochs = Epochs::default();
    let mut segments = Vec::new();
    let mut end = bases.first().map_or(Offset::ZERO, |(base, _)| *base);
    let start = end;
    for (base, len) in bases {
        let file = shared
            .disk
            .open(&segment::path(&dir, base, "log"), Open::Write)
            .map_err(io)?;
        let mut segment = Segment::new(base, 0);
        let begin = Begin {
            position: 0,
            expected: end,
            epoch: 0,
            epoch_max: i32::MAX,
        };
        let walked = recovery::walk(&*file, len, begin, |hop| {
            let header = &hop.header;
            let interval = settings.index_interval_bytes;
            segment.push(hop.base(), header, header.max_timestamp, interval);
            segment.verified.add(hop.position, hop.next());
            epochs.note(header.leader_epoch, hop.base());
            writer
                .producers
                .apply(header, hop.base(), header.max_timestamp);
        })?;
        if walked.stop.is_some() {
            file.set_len(walked.position).map_err(io)?;
        }
        file.sync().map_err(io)?;
        end = walked.end;
        segment.file = Some(file);
        segments.push(segment);
    }
    writer.end = end;
    let log = Log::new(segments, start, end, epochs, 0);
    let recovered = Recovered {
        log,
        writer,
        has_dir,
    };
    Ok(LocalPartition::new(
        id,
        dir,
        Arc::clone(shared),
        settings,
        recovered,
    ))
}

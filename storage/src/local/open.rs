//! Opening a partition: what the checkpoint knows is believed, what lies behind its recovery
//! point is walked, and what is torn or damaged is dealt with as DC6 says.

use std::path::Path;
use std::sync::Arc;

use crate::disk::{File, Open};
use crate::local::checkpoint::Section;
use crate::local::compaction::cleaned::{self, Cleaned};
use crate::local::partition::{LocalPartition, Recovered};
use crate::local::{Shared, aborted, cut, io, start};
use crate::log::epochs::Epochs;
use crate::log::index::Index;
use crate::log::recovery::{self, Begin, Walked};
use crate::log::segment::{self, Segment};
use crate::log::transactions::{Effect, Transactions};
use crate::log::writer::Writer;
use crate::log::{Found, Place};
use crate::{LogSettings, Offset, PartitionId, Position, StorageError};

/// Open a partition, recovering what a crash left.
pub(super) fn partition(
    shared: &Arc<Shared>,
    id: PartitionId,
    settings: Arc<LogSettings>,
) -> Result<Arc<LocalPartition>, StorageError> {
    let dir = shared.topics_dir.join(id.to_string());
    let mut section = shared.section(id);
    let cleaned = mend_cleaning(shared, &dir, section.as_mut())?;
    let opening = Opening::list(shared, id, &dir, &settings, section.as_ref(), cleaned)?;
    let recovered = opening.recover()?;
    shared.raise_epoch(recovered.found.epochs.last())?;
    let opened = LocalPartition::new(id, dir, Arc::clone(shared), settings, recovered);
    shared.forget_section(id);
    Ok(opened)
}

/// Finish a cleaning that a crash cut off, and have the checkpoint tell of what is there.
fn mend_cleaning(
    shared: &Shared,
    dir: &Path,
    section: Option<&mut Section>,
) -> Result<Cleaned, StorageError> {
    let disk = &*shared.disk;
    let entries = match disk.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Cleaned::default()),
        entries => entries.map_err(io)?,
    };
    // Without the file nothing was ever swapped, or it is damaged: then the checkpoint counts.
    let cleaned = cleaned::read(disk, dir, &entries)?.unwrap_or_default();
    cleaned::mend(disk, dir, &entries, &cleaned)?;
    if let Some(section) = section {
        cleaned.correct(section);
    }
    Ok(cleaned)
}

/// A partition being opened.
struct Opening<'a> {
    shared: &'a Shared,
    id: PartitionId,
    has_dir: bool,
    /// Whether the start is what `start` says, or the log has had no other than 0.
    is_start_known: bool,
    dir: &'a Path,
    settings: &'a LogSettings,
    /// Segment files with their lengths, oldest first.
    files: Vec<(Offset, Position)>,
    section: Option<&'a Section>,
    found: Found,
    writer: Writer,
    /// The epoch of the last batch.
    epoch: i32,
    /// What was walked or cut, from the byte given on: it is synced before it is served.
    touched: Vec<(Arc<dyn File>, Position)>,
    is_dir_touched: bool,
    /// Whether bytes or files were taken away.
    is_cut: bool,
    /// Whether everything is walked, whatever the checkpoint knows.
    is_taken_again: bool,
    /// Segments that lie before the start.
    dropped: Vec<Offset>,
    /// How far the log was cleaned.
    cleaned: Cleaned,
}

/// Whether the walk goes on with the next file.
enum Next {
    Go,
    Stop,
}

impl<'a> Opening<'a> {
    fn list(
        shared: &'a Shared,
        id: PartitionId,
        dir: &'a Path,
        settings: &'a LogSettings,
        section: Option<&'a Section>,
        cleaned: Cleaned,
    ) -> Result<Self, StorageError> {
        let entries = match shared.disk.list(dir) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io(error)),
        };
        let has_dir = entries.is_some();
        let entries = entries.unwrap_or_default();
        let mut files: Vec<_> = entries
            .iter()
            .filter_map(|entry| Some((segment::base_of(&entry.name, "log")?, entry.len)))
            .collect();
        files.sort_unstable();
        let mut found = Found::default();
        let mut is_start_known = true;
        let mut is_dir_touched = false;
        if entries.iter().any(|entry| entry.name == start::START) {
            // A start that readers see must not move back later.
            is_dir_touched = shared.has_loose_entries;
            match start::read(&*shared.disk, dir)? {
                Some(start) => found.start = start,
                None => is_start_known = false,
            }
        }
        let mut opening = Self {
            shared,
            id,
            has_dir,
            is_start_known,
            dir,
            settings,
            files,
            section,
            found,
            writer: Writer::default(),
            epoch: 0,
            touched: Vec::new(),
            is_dir_touched,
            is_cut: false,
            is_taken_again: false,
            dropped: Vec::new(),
            cleaned,
        };
        opening.believe();
        opening.remove_dropped()?;
        Ok(opening)
    }

    /// Take over what the checkpoint knows apart from segments.
    fn believe(&mut self) {
        let Some(section) = self.section else {
            return;
        };
        self.found.start = self.found.start.max(section.start);
        self.found.epochs = section.epochs.clone();
        self.found.damage.clone_from(&section.damage);
        for (id, producer) in &section.producers {
            self.writer.producers.insert(*id, *producer);
        }
        for place in &section.transactions {
            self.found.transactions.note(Effect::Began, *place);
        }
    }

    /// Remove what was dropped before the checkpoint was written: its files were to go a little
    /// later. (What was dropped since is walked first: producers may lie in it.)
    fn remove_dropped(&mut self) -> Result<(), StorageError> {
        let Some(section) = self.section else {
            return Ok(());
        };
        let mut kept = Vec::new();
        for (base, len) in std::mem::take(&mut self.files) {
            let is_known = section.segments.iter().any(|facts| facts.base == base);
            if base < section.start && base < section.end.segment && !is_known {
                cut::remove_segment(self.shared, self.dir, base)?;
            } else {
                kept.push((base, len));
            }
        }
        self.files = kept;
        Ok(())
    }

    fn recover(mut self) -> Result<Recovered, StorageError> {
        let first = self.take_known();
        let mut next = first;
        while let Some((base, len)) = self.files.get(next).copied() {
            if let Next::Stop = self.open_file(next, base, len)? {
                break;
            }
            next += 1;
        }
        if let Some(section) = self.section
            && self.found.damage.is_some()
        {
            // What is lost was there: nothing may be cut back to before it (DC7).
            self.found.end = self.found.end.max(section.end.offset);
        }
        self.begin_at_start()?;
        self.drop_before_start();
        self.take_up_aborted()?;
        self.found.epochs.cut(self.found.end);
        self.sync()?;
        self.writer.end = self.found.end;
        let damage = self.found.damage.clone();
        let kept = damage.map(|damage| Section {
            damage: Some(damage),
            ..self
                .section
                .cloned()
                .unwrap_or_else(|| Section::empty(self.id))
        });
        Ok(Recovered {
            found: self.found,
            writer: self.writer,
            has_dir: self.has_dir,
            kept,
            dropped: self.dropped,
            cleaned: self.cleaned,
            checkpointed: self.section.map_or(Place::default(), Section::cleanable),
        })
    }

    /// The aborted transactions of what was not walked.
    fn take_up_aborted(&mut self) -> Result<(), StorageError> {
        let Some(section) = self.section.filter(|_| !self.is_taken_again) else {
            return Ok(());
        };
        let (disk, dir, point) = (&*self.shared.disk, self.dir, section.end.offset);
        let segments = &mut self.found.segments;
        if aborted::take_up(disk, dir, segments, &section.aborted, point) {
            return Ok(());
        }
        match aborted::find_again(disk, dir, segments, point) {
            Err(StorageError::CorruptBatch(why)) => {
                let base = self.found.segments.first().map_or(point, |s| s.base);
                self.damage(base, format!("aborted transactions are lost: {why}"));
                Ok(())
            }
            found => found,
        }
    }

    /// Nothing is served that a power cut could still take.
    fn sync(&self) -> Result<(), StorageError> {
        let is_synced = self.shared.is_synced && !self.is_cut;
        for (file, from) in &self.touched {
            if self.shared.must_write_again {
                cut::write_again(&**file, *from)?;
            }
            if !is_synced {
                file.sync().map_err(io)?;
            }
        }
        if !is_synced && (self.is_dir_touched || !self.touched.is_empty()) {
            self.shared.disk.sync_dir(self.dir).map_err(io)?;
        }
        Ok(())
    }

    /// Leave out segments that lie wholly before the start. Their files go a little later.
    fn drop_before_start(&mut self) {
        let (start, segments) = (self.found.start, &mut self.found.segments);
        while segments.get(1).is_some_and(|next| next.base <= start) {
            self.dropped.push(segments.remove(0).base);
        }
        let first = segments.first().map_or(start, |first| first.base);
        self.found.epochs.trim(first);
    }

    /// A start behind everything that is left (the start is synced after the log, so this takes
    /// lost files): the log is empty and goes on there.
    fn begin_at_start(&mut self) -> Result<(), StorageError> {
        let start = self.found.start;
        if self.found.end >= start {
            return Ok(());
        }
        self.found.end = start;
        self.found.transactions = Transactions::default();
        self.writer.producers.close_transactions();
        let gone = std::mem::take(&mut self.found.segments);
        self.dropped.extend(gone.iter().map(|segment| segment.base));
        Ok(())
    }

    /// Take the segments up to the recovery point as the checkpoint has them. Gives the first
    /// file that must be walked.
    fn take_known(&mut self) -> usize {
        let Some(section) = self.section else {
            self.begin_at_first();
            return 0;
        };
        let point = section.end;
        let start = self.found.start;
        for (at, facts) in section.segments.iter().enumerate() {
            let upper = section
                .segments
                .get(at + 1)
                .map_or(point.offset, |next| next.base);
            if upper <= start && facts.base != point.segment {
                continue;
            }
            match self.files.iter().find(|(base, _)| *base == facts.base) {
                Some((_, len)) if *len >= facts.size => {
                    if facts.base != point.segment {
                        self.found.segments.push(Segment::from_facts(facts));
                    }
                }
                _ if upper <= start => {}
                Some((_, len)) => self.damage(
                    facts.base,
                    format!("{len} bytes where {} were synced", facts.size),
                ),
                None => self.damage(facts.base, "the file is missing".to_owned()),
            }
        }
        self.found.end = point.offset;
        self.epoch = self.found.epochs.last().max(0);
        if self.found.damage.is_some() {
            return self.take_again();
        }
        let walked = self
            .files
            .partition_point(|(base, _)| *base < point.segment);
        // The point's segment went with a later start: begin with what is left.
        if let Some((base, _)) = self.files.get(walked)
            && *base > point.offset
            && *base <= start
        {
            self.found.end = *base;
        }
        walked
    }

    /// The checkpoint does not fit the files: look at everything that is there.
    fn take_again(&mut self) -> usize {
        self.is_taken_again = true;
        self.found.segments.clear();
        self.found.epochs = Epochs::default();
        self.found.transactions = Transactions::default();
        self.writer.producers.close_transactions();
        self.begin_at_first();
        self.epoch = 0;
        0
    }

    /// Begin with the first file, unless the log is known to have begun before it: then that is
    /// a gap like any other.
    fn begin_at_first(&mut self) {
        let start = self.found.start;
        let first = self.files.first().map_or(start, |(base, _)| *base);
        let is_gap = self.is_start_known && self.found.damage.is_none() && first > start;
        self.found.end = if is_gap { start } else { first };
        self.found.start = start.max(self.found.end);
    }

    fn damage(&mut self, base: Offset, why: String) {
        let path = segment::path(self.dir, base, "log");
        let detail = format!("{}: {why}", path.display());
        tracing::error!("{detail}: read-only from here on");
        self.found.damage.get_or_insert(detail);
    }

    /// What stands in front of the recovery point in this file.
    fn known_front(&self, base: Offset) -> Option<Segment> {
        let section = self.section.filter(|_| self.found.damage.is_none())?;
        let facts = section.segments.last()?;
        (facts.base == base && section.end.segment == base).then(|| Segment::from_facts(facts))
    }

    fn open_file(&mut self, at: usize, base: Offset, len: Position) -> Result<Next, StorageError> {
        let opened_ms = self.shared.opened_ms;
        let mut segment = match self.known_front(base) {
            Some(known) => known,
            None => {
                // Its entry in the directory may not be durable yet.
                self.is_dir_touched = true;
                let mut unknown = Segment::new(base, opened_ms);
                unknown.index = Index::Unloaded;
                unknown
            }
        };
        if len == segment.size {
            if len > 0 || base == self.found.end {
                self.found.segments.push(segment);
            } else if self.found.damage.is_none() {
                cut::remove_segment(self.shared, self.dir, base)?;
            }
            return Ok(Next::Go);
        }
        let path = segment::path(self.dir, base, "log");
        let file = self.shared.disk.open(&path, Open::Write).map_err(io)?;
        self.touched.push((Arc::clone(&file), segment.size));
        loop {
            let walked = self.walk(&*file, len, &mut segment)?;
            let Some(why) = walked.stop else {
                break;
            };
            let behind = recovery::resume(&*file, len, base, &walked, self.shared.last_epoch())?;
            let is_behind = behind.is_some() || self.is_valid_behind(at + 1, &walked)?;
            let is_torn = !is_behind || !self.shared.is_same_boot;
            if is_torn && self.found.damage.is_none() {
                self.cut(at, &file, &walked, len, is_behind, why)?;
                if segment.size > 0 || base == self.found.end {
                    self.found.segments.push(segment);
                }
                return Ok(Next::Stop);
            }
            self.damage(base, format!("byte {}: {why}", walked.position));
            let Some(hop) = behind else {
                break;
            };
            segment.size = hop.position;
            self.found.end = hop.base();
        }
        if self.found.damage.is_some()
            && let Some((next, _)) = self.files.get(at + 1)
        {
            self.found.end = self.found.end.max(*next);
        }
        segment.size = segment.size.min(len);
        self.found.segments.push(segment);
        Ok(Next::Go)
    }

    fn walk(
        &mut self,
        file: &dyn File,
        len: Position,
        segment: &mut Segment,
    ) -> Result<Walked, StorageError> {
        let begin = Begin {
            position: segment.size,
            expected: self.found.end,
            epoch: self.epoch,
            epoch_max: self.shared.last_epoch(),
        };
        let interval = self.settings.index_interval_bytes;
        let (epochs, producers) = (&mut self.found.epochs, &mut self.writer.producers);
        let (limit, now_ms) = (self.shared.options.producers_max, self.shared.opened_ms);
        let transactions = &mut self.found.transactions;
        let base = segment.base;
        let walked = recovery::walk(file, len, begin, |hop, marker| {
            let header = &hop.header;
            segment.push(hop.base(), header, header.newest(), interval);
            segment.verified.add(hop.position, hop.next());
            epochs.note(header.leader_epoch, hop.base());
            if header.producer_id >= 0 {
                producers.make_room(header.producer_id, limit);
            }
            let place = Place {
                offset: hop.base(),
                segment: base,
                position: hop.position,
            };
            let effect = producers.replay(hop, marker, now_ms);
            if let Some(aborted) = transactions.note(effect, place) {
                segment.aborted.push(aborted);
            }
        })?;
        self.found.end = walked.end;
        self.epoch = walked.epoch;
        Ok(walked)
    }

    /// Whether a later file holds a batch that could follow.
    fn is_valid_behind(&self, from: usize, walked: &Walked) -> Result<bool, StorageError> {
        for (base, len) in &self.files[from.min(self.files.len())..] {
            let path = segment::path(self.dir, *base, "log");
            let file = self.shared.disk.open(&path, Open::Read).map_err(io)?;
            let begin = Walked {
                position: 0,
                ..*walked
            };
            let epoch_max = self.shared.last_epoch();
            if recovery::resume(&*file, *len, *base, &begin, epoch_max)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Cut the log where the walk stopped. What could still be of use is kept beside it.
    fn cut(
        &mut self,
        at: usize,
        file: &Arc<dyn File>,
        walked: &Walked,
        len: Position,
        is_behind: bool,
        why: &str,
    ) -> Result<(), StorageError> {
        let (base, _) = self.files[at];
        let (disk, dir) = (&*self.shared.disk, self.dir);
        let bytes = len - walked.position;
        let path = segment::path(dir, base, "log");
        tracing::warn!(
            bytes, kept = is_behind, position = walked.position, end = %walked.end,
            "{}: {why}: cut", path.display()
        );
        self.shared.note_cut(bytes);
        (self.is_dir_touched, self.is_cut) = (true, true);
        if is_behind {
            cut::keep_tail(disk, dir, base, &**file, walked.position, len)?;
        }
        let is_empty = walked.position == 0 && base != self.found.end;
        if is_empty {
            cut::remove_segment(self.shared, dir, base)?;
        } else {
            file.set_len(walked.position).map_err(io)?;
            cut::remove(disk, &segment::path(dir, base, aborted::ENDING))?;
        }
        for (base, _) in &self.files[at + 1..] {
            if is_behind {
                cut::keep_segment(disk, dir, *base)?;
            } else {
                cut::remove_segment(self.shared, dir, *base)?;
            }
        }
        Ok(())
    }
}

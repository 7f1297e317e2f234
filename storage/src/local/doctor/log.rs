//! One log under the doctor's eyes.

use std::path::Path;
use std::sync::Arc;

use crate::disk::{self, File, Open};
use crate::local::checkpoint::Section;
use crate::local::compaction::cleaned::{self, Cleaned};
use crate::local::doctor::{Doctor, Severity};
use crate::local::{aborted, cut, io, start};
use crate::log::aborted::{AbortedFile, Finder};
use crate::log::index::{Entry, IndexFile, NO_TIMESTAMP};
use crate::log::producers::Producers;
use crate::log::reader::Hop;
use crate::log::recovery::{self, Begin, Walked};
use crate::log::segment;
use crate::{AbortedTransaction, Offset, PartitionId, Position, StorageError};

/// Where a log stops being whole.
struct Stop {
    /// Which of the log's files.
    at: usize,
    walked: Walked,
    why: String,
    /// Whether something valid comes behind it, or it lies in front of the recovery point.
    is_damage: bool,
}

/// Compares an index file with the batches that it describes.
struct IndexCheck {
    entries: Vec<Entry>,
    next: usize,
    base: Offset,
    max_timestamp: i64,
    is_wrong: bool,
}

impl IndexCheck {
    fn new(base: Offset, entries: Vec<Entry>) -> Self {
        Self {
            entries,
            next: 0,
            base,
            max_timestamp: NO_TIMESTAMP,
            is_wrong: false,
        }
    }

    fn see(&mut self, hop: &Hop) {
        if let Some(entry) = self.entries.get(self.next)
            && u64::from(entry.position) <= hop.position
        {
            let offset = self.base.plus(i64::from(entry.offset));
            let fits = u64::from(entry.position) == hop.position
                && offset == hop.base()
                && entry.max_timestamp == self.max_timestamp;
            self.is_wrong |= !fits;
            self.next += 1;
        }
        self.max_timestamp = self.max_timestamp.max(hop.header.newest());
    }

    fn is_right(&self) -> bool {
        !self.is_wrong && self.next == self.entries.len()
    }
}

impl Doctor<'_> {
    /// Check a log, and mend it if asked.
    pub(super) fn check_log(&mut self, id: PartitionId, dir: &Path) -> Result<(), StorageError> {
        self.report.partitions += 1;
        let mut entries = self.disk.list(dir).map_err(io)?;
        let Some(cleaned) = self.check_cleaning(dir, &mut entries)? else {
            return Ok(());
        };
        if let Some(section) = self.sections.get_mut(&id) {
            cleaned.correct(section);
        }
        let mut files: Vec<_> = entries
            .iter()
            .filter_map(|entry| Some((segment::base_of(&entry.name, "log")?, entry.len)))
            .collect();
        files.sort_unstable();
        let has_start = entries.iter().any(|entry| entry.name == start::START);
        let start = self.check_start(dir, has_start)?;
        let section = self.sections.get(&id).cloned();
        self.check_front(id, dir, &files, start, section.as_ref())?;
        let before = self.report.findings.len();
        let stop = self.walk(dir, &files, section.as_ref(), cleaned.reached())?;
        if let Some(stop) = stop {
            self.found_stop(id, dir, &files, &stop)?;
        } else if let Some(section) = &section {
            self.check_lengths(id, dir, &files, section);
        }
        self.check_mark(id, dir, before, section.as_ref());
        Ok(())
    }

    /// How far the log was cleaned. A cleaning that was cut off is ended first, as a start would;
    /// `None` if that may not be done: until then the segments do not fit together.
    fn check_cleaning(
        &mut self,
        dir: &Path,
        entries: &mut Vec<disk::Entry>,
    ) -> Result<Option<Cleaned>, StorageError> {
        let Some(cleaned) = cleaned::read(self.disk, dir, entries)? else {
            let path = dir.join(cleaned::CLEANED);
            let what = "unusable: how far the log was cleaned is not known";
            self.report.add(&path, Severity::Note, what);
            if self.repair {
                cut::remove(self.disk, &path)?;
                self.report.done("removed");
            }
            return Ok(Some(Cleaned::default()));
        };
        if !cleaned::is_unfinished(entries, &cleaned) {
            return Ok(Some(cleaned));
        }
        let what = "a cleaning was cut off, which the next start ends: not looked at further";
        self.report.add(dir, Severity::Note, what);
        if !self.repair {
            return Ok(None);
        }
        cleaned::mend(self.disk, dir, entries, &cleaned)?;
        *entries = self.disk.list(dir).map_err(io)?;
        self.report.done("ended");
        Ok(Some(cleaned))
    }

    fn check_start(&mut self, dir: &Path, has_file: bool) -> Result<Offset, StorageError> {
        if !has_file {
            return Ok(Offset::ZERO);
        }
        if let Some(start) = start::read(self.disk, dir)? {
            return Ok(start);
        }
        let path = dir.join(start::START);
        let what = "unusable: the checkpoint's start counts";
        self.report.add(&path, Severity::Damage, what);
        if self.repair {
            cut::remove(self.disk, &path)?;
            self.report.done("removed");
        }
        Ok(Offset::ZERO)
    }

    /// Whether the log's first segments are gone.
    fn check_front(
        &mut self,
        id: PartitionId,
        dir: &Path,
        files: &[(Offset, Position)],
        start: Offset,
        section: Option<&Section>,
    ) -> Result<(), StorageError> {
        let start = section.map_or(start, |section| start.max(section.start));
        let Some((first, _)) = files.first().filter(|(first, _)| *first > start) else {
            return Ok(());
        };
        let what = format!("records {start} to {first} are missing");
        self.report.add(dir, Severity::Damage, what);
        if self.repair {
            start::write(self.disk, dir, *first).map_err(io)?;
            self.distrust(id);
            self.report.done(format!("the log now starts at {first}"));
        }
        Ok(())
    }

    /// Walk all segments. Gives the first place where the log is not whole. Below `cleaned`
    /// batches may be gone.
    fn walk(
        &mut self,
        dir: &Path,
        files: &[(Offset, Position)],
        section: Option<&Section>,
        cleaned: Offset,
    ) -> Result<Option<Stop>, StorageError> {
        let mut walked = Walked {
            position: 0,
            end: files.first().map_or(Offset::ZERO, |(base, _)| *base),
            epoch: 0,
            stop: None,
        };
        let mut producers = Producers::default();
        let mut finder = Finder::default();
        let mut stop = None;
        for (at, (base, len)) in files.iter().enumerate() {
            if *base != walked.end {
                walked.position = 0;
                stop = Some((at, "the segment does not begin where the last one ended"));
                break;
            }
            let file = self.open(dir, *base)?;
            walked = self.walk_segment(
                dir,
                *base,
                *len,
                &*file,
                walked,
                &mut producers,
                section,
                &mut finder,
            )?;
            if let Some(why) = walked.stop {
                stop = Some((at, why));
                break;
            }
        }
        let Some((at, why)) = stop else {
            self.check_producers(dir, &producers, section, cleaned);
            return Ok(None);
        };
        let is_behind = self.is_valid_behind(dir, &files[at..], &walked)?;
        let is_synced = section.is_some_and(|section| walked.end < section.end.offset);
        Ok(Some(Stop {
            at,
            walked,
            why: why.to_owned(),
            is_damage: is_behind || is_synced,
        }))
    }

    #[allow(clippy::too_many_arguments)] // One place calls it; a struct would only rename them.
    fn walk_segment(
        &mut self,
        dir: &Path,
        base: Offset,
        len: Position,
        file: &dyn File,
        last: Walked,
        producers: &mut Producers,
        section: Option<&Section>,
        finder: &mut Finder,
    ) -> Result<Walked, StorageError> {
        let path = segment::path(dir, base, "index");
        let index = self.disk.map(&path).ok().map(IndexFile::decode);
        let entries = match &index {
            Some(Ok(file)) if file.covered.bytes <= len => file.entries(),
            _ => Vec::new(),
        };
        let mut check = IndexCheck::new(base, entries);
        let begin = Begin {
            position: 0,
            expected: last.end,
            epoch: last.epoch,
            epoch_max: i32::MAX,
        };
        let synced = section.map_or(Offset::ZERO, |section| section.end.offset);
        let (mut batches, mut found) = (0, Vec::new());
        let walked = recovery::walk(file, len, begin, |hop, marker| {
            batches += 1;
            check.see(hop);
            found.extend(finder.see(hop, marker));
            if hop.base() < synced {
                producers.replay(hop, marker, 0);
            }
        })?;
        self.report.segments += 1;
        self.report.batches += batches;
        self.report.bytes += walked.position;
        let is_usable = match &index {
            None => true,
            Some(Ok(file)) => file.covered.bytes > len || check.is_right(),
            Some(Err(_)) => false,
        };
        if !is_usable && walked.stop.is_none() {
            let what = "the index is unusable: it is made again when it is needed";
            self.report.add(&path, Severity::Note, what);
            if self.repair {
                cut::remove(self.disk, &path)?;
                self.report.done("removed");
            }
        }
        self.check_aborted(dir, base, &found)?;
        Ok(walked)
    }

    /// Whether the file of aborted transactions says what the segment says, as far as it goes.
    fn check_aborted(
        &mut self,
        dir: &Path,
        base: Offset,
        found: &[AbortedTransaction],
    ) -> Result<(), StorageError> {
        let path = segment::path(dir, base, aborted::ENDING);
        let Ok(bytes) = self.disk.map(&path) else {
            return Ok(());
        };
        // Of one that began before the log's first segment nothing may be left to be found.
        let fits = AbortedFile::decode(bytes, base).is_ok_and(|file| {
            let entries = file.entries();
            let last = entries.last().map_or(base, |last| last.last_offset);
            let mut known = found.iter().filter(|one| one.last_offset <= last);
            known.all(|one| {
                let at = entries.binary_search_by_key(&one.last_offset, |entry| entry.last_offset);
                at.is_ok_and(|at| entries[at].producer_id == one.producer_id)
            })
        });
        if fits {
            return Ok(());
        }
        let what = "the aborted transactions are unusable: they are found again at the next start";
        self.report.add(&path, Severity::Note, what);
        if self.repair {
            cut::remove(self.disk, &path)?;
            self.report.done("removed");
        }
        Ok(())
    }

    /// Whether the checkpoint remembers what the log's producers wrote last. A cleaning keeps the
    /// last batch of a producer as of then, which may be a later one than the checkpoint's.
    fn check_producers(
        &mut self,
        dir: &Path,
        seen: &Producers,
        section: Option<&Section>,
        cleaned: Offset,
    ) {
        let Some(section) = section else {
            return;
        };
        for (id, producer) in seen.sorted() {
            let known = section.producers.iter().find(|(known, _)| *known == id);
            // One that is not known expired, or there were too many.
            if let Some((_, known)) = known
                && known.sent().last().map_or(Offset::ZERO, |last| last.base) >= cleaned
                && (known.epoch, known.sent().last()) != (producer.epoch, producer.sent().last())
            {
                let what = format!("the checkpoint has another last batch of producer {id}");
                self.report.add(dir, Severity::Damage, what);
                if self.repair {
                    self.distrust(section.id);
                    self.report.done("the log is scanned at the next start");
                }
                return;
            }
        }
    }

    fn is_valid_behind(
        &self,
        dir: &Path,
        files: &[(Offset, Position)],
        walked: &Walked,
    ) -> Result<bool, StorageError> {
        for (at, (base, len)) in files.iter().enumerate() {
            let begin = Walked {
                position: if at == 0 { walked.position } else { 0 },
                ..*walked
            };
            let file = self.open(dir, *base)?;
            if recovery::resume(&*file, *len, *base, &begin, i32::MAX)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn open(&self, dir: &Path, base: Offset) -> Result<Arc<dyn File>, StorageError> {
        let how = if self.repair { Open::Write } else { Open::Read };
        self.disk
            .open(&segment::path(dir, base, "log"), how)
            .map_err(io)
    }

    fn found_stop(
        &mut self,
        id: PartitionId,
        dir: &Path,
        files: &[(Offset, Position)],
        stop: &Stop,
    ) -> Result<(), StorageError> {
        let (base, len) = files[stop.at];
        let path = segment::path(dir, base, "log");
        let position = stop.walked.position;
        let severity = if stop.is_damage {
            Severity::Damage
        } else {
            Severity::Note
        };
        let what = if stop.is_damage {
            format!("byte {position}: {}", stop.why)
        } else {
            format!(
                "byte {position}: {}: a torn end, {} bytes",
                stop.why,
                len - position
            )
        };
        self.report.add(&path, severity, what);
        if !self.repair {
            return Ok(());
        }
        let file = self.open(dir, base)?;
        cut::keep_tail(self.disk, dir, base, &*file, position, len)?;
        file.set_len(position).map_err(io)?;
        file.sync().map_err(io)?;
        if position == 0 && base != stop.walked.end {
            cut::remove(self.disk, &path)?;
        }
        for (later, _) in &files[stop.at + 1..] {
            cut::keep_segment(self.disk, dir, *later)?;
        }
        cut::remove(self.disk, &segment::path(dir, base, "index"))?;
        cut::remove(self.disk, &segment::path(dir, base, aborted::ENDING))?;
        self.disk.sync_dir(dir).map_err(io)?;
        self.distrust(id);
        let end = stop.walked.end;
        self.report.done(format!(
            "cut: the log ends at {end}; the rest is in .cut files"
        ));
        Ok(())
    }

    /// Segments that end at a batch's end, yet before what was synced.
    fn check_lengths(
        &mut self,
        id: PartitionId,
        dir: &Path,
        files: &[(Offset, Position)],
        section: &Section,
    ) {
        for facts in &section.segments {
            let found = files.iter().find(|(base, _)| *base == facts.base);
            if found.is_some_and(|(_, len)| *len >= facts.size) {
                continue;
            }
            let path = segment::path(dir, facts.base, "log");
            let what = match found {
                Some((_, len)) => format!("{len} bytes where {} were synced", facts.size),
                None => "the file is missing".to_owned(),
            };
            self.report.add(&path, Severity::Damage, what);
            if self.repair {
                self.distrust(id);
                self.report.done("what is left is the log now");
            }
        }
    }

    /// A log that a server made read-only, in which nothing wrong is found any more.
    fn check_mark(
        &mut self,
        id: PartitionId,
        dir: &Path,
        findings_before: usize,
        section: Option<&Section>,
    ) {
        let Some(damage) = section.and_then(|section| section.damage.as_ref()) else {
            return;
        };
        let is_explained = self.report.findings[findings_before..]
            .iter()
            .any(|finding| finding.severity == Severity::Damage);
        if is_explained {
            return;
        }
        let what = format!("marked read-only ({damage}), and whole now");
        self.report.add(dir, Severity::Damage, what);
        if self.repair {
            self.distrust(id);
            self.report.done("the mark is gone");
        }
    }
}

//! Finding records by time (L-3, L-4): segments, then the sparse index, then headers, then the
//! records of one batch.

use bytes::Bytes;

use crate::disk::read_exact_at;
use crate::local::partition::LocalPartition;
use crate::local::read::{LOOKS_MAX, is_gone};
use crate::log::Place;
use crate::log::index::{Index, NO_TIMESTAMP};
use crate::log::reader::{Hop, Window};
use crate::{Batch, Bound, Offset, Position, StorageError, TimeQuery, TimedOffset, record};

/// A segment as a look-up by time needs it.
#[derive(Clone, Copy)]
struct Part {
    base: Offset,
    version: u64,
    max_timestamp: i64,
    end: Position,
    unloaded: bool,
}

impl LocalPartition {
    /// Find a record by time; blocks for the disk.
    pub(super) fn offset_at_now(
        &self,
        query: TimeQuery,
        bound: Bound,
    ) -> Result<Option<TimedOffset>, StorageError> {
        let mut looks = 0;
        loop {
            match self.find(query, bound) {
                // A cleaning put another segment into the place of one that was looked at.
                Err(error) if is_gone(&error) && looks < LOOKS_MAX => looks += 1,
                found => return found,
            }
        }
    }

    fn find(&self, query: TimeQuery, bound: Bound) -> Result<Option<TimedOffset>, StorageError> {
        match query {
            TimeQuery::AtOrAfter(time) => self.at_or_after(time, bound),
            TimeQuery::Largest => match self.largest(bound)? {
                Some(time) => self.at_or_after(time, bound),
                None => Ok(None),
            },
        }
    }

    /// The parts of the log that may be looked at, oldest first, and the first offset.
    fn parts(&self, bound: Bound) -> Result<(Vec<Part>, Offset, Place), StorageError> {
        let state = self.state();
        self.check_usable(&state)?;
        let place = state.log.bound(bound);
        let parts = state
            .log
            .segments()
            .iter()
            .filter(|segment| segment.base <= place.segment)
            .map(|segment| Part {
                base: segment.base,
                version: segment.version,
                max_timestamp: segment.max_timestamp,
                end: if segment.base < place.segment {
                    segment.size
                } else {
                    place.position
                },
                unloaded: matches!(segment.index, Index::Unloaded),
            })
            .collect();
        Ok((parts, state.log.offsets().start, place))
    }

    fn at_or_after(&self, time: i64, bound: Bound) -> Result<Option<TimedOffset>, StorageError> {
        let (parts, start, _) = self.parts(bound)?;
        for part in parts.iter().filter(|part| part.max_timestamp >= time) {
            if let Some(found) = self.find_in(*part, time, start)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_in(
        &self,
        part: Part,
        time: i64,
        start: Offset,
    ) -> Result<Option<TimedOffset>, StorageError> {
        if part.unloaded {
            self.load_index(part.base)?;
        }
        let begin = {
            let mut state = self.state();
            let Some(segment) = state.log.segment_of(part.base, part.version) else {
                return Err(self.read_error(std::io::ErrorKind::NotFound.into()));
            };
            // Neither in front of the time nor in front of the log's start.
            let by_start = segment.before(start);
            let by_time = segment.before_time(time);
            u64::from(by_time.position.max(by_start.position))
        };
        let file = self.open_segment(part.base, part.version)?;
        let mut window = Window::hopping(&*file, part.end);
        let mut at = begin;
        while let Some(hop) = self.hop(&mut window, part.base, at)? {
            at = hop.next();
            if hop.header.newest() < time || hop.end_offset() <= start {
                continue;
            }
            let mut bytes = vec![0; hop.header.bytes];
            read_exact_at(&*file, &mut bytes, hop.position)
                .map_err(|error| self.read_error(error))?;
            let batch = Batch::parse(Bytes::from(bytes), usize::MAX)
                .map_err(|_| self.damaged_at(part.base, hop.position, "CRC does not match"))?;
            if let Some(found) = first_at_or_after(&batch, time, start) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn hop(
        &self,
        window: &mut Window<'_>,
        base: Offset,
        at: Position,
    ) -> Result<Option<Hop>, StorageError> {
        window.hop(at).map_err(|error| match error {
            StorageError::CorruptBatch(why) => self.damaged_at(base, at, why),
            other => other,
        })
    }

    /// The largest timestamp up to `bound`.
    fn largest(&self, bound: Bound) -> Result<Option<i64>, StorageError> {
        let (parts, start, place) = self.parts(bound)?;
        let mut largest = NO_TIMESTAMP;
        for part in parts {
            let inside = part.base < place.segment && part.base >= start;
            largest = largest.max(if inside {
                part.max_timestamp
            } else {
                self.largest_in(part, start)?
            });
        }
        Ok((largest != NO_TIMESTAMP).then_some(largest))
    }

    /// The largest timestamp in a segment that the start or the bound lies in.
    fn largest_in(&self, part: Part, start: Offset) -> Result<i64, StorageError> {
        if part.unloaded {
            self.load_index(part.base)?;
        }
        let begin = {
            let mut state = self.state();
            let Some(segment) = state.log.segment_of(part.base, part.version) else {
                return Err(self.read_error(std::io::ErrorKind::NotFound.into()));
            };
            if start > part.base {
                segment.before(start)
            } else {
                segment.before_position(part.end)
            }
        };
        let mut largest = if start > part.base {
            NO_TIMESTAMP
        } else {
            begin.max_timestamp
        };
        let file = self.open_segment(part.base, part.version)?;
        let mut window = Window::hopping(&*file, part.end);
        let mut at = u64::from(begin.position);
        while let Some(hop) = self.hop(&mut window, part.base, at)? {
            at = hop.next();
            if hop.end_offset() > start {
                largest = largest.max(hop.header.newest());
            }
        }
        Ok(largest)
    }
}

/// The first record of a batch at or after `time`, at or behind `start`.
fn first_at_or_after(batch: &Batch, time: i64, start: Offset) -> Option<TimedOffset> {
    let header = batch.header();
    let mut found = None;
    let walked = record::walk(batch, |record| {
        let offset = Offset::new(header.base_offset).plus(i64::from(record.offset_delta));
        let timestamp_ms = if header.is_log_append_time() {
            header.max_timestamp
        } else {
            header.base_timestamp.saturating_add(record.timestamp_delta)
        };
        if found.is_none() && timestamp_ms >= time && offset >= start {
            found = Some(TimedOffset {
                offset,
                timestamp_ms,
                leader_epoch: header.leader_epoch,
            });
        }
        Ok(())
    });
    // A producer may have sent what cannot be unpacked: its header was believed, so it answers.
    if walked.is_err() && found.is_none() {
        found = Some(TimedOffset {
            offset: Offset::new(header.base_offset).max(start),
            timestamp_ms: header.max_timestamp,
            leader_epoch: header.leader_epoch,
        });
    }
    found
}

//! Which transactional batches a cleaning may drop (C-4): what was aborted, and markers of which
//! no batch is left.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::log::aborted::Finder;
use crate::log::compaction::{Pace, Source};
use crate::log::reader::Window;
use crate::{AbortedTransaction, Batch, Marker, Offset, Outcome, StorageError};

/// What is known of the transactions around the batch that is looked at. Batches come in the
/// order of the log, from its first on.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// By their first offsets.
    ahead: VecDeque<AbortedTransaction>,
    /// The aborted transactions that we are inside of, by producer, and whether a batch of each
    /// was seen.
    aborted: HashMap<i64, (AbortedTransaction, bool)>,
    /// Those of which a batch was seen and that we are past.
    kept: Vec<AbortedTransaction>,
    /// Producers of which a batch was seen whose transaction is not an aborted one.
    committed: HashSet<i64>,
}

impl Ended {
    /// Nothing seen yet; the first batch will be the one at `from`.
    pub fn new(mut aborted: Vec<AbortedTransaction>, from: Offset) -> Self {
        aborted.retain(|range| range.last_offset >= from);
        aborted.sort_by_key(|range| range.first_offset);
        Self {
            ahead: aborted.into(),
            ..Self::default()
        }
    }

    /// Look at the next batch. Says whether it may be dropped: data of an aborted transaction, or
    /// a marker whose transaction has left nothing.
    pub fn see(&mut self, batch: &Batch) -> bool {
        let header = batch.header();
        let last = header.base_offset + i64::from(header.last_offset_delta);
        while let Some(range) = self.ahead.front()
            && range.first_offset.get() <= last
        {
            self.aborted.insert(range.producer_id, (*range, false));
            self.ahead.pop_front();
        }
        // Its marker may have gone in an earlier cleaning.
        if let Some((range, _)) = self.aborted.get(&header.producer_id)
            && range.last_offset.get() < header.base_offset
        {
            self.aborted.remove(&header.producer_id);
        }
        if header.is_control() {
            return match Marker::from_batch(batch).map(|marker| marker.outcome) {
                Some(Outcome::Abort) => !self.end_aborted(header.producer_id),
                Some(Outcome::Commit) => !self.committed.remove(&header.producer_id),
                // One that a cleaning emptied may go, one of another kind stays.
                None => header.count == 0,
            };
        }
        if !header.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some((_, seen)) => {
                *seen = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// An abort marker. Says whether anything of the transaction was seen.
    fn end_aborted(&mut self, producer_id: i64) -> bool {
        match self.aborted.remove(&producer_id) {
            Some((range, true)) => {
                self.kept.push(range);
                true
            }
            _ => false,
        }
    }

    /// The aborted transactions whose markers were seen since the last call, without those of
    /// which there was nothing: were readers still told of one whose marker is gone, they would
    /// skip what its producer committed later.
    pub fn take_kept(&mut self) -> Vec<AbortedTransaction> {
        std::mem::take(&mut self.kept)
    }
}

/// The aborted transactions of which anything is left in `sources`, in the order of their
/// markers. They are found in the batches themselves: what is dropped hangs on it.
///
/// # Errors
/// [`StorageError::Io`], [`StorageError::CorruptBatch`]; what `pace` gives.
pub(crate) fn find_aborted(
    sources: &[Source],
    pace: Pace<'_>,
) -> Result<Vec<AbortedTransaction>, StorageError> {
    let (mut finder, mut aborted) = (Finder::default(), Vec::new());
    for source in sources {
        let mut window = Window::hopping(&*source.file, source.size);
        let mut at = 0;
        while let Some(hop) = window.hop(at)? {
            pace(0)?;
            at = hop.next();
            let marker = window.marker(&hop)?;
            aborted.extend(finder.see(&hop, marker.as_ref()));
        }
    }
    Ok(aborted)
}

//! What a member says of the records it leases (queues.md 1.4): all of a request's batches hold,
//! or nothing changes.

use ratel_protocol::ErrorCode;

use super::changes::Changes;
use super::deadlines::LeaseEnd;
use super::queue::Queue;
use super::record::Durable;
use super::runs::{Run, State};
use super::{AckType, Acknowledge, AcknowledgeBatch, DeadReason};
use crate::clock::Timestamp;

/// The longest that a lease can be renewed to, from its beginning, s: 12 h.
const HELD_S_MAX: i64 = 12 * 60 * 60;

/// Offsets that a member says the same of.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    first: i64,
    last: i64,
    kind: AckType,
}

/// A batch as stretches.
fn stretches(batch: &AcknowledgeBatch) -> impl Iterator<Item = Stretch> + '_ {
    let mut first = batch.first.get();
    let one_for_all = batch.types.len() == 1;
    batch
        .types
        .chunk_by(|left, right| left == right)
        .filter_map(move |same| {
            let last = if one_for_all {
                batch.last.get()
            } else {
                first + i64::try_from(same.len()).ok()? - 1
            };
            let stretch = Stretch {
                first,
                last,
                kind: *same.first()?,
            };
            first = last + 1;
            Some(stretch)
        })
}

impl Queue {
    /// What follows from a member's word. Renewals are done, the rest is to be written down.
    ///
    /// # Errors
    /// INVALID_REQUEST for what makes no sense at all, INVALID_RECORD_STATE for records that the
    /// member does not lease, and for renewals where the group allows none.
    pub fn acknowledge<'a>(
        &mut self,
        now: Timestamp,
        event: &'a Acknowledge,
    ) -> Result<Changes<'a>, ErrorCode> {
        self.config = event.config.clone();
        let owner = self.members.number(&event.member);
        let mut before = None;
        for batch in &event.batches {
            check_form(batch, before)?;
            self.check_leased(batch, owner, now.monotonic_ms)?;
            before = Some(batch.last.get());
        }
        let mut changes = Changes::new(&event.config, now);
        let mut renewed = Vec::new();
        for stretch in event.batches.iter().flat_map(stretches) {
            self.take_word(stretch, &mut changes, &mut renewed);
        }
        self.renew(now.monotonic_ms, event.config.lock_duration_ms, &renewed);
        Ok(changes)
    }

    /// All that is not below the start is leased by this member, and still is; nothing of it is
    /// renewed if the group does not allow that.
    fn check_leased(
        &self,
        batch: &AcknowledgeBatch,
        owner: Option<u16>,
        now_ms: i64,
    ) -> Result<(), ErrorCode> {
        let (first, last) = (batch.first.get().max(self.start), batch.last.get());
        if last < self.start {
            return Ok(());
        }
        if self.runs.is_empty() {
            return Err(ErrorCode::InvalidRecordState);
        }
        if last >= self.next {
            return Err(ErrorCode::InvalidRequest);
        }
        if !self.config.renew && renews_from(batch, first) {
            return Err(ErrorCode::InvalidRecordState);
        }
        let is_theirs = |run: Run| match run.state {
            // The member need not know that no record is there.
            State::Hole => true,
            State::Leased => Some(run.owner) == owner && run.until_ms > now_ms,
            _ => false,
        };
        let mut runs = self.runs.overlapping(first, last);
        if runs.all(|(_, run)| is_theirs(run)) {
            Ok(())
        } else {
            Err(ErrorCode::InvalidRecordState)
        }
    }

    fn take_word(
        &self,
        stretch: Stretch,
        changes: &mut Changes<'_>,
        renewed: &mut Vec<(i64, Run)>,
    ) {
        let from = stretch.first.max(self.start);
        if stretch.last < from {
            return;
        }
        for (first, run) in self.runs.overlapping(from, stretch.last) {
            if run.state != State::Leased {
                continue;
            }
            let (first, last) = (first.max(from), run.last.min(stretch.last));
            match stretch.kind {
                AckType::Gap => changes.set(first, last, Durable::Archived, run.count),
                AckType::Accept => changes.set(first, last, Durable::Acknowledged, run.count),
                AckType::Release => changes.come_back(first, last, run.count, true),
                AckType::Reject => changes.give_up(first, last, run.count, DeadReason::Rejected),
                AckType::Renew => renewed.push((first, run.to(last))),
            }
        }
    }

    /// Let leases last longer: a lease's duration from now, in whole seconds from its beginning.
    fn renew(&mut self, now_ms: i64, lock_ms: i64, renewed: &[(i64, Run)]) {
        for &(first, run) in renewed {
            let began_ms = run.until_ms - i64::from(run.held_s) * 1000;
            let wanted_ms = now_ms.saturating_add(lock_ms).saturating_sub(began_ms);
            let held_s = (wanted_ms.saturating_add(999) / 1000).min(HELD_S_MAX);
            let until_ms = began_ms + held_s * 1000;
            if until_ms <= run.until_ms {
                continue;
            }
            let renewed = Run {
                until_ms,
                held_s: u16::try_from(held_s).unwrap_or(u16::MAX),
                ..run
            };
            self.runs.put(first, renewed);
            self.leases
                .push(until_ms, first, run.last, LeaseEnd::NEW, &self.runs);
        }
    }
}

/// Whether a batch renews a lease at or above an offset that it holds.
fn renews_from(batch: &AcknowledgeBatch, offset: i64) -> bool {
    let mut all = stretches(batch);
    all.any(|stretch| stretch.kind == AckType::Renew && stretch.last >= offset)
}

/// What can be said of a batch without looking at the queue.
fn check_form(batch: &AcknowledgeBatch, before: Option<i64>) -> Result<(), ErrorCode> {
    let (first, last) = (batch.first.get(), batch.last.get());
    let from = before.unwrap_or(0);
    if first < from || last < first || last == i64::MAX {
        return Err(ErrorCode::InvalidRequest);
    }
    let types = batch.types.len();
    if types != 1 && i64::try_from(types) != Ok(last - first + 1) {
        return Err(ErrorCode::InvalidRequest);
    }
    // A record that ends one batch and begins the next is not leased any more by then.
    match before == Some(first) {
        true => Err(ErrorCode::InvalidRecordState),
        false => Ok(()),
    }
}

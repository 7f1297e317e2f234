//! How much of a log is to be cleaned, whether that is enough, and which segments become one
//! (C-1). Pure.

use crate::log::segment::Segment;
use crate::{LogSettings, Offset};

/// Parts of a whole, for ratios without fractions.
pub(crate) const MILLION: u64 = 1_000_000;

/// How far a log may be cleaned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The log's start.
    pub start: Offset,
    /// Nothing at or above this is cleaned: what is undecided or not durable.
    pub end: Offset,
    /// Only segments below this one: the active one, or that of the last checkpoint.
    pub segment: Offset,
    /// Everything below it was cleaned before.
    pub cleaned: Offset,
}

/// What there is to clean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dirty {
    /// Where the new part begins.
    pub from: Offset,
    /// Where it ends.
    pub end: Offset,
    /// How many segments lie before the end.
    pub segments: usize,
    /// The new part of all of it, in millionths.
    pub ratio: u64,
    /// Whether it is worth a cleaning, or one is overdue.
    pub is_due: bool,
}

/// What of a log may be cleaned; `None` if nothing is new.
pub(crate) fn dirty(
    segments: &[Segment],
    limits: &Limits,
    settings: &LogSettings,
    now_ms: i64,
) -> Option<Dirty> {
    let from = limits.cleaned.max(limits.start);
    let young = now_ms.saturating_sub(settings.min_compaction_lag_ms);
    let (mut clean_bytes, mut dirty_bytes) = (0, 0);
    let (mut end, mut count) = (from, 0);
    let mut oldest = None;
    for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
        let is_new = next.base > from;
        let is_barred = segment.base >= limits.segment || next.base > limits.end;
        // Of what was cleaned before, nothing is kept back for its age.
        let is_young =
            is_new && settings.min_compaction_lag_ms > 0 && segment.retained_by() > young;
        if is_barred || is_young {
            break;
        }
        if is_new {
            dirty_bytes += segment.size;
            let time = first_time(segment);
            oldest = Some(oldest.map_or(time, |oldest: i64| oldest.min(time)));
            end = next.base;
        } else {
            clean_bytes += segment.size;
        }
        count += 1;
    }
    if dirty_bytes == 0 {
        return None;
    }
    let ratio = dirty_bytes.saturating_mul(MILLION) / (clean_bytes + dirty_bytes);
    let is_overdue =
        oldest.is_some_and(|oldest| now_ms.saturating_sub(oldest) > settings.max_compaction_lag_ms);
    Some(Dirty {
        from,
        end,
        segments: count,
        ratio,
        is_due: is_overdue || ratio > u64::from(settings.min_cleanable_millionths),
    })
}

fn first_time(segment: &Segment) -> i64 {
    if segment.first_timestamp >= 0 {
        segment.first_timestamp
    } else {
        segment.created_ms
    }
}

/// How many of the first of these segments, given as base, end and bytes, become one: as long as
/// all of them fit into a segment, and at least one.
pub(crate) fn group(segments: &[(Offset, Offset, u64)], segment_bytes: u64) -> usize {
    let Some((base, _, _)) = segments.first() else {
        return 0;
    };
    let mut bytes = 0_u64;
    let fitting = segments.iter().take_while(|(_, end, size)| {
        bytes = bytes.saturating_add(*size);
        bytes <= segment_bytes && end.get() - base.get() <= i64::from(i32::MAX)
    });
    fitting.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(sizes_and_times: &[(u64, i64)]) -> Vec<Segment> {
        let mut base = 0;
        let segment = |(size, time): &(u64, i64)| {
            let mut segment = Segment::new(Offset::new(base), 5);
            segment.size = *size;
            segment.max_timestamp = *time;
            segment.first_timestamp = *time;
            base += 10;
            segment
        };
        sizes_and_times.iter().map(segment).collect()
    }

    fn limits(end: i64, segment: i64, cleaned: i64) -> Limits {
        Limits {
            start: Offset::ZERO,
            end: Offset::new(end),
            segment: Offset::new(segment),
            cleaned: Offset::new(cleaned),
        }
    }

    fn found(limits: Limits, settings: &LogSettings, now_ms: i64) -> Option<(i64, i64, u64, bool)> {
        let log = log(&[(100, 10), (100, 20), (200, 30), (50, 40)]);
        dirty(&log, &limits, settings, now_ms)
            .map(|found| (found.from.get(), found.end.get(), found.ratio, found.is_due))
    }

    #[test]
    fn c_1_the_active_segment_and_what_is_undecided_are_left_alone() {
        let settings = LogSettings::default();
        let all = found(limits(40, 40, 0), &settings, 50);
        assert_eq!(all, Some((0, 30, MILLION, true)));
        let undecided = found(limits(29, 40, 0), &settings, 50);
        assert_eq!(undecided, Some((0, 20, MILLION, true)));
        let unwritten = found(limits(40, 10, 0), &settings, 50);
        assert_eq!(unwritten, Some((0, 10, MILLION, true)));
        assert_eq!(found(limits(40, 40, 30), &settings, 50), None);
    }

    #[test]
    fn c_1_a_cleaning_waits_until_the_new_part_is_large_or_old() {
        let mut settings = LogSettings::default();
        let half = limits(40, 40, 20);
        assert_eq!(found(half, &settings, 50), Some((20, 30, 500_000, false)));
        settings.min_cleanable_millionths = 499_999;
        assert_eq!(found(half, &settings, 50), Some((20, 30, 500_000, true)));
        settings.min_cleanable_millionths = 500_000;
        settings.max_compaction_lag_ms = 20;
        assert_eq!(found(half, &settings, 50), Some((20, 30, 500_000, false)));
        assert_eq!(found(half, &settings, 51), Some((20, 30, 500_000, true)));
    }

    /// Whatever the order that records came in.
    #[test]
    fn c_1_the_oldest_record_decides_whether_a_cleaning_is_overdue() {
        let settings = LogSettings {
            min_cleanable_millionths: 1_000_000,
            max_compaction_lag_ms: 20,
            ..LogSettings::default()
        };
        let log = log(&[(100, 40), (100, 10), (100, 50)]);
        let is_due = |now_ms| {
            let found = dirty(&log, &limits(30, 30, 0), &settings, now_ms);
            found.unwrap().is_due
        };
        assert_eq!((is_due(30), is_due(31)), (false, true));
    }

    #[test]
    fn c_1_young_records_are_left_alone() {
        let settings = LogSettings {
            min_compaction_lag_ms: 30,
            ..LogSettings::default()
        };
        assert_eq!(found(limits(40, 40, 0), &settings, 39), None);
        let one = found(limits(40, 40, 0), &settings, 40);
        assert_eq!(one, Some((0, 10, MILLION, true)));
    }

    #[test]
    fn c_2_small_segments_next_to_each_other_become_one() {
        let part = |base: i64, end: i64, size| (Offset::new(base), Offset::new(end), size);
        let parts = [part(0, 10, 40), part(10, 20, 60), part(20, 30, 1)];
        assert_eq!(group(&parts, 100), 2);
        assert_eq!(group(&parts, 101), 3);
        assert_eq!(group(&parts, 10), 1, "one is always taken");
        let far = [part(0, 10, 1), part(10, i64::from(i32::MAX) + 1, 1)];
        assert_eq!(group(&far, 100), 1);
        assert_eq!(group(&[], 100), 0);
    }
}

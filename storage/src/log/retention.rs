//! Which segments are due to go. Pure.

use crate::log::segment::Segment;
use crate::{LogSettings, Offset};

/// Segments of one partition dropped in one pass at most: what a clock that jumped can cost
/// before somebody notices.
const SEGMENTS_PER_PASS_MAX: usize = 100;

/// Where the log should start: `None` if every segment stays.
///
/// Oldest first, ending at the first that stays; only what readers have seen goes; the active
/// segment goes too once it is due and not empty.
pub(crate) fn new_start(
    segments: &[Segment],
    high: Offset,
    end: Offset,
    settings: &LogSettings,
    now_ms: i64,
) -> Option<Offset> {
    if !settings.delete {
        return None;
    }
    let mut total: u64 = segments.iter().map(|segment| segment.size).sum();
    let mut start = None;
    for (at, segment) in segments.iter().enumerate().take(SEGMENTS_PER_PASS_MAX) {
        let upper = segments.get(at + 1).map_or(end, |next| next.base);
        if segment.size == 0 || upper > high {
            break;
        }
        let is_old = settings
            .retention_ms
            .is_some_and(|keep| now_ms.saturating_sub(segment.retained_by()) > keep);
        let is_over = settings
            .retention_bytes
            .is_some_and(|keep| total - segment.size >= keep);
        if !is_old && !is_over {
            break;
        }
        total -= segment.size;
        start = Some(upper);
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(sizes_and_times: &[(u64, i64)]) -> Vec<Segment> {
        let mut base = 0;
        sizes_and_times
            .iter()
            .map(|(size, time)| {
                let mut segment = Segment::new(Offset::new(base), 50);
                segment.size = *size;
                segment.max_timestamp = *time;
                base += 10;
                segment
            })
            .collect()
    }

    fn start(segments: &[Segment], high: i64, settings: &LogSettings, now_ms: i64) -> Option<i64> {
        let end = Offset::new(segments.len() as i64 * 10);
        new_start(segments, Offset::new(high), end, settings, now_ms).map(Offset::get)
    }

    fn keep(ms: Option<i64>, bytes: Option<u64>) -> LogSettings {
        LogSettings {
            retention_ms: ms,
            retention_bytes: bytes,
            ..LogSettings::default()
        }
    }

    #[test]
    fn r_2_the_largest_timestamp_counts_and_the_first_survivor_ends_it() {
        let log = segments(&[(100, 10), (100, 90), (100, 20)]);
        let settings = keep(Some(50), None);
        assert_eq!(start(&log, 30, &settings, 60), None);
        assert_eq!(start(&log, 30, &settings, 61), Some(10));
        assert_eq!(start(&log, 30, &settings, 140), Some(10));
        assert_eq!(start(&log, 30, &settings, 141), Some(30));
        assert_eq!(
            start(&log, 29, &settings, 141),
            Some(20),
            "not past the watermark"
        );
        assert_eq!(start(&log, 30, &keep(None, None), 141), None);
    }

    #[test]
    fn r_2_without_timestamps_the_append_time_counts() {
        let log = segments(&[(100, -1), (100, -1)]);
        assert_eq!(start(&log, 20, &keep(Some(50), None), 100), None);
        assert_eq!(start(&log, 20, &keep(Some(50), None), 101), Some(20));
    }

    #[test]
    fn r_3_bytes_go_while_what_is_left_still_reaches_the_limit() {
        let log = segments(&[(100, 1), (100, 1), (100, 1)]);
        assert_eq!(start(&log, 30, &keep(None, Some(200)), 5), Some(10));
        assert_eq!(start(&log, 30, &keep(None, Some(201)), 5), None);
        assert_eq!(start(&log, 30, &keep(None, Some(100)), 5), Some(20));
        assert_eq!(start(&log, 30, &keep(None, Some(0)), 5), Some(30));
    }

    #[test]
    fn without_delete_in_the_policy_everything_stays() {
        let log = segments(&[(100, 1)]);
        let settings = LogSettings {
            delete: false,
            ..keep(Some(1), Some(0))
        };
        assert_eq!(start(&log, 10, &settings, 1000), None);
    }

    #[test]
    fn an_empty_active_segment_stays() {
        let log = segments(&[(100, 1), (0, -1)]);
        assert_eq!(start(&log, 20, &keep(Some(1), None), 1000), Some(10));
    }
}

//! How the cleaning of compacted logs goes.

use super::exposition::{Page, Type};
use crate::broker::Broker;
use crate::metrics::CleanerCounts;

const MICROSECONDS: f64 = 1e6;
const MILLION: f64 = 1e6;

/// All of it, once there is a compacted log.
pub(super) fn cleaner(page: &mut Page, broker: &Broker) {
    let standing = broker.engine.cleaning(broker.clock.now().wall_ms);
    if standing.logs == 0 {
        return;
    }
    let counts = broker.metrics.cleaner.counts();
    counters(page, &counts);
    #[expect(
        clippy::cast_precision_loss,
        reason = "the format's numbers are floats"
    )]
    let seconds = |us: u64| us as f64 / MICROSECONDS;
    page.single(
        "ratel_cleaner_seconds_total",
        Type::Counter,
        "Time that cleanings took, in seconds.",
        seconds(counts.busy_us),
    );
    if counts.runs > 0 {
        let since_us = broker.clock.monotonic_us().saturating_sub(counts.last_us);
        page.single(
            "ratel_cleaner_last_run_age_seconds",
            Type::Gauge,
            "Time since a cleaning last ended well, in seconds.",
            seconds(since_us),
        );
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "the format's numbers are floats"
    )]
    let ratio = standing.dirtiest_millionths as f64 / MILLION;
    page.single(
        "ratel_cleaner_dirty_ratio",
        Type::Gauge,
        "The part of the filthiest compacted log that could be cleaned and was not yet.",
        ratio,
    );
    page.single(
        "ratel_cleaner_uncleanable_partitions",
        Type::Gauge,
        "Partitions that cannot be cleaned, as their records cannot be read.",
        standing.uncleanable.len(),
    );
}

/// What only grows.
fn counters(page: &mut Page, counts: &CleanerCounts) {
    let counters = [
        (
            "ratel_cleaner_runs_total",
            "Cleanings of a log that ended well.",
            counts.runs,
        ),
        (
            "ratel_cleaner_failures_total",
            "Cleanings of a log that failed; the log is as it was.",
            counts.failures,
        ),
        (
            "ratel_cleaner_read_bytes_total",
            "Bytes of segments that cleanings read.",
            counts.read_bytes,
        ),
        (
            "ratel_cleaner_written_bytes_total",
            "Bytes of segments that cleanings wrote.",
            counts.written_bytes,
        ),
        (
            "ratel_cleaner_freed_bytes_total",
            "Bytes by which cleanings made logs shorter.",
            counts.freed_bytes,
        ),
    ];
    for (name, help, count) in counters {
        page.single(name, Type::Counter, help, count);
    }
}

//! Holds what is read and written by all cleanings together to
//! `log.cleaner.io.max.bytes.per.second`. Pure.

/// What was not used of the last so many seconds may be made up for.
const SAVED_S: f64 = 0.3;

/// Counts bytes against time.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// Bytes that are not paid for yet; below 0 what was not used.
    owed: f64,
    last_us: u64,
}

impl Throttle {
    /// So many bytes more at this rate. Gives the microseconds until whoever took them may go on:
    /// what is owed is paid at the rate of now, whatever it was before.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a pace need not be exact"
    )]
    pub fn take(&mut self, bytes: u64, bytes_per_second: f64, now_us: u64) -> u64 {
        let passed_s = now_us.saturating_sub(self.last_us) as f64 / 1e6;
        self.last_us = self.last_us.max(now_us);
        let least = -SAVED_S * bytes_per_second;
        self.owed = (self.owed - passed_s * bytes_per_second).max(least) + bytes as f64;
        (self.owed.max(0.0) / bytes_per_second * 1e6) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Take steps of these bytes until so many seconds are over, waiting as long as is said and
    /// working for `work_us` in between. Gives the bytes.
    fn run(throttle: &mut Throttle, from_us: u64, step: u64, work_us: u64, rate: f64) -> u64 {
        let (mut now_us, mut bytes) = (from_us, 0);
        while now_us < from_us + 10_000_000 {
            now_us += work_us + throttle.take(step, rate, now_us);
            bytes += step;
        }
        bytes
    }

    #[test]
    fn the_rate_is_kept_whatever_the_steps_and_the_work_between() {
        for (step, work_us) in [(100, 1), (64 << 10, 10), (MIB, 100_000), (30 * MIB, 5)] {
            let mut throttle = Throttle::default();
            let rate = 5.0 * MIB as f64;
            let bytes = run(&mut throttle, 1_000_000_000, step, work_us, rate);
            let most = 50 * MIB + 2 * MIB + step;
            assert!(bytes <= most, "{step}: {bytes}");
            assert!(bytes + step >= 49 * MIB, "{step}: {bytes}");
        }
    }

    #[test]
    fn what_was_not_used_for_long_is_not_made_up_for() {
        let mut throttle = Throttle::default();
        run(&mut throttle, 0, MIB, 0, MIB as f64);
        let bytes = run(&mut throttle, 3_600_000_000, MIB, 0, MIB as f64);
        assert!(bytes <= 12 * MIB, "{bytes}");
    }

    #[test]
    fn a_new_rate_counts_at_once() {
        let mut throttle = Throttle::default();
        throttle.take(10 * MIB, 1000.0, 1_000_000);
        let hours_us = throttle.take(0, 1000.0, 2_000_000);
        assert!(hours_us > 3_600_000_000, "{hours_us}");
        assert!(throttle.take(0, 10.0 * MIB as f64, 2_000_000) <= 1_000_000);
        assert_eq!(throttle.take(1 << 40, f64::MAX, 4_000_000), 0);
    }
}

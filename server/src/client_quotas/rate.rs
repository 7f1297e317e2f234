//! How much went through lately, held against a limit (KIP-13).

use std::collections::VecDeque;

use super::Window;
use super::gauges::Gauge;

/// What went through lately.
#[derive(Debug, Default)]
pub struct Rate {
    /// When each sample began, and what went through in it; the oldest first.
    samples: VecDeque<(i64, f64)>,
}

impl Rate {
    /// Count `amount`. Gives for how long, in ms, nothing more should come: until the rate is
    /// `limit` again.
    pub fn record(&mut self, window: Window, amount: f64, limit: f64, now_ms: i64) -> f64 {
        let Window { samples, sample_ms } = window;
        let expired = now_ms.saturating_sub(window.total_ms());
        self.samples.retain(|(began, _)| *began > expired);
        match self.samples.back_mut() {
            Some((began, sum)) if now_ms - *began < sample_ms => *sum += amount,
            _ => self.samples.push_back((now_ms, amount)),
        }
        if self.samples.len() > samples {
            self.samples.pop_front();
        }
        let sum: f64 = self.samples.iter().map(|(_, sum)| sum).sum();
        let oldest = self.samples.front().map_or(now_ms, |(began, _)| *began);
        let elapsed = now_ms - oldest;
        let missing = (samples as i64 - 1 - elapsed / sample_ms).max(0);
        // One sample alone has no time of its own yet.
        let window_ms = elapsed
            .saturating_add(missing.saturating_mul(sample_ms))
            .max(1) as f64;
        let rate = sum * 1000.0 / window_ms;
        ((rate - limit) / limit * window_ms).max(0.0)
    }

    /// Take back what was counted last.
    pub fn take_back(&mut self, amount: f64) {
        if let Some((_, sum)) = self.samples.back_mut() {
            *sum -= amount;
        }
    }
}

impl Gauge for Rate {
    fn is_idle(&self, window: Window, now_ms: i64) -> bool {
        let newest = self.samples.back().map_or(i64::MIN, |(began, _)| *began);
        newest < now_ms.saturating_sub(window.total_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        samples: 11,
        sample_ms: 1000,
    };

    #[test]
    fn a_rate_is_that_of_ten_seconds_at_least() {
        let mut rate = Rate::default();
        let mut record = |amount, now_ms| rate.record(WINDOW, amount, 100.0, now_ms);
        // 10 s of the quota at once are within it.
        assert_eq!(record(1000.0, 0), 0.0);
        // 5 s more are half of the window too much.
        assert_eq!(record(500.0, 0), 5000.0);
        // At the end of that time the window has grown to 10 s, which began at 0.
        assert_eq!(record(0.0, 5000), 5000.0);
        // What is older than eleven samples is forgotten.
        assert_eq!(record(0.0, 16_001), 0.0);
        assert!(!rate.is_idle(WINDOW, 20_000) && rate.is_idle(WINDOW, 40_000));
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let mut rate = Rate::default();
        assert_eq!(rate.record(WINDOW, 1001.0, 100.0, 0).round(), 10.0);
        rate.take_back(1001.0);
        assert_eq!(rate.record(WINDOW, 1000.0, 100.0, 0), 0.0);
    }

    #[test]
    fn a_window_of_one_sample_divides_by_no_zero() {
        let window = Window {
            samples: 1,
            sample_ms: 1000,
        };
        let throttle_ms = Rate::default().record(window, 5.0, 100.0, 0);
        assert!(throttle_ms.is_finite() && throttle_ms > 0.0);
    }

    #[test]
    fn a_window_is_as_long_as_can_be_set() {
        let window = Window {
            samples: i32::MAX as usize,
            sample_ms: i64::from(i32::MAX) * 1000,
        };
        let mut rate = Rate::default();
        assert_eq!(rate.record(window, 5.0, 100.0, 0), 0.0);
        assert!(!rate.is_idle(window, 1_000_000));
    }
}

//! A bucket of tokens, which fills at the rate of a limit (KIP-599).

use super::Window;
use super::gauges::Gauge;

/// What may still be taken. It may be overdrawn by one request: the next ones wait until it is
/// filled again.
#[derive(Debug, Default)]
pub struct Tokens {
    /// What is left, and when that was so; `None` before anything was taken.
    left: Option<(f64, i64)>,
    /// At what rate it filled then.
    limit: f64,
}

impl Tokens {
    /// What is left now, a whole window's limit at most.
    fn left(&self, window: Window, limit: f64, now_ms: i64) -> f64 {
        let full = limit * window.total_ms() as f64 / 1000.0;
        self.left.map_or(full, |(left, then_ms)| {
            let passed_ms = now_ms.saturating_sub(then_ms).max(0) as f64;
            full.min(left + limit * passed_ms / 1000.0)
        })
    }

    /// Take `amount`, or with `strict` nothing if the bucket is overdrawn already.
    ///
    /// # Errors
    /// For how long, in ms, the bucket stays overdrawn. Not strict, `amount` is taken all the same.
    pub fn take(
        &mut self,
        window: Window,
        amount: f64,
        limit: f64,
        now_ms: i64,
        strict: bool,
    ) -> Result<(), f64> {
        let mut left = self.left(window, limit, now_ms);
        let refused = strict && left < 0.0;
        if !refused {
            left -= amount;
        }
        self.left = Some((left, now_ms));
        self.limit = limit;
        // What one strict request overdraws, the next one waits for.
        match left < 0.0 && (refused || !strict) {
            true => Err(-left / limit * 1000.0),
            false => Ok(()),
        }
    }

    /// Put `amount` back, which nobody used.
    pub fn put_back(&mut self, amount: f64) {
        if let Some((left, _)) = &mut self.left {
            *left += amount;
        }
    }
}

impl Gauge for Tokens {
    /// Nothing was taken for a whole window, and longer where the bucket was overdrawn: it is full.
    fn is_idle(&self, window: Window, now_ms: i64) -> bool {
        self.left.is_none_or(|(left, then_ms)| {
            let passed_ms = now_ms.saturating_sub(then_ms);
            let overdrawn_ms = (-left).max(0.0) / self.limit * 1000.0;
            passed_ms as f64 >= window.total_ms() as f64 + overdrawn_ms
        })
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
    fn kip_599_a_strict_bucket_is_overdrawn_once_and_then_refuses() {
        let mut tokens = Tokens::default();
        let mut take = |amount, now_ms| tokens.take(WINDOW, amount, 2.0, now_ms, true);
        // 11 s of 2 a second are there at first, and may be overdrawn.
        assert_eq!(take(20.0, 0), Ok(()));
        assert_eq!(take(10.0, 0), Ok(()));
        assert_eq!(take(1.0, 0), Err(4000.0));
        assert_eq!(take(1.0, 1000), Err(3000.0));
        assert_eq!(take(1.0, 4000), Ok(()));
        assert_eq!(take(1.0, 4000), Err(500.0));
        // It never holds more than a window's.
        assert_eq!(take(23.0, 100_000), Ok(()));
        assert_eq!(take(1.0, 100_000), Err(500.0));
        assert!(!tokens.is_idle(WINDOW, 111_499) && tokens.is_idle(WINDOW, 111_500));
    }

    #[test]
    fn kip_599_a_permissive_bucket_takes_all_and_tells_how_long_to_wait() {
        let mut tokens = Tokens::default();
        let mut take = |amount, now_ms| tokens.take(WINDOW, amount, 2.0, now_ms, false);
        assert_eq!(take(22.0, 0), Ok(()));
        assert_eq!(take(4.0, 0), Err(2000.0));
        assert_eq!(take(4.0, 0), Err(4000.0));
        tokens.put_back(8.0);
        assert_eq!(tokens.take(WINDOW, 0.0, 2.0, 0, false), Ok(()));
        assert!(!tokens.is_idle(WINDOW, 10_999) && tokens.is_idle(WINDOW, 11_000));
    }
}

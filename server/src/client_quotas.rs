//! Holds clients to their quotas of bytes produced and fetched (KIP-13, KIP-219).
//!
//! As in Kafka, a rate is what went through in eleven samples of a second, and one above the quota
//! is answered with how long the client has to be silent until the rate is the quota again. The
//! answer leaves at once; the connection is not read from until the time is over, so that the
//! quota also holds for a client that does not care.
//!
//! Without quotas a request costs one load of a flag.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use dashmap::DashMap;

use crate::coordinator::catalog::View;
use crate::coordinator::catalog::client_quota::{Owner, Quota, held};

/// The name of every client: nobody is authenticated yet.
pub const ANONYMOUS: &str = "ANONYMOUS";

/// Rates that are kept at most, besides one of each quota: above it, clients of which nothing was
/// heard lately and that have a quota by default are held to it together.
const RATES_MAX: usize = 100_000;
/// `quota.window.num`, Kafka's default.
const SAMPLES: usize = 11;
/// `quota.window.size.seconds`, Kafka's default.
const SAMPLE_MS: i64 = 1000;

/// What went through lately.
#[derive(Debug, Default)]
struct Rate {
    /// When each sample began, and what went through in it; the oldest first.
    samples: VecDeque<(i64, f64)>,
}

impl Rate {
    /// Count `amount`. Gives for how long, in ms, nothing more should come.
    fn record(&mut self, amount: f64, limit: f64, now_ms: i64) -> f64 {
        let expired = now_ms - SAMPLES as i64 * SAMPLE_MS;
        self.samples.retain(|(began, _)| *began > expired);
        match self.samples.back_mut() {
            Some((began, sum)) if now_ms - *began < SAMPLE_MS => *sum += amount,
            _ => self.samples.push_back((now_ms, amount)),
        }
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
        let sum: f64 = self.samples.iter().map(|(_, sum)| sum).sum();
        let oldest = self.samples.front().map_or(now_ms, |(began, _)| *began);
        let elapsed = now_ms - oldest;
        let missing = (SAMPLES as i64 - 1 - elapsed / SAMPLE_MS).max(0);
        let window_ms = (elapsed + missing * SAMPLE_MS) as f64;
        let rate = sum * 1000.0 / window_ms;
        ((rate - limit) / limit * window_ms).max(0.0)
    }

    fn is_idle(&self, now_ms: i64) -> bool {
        let newest = self.samples.back().map_or(i64::MIN, |(began, _)| *began);
        newest < now_ms - SAMPLES as i64 * SAMPLE_MS
    }
}

/// What clients do to their quotas.
#[derive(Debug)]
pub struct ClientQuotas {
    view: Arc<View>,
    rates: DashMap<(Quota, Owner), Mutex<Rate>>,
    /// When idle rates were looked for, monotonic ms.
    swept_ms: AtomicI64,
}

impl ClientQuotas {
    /// Hold clients to the quotas that this view shows.
    #[must_use]
    pub fn new(view: Arc<View>) -> Self {
        Self {
            view,
            rates: DashMap::new(),
            swept_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// A client produced so many bytes at this time (monotonic ms), which is asked for only if
    /// there are quotas. Gives for how long, in ms, it has to be silent; 0 within its quota.
    #[must_use]
    pub fn produced(&self, client_id: Option<&str>, spent: impl FnOnce() -> (usize, i64)) -> i32 {
        if !self.view.has_byte_quotas(false) {
            return 0;
        }
        self.record(Quota::ProducerByteRate, client_id, spent())
    }

    /// A client fetched so many bytes at this time (monotonic ms), which is asked for only if
    /// there are quotas. Gives for how long, in ms, it has to be silent; 0 within its quota.
    #[must_use]
    pub fn fetched(&self, client_id: Option<&str>, spent: impl FnOnce() -> (usize, i64)) -> i32 {
        if !self.view.has_byte_quotas(true) {
            return 0;
        }
        self.record(Quota::ConsumerByteRate, client_id, spent())
    }

    /// The most bytes that one fetch of this client should give: what its quota allows in a whole
    /// window.
    #[must_use]
    pub fn fetch_bytes_max(&self, client_id: Option<&str>) -> usize {
        if !self.view.has_byte_quotas(true) {
            return usize::MAX;
        }
        let quotas = self.view.quotas();
        let limit = quotas.limit(
            Quota::ConsumerByteRate,
            ANONYMOUS,
            client_id.unwrap_or_default(),
        );
        // A cast from a float saturates.
        limit.map_or(usize::MAX, |(_, limit)| {
            (limit.0 * (SAMPLES - 1) as f64) as usize
        })
    }

    fn record(&self, quota: Quota, client_id: Option<&str>, (bytes, now_ms): (usize, i64)) -> i32 {
        let quotas = self.view.quotas();
        let client_id = client_id.unwrap_or_default();
        let Some((owner, limit)) = quotas.limit(quota, ANONYMOUS, client_id) else {
            return 0;
        };
        let mut key = (quota, held(owner, ANONYMOUS, client_id));
        if self.rates.len() >= RATES_MAX
            && !self.rates.contains_key(&key)
            && !self.make_room(now_ms)
        {
            key.1 = owner.clone();
        }
        let rate = self.rates.entry(key).or_default();
        let mut rate = rate
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        rate.record(bytes as f64, limit.0, now_ms).round() as i32
    }

    /// Forget the rates of clients of which nothing was heard lately, at most once a second: it
    /// walks over all. Gives whether there is room for another.
    fn make_room(&self, now_ms: i64) -> bool {
        let swept_ms = self.swept_ms.load(Ordering::Relaxed);
        let is_due = now_ms.saturating_sub(swept_ms) >= SAMPLE_MS;
        let order = Ordering::Relaxed;
        if is_due
            && self
                .swept_ms
                .compare_exchange(swept_ms, now_ms, order, order)
                .is_ok()
        {
            self.rates
                .retain(|_, rate| rate.get_mut().is_ok_and(|rate| !rate.is_idle(now_ms)));
        }
        self.rates.len() < RATES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::catalog::client_quota::{self, Limit, Part};

    #[test]
    fn a_rate_is_that_of_ten_seconds_at_least() {
        let mut rate = Rate::default();
        // 10 s of the quota at once are within it.
        assert_eq!(rate.record(1000.0, 100.0, 0), 0.0);
        // 5 s more are half of the window too much.
        assert_eq!(rate.record(500.0, 100.0, 0), 5000.0);
        // At the end of that time the window has grown to 10 s, which began at 0.
        assert_eq!(rate.record(0.0, 100.0, 5000), 5000.0);
        // What is older than eleven samples is forgotten.
        assert_eq!(rate.record(0.0, 100.0, 16_001), 0.0);
        assert!(!rate.is_idle(20_000) && rate.is_idle(40_000));
    }

    fn quotas(owner: Owner, quota: Quota, limit: f64) -> ClientQuotas {
        let view = Arc::new(View::default());
        let mut all = client_quota::ClientQuotas::default();
        all.put(&owner, &[(quota, Limit(limit))].into());
        view.put_quotas(Arc::new(all));
        ClientQuotas::new(view)
    }

    #[test]
    fn clients_of_a_default_quota_have_a_rate_each() {
        let owner = Owner::from([(Part::ClientId, None)]);
        let quotas = quotas(owner, Quota::ProducerByteRate, 100.0);
        assert_eq!(quotas.produced(Some("a"), || (2000, 0)), 10_000);
        assert_eq!(quotas.produced(Some("b"), || (1000, 0)), 0);
        assert_eq!(quotas.produced(None, || (1000, 0)), 0);
        assert_eq!(quotas.produced(Some("a"), || (0, 0)), 10_000);
        let unasked = || -> (usize, i64) { panic!("there is no quota of that") };
        assert_eq!(quotas.fetched(Some("a"), unasked), 0);
        assert_eq!(quotas.fetch_bytes_max(Some("a")), usize::MAX);
    }

    #[test]
    fn all_clients_of_a_user_share_a_rate() {
        let owner = Owner::from([(Part::User, Some(ANONYMOUS.into()))]);
        let quotas = quotas(owner, Quota::ConsumerByteRate, 100.0);
        assert_eq!(quotas.fetched(Some("a"), || (1000, 0)), 0);
        assert_eq!(quotas.fetched(Some("b"), || (1000, 0)), 10_000);
        assert_eq!(quotas.fetch_bytes_max(Some("c")), 1000);
    }

    #[test]
    fn clients_beyond_the_limit_share_the_rate_of_their_quota() {
        let owner = Owner::from([(Part::ClientId, None)]);
        let quotas = quotas(owner, Quota::ProducerByteRate, 100.0);
        let key = |name: &str| {
            let owner = Owner::from([(Part::ClientId, Some(name.into()))]);
            (Quota::ProducerByteRate, owner)
        };
        for number in 0..RATES_MAX {
            let mut rate = Rate::default();
            rate.record(1.0, 100.0, 0);
            quotas.rates.insert(key(&number.to_string()), rate.into());
        }
        assert_eq!(quotas.produced(Some("a"), || (1000, 0)), 0);
        assert_eq!(quotas.produced(Some("b"), || (1000, 0)), 10_000);
        assert_eq!(quotas.produced(Some("7"), || (999, 0)), 0, "it has its own");
        assert_eq!(quotas.rates.len(), RATES_MAX + 1);
        // Those of which nothing is heard any more make room.
        assert_eq!(quotas.produced(Some("a"), || (1000, 20_000)), 0);
        assert_eq!(quotas.produced(Some("b"), || (1000, 20_000)), 0);
        assert_eq!(quotas.rates.len(), 2);
    }

    #[test]
    fn a_long_name_is_not_kept_whole() {
        let owner = Owner::from([(Part::ClientId, None)]);
        let quotas = quotas(owner, Quota::ProducerByteRate, 100.0);
        let name = "ä".repeat(16_000);
        assert_eq!(quotas.produced(Some(&name), || (2000, 0)), 10_000);
        let kept = quotas.rates.iter().map(|rate| {
            let (_, owner) = rate.key();
            owner.values().flatten().map(|name| name.len()).sum()
        });
        assert_eq!(kept.collect::<Vec<usize>>(), [254], "whole letters");
    }
}

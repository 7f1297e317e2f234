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

use dashmap::DashMap;

use crate::coordinator::catalog::View;
use crate::coordinator::catalog::client_quota::{Owner, Quota};

/// The name of every client: nobody is authenticated yet.
pub const ANONYMOUS: &str = "ANONYMOUS";

/// Rates that are kept at most. Above it, clients that share a quota by default share its rate.
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
}

impl ClientQuotas {
    /// Hold clients to the quotas that this view shows.
    #[must_use]
    pub fn new(view: Arc<View>) -> Self {
        Self {
            view,
            rates: DashMap::new(),
        }
    }

    /// A client produced so many bytes, which are counted only if there are quotas. Gives for how
    /// long, in ms, it has to be silent; 0 within its quota.
    #[must_use]
    pub fn produced(
        &self,
        client_id: Option<&str>,
        now_ms: i64,
        bytes: impl FnOnce() -> usize,
    ) -> i32 {
        if !self.view.has_byte_quotas(false) {
            return 0;
        }
        self.record(Quota::ProducerByteRate, client_id, bytes(), now_ms)
    }

    /// A client fetched so many bytes, which are counted only if there are quotas. Gives for how
    /// long, in ms, it has to be silent; 0 within its quota.
    #[must_use]
    pub fn fetched(
        &self,
        client_id: Option<&str>,
        now_ms: i64,
        bytes: impl FnOnce() -> usize,
    ) -> i32 {
        if !self.view.has_byte_quotas(true) {
            return 0;
        }
        self.record(Quota::ConsumerByteRate, client_id, bytes(), now_ms)
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

    fn record(&self, quota: Quota, client_id: Option<&str>, bytes: usize, now_ms: i64) -> i32 {
        let quotas = self.view.quotas();
        let client_id = client_id.unwrap_or_default();
        let Some((mut owner, limit)) = quotas.limit(quota, ANONYMOUS, client_id) else {
            return 0;
        };
        if self.rates.len() >= RATES_MAX && !self.rates.contains_key(&(quota, owner.clone())) {
            self.rates
                .retain(|_, rate| rate.get_mut().is_ok_and(|rate| !rate.is_idle(now_ms)));
            if self.rates.len() >= RATES_MAX {
                owner = Owner::new();
            }
        }
        let rate = self.rates.entry((quota, owner)).or_default();
        let mut rate = rate
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        rate.record(bytes as f64, limit.0, now_ms).round() as i32
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
        assert_eq!(quotas.produced(Some("a"), 0, || 2000), 10_000);
        assert_eq!(quotas.produced(Some("b"), 0, || 1000), 0);
        assert_eq!(quotas.produced(None, 0, || 1000), 0);
        assert_eq!(quotas.produced(Some("a"), 0, || 0), 10_000);
        assert_eq!(
            quotas.fetched(Some("a"), 0, || 1 << 30),
            0,
            "no quota of that"
        );
        assert_eq!(quotas.fetch_bytes_max(Some("a")), usize::MAX);
    }

    #[test]
    fn all_clients_of_a_user_share_a_rate() {
        let owner = Owner::from([(Part::User, Some(ANONYMOUS.into()))]);
        let quotas = quotas(owner, Quota::ConsumerByteRate, 100.0);
        assert_eq!(quotas.fetched(Some("a"), 0, || 1000), 0);
        assert_eq!(quotas.fetched(Some("b"), 0, || 1000), 10_000);
        assert_eq!(quotas.fetch_bytes_max(Some("c")), 1000);
    }
}

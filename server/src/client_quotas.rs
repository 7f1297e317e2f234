//! Holds clients to their quotas: of bytes produced and fetched (KIP-13), of the time that their
//! requests take (KIP-124), of partitions made and deleted (KIP-599) and of new connections
//! (KIP-612).
//!
//! As in Kafka, a rate is what went through in a window of samples, and one above the quota is
//! answered with how long the client has to be silent until the rate is the quota again. The
//! answer leaves at once; the connection is not read from until the time is over (KIP-219), so
//! that the quota also holds for a client that does not care.
//!
//! Without quotas a request costs a load of a flag for each kind that it could be held to.

mod gauges;
mod rate;
mod tokens;

use std::net::IpAddr;
use std::sync::Arc;

use self::gauges::Gauges;
pub use self::rate::Rate;
use self::tokens::Tokens;
use crate::config::Config;
use crate::coordinator::catalog::View;
use crate::coordinator::catalog::client_quota::{Limit, Owner, Part, Quota, held};

/// The name of every client: nobody is authenticated yet.
pub const ANONYMOUS: &str = "ANONYMOUS";

/// Over how long a rate is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How many samples there are.
    pub samples: usize,
    /// How long each is.
    pub sample_ms: i64,
}

impl Window {
    /// The window of most quotas.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            samples: config.quota_window_num,
            sample_ms: i64::from(config.quota_window_size_seconds) * 1000,
        }
    }

    fn of_mutations(config: &Config) -> Self {
        Self {
            samples: config.controller_quota_window_num,
            sample_ms: i64::from(config.controller_quota_window_size_seconds) * 1000,
        }
    }

    fn total_ms(self) -> i64 {
        (self.samples as i64).saturating_mul(self.sample_ms)
    }
}

/// What clients do to their quotas.
#[derive(Debug)]
pub struct ClientQuotas {
    view: Arc<View>,
    window: Window,
    rates: Gauges<Rate>,
    mutations: Gauges<Tokens>,
}

impl ClientQuotas {
    /// Hold clients to the quotas that this view shows.
    #[must_use]
    pub fn new(view: Arc<View>, config: &Config) -> Self {
        let window = Window::of(config);
        Self {
            view,
            window,
            rates: Gauges::new(window),
            mutations: Gauges::new(Window::of_mutations(config)),
        }
    }

    /// A client produced so many bytes at this time (monotonic ms), which is asked for only if
    /// there are quotas. Gives for how long, in ms, it has to be silent; 0 within its quota.
    #[must_use]
    pub fn produced(&self, client_id: Option<&str>, spent: impl FnOnce() -> (usize, i64)) -> i32 {
        if !self.view.has_quota(Quota::ProducerByteRate) {
            return 0;
        }
        let (bytes, now_ms) = spent();
        to_ms(self.rate(Quota::ProducerByteRate, client_id, bytes as f64, now_ms))
    }

    /// A client fetched so many bytes at this time (monotonic ms), which is asked for only if
    /// there are quotas. Gives for how long, in ms, it has to be silent; 0 within its quota.
    #[must_use]
    pub fn fetched(&self, client_id: Option<&str>, spent: impl FnOnce() -> (usize, i64)) -> i32 {
        if !self.view.has_quota(Quota::ConsumerByteRate) {
            return 0;
        }
        let (bytes, now_ms) = spent();
        to_ms(self.rate(Quota::ConsumerByteRate, client_id, bytes as f64, now_ms))
    }

    /// The most bytes that one fetch of this client should give: what its quota allows in a whole
    /// window.
    #[must_use]
    pub fn fetch_bytes_max(&self, client_id: Option<&str>) -> usize {
        if !self.view.has_quota(Quota::ConsumerByteRate) {
            return usize::MAX;
        }
        let quotas = self.view.quotas();
        let limit = quotas.limit(
            Quota::ConsumerByteRate,
            ANONYMOUS,
            client_id.unwrap_or_default(),
        );
        let seconds = (self.window.total_ms() - self.window.sample_ms).max(1000) as f64 / 1000.0;
        // A cast from a float saturates.
        limit.map_or(usize::MAX, |(_, limit)| (limit.0 * seconds) as usize)
    }

    /// Whether the time that requests take is to be measured. One load: asked for every request.
    #[must_use]
    pub fn measures_requests(&self) -> bool {
        self.view.has_quota(Quota::RequestPercentage)
    }

    /// A client's request took a thread for so many microseconds, up to this time. Gives for how
    /// long, in ms, the client has to be silent: one sample at most; 0 within its quota.
    #[must_use]
    pub fn worked(&self, client_id: Option<&str>, spent_us: u64, now_ms: i64) -> i32 {
        let percent = spent_us as f64 * 100.0 / 1e6;
        let throttle_ms = self.rate(Quota::RequestPercentage, client_id, percent, now_ms);
        to_ms(throttle_ms.min(self.window.sample_ms as f64))
    }

    /// A client is about to make or delete so many partitions. A `strict` one that took too many
    /// before may not.
    ///
    /// # Errors
    /// For how long, in ms, the client has to be silent. Not strict, it may go on all the same.
    pub fn mutates(
        &self,
        client_id: Option<&str>,
        partitions: i32,
        now_ms: i64,
        strict: bool,
    ) -> Result<(), i32> {
        let amount = f64::from(partitions);
        let taken = self.with_tokens(client_id, now_ms, |tokens, window, limit| {
            tokens.take(window, amount, limit, now_ms, strict)
        });
        taken.unwrap_or(Ok(())).map_err(to_ms)
    }

    /// A client did not make or delete so many partitions after all.
    pub fn put_back(&self, client_id: Option<&str>, partitions: i64, now_ms: i64) {
        let amount = partitions as f64;
        self.with_tokens(client_id, now_ms, |tokens, _, _| tokens.put_back(amount));
    }

    fn with_tokens<R>(
        &self,
        client_id: Option<&str>,
        now_ms: i64,
        read: impl FnOnce(&mut Tokens, Window, f64) -> R,
    ) -> Option<R> {
        let quota = Quota::ControllerMutationRate;
        if !self.view.has_quota(quota) {
            return None;
        }
        let quotas = self.view.quotas();
        let client_id = client_id.unwrap_or_default();
        let (owner, Limit(limit)) = quotas.limit(quota, ANONYMOUS, client_id)?;
        let client = held(owner, ANONYMOUS, client_id);
        Some(
            self.mutations
                .with(quota, client, owner, now_ms, |tokens, window| {
                    read(tokens, window, limit)
                }),
        )
    }

    /// Somebody connected from this address. Gives for how long, in ms, the connection is to be
    /// kept waiting before it is refused: one sample at most; 0 within the address's quota.
    #[must_use]
    pub fn connected(&self, ip: IpAddr, now_ms: i64) -> u64 {
        let quota = Quota::ConnectionCreationRate;
        if !self.view.has_quota(quota) {
            return 0;
        }
        let quotas = self.view.quotas();
        let ip = ip.to_canonical();
        let Some((owner, Limit(limit))) = quotas.limit_of_address(ip) else {
            return 0;
        };
        let client = Owner::from([(Part::Ip, Some(ip.to_string().into()))]);
        let throttle_ms = self
            .rates
            .with(quota, client, owner, now_ms, |rate, window| {
                let throttle_ms = rate.record(window, 1.0, limit, now_ms);
                if throttle_ms > 0.0 {
                    // It will be refused.
                    rate.take_back(1.0);
                }
                throttle_ms.min(window.sample_ms as f64)
            });
        throttle_ms.round() as u64
    }

    fn rate(&self, quota: Quota, client_id: Option<&str>, amount: f64, now_ms: i64) -> f64 {
        let quotas = self.view.quotas();
        let client_id = client_id.unwrap_or_default();
        let Some((owner, Limit(limit))) = quotas.limit(quota, ANONYMOUS, client_id) else {
            return 0.0;
        };
        let client = held(owner, ANONYMOUS, client_id);
        self.rates
            .with(quota, client, owner, now_ms, |rate, window| {
                rate.record(window, amount, limit, now_ms)
            })
    }
}

/// Whole milliseconds; a cast from a float saturates.
fn to_ms(throttle_ms: f64) -> i32 {
    throttle_ms.round() as i32
}

#[cfg(test)]
mod tests;

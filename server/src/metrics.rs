//! Every metric, named once.
//!
//! Recording is a handful of relaxed atomic additions: nothing is allocated, formatted or locked
//! per request. Names and text are made when `/metrics` is asked for (`http/metrics.rs`), and
//! what the log or the groups know already is read from them at that moment instead of being
//! counted here.

mod cleaner;
mod histogram;
mod transactions;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use dashmap::DashMap;
use ratel_protocol::ApiKey;
use ratel_storage::TopicId;

pub use cleaner::{CleanerCounts, CleanerMetrics};
pub use histogram::Histogram;
pub use transactions::TransactionMetrics;

/// Upper bounds of time buckets, in microseconds: 50 us to 10 s.
const TIME_BOUNDS_US: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Upper bounds of buckets that count records made durable by one round of syncs.
const RECORD_BOUNDS: &[u64] = &[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// Why a connection was refused, or closed for what its client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// `max.connections` is reached.
    MaxConnections,
    /// `max.connections.per.ip` is reached.
    MaxConnectionsPerIp,
    /// The address is above its quota `connection_creation_rate`.
    ConnectionRate,
    /// The system has no file descriptors left.
    NoDescriptors,
    /// A frame that does not parse (NET-4).
    Malformed,
    /// A frame longer than its limit.
    FrameTooLarge,
    /// A frame that began and did not end within `frame.timeout.ms`.
    FrameTimeout,
    /// A client that did not read for `write.timeout.ms`.
    WriteTimeout,
    /// Nothing came for `connections.max.idle.ms`.
    Idle,
    /// A handler panicked; only this connection was closed.
    Panic,
}

impl Rejection {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 10] = [
        Self::MaxConnections,
        Self::MaxConnectionsPerIp,
        Self::ConnectionRate,
        Self::NoDescriptors,
        Self::Malformed,
        Self::FrameTooLarge,
        Self::FrameTimeout,
        Self::WriteTimeout,
        Self::Idle,
        Self::Panic,
    ];

    /// The value of the label `reason`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::MaxConnections => "max_connections",
            Self::MaxConnectionsPerIp => "max_connections_per_ip",
            Self::ConnectionRate => "connection_rate",
            Self::NoDescriptors => "no_descriptors",
            Self::Malformed => "malformed",
            Self::FrameTooLarge => "frame_too_large",
            Self::FrameTimeout => "frame_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::Idle => "idle",
            Self::Panic => "panic",
        }
    }
}

/// What passed through one topic since the start.
#[derive(Debug, Default)]
pub struct TopicMetrics {
    bytes_in: AtomicU64,
    records_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl TopicMetrics {
    /// Count an appended batch: its bytes as sent, and its records.
    pub fn appended(&self, bytes: u64, records: u64) {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        self.records_in.fetch_add(records, Ordering::Relaxed);
    }

    /// Count bytes of batches given to a fetch.
    pub fn fetched(&self, bytes: u64) {
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes appended.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    /// Records appended.
    #[must_use]
    pub fn records_in(&self) -> u64 {
        self.records_in.load(Ordering::Relaxed)
    }

    /// Bytes fetched.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }
}

/// Counts a connection for as long as it lives.
#[derive(Debug)]
pub struct ConnectionGuard(Arc<AtomicI64>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All that is counted while the server runs.
#[derive(Debug)]
pub struct Metrics {
    requests: Vec<Histogram>,
    errors: DashMap<(i16, i16), AtomicU64>,
    connections: DashMap<Arc<str>, Arc<AtomicI64>>,
    rejections: [AtomicU64; Rejection::ALL.len()],
    topics: DashMap<TopicId, Arc<TopicMetrics>>,
    sync_time: Histogram,
    sync_records: Histogram,
    recovery_us: AtomicU64,
    /// What the cleaning of compacted logs did.
    pub cleaner: CleanerMetrics,
    /// What is counted of transactions.
    pub transactions: TransactionMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: (0..ApiKey::PLACES)
                .map(|_| Histogram::new(TIME_BOUNDS_US))
                .collect(),
            errors: DashMap::new(),
            connections: DashMap::new(),
            rejections: [const { AtomicU64::new(0) }; Rejection::ALL.len()],
            topics: DashMap::new(),
            sync_time: Histogram::new(TIME_BOUNDS_US),
            sync_records: Histogram::new(RECORD_BOUNDS),
            recovery_us: AtomicU64::new(0),
            cleaner: CleanerMetrics::default(),
            transactions: TransactionMetrics::default(),
        }
    }
}

impl Metrics {
    /// A request of this API was answered `elapsed_us` after it was read.
    pub fn request(&self, key: ApiKey, elapsed_us: u64) {
        self.requests[key.place()].record(elapsed_us);
    }

    /// An answer of this API carried an error code other than 0.
    pub fn request_error(&self, key: ApiKey, code: i16) {
        let place = (key as i16, code);
        if let Some(count) = self.errors.get(&place) {
            count.fetch_add(1, Ordering::Relaxed);
        } else {
            let count = self.errors.entry(place).or_default();
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Count a connection of this listener until the guard is dropped.
    #[must_use]
    pub fn connection(&self, listener: &Arc<str>) -> ConnectionGuard {
        let count = self
            .connections
            .entry(listener.clone())
            .or_default()
            .clone();
        count.fetch_add(1, Ordering::Relaxed);
        ConnectionGuard(count)
    }

    /// A connection was refused or closed for this reason.
    pub fn rejected(&self, reason: Rejection) {
        self.rejections[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The counters of a topic. A handler that touches a topic often keeps the handle.
    #[must_use]
    pub fn topic(&self, id: TopicId) -> Arc<TopicMetrics> {
        if let Some(topic) = self.topics.get(&id) {
            return topic.clone();
        }
        self.topics.entry(id).or_default().clone()
    }

    /// A round of syncs took this long and made so many records durable.
    pub fn synced(&self, elapsed_us: u64, records: u64) {
        self.sync_time.record(elapsed_us);
        self.sync_records.record(records);
    }

    /// Opening the logs took this long.
    pub fn recovered(&self, elapsed_us: u64) {
        self.recovery_us.store(elapsed_us, Ordering::Relaxed);
    }

    /// The times of the requests of one API, in microseconds.
    #[must_use]
    pub fn request_times(&self, key: ApiKey) -> &Histogram {
        &self.requests[key.place()]
    }

    /// How often each API (its key) answered with each error code, in no order.
    #[must_use]
    pub fn request_errors(&self) -> Vec<((i16, i16), u64)> {
        self.errors
            .iter()
            .map(|entry| (*entry.key(), entry.value().load(Ordering::Relaxed)))
            .collect()
    }

    /// Open connections by listener, in no order.
    #[must_use]
    pub fn connections(&self) -> Vec<(Arc<str>, i64)> {
        self.connections
            .iter()
            .map(|entry| (entry.key().clone(), entry.value().load(Ordering::Relaxed)))
            .collect()
    }

    /// How many connections were refused or closed for this reason.
    #[must_use]
    pub fn rejections(&self, reason: Rejection) -> u64 {
        self.rejections[reason as usize].load(Ordering::Relaxed)
    }

    /// Forget the counters of topics that `exists` says no of.
    pub fn retain_topics(&self, exists: impl Fn(TopicId) -> bool) {
        self.topics.retain(|id, _| exists(*id));
    }

    /// Durations of sync rounds, in microseconds.
    #[must_use]
    pub fn sync_times(&self) -> &Histogram {
        &self.sync_time
    }

    /// Records made durable by each round.
    #[must_use]
    pub fn sync_records(&self) -> &Histogram {
        &self.sync_records
    }

    /// How long opening the logs took, in microseconds.
    #[must_use]
    pub fn recovery_us(&self) -> u64 {
        self.recovery_us.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Metrics, Rejection};
    use ratel_protocol::ApiKey;
    use std::sync::Arc;

    #[test]
    fn a_connection_counts_until_its_guard_goes() {
        let metrics = Metrics::default();
        let listener: Arc<str> = "PLAINTEXT".into();
        let first = metrics.connection(&listener);
        let second = metrics.connection(&listener);
        assert_eq!(metrics.connections(), [(listener.clone(), 2)]);
        drop(first);
        assert_eq!(metrics.connections(), [(listener.clone(), 1)]);
        drop(second);
        assert_eq!(metrics.connections(), [(listener, 0)]);
    }

    #[test]
    fn requests_errors_and_topics_add_up() {
        let metrics = Metrics::default();
        metrics.request(ApiKey::Produce, 80);
        metrics.request(ApiKey::Produce, 700);
        let times = metrics.request_times(ApiKey::Produce);
        assert_eq!((times.count(), times.sum()), (2, 780));

        metrics.request_error(ApiKey::Fetch, 3);
        metrics.request_error(ApiKey::Fetch, 3);
        assert_eq!(metrics.request_errors(), [((1, 3), 2)]);

        let id = uuid::Uuid::from_u128(7);
        metrics.topic(id).appended(100, 2);
        metrics.topic(id).fetched(40);
        let topic = metrics.topic(id);
        assert_eq!(
            (topic.bytes_in(), topic.records_in(), topic.bytes_out()),
            (100, 2, 40)
        );
        metrics.retain_topics(|there| there != id);
        assert_eq!(metrics.topic(id).bytes_in(), 0);
    }

    #[test]
    fn every_reason_has_its_own_place_and_label() {
        let metrics = Metrics::default();
        for (place, reason) in Rejection::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            metrics.rejected(reason);
            assert_eq!(metrics.rejections(reason), 1);
        }
        let mut labels: Vec<_> = Rejection::ALL.map(Rejection::label).into();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Rejection::ALL.len());
    }
}

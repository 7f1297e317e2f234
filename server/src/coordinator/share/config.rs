//! How one group's queues behave: what a handler found in the group's configuration.

/// A share group's settings, resolved: the group's own value, else the broker's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// How long a lease lasts, ms; 100 to 43,200,000 (`share.record.lock.duration.ms`).
    pub lock_duration_ms: i64,
    /// Deliveries after which a record is given up, 1 to 1000 (`share.delivery.count.limit`).
    pub delivery_count_limit: i16,
    /// Records of one queue that may be leased at once (`share.partition.max.record.locks`).
    pub max_record_locks: usize,
    /// Whether a lease may be renewed (`share.renew.acknowledge.enable`).
    pub renew: bool,
    /// How long a record that came back once is held, ms; doubles with every further delivery
    /// (`queue.release.backoff.ms`). 0 holds nothing.
    pub release_backoff_ms: i64,
    /// The longest it is held, ms (`queue.release.backoff.max.ms`).
    pub release_backoff_max_ms: i64,
    /// Whether records that are given up go to a dead-letter topic
    /// (`errors.deadletterqueue.topic.name` is not empty).
    pub dead_letters: bool,
    /// Whether nothing is leased for now (`queue.paused`). What is leased stays so.
    pub paused: bool,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            lock_duration_ms: 30_000,
            delivery_count_limit: 5,
            max_record_locks: 2000,
            renew: true,
            release_backoff_ms: 0,
            release_backoff_max_ms: 0,
            dead_letters: false,
            paused: false,
        }
    }
}

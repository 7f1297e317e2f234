//! What transactions may do at most, out of the configuration.

use crate::config::Config;

/// Limits and times of transactions. Kafka's names stand in [`Config`].
#[derive(Debug, Clone)]
pub struct Limits {
    /// The longest timeout of a transaction, ms.
    pub timeout_max_ms: i32,
    /// How often transactions are looked at for their timeout, ms.
    pub timeout_check_ms: i64,
    /// A transactional id that was not used for this long goes, ms.
    pub expiration_ms: i64,
    /// How often ids are looked at for that, ms.
    pub expiration_check_ms: i64,
    /// Transactional ids of one shard.
    pub ids_max: usize,
    /// Partitions of one transaction.
    pub partitions_max: usize,
}

/// Strings in records have an int16 length.
pub const ID_BYTES_MAX: usize = i16::MAX as usize;
/// How long a partition that is to be added waits for the markers of the transaction before, ms.
pub const PARKED_MS: i64 = 100;
/// How many may wait so for one transactional id. A producer needs one for each partition.
pub const PARKED_MAX: usize = 64;
/// The first and the longest wait before markers that could not be written are tried again, ms.
pub const MARKERS_BACKOFF_MS: (i64, i64) = (20, 5000);
/// Records of one round of upkeep; more follow in the next.
pub const UPKEEP_RECORDS: usize = 1000;
/// Between two such rounds, ms.
pub const UPKEEP_PAUSE_MS: i64 = 100;

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            timeout_max_ms: config.transaction_max_timeout_ms,
            timeout_check_ms: config.transaction_abort_timed_out_transaction_cleanup_interval_ms,
            expiration_ms: config.transactional_id_expiration_ms,
            expiration_check_ms: config.transaction_remove_expired_transaction_cleanup_interval_ms,
            ids_max: config.transactional_ids_max,
            partitions_max: config.transaction_partitions_max,
        }
    }
}

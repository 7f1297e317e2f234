//! What groups may do at most, out of the configuration.

use super::consumer::assignor::Assignor;
use super::consumer::{ConsumerLimits, ConsumerSettings};
use super::share::ShareSettings;
use crate::config::Config;

/// Limits and timeouts of groups. Kafka's names stand in [`Config`].
#[derive(Debug, Clone)]
pub struct Limits {
    /// The shortest session, ms.
    pub session_timeout_min_ms: i32,
    /// The longest session, ms.
    pub session_timeout_max_ms: i32,
    /// How long a new group waits for more members, ms.
    pub initial_rebalance_delay_ms: i64,
    /// Members of one group.
    pub members_max: usize,
    /// Groups of one shard.
    pub groups_max: usize,
    /// Bytes of what one member says of itself, over all its protocols.
    pub member_bytes_max: usize,
    /// Bytes of all subscriptions and assignments of one group.
    pub group_bytes_max: usize,
    /// Length of the note beside a committed offset.
    pub offset_metadata_max: usize,
    /// How long offsets live without a reader, ms.
    pub offsets_retention_ms: i64,
    /// How often expired offsets are looked for, ms.
    pub offsets_check_interval_ms: i64,
    /// How share groups treat their members until a heartbeat says otherwise.
    pub share: ShareSettings,
    /// What is the same for all consumer groups.
    pub consumer: ConsumerLimits,
}

/// Member ids that were given out and not come back with, in one group: without a limit they
/// would be a way to fill the memory.
pub const PENDING_MAX: usize = 10_000;
/// Protocols that one member may offer. Clients offer a handful.
pub const PROTOCOLS_MAX: usize = 1000;
/// Strings in records have an int16 length.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;
/// A new member that waits in JoinGroup cannot send heartbeats; after this it must ask again, ms.
pub const NEW_MEMBER_TIMEOUT_MS: i64 = 300_000;
/// Records of one round of upkeep; more follow in the next.
pub const UPKEEP_RECORDS: usize = 5000;
/// After this time, what could not be done about a share group's queues is tried again, ms.
pub const QUEUES_RETRY_MS: i64 = 1000;
/// Between two such rounds, ms.
pub const UPKEEP_PAUSE_MS: i64 = 100;

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            session_timeout_min_ms: config.group_min_session_timeout_ms,
            session_timeout_max_ms: config.group_max_session_timeout_ms,
            initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms.max(0),
            members_max: config.group_max_size,
            groups_max: config.groups_max,
            member_bytes_max: config.group_member_max_bytes,
            group_bytes_max: config.group_metadata_max_bytes,
            offset_metadata_max: config.offset_metadata_max_bytes.min(STRING_BYTES_MAX),
            offsets_retention_ms: config.offsets_retention_minutes.saturating_mul(60_000),
            offsets_check_interval_ms: config.offsets_retention_check_interval_ms.max(1),
            share: ShareSettings {
                session_timeout_ms: i64::from(config.group_share_session_timeout_ms),
                heartbeat_interval_ms: config.group_share_heartbeat_interval_ms,
                members_max: config.group_share_max_size,
            },
            consumer: ConsumerLimits {
                settings: ConsumerSettings {
                    session_timeout_ms: i64::from(config.group_consumer_session_timeout_ms),
                    heartbeat_interval_ms: config.group_consumer_heartbeat_interval_ms,
                },
                members_max: config.group_consumer_max_size,
                assignors: assignors(&config.group_consumer_assignors).collect(),
                migration: config.group_consumer_migration_policy,
                regex_refresh_interval_ms: config.group_consumer_regex_refresh_interval_ms,
            },
        }
    }
}

/// The assignors that a list names; `group.consumer.assignors` knows no other names.
fn assignors(list: &str) -> impl Iterator<Item = Assignor> + '_ {
    list.split(',')
        .filter_map(|name| Assignor::named(name.trim()))
}

//! The catalog's logic: topics, ids, partitions, configurations, producer ids.
//!
//! [`machine`] decides, over a log of its own ([`record`]); a [`View`] shows readers what exists.
//! The handle and the shell are in `catalog.rs`.

use ratel_protocol::ErrorCode;
use ratel_storage::{PartitionId, TopicId};

use crate::error::Refusal;

pub mod alter;
pub mod broker_config;
pub mod client_metrics;
pub mod client_quota;
pub mod config_key;
pub mod group_config;
pub mod machine;
pub mod record;
pub mod redrive_job;
pub mod topic_config;
mod view;

pub use view::{Topic, View};

/// Where the catalog's own log lies. Kafka keeps this id for its metadata log, so no topic has
/// it.
pub const CATALOG_PARTITION: PartitionId = PartitionId {
    topic: TopicId::from_u128(1),
    index: 0,
};

/// The topic of committed offsets and groups.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The topic of queues.
pub const SHARE_STATE_TOPIC: &str = "__share_group_state";

/// The topic of transactional ids.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// The name of KRaft's metadata log, which no topic may have: tools take it for that log.
pub const METADATA_LOG: &str = "__cluster_metadata";

/// Whether the server makes this topic for itself.
#[must_use]
pub fn is_internal_name(name: &str) -> bool {
    matches!(name, OFFSETS_TOPIC | TRANSACTIONS_TOPIC | SHARE_STATE_TOPIC)
}

/// Whether a topic can have this name: 1 to 249 letters, digits, `.`, `_` and `-`, but neither
/// `.` nor `..`.
#[must_use]
pub fn is_legal_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&name.len()) && !matches!(name, "." | "..") && name.chars().all(legal)
}

/// [`is_legal_name`], as a refusal.
///
/// # Errors
/// INVALID_TOPIC_EXCEPTION with a sentence.
pub fn check_legal_name(name: &str) -> Result<(), Refusal> {
    match is_legal_name(name) {
        true => Ok(()),
        false => Err(Refusal::new(
            ErrorCode::InvalidTopicException,
            "A topic's name is 1 to 249 letters, digits, '.', '_' and '-', and neither '.' nor \
             '..'.",
        )),
    }
}

/// Whether a topic of `had` partitions may have `wanted`.
///
/// # Errors
/// INVALID_PARTITIONS with a sentence.
pub fn check_growth(had: i32, wanted: i32) -> Result<(), Refusal> {
    let message = match wanted {
        ..1 => format!("{wanted} partitions: a topic has at least one."),
        _ if wanted <= had => format!(
            "The topic has {had} partitions already, which cannot become {wanted}: the number \
             only grows."
        ),
        _ => return Ok(()),
    };
    Err(Refusal::new(ErrorCode::InvalidPartitions, message))
}

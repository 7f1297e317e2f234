//! The catalog: topics, ids, partitions, configurations, producer id blocks.

mod view;

pub use view::{Topic, View};

use std::ops::Range;
use std::sync::Arc;

use ratel_protocol::ErrorCode;

/// The catalog's handle: a view for readers, a mailbox for changes.
#[derive(Clone)]
pub struct Catalog {
    /// What exists now. Reading it takes no message.
    pub view: Arc<View>,
}

impl Catalog {
    /// Make a topic that a client asked for by name, with the broker's defaults; give the one
    /// that is there if somebody else was faster.
    ///
    /// # Errors
    /// INVALID_TOPIC_EXCEPTION for a name that no topic can have, POLICY_VIOLATION above the
    /// limits of topics and partitions.
    pub fn create_automatically(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Arc<Topic>, ErrorCode>> + Send + use<> {
        let topic = self.view.topic(name);
        std::future::ready(topic.ok_or(ErrorCode::UnknownTopicOrPartition))
    }

    /// Hand out a block of producer ids that was never handed out before. That it was is durable
    /// when this answers.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE if it cannot be written down.
    pub fn producer_id_block(
        &self,
    ) -> impl Future<Output = Result<Range<i64>, ErrorCode>> + Send + use<> {
        std::future::ready(Err(ErrorCode::CoordinatorNotAvailable))
    }
}

/// Whether a topic can have this name: 1 to 249 letters, digits, `.`, `_` and `-`, but neither
/// `.` nor `..`.
#[must_use]
pub fn is_legal_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&name.len()) && !matches!(name, "." | "..") && name.chars().all(legal)
}

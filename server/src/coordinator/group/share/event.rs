//! What may happen to share groups, and what they answer.

use std::sync::Arc;

use ratel_storage::TopicId;

use super::Assignment;
use crate::coordinator::group::record::QueueTopic;

/// A sign of life of a share group's member, its wish to join, or its farewell.
#[derive(Debug, Clone)]
pub struct ShareHeartbeat {
    /// The group.
    pub group: Arc<str>,
    /// The member's id, which the client made: 1 to 36 characters.
    pub member: Arc<str>,
    /// The epoch it believes in; 0 to join, -1 to leave.
    pub epoch: i32,
    /// Its rack; none if that is as it was.
    pub rack: Option<Arc<str>>,
    /// The names of the topics it reads; none if they are as they were.
    pub topics: Option<Vec<Arc<str>>>,
    /// How each of these topics is now.
    pub found: Vec<TopicNow>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub client_host: Arc<str>,
    /// The group's settings.
    pub settings: ShareSettings,
}

/// A topic as the catalog shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicNow {
    /// Its name.
    pub name: Arc<str>,
    /// A version of the catalog's view that this is not older than.
    pub version: u64,
    /// Its id and how many partitions it has; none if there is no such topic.
    pub topic: Option<(TopicId, i32)>,
}

/// How a share group treats its members: its own configuration, else the broker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareSettings {
    /// How long a member may be silent, ms (`share.session.timeout.ms`).
    pub session_timeout_ms: i64,
    /// How often it is to be heard, ms (`share.heartbeat.interval.ms`).
    pub heartbeat_interval_ms: i32,
    /// How many members there may be (`group.share.max.size`).
    pub members_max: usize,
}

impl Default for ShareSettings {
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5000,
            members_max: 200,
        }
    }
}

/// What a member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareBeat {
    /// Its epoch, or -1 if it has left.
    pub epoch: i32,
    /// How often it is to be heard, ms; 0 if it has left.
    pub heartbeat_interval_ms: i32,
    /// Its partitions, if they changed or it cannot know them.
    pub assignment: Option<Arc<Assignment>>,
}

/// A share group as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareDescription {
    /// Its state: `Empty` or `Stable`.
    pub state: &'static str,
    /// Its epoch.
    pub epoch: i32,
    /// The epoch that the assignment was made for.
    pub assignment_epoch: i32,
    /// Its members, in the order of their ids.
    pub members: Vec<ShareMemberDescription>,
}

/// A share group's member as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareMemberDescription {
    /// Its id.
    pub id: Arc<str>,
    /// Its rack, if it said so.
    pub rack: Option<Arc<str>>,
    /// Its epoch.
    pub epoch: i32,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub client_host: Arc<str>,
    /// The names of the topics it reads.
    pub topics: Vec<Arc<str>>,
    /// Its partitions.
    pub assigned: Arc<Assignment>,
}

/// Topics whose queues change together.
pub type QueueTopics = Vec<(TopicId, QueueTopic)>;

/// What happens to the queues of a share group beside its members' subscriptions.
#[derive(Debug, Clone)]
pub enum QueueEvent {
    /// These are there now: an [`Action::InitializeQueues`] succeeded. No reply.
    ///
    /// [`Action::InitializeQueues`]: crate::coordinator::group::Action::InitializeQueues
    Initialized(QueueTopics),
    /// Not all of what an action asked for could be done; it is issued again after a while. No
    /// reply.
    Failed,
    /// All queues of a group that is being deleted are gone. No reply.
    Gone,
    /// An administrator is about to make or alter queues (AlterShareGroupOffsets); a group that is
    /// not there is made if there are any, one with members refuses with NON_EMPTY_GROUP. Replies
    /// `Done`, durable. [`QueueEvent::Initialized`] is to follow once the queues are as wanted; if
    /// a crash comes first, they are initialized like any other.
    Alter(QueueTopics),
    /// An administrator deletes the queues of topics (DeleteShareGroupOffsets); a group with
    /// members refuses with NON_EMPTY_GROUP. Replies `Done`, durable. Whoever joins afterwards has
    /// them made anew.
    Remove(Vec<TopicId>),
    /// Replies [`ShareQueueList`].
    List,
}

/// The queues of a share group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShareQueueList {
    /// How many members the group has.
    pub members: usize,
    /// Topics with their partitions that have queues, in the order of the topics' ids.
    pub topics: QueueTopics,
}

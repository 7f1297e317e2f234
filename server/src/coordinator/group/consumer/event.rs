//! What may happen to consumer groups, and what they answer.

use std::sync::Arc;

use super::assignor::Assignor;
use crate::config::MigrationPolicy;
use crate::coordinator::group::record::{Assignment, ClassicMember, ConsumerMemberMetadata};
use crate::coordinator::group::share::TopicNow;

/// A sign of life of a consumer group's member, its wish to join, or its farewell.
#[derive(Debug, Clone)]
pub struct ConsumerHeartbeat {
    /// The group.
    pub group: Arc<str>,
    /// The member's id; whoever sends version 0 and has none was given one by the handler.
    pub member: Arc<str>,
    /// The epoch it believes in; 0 to join, -1 to leave, -2 to leave for a while.
    pub epoch: i32,
    /// The name of a static member.
    pub instance: Option<Arc<str>>,
    /// Its rack; none if that is as it was.
    pub rack: Option<Arc<str>>,
    /// How long it may take to give up partitions, ms; none if that is as it was.
    pub rebalance_timeout_ms: Option<i32>,
    /// The names of the topics it reads; none if they are as they were.
    pub topics: Option<Vec<Arc<str>>>,
    /// A regular expression for more topics, empty for none; none if it is as it was.
    pub regex: Option<Arc<str>>,
    /// Whether the expression can be understood.
    pub regex_valid: bool,
    /// The assignor it asks for; none if that is as it was.
    pub assignor: Option<Arc<str>>,
    /// The names of the topics that the expression stands for, in order, and the version of the
    /// catalog's view that this is not older than; none without a valid expression.
    pub matches: Option<(u64, Vec<Arc<str>>)>,
    /// What it holds, each list in ascending order; none if it does not say.
    pub owned: Option<Assignment>,
    /// How each of these topics is now.
    pub found: Vec<TopicNow>,
    /// What a member says that speaks the classic protocol (H-10): its JoinGroup counts as a
    /// heartbeat that joins and says all.
    pub classic: Option<ClassicMember>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub client_host: Arc<str>,
    /// The group's settings.
    pub settings: ConsumerSettings,
}

/// How a consumer group treats its members: its own configuration, else the broker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// How long a member may be silent, ms (`consumer.session.timeout.ms`).
    pub session_timeout_ms: i64,
    /// How often it is to be heard, ms (`consumer.heartbeat.interval.ms`).
    pub heartbeat_interval_ms: i32,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5000,
        }
    }
}

/// What is the same for all consumer groups.
#[derive(Debug, Clone)]
pub struct ConsumerLimits {
    /// How groups treat their members until a heartbeat says otherwise.
    pub settings: ConsumerSettings,
    /// Members of one group at most (`group.consumer.max.size`).
    pub members_max: usize,
    /// The assignors there are; the first is used if nobody asks for one
    /// (`group.consumer.assignors`).
    pub assignors: Vec<Assignor>,
    /// Which groups with members change their kind (`group.consumer.migration.policy`).
    pub migration: MigrationPolicy,
    /// How often regular expressions are held against all topics once more, ms
    /// (`group.consumer.regex.refresh.interval.ms`).
    pub regex_refresh_interval_ms: i64,
}

/// What a member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerBeat {
    /// Its id.
    pub member: Arc<str>,
    /// Its epoch, or the one with which it left.
    pub epoch: i32,
    /// How often it is to be heard, ms; 0 if it has left.
    pub heartbeat_interval_ms: i32,
    /// Its partitions, if they changed or it cannot know them.
    pub assignment: Option<Arc<Assignment>>,
}

/// The topics that regular expressions of a group stand for, as the catalog shows them.
#[derive(Debug, Clone)]
pub struct Matches {
    /// The group.
    pub group: Arc<str>,
    /// The number of the round that asked for this.
    pub round: u64,
    /// A version of the catalog's view that this is not older than.
    pub version: u64,
    /// Each expression with the names of its topics.
    pub matches: Vec<(Arc<str>, Vec<Arc<str>>)>,
    /// How each of these topics is now.
    pub found: Vec<TopicNow>,
}

/// A consumer group as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerDescription {
    /// Its state: `Empty`, `Assigning`, `Reconciling` or `Stable`.
    pub state: &'static str,
    /// Its epoch.
    pub epoch: i32,
    /// The epoch that the assignment was made for.
    pub assignment_epoch: i32,
    /// The name of its assignor.
    pub assignor: &'static str,
    /// Its members, in the order of their ids.
    pub members: Vec<ConsumerMemberDescription>,
}

/// A consumer group's member as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMemberDescription {
    /// Its id.
    pub id: Arc<str>,
    /// Who it is and what it reads.
    pub metadata: Arc<ConsumerMemberMetadata>,
    /// Its epoch.
    pub epoch: i32,
    /// Its partitions.
    pub assigned: Arc<Assignment>,
    /// The partitions that it is to hold in the end.
    pub target: Arc<Assignment>,
}

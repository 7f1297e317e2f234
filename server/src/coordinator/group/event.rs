//! What may happen to groups, and what they answer. Plain values: no request type, no version.
//!
//! Strings and bytes in events must own their memory: a slice of a request's frame would keep the
//! whole frame alive for as long as a member lives.

use std::sync::Arc;

use bytes::Bytes;
use ratel_protocol::ErrorCode;
use ratel_storage::{Marker, Offset, Producer, TopicId};
use uuid::Uuid;

use super::consumer::{ConsumerBeat, ConsumerDescription, ConsumerHeartbeat, Matches};
use super::record::Committed;
use super::share::{
    QueueEvent, ShareBeat, ShareDescription, ShareHeartbeat, ShareQueueList, TopicNow,
};

/// What may happen.
#[derive(Debug, Clone)]
pub enum Event {
    /// Someone wants into a group, or to stay in it for the next generation.
    Join(Join),
    /// A member asks for its assignment; the leader brings everybody's.
    Sync(Sync),
    /// A member is alive.
    Heartbeat(Heartbeat),
    /// Members leave, or are removed by an administrator.
    Leave(Leave),
    /// Offsets are committed.
    Commit(Commit),
    /// A producer is about to commit offsets inside its transaction. Replies
    /// [`Reply::Transaction`].
    LookAtTransaction(Producer),
    /// Offsets are committed inside a transaction (T-14). Replies [`Reply::Committed`].
    TransactionCommit(TransactionCommit),
    /// A producer's transaction has ended: what it committed in this shard's groups counts, or
    /// goes.
    Marker(Marker),
    /// Committed offsets are asked for.
    Fetch(Fetch),
    /// Committed offsets are deleted.
    DeleteOffsets(DeleteOffsets),
    /// A group is looked at.
    Describe(Arc<str>),
    /// A group is deleted.
    DeleteGroup(Arc<str>),
    /// All groups of the shard are listed.
    List,
    /// All groups of the shard and their offsets are listed: what lag metrics need.
    Survey,
    /// A topic is gone.
    TopicDeleted(TopicId),
    /// A member of a share group is alive, joins or leaves. Replies [`Reply::ShareBeat`].
    ShareHeartbeat(ShareHeartbeat),
    /// A share group is looked at. Replies [`Reply::ShareDescribed`].
    DescribeShare(Arc<str>),
    /// A member of a consumer group is alive, joins or leaves. Replies [`Reply::ConsumerBeat`].
    ConsumerHeartbeat(ConsumerHeartbeat),
    /// A consumer group is looked at. Replies [`Reply::ConsumerDescribed`].
    DescribeConsumer(Arc<str>),
    /// An [`Action::MatchTopics`] is done. No reply.
    ///
    /// [`Action::MatchTopics`]: super::Action::MatchTopics
    Matched(Matches),
    /// Something happens to a share group's queues.
    Queues(Arc<str>, QueueEvent),
    /// A topic was made, grew or went: share and consumer groups may read it.
    TopicChanged(TopicNow),
    /// An [`Action::FindTopics`] is done. No reply.
    ///
    /// [`Action::FindTopics`]: super::Action::FindTopics
    Topics(Vec<TopicNow>),
}

impl Event {
    /// Where to put topics that may be wanted ([`Reply::TopicsWanted`]); none if none can be.
    pub fn found(&mut self) -> Option<&mut Vec<TopicNow>> {
        match self {
            Self::Join(join) => Some(&mut join.found),
            Self::ConsumerHeartbeat(heartbeat) if heartbeat.epoch == 0 => {
                Some(&mut heartbeat.found)
            }
            _ => None,
        }
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The member is in.
    Joined(Joined),
    /// Come back with this member id (G-3).
    MemberIdRequired(Arc<str>),
    /// Nothing is decided: send the event once more, with these topics among those that it found.
    TopicsWanted(Vec<Arc<str>>),
    /// The member's assignment.
    Synced(Synced),
    /// Nothing more to say: a heartbeat, a deleted group, a deleted topic.
    Done,
    /// What became of each who wanted to leave, in order.
    Left(Vec<Result<(), ErrorCode>>),
    /// What became of each offset, in the order of the event.
    Committed(Vec<Result<(), ErrorCode>>),
    /// How a producer's transaction stands in this shard's log.
    Transaction {
        /// It has begun here: the coordinator need not be asked.
        is_open: bool,
        /// Where the log ends now: see [`TransactionCommit::verified_at`].
        end: Offset,
    },
    /// Committed offsets.
    Fetched(Vec<FetchedTopic>),
    /// What became of each offset to delete, in the order of the event.
    DeletedOffsets(Vec<Result<(), ErrorCode>>),
    /// A group, as it is.
    Described(Description),
    /// The shard's groups.
    Listed(Vec<Listed>),
    /// The shard's groups with their offsets.
    Surveyed(Vec<Survey>),
    /// What a share group's member is told.
    ShareBeat(ShareBeat),
    /// A share group, as it is.
    ShareDescribed(ShareDescription),
    /// A share group's queues.
    ShareQueues(ShareQueueList),
    /// What a consumer group's member is told.
    ConsumerBeat(ConsumerBeat),
    /// A consumer group, as it is.
    ConsumerDescribed(ConsumerDescription),
}

/// A wish to join.
#[derive(Debug, Clone)]
pub struct Join {
    /// The group.
    pub group: Arc<str>,
    /// Empty for someone new.
    pub member: Arc<str>,
    /// The name of a static member.
    pub instance: Option<Arc<str>>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub client_host: Arc<str>,
    /// How long it may be silent, ms.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for it, ms.
    pub rebalance_timeout_ms: i32,
    /// `consumer`, `connect`, `sr` ...: opaque.
    pub protocol_type: Arc<str>,
    /// What it can do, best first: opaque.
    pub protocols: Vec<Protocol>,
    /// Someone new and dynamic must come back with the id it is given (v4+).
    pub requires_member_id: bool,
    /// The leader of an unchanged group can be told to skip the assignment (v9+).
    pub can_skip_assignment: bool,
    /// Randomness for a new member id.
    pub fresh: Uuid,
    /// How each of these topics is now (see [`Reply::TopicsWanted`]).
    pub found: Vec<TopicNow>,
}

/// A protocol that a member can follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// Its name (`range`, `cooperative-sticky`).
    pub name: Arc<str>,
    /// What the leader needs to know of the member.
    pub metadata: Bytes,
}

/// A member's place in a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The member's id.
    pub member: Arc<str>,
    /// The generation.
    pub generation: i32,
    /// The group's protocol type.
    pub protocol_type: Arc<str>,
    /// The protocol that was chosen.
    pub protocol: Option<Arc<str>>,
    /// The leader's member id.
    pub leader: Arc<str>,
    /// All members, for the leader; none for others (G-6).
    pub members: Vec<JoinedMember>,
    /// The assignment stands: the leader need not make one.
    pub skip_assignment: bool,
}

/// What the leader learns of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub id: Arc<str>,
    /// The name of a static member.
    pub instance: Option<Arc<str>>,
    /// Its metadata for the protocol that was chosen.
    pub metadata: Bytes,
}

/// A request for an assignment.
#[derive(Debug, Clone)]
pub struct Sync {
    /// The group.
    pub group: Arc<str>,
    /// The member.
    pub member: Arc<str>,
    /// The name of a static member.
    pub instance: Option<Arc<str>>,
    /// The generation it believes in.
    pub generation: i32,
    /// The protocol type it believes in, where it says so (v5+).
    pub protocol_type: Option<Arc<str>>,
    /// The protocol it believes in, where it says so (v5+).
    pub protocol: Option<Arc<str>>,
    /// By member id, from the leader.
    pub assignments: Vec<(Arc<str>, Bytes)>,
}

/// An assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The group's protocol type.
    pub protocol_type: Arc<str>,
    /// The protocol that was chosen.
    pub protocol: Option<Arc<str>>,
    /// What the leader gave this member; empty if nothing.
    pub assignment: Bytes,
}

/// A sign of life.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// The group.
    pub group: Arc<str>,
    /// The member.
    pub member: Arc<str>,
    /// The name of a static member.
    pub instance: Option<Arc<str>>,
    /// The generation it believes in.
    pub generation: i32,
}

/// Members that go.
#[derive(Debug, Clone)]
pub struct Leave {
    /// The group.
    pub group: Arc<str>,
    /// Each by member id, or by instance alone with an empty member id.
    pub members: Vec<(Arc<str>, Option<Arc<str>>)>,
}

/// Offsets to commit.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The group.
    pub group: Arc<str>,
    /// The member; empty for someone outside of the group's protocol.
    pub member: Arc<str>,
    /// The name of a static member.
    pub instance: Option<Arc<str>>,
    /// The generation it believes in, or -1.
    pub generation: i32,
    /// How long the offsets are to live, where the client says so (O-5), ms.
    pub retention_ms: Option<i64>,
    /// The client knows GROUP_ID_NOT_FOUND (v9+, O-3).
    pub knows_group_id_not_found: bool,
    /// The offsets, of partitions that exist.
    pub offsets: Vec<CommitOffset>,
}

/// Offsets to commit inside a transaction.
#[derive(Debug, Clone)]
pub struct TransactionCommit {
    /// Whose transaction.
    pub producer: Producer,
    /// Where the shard's log ended when the coordinator was asked whether the transaction holds
    /// this shard; it said yes. None if it was not asked.
    pub verified_at: Option<Offset>,
    /// By whom, and what. A generation of -1 without a member is not checked: requests before v3
    /// have neither.
    pub commit: Commit,
}

/// An offset to commit.
#[derive(Debug, Clone)]
pub struct CommitOffset {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: i32,
    /// The next offset to consume.
    pub offset: i64,
    /// The leader epoch of the last consumed record, or -1.
    pub leader_epoch: i32,
    /// The client's own note.
    pub metadata: Box<str>,
}

/// A question for committed offsets.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// The group.
    pub group: Arc<str>,
    /// The member that asks, where it says so (v9+, H-8).
    pub member: Option<Arc<str>>,
    /// The epoch it believes in, or -1.
    pub member_epoch: i32,
    /// Topics and their partitions; `None` is all there are.
    pub topics: Option<Vec<(Arc<str>, Vec<i32>)>>,
    /// A partition that an open transaction has an offset for is refused (O-6).
    pub require_stable: bool,
}

/// A topic's committed offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedTopic {
    /// The topic's name.
    pub topic: Arc<str>,
    /// By partition: what is committed, if anything. UNSTABLE_OFFSET_COMMIT where a stable offset
    /// is asked for and there is none yet.
    pub partitions: Vec<(i32, Result<Option<Committed>, ErrorCode>)>,
}

/// Offsets to delete.
#[derive(Debug, Clone)]
pub struct DeleteOffsets {
    /// The group.
    pub group: Arc<str>,
    /// Topics and partitions.
    pub offsets: Vec<(Arc<str>, i32)>,
}

/// A group as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its state.
    pub state: &'static str,
    /// Its protocol type; empty if it never had members.
    pub protocol_type: Arc<str>,
    /// The protocol that was chosen; empty unless stable.
    pub protocol: Arc<str>,
    /// Its members; metadata and assignment are empty unless stable (O-8).
    pub members: Vec<DescribedMember>,
}

/// A member as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub id: Arc<str>,
    /// The name of a static member.
    pub instance: Option<Arc<str>>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub client_host: Arc<str>,
    /// Its metadata for the protocol that was chosen.
    pub metadata: Bytes,
    /// What the leader gave it.
    pub assignment: Bytes,
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The group.
    pub group: Arc<str>,
    /// Its protocol type.
    pub protocol_type: Arc<str>,
    /// Its state.
    pub state: &'static str,
    /// Its kind: `classic`, `consumer` or `share`.
    pub kind: &'static str,
}

/// A group with what it has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The group.
    pub group: Arc<str>,
    /// Its kind: `classic`, `consumer` or `share`.
    pub kind: &'static str,
    /// Its state.
    pub state: &'static str,
    /// How many members it has.
    pub members: usize,
    /// Topic, topic id, partition, committed offset.
    pub offsets: Vec<(Arc<str>, TopicId, i32, i64)>,
}

//! One member on its way from what it holds to what it is to hold (H-5).
//!
//! ```text
//!            gives up what it has                 others hold what it is to get
//!   Stable ----------------------> Unrevoked ----------------------------------> Unreleased
//!     ^  ^                             |  says that it holds it no more              |
//!     |  +-----------------------------+                                             |
//!     +------------------------------------------------- others have let go ---------+
//! ```
//!
//! It takes the new epoch once it has nothing left to give up, and gets what is free at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{PartitionId, TopicId};

use super::{Assignment, ConsumerCurrent, MemberState, Since, partitions_of};

/// What is known when a member is moved on.
pub(super) struct Step<'a> {
    /// What the member holds.
    pub current: &'a Arc<ConsumerCurrent>,
    /// What it is to hold.
    pub target: &'a Assignment,
    /// The epoch that this was decided for.
    pub target_epoch: i32,
    /// The topics that it reads and that exist.
    pub reads: &'a BTreeSet<TopicId>,
    /// It reads other topics than before.
    pub subscribes: bool,
    /// What it says that it holds, if it says so.
    pub owned: Option<&'a Assignment>,
    /// Whether nobody else holds a partition.
    pub is_free: &'a dyn Fn(PartitionId) -> bool,
}

impl Step<'_> {
    /// What the member holds from now on.
    ///
    /// # Errors
    /// FENCED_MEMBER_EPOCH for a member in a state that another version wrote, until it has given
    /// up everything.
    pub(super) fn take(&self) -> Result<Arc<ConsumerCurrent>, ErrorCode> {
        let current = self.current;
        match current.state {
            MemberState::Stable if current.epoch != self.target_epoch => {
                Ok(self.next(current.epoch))
            }
            MemberState::Unrevoked if !self.still_owns(&current.revoking) => {
                Ok(self.next(current.epoch))
            }
            MemberState::Unreleased => Ok(self.next(current.epoch)),
            MemberState::Stable | MemberState::Unrevoked if self.subscribes => {
                Ok(self.unsubscribe())
            }
            MemberState::Stable | MemberState::Unrevoked => Ok(current.clone()),
            MemberState::Unknown if self.owned.is_some_and(Assignment::is_empty) => {
                Ok(self.next(self.target_epoch))
            }
            MemberState::Unknown => Err(ErrorCode::FencedMemberEpoch),
        }
    }

    /// Whether the member may still work on one of these: it says so, or says nothing.
    fn still_owns(&self, partitions: &Assignment) -> bool {
        let Some(owned) = self.owned else {
            return true;
        };
        partitions.iter().any(|(topic, indexes)| {
            let owned = owned.get(topic);
            owned.is_some_and(|owned| indexes.iter().any(|index| owned.contains(index)))
        })
    }

    /// What it no longer reads is taken away at once, whatever the target says.
    fn unsubscribe(&self) -> Arc<ConsumerCurrent> {
        let current = self.current;
        let (kept, dropped): (Assignment, Assignment) = current
            .assigned
            .iter()
            .map(|(topic, indexes)| (*topic, indexes.clone()))
            .partition(|(topic, _)| self.reads.contains(topic));
        if dropped.is_empty() {
            return current.clone();
        }
        let mut revoking = (*current.revoking).clone();
        for (topic, indexes) in dropped {
            let there: &mut Vec<i32> = revoking.entry(topic).or_default();
            there.extend(indexes);
            there.sort_unstable();
            there.dedup();
        }
        let mut next = (**current).clone();
        next.assigned = Arc::new(kept);
        if self.still_owns(&revoking) {
            next.state = MemberState::Unrevoked;
            next.revoking = Arc::new(revoking);
        }
        Arc::new(next)
    }

    fn next(&self, epoch: i32) -> Arc<ConsumerCurrent> {
        let current = self.current;
        let mut assigned = Assignment::new();
        let mut revoking = Assignment::new();
        let mut waits = false;
        let mut kept = Assignment::new();
        let topics: BTreeSet<&TopicId> =
            self.target.keys().chain(current.assigned.keys()).collect();
        for topic in topics {
            let none = Vec::new();
            let wanted = self.target.get(topic);
            let wanted = wanted.filter(|_| self.reads.contains(topic));
            let wanted = wanted.unwrap_or(&none);
            let held = current.assigned.get(topic).unwrap_or(&none);
            let (keep, drop): (Vec<i32>, Vec<i32>) = held
                .iter()
                .partition(|index| wanted.binary_search(index).is_ok());
            let new = wanted
                .iter()
                .filter(|index| keep.binary_search(index).is_err());
            let (free, taken): (Vec<i32>, Vec<i32>) = new.partition(|index| {
                (self.is_free)(PartitionId {
                    topic: *topic,
                    index: **index,
                })
            });
            waits |= !taken.is_empty();
            let mut all = keep.clone();
            all.extend(free);
            all.sort_unstable();
            put(&mut kept, *topic, keep);
            put(&mut assigned, *topic, all);
            put(&mut revoking, *topic, drop);
        }
        if !revoking.is_empty() && self.still_owns(&revoking) {
            let held = partitions_of(&kept).chain(partitions_of(&revoking));
            let since = self.since(held);
            return Arc::new(ConsumerCurrent {
                epoch,
                previous_epoch: current.epoch,
                state: MemberState::Unrevoked,
                assigned: Arc::new(kept),
                revoking: Arc::new(revoking),
                since,
            });
        }
        let state = match waits {
            true => MemberState::Unreleased,
            false => MemberState::Stable,
        };
        let since = self.since(partitions_of(&assigned));
        let next = ConsumerCurrent {
            epoch: self.target_epoch,
            previous_epoch: current.epoch,
            state,
            assigned: Arc::new(assigned),
            revoking: Arc::default(),
            since,
        };
        // A member that goes on waiting has nothing new to write down.
        let same = next.epoch == current.epoch
            && next.state == current.state
            && next.assigned == current.assigned
            && current.revoking.is_empty();
        match same {
            true => current.clone(),
            false => Arc::new(next),
        }
    }
}

impl Step<'_> {
    /// The epochs of what it holds: what is new is as old as the target.
    fn since(&self, held: impl Iterator<Item = PartitionId>) -> Arc<Since> {
        let since = held.map(|partition| {
            let old = self.current.assigned_since(partition);
            (partition, old.unwrap_or(self.target_epoch))
        });
        Arc::new(since.collect())
    }
}

fn put(assignment: &mut Assignment, topic: TopicId, indexes: Vec<i32>) {
    if !indexes.is_empty() {
        assignment.insert(topic, indexes);
    }
}

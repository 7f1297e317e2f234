//! Members come, stay and go.

use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::assignor::{Subscriber, assign};
use super::{Assignment, Member, Share, ShareBeat, ShareHeartbeat, ShareMemberMetadata};
use crate::clock::Timestamp;
use crate::coordinator::group::record::{ShareCurrent, ShareGroupMetadata, ShareRecord};
use crate::coordinator::group::turn::Timer;
use crate::coordinator::group::{GroupMachine, Kind, Reply, SessionTimeouts};
use crate::coordinator::{Effects, Ticket};

/// The epoch with which a member joins.
const JOIN: i32 = 0;
/// The epoch with which a member leaves.
const LEAVE: i32 = -1;

impl GroupMachine {
    /// ShareGroupHeartbeat.
    pub(in crate::coordinator::group) fn share_heartbeat(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: ShareHeartbeat,
        out: &mut Effects<Self>,
    ) {
        let outcome = if event.epoch == LEAVE {
            self.share_leave(&event, out)
        } else {
            self.share_stay(now, event, out)
        };
        match outcome {
            Ok((beat, true)) => out.reply(ticket, Reply::ShareBeat(beat)),
            Ok((beat, false)) => out.reply_now(ticket, Reply::ShareBeat(beat)),
            Err(error) => out.refuse(ticket, error),
        }
    }

    /// A member that was silent for too long leaves.
    pub(in crate::coordinator::group) fn share_member_timeout(
        &mut self,
        id: &Arc<str>,
        member: &Arc<str>,
        out: &mut Effects<Self>,
    ) {
        if let Ok(share) = self.share(id)
            && share.members.contains_key(member)
        {
            self.share_remove(id, member, out);
        }
    }

    /// After a restart every session begins anew.
    pub(in crate::coordinator::group) fn share_begin_sessions(
        &mut self,
        now: Timestamp,
        sessions: &SessionTimeouts,
    ) {
        let default_ms = self.limits.share.session_timeout_ms;
        for (id, group) in &mut self.groups {
            let Kind::Share(share) = &mut group.kind else {
                continue;
            };
            let session_ms = sessions.get(id).copied().unwrap_or(default_ms);
            let at_ms = now.monotonic_ms.saturating_add(session_ms);
            for member in share.members.keys() {
                let timer = Timer::Member(id.clone(), member.clone());
                self.timers.set(timer, at_ms);
            }
        }
    }

    fn share_leave(
        &mut self,
        event: &ShareHeartbeat,
        out: &mut Effects<Self>,
    ) -> Result<(ShareBeat, bool), ErrorCode> {
        if !self
            .share(&event.group)?
            .members
            .contains_key(&event.member)
        {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.share_remove(&event.group, &event.member, out);
        let beat = ShareBeat {
            epoch: LEAVE,
            heartbeat_interval_ms: 0,
            assignment: None,
        };
        Ok((beat, true))
    }

    fn share_remove(&mut self, id: &Arc<str>, member: &Arc<str>, out: &mut Effects<Self>) {
        self.timers
            .cancel(&Timer::Member(id.clone(), member.clone()));
        self.share_record(id, ShareRecord::Current(member.clone(), None), out);
        self.share_record(id, ShareRecord::Target(member.clone(), None), out);
        self.share_record(id, ShareRecord::Member(member.clone(), None), out);
        self.share_watch(id, &[], out);
        self.share_refresh(id, true, out);
    }

    /// A member joins, or stays. With the answer comes whether it must wait for the disk.
    fn share_stay(
        &mut self,
        now: Timestamp,
        event: ShareHeartbeat,
        out: &mut Effects<Self>,
    ) -> Result<(ShareBeat, bool), ErrorCode> {
        let id = event.group.clone();
        let member = self.share_admit(&event)?;
        let written = out.records.len();
        let metadata = changed_metadata(&member, &event, self.limits.member_bytes_max);
        let metadata = metadata.inspect_err(|_| self.forget_if_gone(&id))?;
        let subscribes = metadata.topics != member.metadata.topics;
        if metadata != *member.metadata {
            let record = ShareRecord::Member(event.member.clone(), Some(Arc::new(metadata)));
            self.share_record(&id, record, out);
        }
        if subscribes {
            self.share_watch(&id, &event.found, out);
        } else {
            self.topics_news(&event.found, Some(&id), out);
        }
        self.share_refresh(&id, subscribes, out);
        self.share_assign(&id, out);
        let assigned = self.share_reconcile(&id, &event.member, out)?;
        let timer = Timer::Member(id.clone(), event.member.clone());
        let session_ms = event.settings.session_timeout_ms;
        self.timers
            .set(timer, now.monotonic_ms.saturating_add(session_ms));
        // A member of the epoch before has not had the answer that told of its assignment.
        let full = event.topics.is_some() || event.epoch != member.epoch();
        let changed = assigned.assigned != member.assigned();
        let beat = ShareBeat {
            epoch: assigned.epoch,
            heartbeat_interval_ms: event.settings.heartbeat_interval_ms,
            assignment: (full || changed).then_some(assigned.assigned),
        };
        Ok((beat, full || out.records.len() > written))
    }

    /// The member as it is, or as it is about to become one. Makes the group for who joins.
    fn share_admit(&mut self, event: &ShareHeartbeat) -> Result<Member, ErrorCode> {
        let joins = event.epoch == JOIN;
        if joins && !self.groups.contains_key(&event.group) {
            self.make(&event.group)?;
            if let Some(group) = self.groups.get_mut(&event.group) {
                group.kind = Kind::Share(Share::default());
            }
        }
        let share = self.share(&event.group)?;
        let Some(member) = share.members.get(&event.member) else {
            // As Kafka does, a full group says so to a stranger with any epoch.
            let full = share.members.len() >= event.settings.members_max;
            return if share.is_ending() && joins {
                // Its queues are being deleted: one moment.
                Err(ErrorCode::CoordinatorLoadInProgress)
            } else if full {
                self.forget_if_gone(&event.group);
                Err(ErrorCode::GroupMaxSizeReached)
            } else if joins {
                Ok(Member::default())
            } else {
                Err(ErrorCode::UnknownMemberId)
            };
        };
        // The answer that told of a new epoch may be lost: the one before is good too.
        if joins || event.epoch == member.epoch() || event.epoch == member.previous_epoch() {
            Ok(member.clone())
        } else {
            Err(ErrorCode::FencedMemberEpoch)
        }
    }

    /// Raise the group's epoch if its topics are not what they were, or if `forced`; ask for the
    /// queues that it lacks.
    pub(in crate::coordinator::group) fn share_refresh(
        &mut self,
        id: &Arc<str>,
        forced: bool,
        out: &mut Effects<Self>,
    ) {
        let Ok(share) = self.share(id) else {
            return;
        };
        let metadata_hash = self.topics.hash(&share.watched);
        let hash = share.metadata.map_or(0, |metadata| metadata.metadata_hash);
        if forced || metadata_hash != hash {
            let metadata = ShareGroupMetadata {
                epoch: share.epoch().saturating_add(1),
                metadata_hash,
            };
            self.share_record(id, ShareRecord::Group(Some(metadata)), out);
            self.share_want_queues(id, out);
        }
    }

    /// Make the target of all members, if it was made for an older epoch.
    fn share_assign(&mut self, id: &Arc<str>, out: &mut Effects<Self>) {
        let Ok(share) = self.share(id) else {
            return;
        };
        let epoch = share.epoch();
        if epoch <= share.assignment_epoch() {
            return;
        }
        let old: Vec<_> = share.members.values().map(Member::target).collect();
        let subscribers: Vec<_> = share
            .members
            .values()
            .zip(&old)
            .map(|(member, held)| Subscriber {
                topics: self
                    .topics
                    .existing(&member.metadata.topics)
                    .into_keys()
                    .collect(),
                held,
            })
            .collect();
        let targets = assign(&subscribers, &self.topics.existing(&share.watched));
        let members = share.members.keys().cloned().zip(old).zip(targets);
        let changed: Vec<(Arc<str>, Assignment)> = members
            .filter(|((member, old), new)| **old != *new || share.members[member].target.is_none())
            .map(|((member, _), new)| (member, new))
            .collect();
        for (member, target) in changed {
            let record = ShareRecord::Target(member, Some(Arc::new(target)));
            self.share_record(id, record, out);
        }
        self.share_record(id, ShareRecord::TargetEpoch(Some(epoch)), out);
    }

    /// Tell a member its target.
    fn share_reconcile(
        &mut self,
        id: &Arc<str>,
        member: &Arc<str>,
        out: &mut Effects<Self>,
    ) -> Result<ShareCurrent, ErrorCode> {
        let share = self.share(id)?;
        let there = share.members.get(member);
        let there = there.ok_or(ErrorCode::UnknownMemberId)?;
        let (epoch, target) = (share.assignment_epoch(), there.target());
        if let Some(current) = &there.current
            && current.epoch == epoch
            && current.assigned == target
        {
            return Ok(current.clone());
        }
        let current = ShareCurrent {
            epoch,
            previous_epoch: there.epoch(),
            assigned: target,
        };
        let record = ShareRecord::Current(member.clone(), Some(current.clone()));
        self.share_record(id, record, out);
        Ok(current)
    }
}

/// What a member is once it has said this; INVALID_REQUEST if that is too much.
fn changed_metadata(
    member: &Member,
    event: &ShareHeartbeat,
    bytes_max: usize,
) -> Result<ShareMemberMetadata, ErrorCode> {
    let before = &member.metadata;
    let mut topics = event.topics.clone();
    if let Some(topics) = &mut topics {
        topics.sort_unstable();
        topics.dedup();
    }
    let metadata = ShareMemberMetadata {
        rack: event.rack.clone().or_else(|| before.rack.clone()),
        client_id: event.client_id.clone(),
        client_host: event.client_host.clone(),
        topics: topics.unwrap_or_else(|| before.topics.clone()),
    };
    let texts = [&metadata.client_id, &metadata.client_host];
    let texts = metadata.topics.iter().chain(&metadata.rack).chain(texts);
    // A name has a length beside its text.
    let bytes: usize = texts.map(|text| text.len() + 2).sum();
    match bytes > bytes_max {
        true => Err(ErrorCode::InvalidRequest),
        false => Ok(metadata),
    }
}

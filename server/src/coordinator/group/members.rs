//! The members of one classic group, with the counts that rebalances ask for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::event::Protocol;
use super::record::MemberMetadata;
use crate::coordinator::Ticket;

/// A member.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub id: Arc<str>,
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
    /// What it can do, best first.
    pub protocols: Vec<Protocol>,
    /// What the leader gave it.
    pub assignment: Bytes,
    /// Its JoinGroup that waits for the rebalance.
    pub joining: Option<Ticket>,
    /// Its SyncGroup that waits for the leader.
    pub syncing: Option<Ticket>,
    /// Has not had an answer to its first JoinGroup yet, so it cannot send heartbeats.
    pub new: bool,
}

impl Member {
    /// The member that a record tells of.
    pub fn load(metadata: &MemberMetadata, protocol: &Arc<str>) -> Self {
        Self {
            id: metadata.id.clone(),
            instance: metadata.instance.clone(),
            client_id: metadata.client_id.clone(),
            client_host: metadata.client_host.clone(),
            session_timeout_ms: metadata.session_timeout_ms,
            rebalance_timeout_ms: metadata.rebalance_timeout_ms,
            protocols: vec![Protocol {
                name: protocol.clone(),
                metadata: metadata.subscription.clone(),
            }],
            assignment: metadata.assignment.clone(),
            joining: None,
            syncing: None,
            new: false,
        }
    }

    /// Its metadata for a protocol; empty if it does not know that protocol.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|known| &*known.name == protocol)
            .map_or_else(Bytes::new, |known| known.metadata.clone())
    }
}

/// The members of a group.
#[derive(Debug, Clone, Default)]
pub struct Members {
    by_id: BTreeMap<Arc<str>, Member>,
    by_instance: HashMap<Arc<str>, Arc<str>>,
    /// How many members know a protocol.
    supported: BTreeMap<Arc<str>, usize>,
    joining: usize,
}

impl Members {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many wait in JoinGroup.
    pub fn joining(&self) -> usize {
        self.joining
    }

    /// All, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values()
    }

    /// The ids of those that `which` picks.
    pub fn ids(&self, mut which: impl FnMut(&Member) -> bool) -> Vec<Arc<str>> {
        self.iter()
            .filter(|member| which(member))
            .map(|member| member.id.clone())
            .collect()
    }

    /// The member of this id.
    pub fn member(&self, id: &str) -> Option<&Member> {
        self.by_id.get(id)
    }

    /// The member id behind a static member's name.
    pub fn of_instance(&self, instance: &str) -> Option<&Arc<str>> {
        self.by_instance.get(instance)
    }

    /// Add a member, or put it in the place of the one with the same id.
    pub fn insert(&mut self, member: Member) {
        self.remove(&member.id.clone());
        self.joining += usize::from(member.joining.is_some());
        for protocol in &member.protocols {
            *self.supported.entry(protocol.name.clone()).or_default() += 1;
        }
        if let Some(instance) = &member.instance {
            self.by_instance.insert(instance.clone(), member.id.clone());
        }
        self.by_id.insert(member.id.clone(), member);
    }

    /// Take a member out.
    pub fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.by_id.remove(id)?;
        self.joining -= usize::from(member.joining.is_some());
        for protocol in &member.protocols {
            if let Some(count) = self.supported.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(&protocol.name);
                }
            }
        }
        if let Some(instance) = &member.instance
            && self.by_instance.get(instance) == Some(&member.id)
        {
            self.by_instance.remove(instance);
        }
        Some(member)
    }

    /// Take out the ticket of a waiting JoinGroup. The member is no longer new.
    pub fn take_joining(&mut self, id: &str) -> Option<Ticket> {
        let member = self.by_id.get_mut(id)?;
        let ticket = member.joining.take()?;
        member.new = false;
        self.joining -= 1;
        Some(ticket)
    }

    /// Let a SyncGroup wait; the ticket of an earlier one comes back.
    pub fn park_sync(&mut self, id: &str, ticket: Ticket) -> Option<Ticket> {
        self.by_id.get_mut(id)?.syncing.replace(ticket)
    }

    /// Take out the ticket of a waiting SyncGroup.
    pub fn take_syncing(&mut self, id: &str) -> Option<Ticket> {
        self.by_id.get_mut(id)?.syncing.take()
    }

    /// Give each member its part of the assignment; who is not in it gets nothing (G-9).
    pub fn assign(&mut self, assignments: &[(Arc<str>, Bytes)]) {
        for member in self.by_id.values_mut() {
            member.assignment = Bytes::new();
        }
        for (id, assignment) in assignments {
            if let Some(member) = self.by_id.get_mut(id) {
                member.assignment = assignment.clone();
            }
        }
    }

    /// Whether at least one of these protocols is known to all members.
    pub fn share_any(&self, protocols: &[Protocol]) -> bool {
        protocols
            .iter()
            .any(|protocol| self.supported.get(&protocol.name).copied().unwrap_or(0) == self.len())
    }

    /// Among the protocols that all know, the one that most prefer (G-4). Ties go by name.
    pub fn choose_protocol(&self) -> Option<Arc<str>> {
        let candidates: BTreeSet<&Arc<str>> = self
            .supported
            .iter()
            .filter(|(_, count)| **count == self.len())
            .map(|(name, _)| name)
            .collect();
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.iter() {
            let mut names = member.protocols.iter().map(|protocol| &protocol.name);
            if let Some(first) = names.find(|name| candidates.contains(name)) {
                *votes.entry(first).or_default() += 1;
            }
        }
        votes
            .into_iter()
            .rev()
            .max_by_key(|(_, count)| *count)
            .map(|(name, _)| name.clone())
    }

    /// The longest time that a member wants a rebalance to wait, ms.
    pub fn rebalance_timeout_ms(&self) -> i64 {
        self.iter()
            .map(|member| i64::from(member.rebalance_timeout_ms))
            .max()
            .unwrap_or(0)
            .max(0)
    }
}

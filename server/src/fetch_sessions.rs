//! Fetch sessions (KIP-227): the server remembers which partitions a consumer reads, so that a
//! request names only what changed and an answer only what is new.
//!
//! A session is lent to the one fetch that uses it and comes back with its answer. A fetch that
//! is dropped on the way (its connection died) takes its session with it.

mod session;

pub use session::{Entry, Session, Source, TopicKey};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ratel_protocol::ErrorCode;

/// How long a session must be idle before any other may take its slot, ms (F-11).
const EVICTION_MS: i64 = 120_000;

/// The sessions of all clients.
pub struct FetchSessions {
    slots_max: usize,
    partitions_max: usize,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    slots: HashMap<i32, Slot>,
    /// Partitions of all sessions.
    partitions: usize,
}

struct Slot {
    /// The epoch of the next request.
    epoch: i32,
    by_id: bool,
    created_ms: i64,
    used_ms: i64,
    len: usize,
    /// `None` while a fetch has it.
    session: Option<Box<Session>>,
}

/// A session that a fetch has borrowed.
pub struct Lease {
    sessions: Arc<FetchSessions>,
    id: i32,
    /// `None` once it was given back.
    session: Option<Box<Session>>,
}

impl FetchSessions {
    /// Room for `slots_max` sessions with `partitions_max` partitions in all.
    #[must_use]
    pub fn new(slots_max: usize, partitions_max: usize) -> Arc<Self> {
        Arc::new(Self {
            slots_max,
            partitions_max,
            cache: Mutex::default(),
        })
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cache().slots.len()
    }

    /// Whether there is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keep a full fetch's partitions as a session. Gives its id, or 0 if there is no room: the
    /// client goes on with full fetches then (F-11).
    pub fn open(&self, mut session: Box<Session>, by_id: bool, now_ms: i64) -> i32 {
        session.keep();
        let len = session.len();
        let mut cache = self.cache();
        if !cache.make_room(self.slots_max, self.partitions_max, len, now_ms) {
            return 0;
        }
        let id = cache.unused_id();
        cache.partitions += len;
        let slot = Slot {
            epoch: 1,
            by_id,
            created_ms: now_ms,
            used_ms: now_ms,
            len,
            session: Some(session),
        };
        cache.slots.insert(id, slot);
        id
    }

    /// Borrow a session for an incremental fetch with this epoch.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH (also when another fetch has the
    /// session at the moment) or, when the client changed from names to ids or back,
    /// FETCH_SESSION_TOPIC_ID_ERROR (F-9).
    pub fn resume(
        self: &Arc<Self>,
        id: i32,
        epoch: i32,
        by_id: bool,
        now_ms: i64,
    ) -> Result<Lease, ErrorCode> {
        let mut cache = self.cache();
        let slot = cache.slots.get_mut(&id);
        let slot = slot.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if slot.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if slot.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        let session = slot.session.take();
        let session = session.ok_or(ErrorCode::InvalidFetchSessionEpoch)?;
        slot.epoch = next_epoch(epoch);
        slot.used_ms = now_ms;
        Ok(Lease {
            sessions: self.clone(),
            id,
            session: Some(session),
        })
    }

    /// Forget a session, if there is one of this id.
    pub fn close(&self, id: i32) {
        self.cache().remove(id);
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The epoch after this one: 1 follows the largest (F-9).
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

impl Cache {
    fn remove(&mut self, id: i32) {
        if let Some(slot) = self.slots.remove(&id) {
            self.partitions -= slot.len;
        }
    }

    /// Whether a session of `len` partitions fits, once others are evicted: those idle for
    /// [`EVICTION_MS`], longest first, or those that have been there for as long and are smaller.
    fn make_room(&mut self, slots: usize, partitions: usize, len: usize, now_ms: i64) -> bool {
        if slots == 0 || len > partitions {
            return false;
        }
        while self.slots.len() >= slots || self.partitions + len > partitions {
            let Some(id) = self.evictable(len, now_ms) else {
                return false;
            };
            self.remove(id);
        }
        true
    }

    fn evictable(&self, len: usize, now_ms: i64) -> Option<i32> {
        let stalest = self.slots.iter().min_by_key(|(_, slot)| slot.used_ms);
        if let Some((id, slot)) = stalest
            && now_ms - slot.used_ms > EVICTION_MS
        {
            return Some(*id);
        }
        let old = self
            .slots
            .iter()
            .filter(|(_, slot)| now_ms - slot.created_ms > EVICTION_MS);
        let smallest = old.min_by_key(|(_, slot)| slot.len);
        smallest
            .filter(|(_, slot)| slot.len < len)
            .map(|(id, _)| *id)
    }

    /// Ids are random, so that one client does not fetch by another's by mistake.
    fn unused_id(&self) -> i32 {
        loop {
            let [a, b, c, d, ..] = uuid::Uuid::new_v4().into_bytes();
            let id = i32::from_be_bytes([a, b, c, d]) & i32::MAX;
            if id != 0 && !self.slots.contains_key(&id) {
                return id;
            }
        }
    }
}

impl Lease {
    /// The id of the session.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// The session.
    pub fn session(&mut self) -> &mut Session {
        self.session
            .as_mut()
            .expect("a lease holds its session until it is given back")
    }

    /// Put the session back for the next fetch. One without partitions is closed (F-9).
    ///
    /// # Errors
    /// INVALID_FETCH_SESSION_EPOCH if the session was closed in the meantime,
    /// FETCH_SESSION_ID_NOT_FOUND if it grew past what all sessions may hold: it is closed, and
    /// the client begins anew with a full fetch.
    pub fn give_back(mut self) -> Result<(), ErrorCode> {
        let session = self.session.take();
        let len = session.as_ref().map_or(0, |session| session.len());
        let mut cache = self.sessions.cache();
        let slot = cache.slots.get_mut(&self.id);
        let slot = slot.ok_or(ErrorCode::InvalidFetchSessionEpoch)?;
        let before = std::mem::replace(&mut slot.len, len);
        slot.session = session;
        cache.partitions = cache.partitions - before + len;
        let too_many = cache.partitions > self.sessions.partitions_max && len > before;
        if len == 0 || too_many {
            cache.remove(self.id);
        }
        if too_many {
            Err(ErrorCode::FetchSessionIdNotFound)
        } else {
            Ok(())
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.session.is_some() {
            self.sessions.close(self.id);
        }
    }
}

#[cfg(test)]
mod tests;

//! Fetch sessions (KIP-227): the server remembers which partitions a consumer reads, so that a
//! request names only what changed and an answer only what is new.
//!
//! A session is lent to the one fetch that uses it and comes back with its answer. A fetch that
//! is dropped on the way (its connection died) takes its session with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ratel_protocol::ErrorCode;
use ratel_storage::{Offset, Offsets, Partition, Read, TopicId, Watch};

use crate::coordinator::catalog::{Topic, View};
use crate::long_poll::LongPoll;

/// How long a session must be idle before any other may take its slot, ms (F-11).
const EVICTION_MS: i64 = 120_000;

/// How a client names a topic: by id from Fetch v13 on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicKey {
    /// By its name.
    Name(Arc<str>),
    /// By its id.
    Id(TopicId),
}

/// One partition that a client wants to read, and what this server knows of it meanwhile.
pub struct Entry {
    /// The topic.
    pub topic: TopicKey,
    /// The partition's index.
    pub index: i32,
    /// The first offset wanted.
    pub from: Offset,
    /// The most bytes wanted of this partition.
    pub max_bytes: usize,
    /// The leader epoch that the client knows; -1 for none (F-7).
    pub leader_epoch: i32,
    /// Where the records are, as of the catalog's version that [`Session::resolve`] saw.
    pub source: Result<Source, ErrorCode>,
    /// What the last look at the partition gave; an answer takes it out.
    pub outcome: Option<Result<Read, ErrorCode>>,
    /// What the last look found, and the guard that will tell when that changes.
    pub armed: Option<(Offsets, Watch)>,
    /// What the client was told last: high watermark, last stable offset, start (F-10).
    pub told: Option<[Offset; 3]>,
}

/// A partition's log, and the topic it belongs to.
#[derive(Clone)]
pub struct Source {
    /// The topic as it was when it was looked up.
    pub topic: Arc<Topic>,
    /// The log.
    pub partition: Arc<dyn Partition>,
}

impl Entry {
    /// A partition that is wanted from `from` on. Nothing was looked up yet.
    #[must_use]
    pub fn new(topic: TopicKey, index: i32, from: Offset) -> Self {
        Self {
            topic,
            index,
            from,
            max_bytes: usize::MAX,
            leader_epoch: -1,
            source: Err(ErrorCode::UnknownTopicOrPartition),
            outcome: None,
            armed: None,
            told: None,
        }
    }
}

/// The partitions of one fetch, in the order they are served. A session keeps them from one fetch
/// to the next; a fetch without a session throws them away.
#[derive(Default)]
pub struct Session {
    /// By place in the order. What gave records moves to the back (F-10).
    entries: BTreeMap<u64, Entry>,
    /// The place of each partition; empty without a session.
    places: HashMap<(TopicKey, i32), u64>,
    place_end: u64,
    /// The places that must be looked at: all others had nothing and are armed in `poll`.
    pub dirty: BTreeSet<u64>,
    /// Wakes when an armed partition has something.
    pub poll: LongPoll,
    /// The catalog's version when the sources were looked up.
    pub catalog_version: Option<u64>,
}

impl Session {
    /// The partitions of a request, in its order.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        let place_end = entries.len() as u64;
        Self {
            entries: (0..).zip(entries).collect(),
            dirty: (0..place_end).collect(),
            place_end,
            ..Self::default()
        }
    }

    /// How many partitions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The partition at a place.
    pub fn entry(&mut self, place: u64) -> Option<&mut Entry> {
        self.entries.get_mut(&place)
    }

    /// The partition at a place, and what it can be armed in.
    pub fn entry_and_poll(&mut self, place: u64) -> (Option<&mut Entry>, &LongPoll) {
        (self.entries.get_mut(&place), &self.poll)
    }

    /// All partitions with their places, in order.
    pub fn entries(&mut self) -> impl Iterator<Item = (u64, &mut Entry)> {
        self.entries
            .iter_mut()
            .map(|(place, entry)| (*place, entry))
    }

    /// Look at every partition in the next round.
    pub fn dirty_all(&mut self) {
        self.dirty = self.entries.keys().copied().collect();
    }

    /// Find out where each partition's records are, unless nothing changed in the catalog since.
    /// `find` looks a partition up. Everything is looked at again afterwards.
    pub fn resolve(&mut self, view: &View, find: impl Fn(&Entry) -> Result<Source, ErrorCode>) {
        let version = view.version();
        if self.catalog_version == Some(version) {
            return;
        }
        self.catalog_version = Some(version);
        for entry in self.entries.values_mut() {
            entry.source = find(entry);
            entry.armed = None;
        }
        self.dirty_all();
    }

    /// Bring in what an incremental request says: partitions that are new or read on from another
    /// offset, and those that are no longer wanted.
    pub fn update(&mut self, wanted: Vec<Entry>, forgotten: &[(TopicKey, i32)]) {
        for key in forgotten {
            if let Some(place) = self.places.remove(key) {
                self.entries.remove(&place);
                self.dirty.remove(&place);
            }
        }
        for new in wanted {
            let key = (new.topic.clone(), new.index);
            match self.places.get(&key).copied() {
                Some(place) => self.renew(place, new),
                None => self.push(key, new),
            }
        }
    }

    fn renew(&mut self, place: u64, new: Entry) {
        if let Some(entry) = self.entries.get_mut(&place) {
            entry.from = new.from;
            entry.max_bytes = new.max_bytes;
            entry.leader_epoch = new.leader_epoch;
            entry.armed = None;
            self.dirty.insert(place);
        }
    }

    fn push(&mut self, key: (TopicKey, i32), entry: Entry) {
        let place = self.place_end;
        self.place_end += 1;
        self.places.insert(key, place);
        self.entries.insert(place, entry);
        self.dirty.insert(place);
        // Its source is not known yet.
        self.catalog_version = None;
    }

    /// Move partitions to the back of the order (F-10). They are looked at in the next round.
    pub fn rotate(&mut self, places: &[u64]) {
        for place in places {
            if let Some(entry) = self.entries.remove(place) {
                self.dirty.remove(place);
                let back = self.place_end;
                self.place_end += 1;
                self.places.insert((entry.topic.clone(), entry.index), back);
                self.dirty.insert(back);
                self.entries.insert(back, entry);
            }
        }
    }

    /// Make a session of what was a plain fetch. Of a partition that was named twice the last
    /// mention stays.
    fn keep(&mut self) {
        let mut repeated = Vec::new();
        for (place, entry) in &self.entries {
            let key = (entry.topic.clone(), entry.index);
            repeated.extend(self.places.insert(key, *place));
        }
        for place in repeated {
            self.entries.remove(&place);
            self.dirty.remove(&place);
        }
    }
}

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

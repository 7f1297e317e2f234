//! What one fetch reads from, and a session remembers until the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{Bound, Offset, Offsets, Partition, Read, TopicId, Watch};

use crate::coordinator::catalog::{Topic, View};
use crate::long_poll::LongPoll;

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
    bound: Option<Bound>,
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

    /// How far its partitions are read.
    #[must_use]
    pub fn bound(&self) -> Bound {
        self.bound.unwrap_or(Bound::HighWatermark)
    }

    /// The fetch reads to here. If the one before read to elsewhere, everything is looked at again.
    pub fn read_to(&mut self, bound: Bound) {
        if self
            .bound
            .replace(bound)
            .is_some_and(|before| before != bound)
        {
            self.entries
                .values_mut()
                .for_each(|entry| entry.armed = None);
            self.dirty_all();
        }
    }

    /// Find out where each partition's records are, unless nothing changed in the catalog since.
    /// `find` looks a partition up. Everything is looked at again afterwards.
    pub fn resolve(
        &mut self,
        view: &View,
        mut find: impl FnMut(&Entry) -> Result<Source, ErrorCode>,
    ) {
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
    pub(super) fn keep(&mut self) {
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

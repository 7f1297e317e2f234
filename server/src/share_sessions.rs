//! Share sessions (KIP-932): which partitions a member of a share group reads, from one request
//! to the next. Tied to the connection that opened them: when it ends, so do they, and what the
//! member leased is released.
//!
//! A session is named by group and member. Its epoch goes up with every ShareFetch and every
//! ShareAcknowledge, the moment the request is taken, so that a second may follow before the
//! first is answered.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ratel_protocol::ErrorCode;
use ratel_storage::{PartitionId, TopicId};

/// Epoch of a request that opens a session.
pub const EPOCH_OPEN: i32 = 0;
/// Epoch of a request that closes one.
pub const EPOCH_CLOSE: i32 = -1;

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// The share group.
    pub group: Arc<str>,
    /// The member.
    pub member: Arc<str>,
}

/// A topic and the index of a partition, as a member names them: there may be no such partition.
pub type Named = (TopicId, i32);

/// The partitions of a session, in the order in which they came.
pub type Names = Arc<Vec<Named>>;

/// The sessions of all members.
pub struct ShareSessions {
    sessions_max: usize,
    partitions_max: usize,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    sessions: HashMap<SessionKey, Session>,
    by_connection: HashMap<u64, HashSet<SessionKey>>,
    /// Partitions of all sessions, those of `left` included.
    partitions: usize,
}

struct Session {
    /// The connection that opened it.
    connection: u64,
    /// The epoch of the next request.
    epoch: i32,
    /// Fetches so far.
    fetches: usize,
    names: Names,
    /// Partitions that were in the session once and may have leases of the member.
    left: BTreeSet<Named>,
}

impl Session {
    fn len(&self) -> usize {
        self.names.len() + self.left.len()
    }
}

/// What is to be released of a member that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Whose it was.
    pub key: SessionKey,
    /// The partitions.
    pub partitions: Vec<PartitionId>,
}

impl ShareSessions {
    /// Room for `sessions_max` sessions (`group.share.max.share.sessions`) with `partitions_max`
    /// partitions in all.
    #[must_use]
    pub fn new(sessions_max: usize, partitions_max: usize) -> Self {
        Self {
            sessions_max,
            partitions_max,
            cache: Mutex::default(),
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cache().sessions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Open a session, in place of the member's old one if there is one: what it leased through
    /// that stays leased, and goes when this one goes.
    ///
    /// # Errors
    /// SHARE_SESSION_LIMIT_REACHED if there is no room: nothing is changed then.
    pub fn open(
        &self,
        key: &SessionKey,
        connection: u64,
        wanted: Vec<Named>,
    ) -> Result<Names, ErrorCode> {
        let mut cache = self.cache();
        let old = cache.remove(key);
        let mut left = BTreeSet::new();
        if let Some(old) = &old {
            left.extend(old.left.iter().chain(&*old.names));
        }
        let names = deduplicated(wanted);
        left.retain(|name| !names.contains(name));
        let session = Session {
            connection,
            epoch: 1,
            fetches: 0,
            names: Arc::new(names),
            left,
        };
        let fits = cache.sessions.len() < self.sessions_max
            && cache.partitions + session.len() <= self.partitions_max;
        if !fits {
            // What the member leased goes with its old session still.
            if let Some(old) = old {
                cache.insert(key.clone(), old);
            }
            return Err(ErrorCode::ShareSessionLimitReached);
        }
        let names = session.names.clone();
        cache.insert(key.clone(), session);
        Ok(names)
    }

    /// Go on with a session: bring in what the request adds and forgets. Gives its partitions.
    ///
    /// # Errors
    /// SHARE_SESSION_NOT_FOUND, INVALID_SHARE_SESSION_EPOCH, or SHARE_SESSION_LIMIT_REACHED if
    /// there is no room for what is added: nothing is changed then but the epoch.
    pub fn go_on(
        &self,
        key: &SessionKey,
        epoch: i32,
        wanted: Vec<Named>,
        forgotten: &[Named],
    ) -> Result<Names, ErrorCode> {
        let mut cache = self.cache();
        let room = self.partitions_max.saturating_sub(cache.partitions);
        let session = cache.next(key, epoch)?;
        let before = session.len();
        if wanted.is_empty() && forgotten.is_empty() {
            return Ok(session.names.clone());
        }
        let known: HashSet<Named> = session.names.iter().copied().collect();
        let mut added = deduplicated(wanted);
        added.retain(|name| !known.contains(name));
        if added.len() > room {
            return Err(ErrorCode::ShareSessionLimitReached);
        }
        let forgotten: HashSet<Named> = forgotten.iter().copied().collect();
        session.left.retain(|name| !added.contains(name));
        session
            .left
            .extend(known.iter().filter(|name| forgotten.contains(name)));
        let names = session.names.iter().chain(&added);
        let names = names.filter(|name| !forgotten.contains(name)).copied();
        session.names = Arc::new(names.collect());
        let (names, after) = (session.names.clone(), session.len());
        cache.partitions = cache.partitions - before + after;
        Ok(names)
    }

    /// Count a fetch, and say how many there were before: whose turn it is among the partitions.
    /// The epoch would not do, as it counts acknowledgements too: with one between any two fetches
    /// every other partition would never be the first.
    pub fn turn(&self, key: &SessionKey) -> usize {
        let mut cache = self.cache();
        cache.sessions.get_mut(key).map_or(0, |session| {
            session.fetches = session.fetches.wrapping_add(1);
            session.fetches.wrapping_sub(1)
        })
    }

    /// End a session. Gives what is to be released.
    ///
    /// # Errors
    /// SHARE_SESSION_NOT_FOUND.
    pub fn close(&self, key: &SessionKey) -> Result<Gone, ErrorCode> {
        let session = self.cache().remove(key);
        let session = session.ok_or(ErrorCode::ShareSessionNotFound)?;
        Ok(gone(key.clone(), &session))
    }

    /// A connection ended, and with it the sessions that it opened. Gives what is to be released.
    pub fn disconnected(&self, connection: u64) -> Vec<Gone> {
        let mut cache = self.cache();
        let keys = cache.by_connection.remove(&connection).unwrap_or_default();
        let ended = keys.into_iter();
        ended
            .filter_map(|key| {
                let session = cache.remove(&key)?;
                Some(gone(key, &session))
            })
            .collect()
    }
}

impl Cache {
    /// The session that a request with this epoch belongs to, its epoch raised.
    fn next(&mut self, key: &SessionKey, epoch: i32) -> Result<&mut Session, ErrorCode> {
        let session = self.sessions.get_mut(key);
        let session = session.ok_or(ErrorCode::ShareSessionNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidShareSessionEpoch);
        }
        // 1 follows the largest.
        session.epoch = epoch.checked_add(1).unwrap_or(1);
        Ok(session)
    }

    fn insert(&mut self, key: SessionKey, session: Session) {
        self.partitions += session.len();
        let of_connection = self.by_connection.entry(session.connection).or_default();
        of_connection.insert(key.clone());
        self.sessions.insert(key, session);
    }

    fn remove(&mut self, key: &SessionKey) -> Option<Session> {
        let session = self.sessions.remove(key)?;
        self.partitions -= session.len();
        if let Some(keys) = self.by_connection.get_mut(&session.connection) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_connection.remove(&session.connection);
            }
        }
        Some(session)
    }
}

fn gone(key: SessionKey, session: &Session) -> Gone {
    let names = session.names.iter().chain(&session.left);
    let partitions = names.map(|(topic, index)| PartitionId {
        topic: *topic,
        index: *index,
    });
    Gone {
        key,
        partitions: partitions.collect(),
    }
}

fn deduplicated(names: Vec<Named>) -> Vec<Named> {
    let mut seen = HashSet::new();
    let mut names = names;
    names.retain(|name| seen.insert(*name));
    names
}

#[cfg(test)]
mod tests;

//! Reading the partitions of a fetch until there is enough, or time is up.

use std::collections::BTreeSet;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{Bound, Offsets, Read, ReadRequest};

use crate::broker::Broker;
use crate::coordinator::catalog::{Topic, View};
use crate::error;
use crate::fetch_sessions::{Entry, Session, Source, TopicKey};
use crate::long_poll::Deadline;

/// What a fetch asks of all its partitions together.
pub(super) struct Terms {
    /// How far readers see.
    pub bound: Bound,
    /// The most bytes of records (F-2).
    pub max_bytes: usize,
    /// Wait for so many bytes (F-3).
    pub min_bytes: usize,
    /// Wait no longer than to here.
    pub deadline: Deadline,
    /// Whether a replica asks: there is none on one node (F-12).
    pub is_follower: bool,
}

/// What the outcomes of a round add up to.
#[derive(Default)]
struct Sum {
    bytes: usize,
    errors: usize,
    behind_active: usize,
}

impl Sum {
    fn count(&mut self, outcome: Option<&Result<Read, ErrorCode>>, change: fn(&mut usize, usize)) {
        match outcome {
            None => {}
            Some(Err(_)) => change(&mut self.errors, 1),
            Some(Ok(read)) => {
                let bytes = read.records.as_ref().map_or(0, |records| records.len());
                change(&mut self.bytes, bytes);
                change(
                    &mut self.behind_active,
                    usize::from(read.behind_active && bytes > 0),
                );
            }
        }
    }

    fn is_enough(&self, min_bytes: usize) -> bool {
        self.errors > 0 || self.behind_active > 0 || self.bytes >= min_bytes
    }
}

/// Look at what must be looked at, and wait until there is enough. Leaves an outcome with each
/// partition that was looked at, and gives their places.
pub(super) async fn read(broker: &Broker, session: &mut Session, terms: &Terms) -> BTreeSet<u64> {
    let mut looked_at = BTreeSet::new();
    let mut sum = Sum::default();
    session.read_to(terms.bound);
    resolve(broker, session, terms);
    if session.poll.take_wake_up() {
        find_changed(session);
    }
    loop {
        let round = std::mem::take(&mut session.dirty);
        for place in &round {
            if let Some(entry) = session.entry(*place) {
                sum.count(entry.outcome.as_ref(), |sum, n| *sum -= n);
                entry.armed = None;
                let outcome = look(entry, terms, sum.bytes).await;
                sum.count(Some(&outcome), |sum, n| *sum += n);
                entry.outcome = Some(outcome);
            }
        }
        let wait = !session.is_empty() && !sum.is_enough(terms.min_bytes);
        // Arm, look again, sleep.
        let look_again = wait && arm(session, &round);
        looked_at.extend(round);
        if look_again {
            session.poll.take_wake_up();
        } else if !wait || !session.poll.wait(terms.deadline).await {
            return looked_at;
        }
        resolve(broker, session, terms);
        find_changed(session);
        if session.dirty.is_empty() {
            // Woken, and no offset moved: a partition is gone.
            session.dirty_all();
        }
    }
}

/// Look at one partition.
async fn look(entry: &mut Entry, terms: &Terms, taken: usize) -> Result<Read, ErrorCode> {
    let partition = match &entry.source {
        Ok(source) => &source.partition,
        Err(code) => return Err(*code),
    };
    if entry.leader_epoch != -1 {
        error::check_leader_epoch(entry.leader_epoch, partition.offsets().leader_epoch)?;
    }
    let request = ReadRequest {
        from: entry.from,
        max_bytes: entry.max_bytes.min(terms.max_bytes.saturating_sub(taken)),
        at_least_one: taken == 0,
        bound: terms.bound,
    };
    let read = partition.read(request).await;
    read.map_err(|refused| error::code(&refused))
}

/// Arm those of `places` that are not, so that more wakes the fetch. True if one of them has
/// something already: it is in `dirty` again.
pub(super) fn arm(session: &mut Session, places: &BTreeSet<u64>) -> bool {
    let mut news = Vec::new();
    let bound = session.bound();
    for place in places {
        let (Some(entry), poll) = session.entry_and_poll(*place) else {
            continue;
        };
        if let (Ok(source), Some(Ok(read)), None) = (&entry.source, &entry.outcome, &entry.armed) {
            let seen = read.offsets;
            let after = seen.below(bound).max(entry.from);
            let watch = poll.arm(&*source.partition, after, bound);
            if is_news(&seen, &source.partition.offsets(), bound) {
                news.push(*place);
            } else {
                entry.armed = Some((seen, watch));
            }
        }
    }
    session.dirty.extend(&news);
    !news.is_empty()
}

/// Mark what moved since it was looked at.
fn find_changed(session: &mut Session) {
    let mut changed = Vec::new();
    let bound = session.bound();
    for (place, entry) in session.entries() {
        let Ok(source) = &entry.source else { continue };
        let seen = match (&entry.armed, &entry.outcome) {
            (Some((seen, _)), _) => *seen,
            (None, Some(Ok(read))) => read.offsets,
            (None, _) => continue,
        };
        if is_news(&seen, &source.partition.offsets(), bound) {
            entry.armed = None;
            changed.push(place);
        }
    }
    session.dirty.extend(changed);
}

/// Whether a reader up to this bound would see something else now. Who reads committed records
/// hears of the high watermark along with them, and is not woken for it.
fn is_news(seen: &Offsets, now: &Offsets, bound: Bound) -> bool {
    seen.below(bound) != now.below(bound)
        || seen.start != now.start
        || seen.leader_epoch != now.leader_epoch
}

fn resolve(broker: &Broker, session: &mut Session, terms: &Terms) {
    let is_follower = terms.is_follower;
    // Partitions of one topic mostly stand side by side: their topic is looked up once.
    let mut last: Option<(TopicKey, Arc<Topic>)> = None;
    session.resolve(&broker.catalog.view, |entry| {
        if is_follower {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let topic = match &last {
            Some((key, topic)) if *key == entry.topic => topic.clone(),
            _ => {
                let topic = find(&broker.catalog.view, entry)?;
                last = Some((entry.topic.clone(), topic.clone()));
                topic
            }
        };
        let partition = broker.partition(&topic, entry.index)?;
        Ok(Source { topic, partition })
    });
}

/// The topic of a partition (F-8).
fn find(view: &View, entry: &Entry) -> Result<Arc<Topic>, ErrorCode> {
    match &entry.topic {
        TopicKey::Name(name) => view.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition),
        TopicKey::Id(id) => view.topic_by_id(*id).ok_or_else(|| {
            // Made anew under the same name, while a session read the old one.
            let before = entry.source.as_ref().ok();
            match before.and_then(|source| view.topic(&source.topic.name)) {
                Some(_) => ErrorCode::InconsistentTopicId,
                None => ErrorCode::UnknownTopicId,
            }
        }),
    }
}

//! Fetch (key 1), versions 4 to 18: read whole batches of many partitions, waiting for some.
//!
//! Answers when there are `min_bytes`, at `max_wait_ms`, or at once when a partition has an error
//! (F-3). The first partition that has records gives at least one batch, whatever the limits
//! (F-1, F-2). One node: no follower, no other replica to read from (F-12). Batches leave as they
//! came, whatever the version (F-13). A client above its quota is told for how long it has to be
//! silent, and is not listened to for that time (KIP-219).
//! - v4: isolation level: read_committed reads up to the last stable offset and is told of the
//!   aborted transactions in what it reads; otherwise that list is null (F-4)
//! - v5: log start offset; v7: sessions (F-9 to F-11); v9: leader epoch of the client (F-7)
//! - v11: rack of the client, unused; v12: flexible; v13: topics by id (F-8)
//! - v15 to v18: what followers send, unused; v16: current leader, on an error never given here

mod reading;
mod response;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ratel_protocol::messages::FetchRequest;
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::{Bound, Offset, Slice};

use self::reading::Terms;
use self::response::{Head, Line};
use super::{Answer, Api, Context, Later};
use crate::fetch_sessions::{Entry, Lease, Session, TopicKey};
use crate::long_poll::Deadline;

pub struct Fetch;

/// Epoch of a request that opens a session with all its partitions.
const EPOCH_OPEN: i32 = 0;
/// Epoch of a request without a session; it closes the one it names.
const EPOCH_NONE: i32 = -1;
/// The first version that names topics by id.
const BY_ID_FROM: i16 = 13;

impl Api for Fetch {
    type Request = FetchRequest;
    const KEY: ApiKey = ApiKey::Fetch;
    const VERSIONS: RangeInclusive<i16> = 4..=18;

    async fn handle(cx: Context, request: FetchRequest) -> Later {
        let terms = terms(&cx, &request);
        match begin(&cx, request) {
            Ok(context) => Later::wait(fetch(cx, context, terms)),
            Err(code) => Later::Ready(refuse(&cx, code)),
        }
    }
}

/// What a fetch reads from, and what becomes of it afterwards.
enum FetchContext {
    /// Thrown away.
    Plain(Box<Session>),
    /// Becomes a session.
    Opening(Box<Session>),
    /// Goes back to its session; only what is new is told.
    Resumed(Lease),
}

fn terms(cx: &Context, request: &FetchRequest) -> Terms {
    let bytes = |limit: i32| usize::try_from(limit).unwrap_or(0);
    let quota_bytes = cx
        .broker
        .client_quotas
        .fetch_bytes_max(cx.client_id.as_deref());
    let max_bytes = bytes(request.max_bytes).min(cx.broker.config.fetch_max_bytes);
    let max_bytes = max_bytes.min(quota_bytes);
    let max_wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
    let replica_id = if cx.version >= 15 {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    Terms {
        bound: if request.isolation_level == 1 {
            Bound::Stable
        } else {
            Bound::HighWatermark
        },
        max_bytes,
        min_bytes: bytes(request.min_bytes).min(max_bytes),
        deadline: Deadline::after(Duration::from_millis(max_wait_ms)),
        is_follower: replica_id.0 >= 0,
    }
}

/// Find or make what the fetch reads from (F-9).
fn begin(cx: &Context, request: FetchRequest) -> Result<FetchContext, ErrorCode> {
    let sessions = &cx.broker.fetch_sessions;
    let (id, epoch) = (request.session_id, request.session_epoch);
    if matches!(epoch, EPOCH_OPEN | EPOCH_NONE) {
        if id != 0 {
            sessions.close(id);
        }
        let session = Box::new(Session::new(wanted(cx, &request)));
        return Ok(if epoch == EPOCH_OPEN {
            FetchContext::Opening(session)
        } else {
            FetchContext::Plain(session)
        });
    }
    let by_id = cx.version >= BY_ID_FROM;
    let mut lease = sessions.resume(id, epoch, by_id, cx.received.monotonic_ms)?;
    let forgotten: Vec<_> = request
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| {
            let key = topic_key(cx, &topic.topic, topic.topic_id);
            topic
                .partitions
                .iter()
                .map(move |index| (key.clone(), *index))
        })
        .collect();
    lease.session().update(wanted(cx, &request), &forgotten);
    if lease.session().is_empty() {
        // Dropping the lease closes the session.
        return Ok(FetchContext::Plain(Box::default()));
    }
    Ok(FetchContext::Resumed(lease))
}

fn wanted(cx: &Context, request: &FetchRequest) -> Vec<Entry> {
    let topics = request.topics.iter();
    topics
        .flat_map(|topic| {
            let key = topic_key(cx, &topic.topic, topic.topic_id);
            topic.partitions.iter().map(move |asked| Entry {
                max_bytes: usize::try_from(asked.partition_max_bytes).unwrap_or(0),
                leader_epoch: asked.current_leader_epoch,
                ..Entry::new(
                    key.clone(),
                    asked.partition,
                    Offset::new(asked.fetch_offset),
                )
            })
        })
        .collect()
}

/// The key of a topic. A name is shared with the catalog's, or copied: it must not keep the frame.
fn topic_key(cx: &Context, name: &str, id: ratel_storage::TopicId) -> TopicKey {
    if cx.version >= BY_ID_FROM {
        return TopicKey::Id(id);
    }
    let topic = cx.broker.catalog.view.topic(name);
    TopicKey::Name(topic.map_or_else(|| Arc::from(name), |topic| topic.name.clone()))
}

async fn fetch(cx: Context, mut context: FetchContext, terms: Terms) -> Answer {
    let (session, is_incremental, is_kept) = match &mut context {
        FetchContext::Plain(session) => (&mut **session, false, false),
        FetchContext::Opening(session) => (&mut **session, false, true),
        FetchContext::Resumed(lease) => (lease.session(), true, true),
    };
    let looked_at = reading::read(&cx.broker, session, &terms).await;
    if is_kept {
        reading::arm(session, &looked_at);
    }
    let lines = lines(&cx, session, &looked_at, is_incremental);
    lines.iter().for_each(|line| cx.count_error(line.code));
    let throttle_ms = throttle(&cx, &lines);
    let session_id = match context {
        FetchContext::Plain(_) => 0,
        FetchContext::Opening(session) => {
            let now_ms = cx.broker.clock.now().monotonic_ms;
            cx.broker
                .fetch_sessions
                .open(session, cx.version >= BY_ID_FROM, now_ms)
        }
        FetchContext::Resumed(lease) => {
            let id = lease.id();
            if let Err(code) = lease.give_back() {
                return refuse(&cx, code);
            }
            id
        }
    };
    let head = Head {
        code: 0,
        throttle_ms,
        session_id,
        read_committed: terms.bound == Bound::Stable,
    };
    response::frame(cx.version, cx.correlation_id, &head, &lines)
}

/// For how long the client has to be silent after this answer, in ms (KIP-219).
fn throttle(cx: &Context, lines: &[Line]) -> i32 {
    let quotas = &cx.broker.client_quotas;
    let throttle_ms = quotas.fetched(cx.client_id.as_deref(), || {
        let records = lines.iter().filter_map(|line| line.records.as_ref());
        let bytes = records.map(Slice::len).sum();
        (bytes, cx.broker.clock.now().monotonic_ms)
    });
    cx.mute(throttle_ms)
}

fn refuse(cx: &Context, code: ErrorCode) -> Answer {
    cx.count_error(code.code());
    let head = Head {
        code: code.code(),
        throttle_ms: 0,
        session_id: 0,
        read_committed: false,
    };
    response::frame(cx.version, cx.correlation_id, &head, &[])
}

/// Take the outcomes out and say what goes to the client. In a session, what gave records moves
/// to the back, and what is not both read to its end and armed is looked at again next time (F-10).
fn lines(
    cx: &Context,
    session: &mut Session,
    looked_at: &BTreeSet<u64>,
    is_incremental: bool,
) -> Vec<Line> {
    let mut lines = Vec::with_capacity(looked_at.len());
    let (mut gave, mut again) = (Vec::new(), Vec::new());
    let bound = session.bound();
    for place in looked_at {
        let Some(entry) = session.entry(*place) else {
            continue;
        };
        let Some(outcome) = entry.outcome.take() else {
            continue;
        };
        let end = outcome.as_ref().ok().map(|read| read.offsets.below(bound));
        let line = Line::new(entry, outcome);
        // Also when the limits left no room for what is there.
        if line.code != 0 || entry.armed.is_none() || end.is_some_and(|end| entry.from < end) {
            again.push(*place);
        }
        if let Some(records) = &line.records {
            gave.push(*place);
            if let Ok(source) = &entry.source {
                cx.broker
                    .metrics
                    .topic(source.topic.id)
                    .fetched(records.len() as u64);
            }
        }
        let told = (line.code == 0).then_some(line.offsets);
        let is_news = line.code != 0 || line.records.is_some() || entry.told != told;
        entry.told = told;
        if is_news || !is_incremental {
            lines.push(line);
        }
    }
    session.dirty.extend(again);
    if is_incremental {
        session.rotate(&gave);
    }
    lines
}

#[cfg(test)]
mod tests;

//! ShareFetch (key 78), versions 1 to 2: lease records to a member of a share group, and take its
//! word on those that it had.
//!
//! Epoch 0 opens a share session (no acknowledgements then: INVALID_REQUEST), -1 closes it: its
//! acknowledgements count, all else that the member leases is released, and nothing is leased.
//! Topics are added to the session, forgotten ones leave it. Answered are partitions that gave
//! records or an error, and every one that carried acknowledgements.
//!
//! Waits up to `max_wait_ms` for `min_bytes`; not at all if there were acknowledgements. The
//! first partition that has records gives at least one batch, however long (KIP-74). `Records`
//! are whole batches, of which `AcquiredRecords` says what is leased, in ranges of about
//! `batch_size`. `max_records` is for all partitions together; partitions take turns at being
//! first. A request without a place for a new session is answered (SHARE_SESSION_LIMIT_REACHED)
//! only after `max_wait_ms`. Records count towards the client's quota of bytes fetched, as in Fetch
//! (KIP-219).
//! - v2: acquire mode 1 keeps `max_records` exactly (KIP-1206); a request that renews leases
//!   asks for no records (KIP-1222)

mod reading;
mod response;

use std::ops::RangeInclusive;
use std::time::Duration;

use ratel_protocol::messages::ShareFetchRequest;
use ratel_protocol::{ApiKey, ErrorCode};

use self::reading::{Reading, Terms};
use self::response::{Head, Line};
use super::share_acks::{self, Acked, Acks};
use super::{Answer, Api, Context, Later};
use crate::coordinator::share::Mode;
use crate::long_poll::Deadline;
use crate::share_sessions::{EPOCH_CLOSE, EPOCH_OPEN, Gone, Named, Names, SessionKey};

pub struct ShareFetch;

impl Api for ShareFetch {
    type Request = ShareFetchRequest;
    const KEY: ApiKey = ApiKey::ShareFetch;
    const VERSIONS: RangeInclusive<i16> = 1..=2;

    async fn handle(cx: Context, request: ShareFetchRequest) -> Later {
        let terms = match terms(&cx, &request) {
            Ok(terms) => terms,
            Err(code) => return Later::Ready(refuse(&cx, code)),
        };
        let begun = begin(&cx, &request);
        let (key, names, gone) = match begun {
            Ok(begun) => begun,
            Err(ErrorCode::ShareSessionLimitReached) => {
                return Later::wait(async move {
                    // A client that asked again at once would do nothing else.
                    let _ = terms.deadline.limit(std::future::pending::<()>()).await;
                    refuse(&cx, ErrorCode::ShareSessionLimitReached)
                });
            }
            Err(code) => return Later::Ready(refuse(&cx, code)),
        };
        let sent = acknowledge(&cx, &key, &request);
        if let Some(gone) = gone {
            share_acks::release(&cx, &gone);
        }
        let first = cx.broker.share_sessions.turn(&key);
        Later::wait(fetch(cx, key, names, first, terms, sent))
    }
}

fn terms(cx: &Context, request: &ShareFetchRequest) -> Result<Terms, ErrorCode> {
    let mode = match request.share_acquire_mode {
        0 => Mode::BatchOptimized,
        1 => Mode::RecordLimit,
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let limits = [
        request.max_bytes,
        request.min_bytes,
        request.max_records,
        request.max_wait_ms,
    ];
    if request.is_renew_ack && limits != [0; 4] {
        return Err(ErrorCode::InvalidRequest);
    }
    let size = |limit: i32| usize::try_from(limit).unwrap_or(0);
    let quotas = &cx.broker.client_quotas;
    let max_bytes = size(request.max_bytes)
        .min(cx.broker.config.fetch_max_bytes)
        .min(quotas.fetch_bytes_max(cx.client_id.as_deref()));
    let wait_ms = request.max_wait_ms.max(0);
    Ok(Terms {
        mode,
        max_records: size(request.max_records),
        max_bytes,
        min_bytes: size(request.min_bytes).min(max_bytes),
        batch_size: i64::from(request.batch_size),
        deadline: Deadline::after(Duration::from_millis(u64::from(wait_ms.unsigned_abs()))),
        waits_until_ms: cx.received.monotonic_ms.saturating_add(i64::from(wait_ms)),
    })
}

type Begun = (SessionKey, Names, Option<Gone>);

/// Open the session, go on with it, or close it: what is to be released then.
fn begin(cx: &Context, request: &ShareFetchRequest) -> Result<Begun, ErrorCode> {
    let group = request.group_id.as_ref().map(|group| &*group.0 as &str);
    let key = share_acks::session_key(group, request.member_id.as_ref())?;
    let sessions = &cx.broker.share_sessions;
    let wanted = || -> Vec<Named> {
        let topics = request.topics.iter();
        topics
            .flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(|asked| (topic.topic_id, asked.partition_index))
            })
            .collect()
    };
    match request.share_session_epoch {
        EPOCH_CLOSE => {
            let gone = sessions.close(&key)?;
            Ok((key, Names::default(), Some(gone)))
        }
        EPOCH_OPEN => {
            let mut partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
            if partitions.any(|asked| !asked.acknowledgement_batches.is_empty()) {
                return Err(ErrorCode::InvalidRequest);
            }
            let names = sessions.open(&key, cx.session.connection, wanted())?;
            Ok((key, names, None))
        }
        epoch => {
            let forgotten = request.forgotten_topics_data.iter();
            let forgotten: Vec<Named> = forgotten
                .flat_map(|topic| {
                    topic
                        .partitions
                        .iter()
                        .map(|index| (topic.topic_id, *index))
                })
                .collect();
            let names = sessions.go_on(&key, epoch, wanted(), &forgotten)?;
            Ok((key, names, None))
        }
    }
}

/// Send all acknowledgements on their way.
fn acknowledge(cx: &Context, key: &SessionKey, request: &ShareFetchRequest) -> Vec<Acked> {
    let acks = Acks {
        cx,
        key,
        renews: request.is_renew_ack,
    };
    let mut sent = Vec::new();
    for topic in &request.topics {
        for asked in &topic.partitions {
            let batches = &asked.acknowledgement_batches;
            if !batches.is_empty() {
                sent.push(acks.send(topic.topic_id, asked.partition_index, batches));
            }
        }
    }
    sent
}

async fn fetch(
    cx: Context,
    key: SessionKey,
    names: Names,
    first: usize,
    terms: Terms,
    sent: Vec<Acked>,
) -> Answer {
    let waits = sent.is_empty();
    // The leases do not wait for the disk; the answer does, for what it says of acknowledgements.
    let mut lines = Reading::new(&cx, &key, &names, first, &terms)
        .read(waits)
        .await;
    for acked in sent {
        let (topic, index, outcome) = acked.outcome().await;
        let code = outcome.err().map_or(0, |code| code.code());
        let line = lines
            .iter_mut()
            .find(|line| (line.topic, line.index) == (topic, index));
        match line {
            Some(line) => line.acknowledge_code = code,
            None => lines.push(Line {
                acknowledge_code: code,
                ..Line::new(topic, index)
            }),
        }
    }
    // Stable: within a topic the order of the turns stays.
    lines.sort_by_key(|line| line.topic);
    for line in &lines {
        cx.count_error(line.code);
        cx.count_error(line.acknowledge_code);
    }
    let quotas = &cx.broker.client_quotas;
    let throttle_ms = cx.mute(quotas.fetched(cx.client_id.as_deref(), || {
        let bytes = lines.iter().map(Line::bytes).sum();
        (bytes, cx.broker.clock.now().monotonic_ms)
    }));
    let head = Head {
        code: 0,
        throttle_ms,
        lock_timeout_ms: share_acks::lock_timeout_ms(&cx, &key.group),
    };
    response::frame(cx.version, cx.correlation_id, &head, &lines)
}

fn refuse(cx: &Context, code: ErrorCode) -> Answer {
    cx.count_error(code.code());
    let head = Head {
        code: code.code(),
        throttle_ms: 0,
        lock_timeout_ms: 0,
    };
    response::frame(cx.version, cx.correlation_id, &head, &[])
}

#[cfg(test)]
mod tests;

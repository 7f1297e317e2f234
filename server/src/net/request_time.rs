//! Measures how long requests keep a thread, and holds their clients to their quotas of that
//! (KIP-124).
//!
//! The time of a request is that in which its handler runs, not that in which it waits for a disk
//! or for other clients. What takes it is told in the answer when that is made, and the connection
//! is muted; no longer than one sample of the quota's window, as in Kafka.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::{Bytes, BytesMut};
use ratel_protocol::throttle;
use ratel_storage::Slice;

use crate::api::{Answer, Context, Handling, Later};
use crate::clock::Clock;

/// The same request, measured if anybody has a quota of that.
pub fn measured(cx: Context, handling: impl FnOnce(Context) -> Handling) -> Handling {
    if !cx.broker.client_quotas.measures_requests() {
        return handling(cx);
    }
    let handling = handling(cx.clone());
    Box::pin(async move {
        let clock = cx.broker.clock.clone();
        let (later, spent_us) = Timed::new(handling, clock.clone(), 0).await;
        Ok(match later? {
            Later::Ready(answer) => Later::Ready(throttled(&cx, answer, spent_us)),
            Later::Wait(answer) => Later::wait(async move {
                let (answer, spent_us) = Timed::new(answer, clock, spent_us).await;
                throttled(&cx, answer, spent_us)
            }),
        })
    })
}

/// Adds up the time in which a future is polled.
struct Timed<F> {
    future: F,
    clock: Arc<dyn Clock>,
    spent_us: u64,
}

impl<F> Timed<F> {
    fn new(future: F, clock: Arc<dyn Clock>, spent_us: u64) -> Self {
        Self {
            future,
            clock,
            spent_us,
        }
    }
}

impl<F: Future + Unpin> Future for Timed<F> {
    type Output = (F::Output, u64);

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let began_us = self.clock.monotonic_us();
        let polled = Pin::new(&mut self.future).poll(task);
        let ended_us = self.clock.monotonic_us();
        self.spent_us += ended_us.saturating_sub(began_us);
        polled.map(|output| (output, self.spent_us))
    }
}

/// The answer to a request that took so long. One that nobody reads takes no part, as in Kafka.
fn throttled(cx: &Context, answer: Answer, spent_us: u64) -> Answer {
    if matches!(answer, Answer::Nothing | Answer::Close) {
        return answer;
    }
    let now_ms = cx.broker.clock.now().monotonic_ms;
    let quotas = &cx.broker.client_quotas;
    let throttle_ms = cx.mute(quotas.worked(cx.client_id.as_deref(), spent_us, now_ms));
    if throttle_ms == 0 {
        return answer;
    }
    let raised = |bytes: Bytes| {
        let mut bytes = bytes
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&*shared));
        throttle::raise(cx.key, cx.version, &mut bytes, throttle_ms);
        bytes.freeze()
    };
    match answer {
        Answer::Body(bytes) => Answer::Body(raised(bytes)),
        Answer::Pieces(mut pieces) => {
            if let Some(front) = pieces.first_mut()
                && let Slice::Bytes(bytes) = front
            {
                *bytes = raised(std::mem::take(bytes));
            }
            Answer::Pieces(pieces)
        }
        answer => answer,
    }
}

//! What the APIs of groups share: text in and out, and many groups in one request.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use ratel_protocol::messages::GroupId;
use ratel_protocol::{ErrorCode, StrBytes};

use super::Context;
use crate::coordinator::group::{Event, Reply};
use crate::error::Refusal;
use crate::groups::look_up;

/// How often a machine may ask for topics before it decides. It asks twice only if the members of
/// a group come to read something else meanwhile.
const TOPIC_ROUNDS: usize = 8;
/// Events of one request that may be under way at once.
const UNDER_WAY_MAX: usize = 256;

/// A copy that does not keep the request's frame alive.
pub(super) fn own(text: &str) -> Arc<str> {
    text.into()
}

/// [`own`] of what may not be there.
pub(super) fn own_or_none(text: Option<&StrBytes>) -> Option<Arc<str>> {
    text.map(|text| own(text))
}

/// The client's address as Kafka shows it: a Java address without a name.
pub(super) fn client_host(cx: &Context) -> Arc<str> {
    format!("/{}", cx.session.peer.ip().to_canonical()).into()
}

/// Text for an answer.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Each item once, in order: what is named a million times is not answered a million times.
pub(super) fn distinct<T: Clone + Eq + Hash>(items: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::with_capacity(items.len());
    items
        .into_iter()
        .filter(|item| seen.insert(item.clone()))
        .collect()
}

/// The number that stands for an outcome.
pub(super) fn code(outcome: Result<(), ErrorCode>) -> i16 {
    outcome.map_or_else(|error| error.code(), |()| 0)
}

/// What is wrong with a whole share group whose offsets are to change.
pub(super) fn share_refusal(code: ErrorCode) -> Refusal {
    let sentence = match code {
        ErrorCode::InvalidGroupId => "A group's id is not empty.",
        ErrorCode::GroupIdNotFound => "There is no share group of this name.",
        ErrorCode::NonEmptyGroup => "The group is not empty.",
        code => return code.into(),
    };
    Refusal::new(code, sentence)
}

/// Send an event; its order is fixed when this call returns. Topics that the machine wants to know
/// of first are looked up, and the event is sent once more with them.
pub(super) fn send_with_topics(
    cx: &Context,
    group: &str,
    mut event: Event,
) -> impl Future<Output = Result<Reply, ErrorCode>> + Send + use<> {
    let again = event.found().is_some().then(|| event.clone());
    let first = cx.broker.groups.send(group, event);
    let (broker, group) = (cx.broker.clone(), own(group));
    async move {
        let mut reply = first.await;
        let mut again = again;
        for _ in 0..TOPIC_ROUNDS {
            let Ok(Reply::TopicsWanted(names)) = reply else {
                return reply;
            };
            let event = again.as_mut().ok_or(STRANGE)?;
            let found = names.iter().map(|name| look_up(&broker.catalog.view, name));
            event.found().ok_or(STRANGE)?.extend(found);
            reply = broker.groups.send(&group, event.clone()).await;
        }
        Err(ErrorCode::CoordinatorNotAvailable)
    }
}

/// Ask how a group is; `take` finds that in the reply.
pub(super) fn describe<D>(
    cx: &Context,
    id: GroupId,
    event: fn(Arc<str>) -> Event,
    take: fn(Reply) -> Option<D>,
) -> impl Future<Output = (GroupId, Result<D, ErrorCode>)> + Send + use<D> {
    let reply = cx.broker.groups.send(&id, event(own(&id)));
    async move {
        let described = match reply.await {
            _ if id.is_empty() => Err(ErrorCode::InvalidGroupId),
            reply => reply.and_then(|reply| take(reply).ok_or(STRANGE)),
        };
        (id, described)
    }
}

/// The reply is of another kind than the event that was sent: a fault of ours.
pub(super) const STRANGE: ErrorCode = ErrorCode::UnknownServerError;

/// Replies to many events of one request, some still to come.
pub(super) struct Replies<F: Future> {
    here: Vec<F::Output>,
    under_way: VecDeque<F>,
}

/// Send an event for each item, a bounded number at a time. When this ends, all are sent.
pub(super) async fn send_each<T, F: Future>(
    items: impl IntoIterator<Item = T>,
    mut send: impl FnMut(T) -> F,
) -> Replies<F> {
    let mut replies = Replies {
        here: Vec::new(),
        under_way: VecDeque::new(),
    };
    for item in items {
        if replies.under_way.len() >= UNDER_WAY_MAX
            && let Some(oldest) = replies.under_way.pop_front()
        {
            replies.here.push(oldest.await);
        }
        replies.under_way.push_back(send(item));
    }
    replies
}

impl<F: Future> Replies<F> {
    /// All replies, in the order of the items.
    pub(super) async fn all(mut self) -> Vec<F::Output> {
        for reply in self.under_way {
            self.here.push(reply.await);
        }
        self.here
    }
}

#[cfg(test)]
mod tests {
    use super::send_each;

    #[tokio::test]
    async fn replies_come_in_order_and_few_are_under_way() {
        let mut sent = 0;
        let replies = send_each(0..1000, |item| {
            sent += 1;
            std::future::ready(item * 2)
        })
        .await;
        assert_eq!(sent, 1000);
        let expected: Vec<_> = (0..1000).map(|item| item * 2).collect();
        assert_eq!(replies.all().await, expected);
    }
}

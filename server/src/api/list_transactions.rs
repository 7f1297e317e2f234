//! ListTransactions (key 66), versions 0 to 2: which transactional ids there are (KIP-664).
//!
//! A state that there is not is named in the answer, and no id is in it (T-16).
//! - v1: only ids whose last transaction began longer ago than this (KIP-994)
//! - v2: only ids that a regular expression stands for as a whole (KIP-1152); one that cannot be
//!   understood is INVALID_REGULAR_EXPRESSION, and nothing else is said then

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use ratel_protocol::messages::list_transactions_response::TransactionState;
use ratel_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::groups::text;
use super::transactions::transactional_id;
use super::{Api, Context, Later};
use crate::coordinator::pattern::Pattern;
use crate::coordinator::txn::{Filter, Listed, Status};

pub struct ListTransactions;

/// States of Kafka in which no id is ever seen here.
const NEVER_SEEN: [&str; 2] = ["Dead", "PrepareEpochFence"];

impl Api for ListTransactions {
    type Request = ListTransactionsRequest;
    const KEY: ApiKey = ApiKey::ListTransactions;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(cx: Context, request: ListTransactionsRequest) -> Later {
        let Some(pattern) = pattern(&cx, &request) else {
            let code = ErrorCode::InvalidRegularExpression.code();
            let refused = ListTransactionsResponse::default().with_error_code(code);
            return Later::Ready(cx.answer(&refused));
        };
        let names = request.state_filters.iter();
        let statuses: BTreeSet<_> = names.clone().filter_map(|name| status(name)).collect();
        let unknown = names.clone().filter(|name| !is_known(name));
        let unknown: Vec<_> = unknown.map(|name| text(name)).collect();
        // States were asked for, and nothing can be in any of them.
        let is_void = !request.state_filters.is_empty() && statuses.is_empty();
        let filter = Filter {
            statuses,
            producer_ids: request.producer_id_filters.iter().map(|id| id.0).collect(),
            longer_than_ms: if cx.version >= 1 {
                request.duration_filter
            } else {
                -1
            },
            pattern,
        };
        drop(request);
        Later::wait(async move {
            let response = ListTransactionsResponse::default().with_unknown_state_filters(unknown);
            if is_void {
                return cx.answer(&response);
            }
            cx.answer(&match cx.broker.transactions.list(filter).await {
                Ok(listed) => {
                    response.with_transaction_states(listed.into_iter().map(state).collect())
                }
                Err(code) => response.with_error_code(code.code()),
            })
        })
    }
}

/// The expression that was asked for, if one was; none if it cannot be understood.
fn pattern(cx: &Context, request: &ListTransactionsRequest) -> Option<Option<Pattern>> {
    let asked = request.transactional_id_pattern.as_deref();
    match asked.filter(|asked| cx.version >= 2 && !asked.is_empty()) {
        Some(asked) => Pattern::of_text(asked).map(Some),
        None => Some(None),
    }
}

fn status(name: &str) -> Option<Status> {
    Status::ALL.into_iter().find(|status| status.name() == name)
}

fn is_known(name: &str) -> bool {
    status(name).is_some() || NEVER_SEEN.contains(&name)
}

fn state(listed: Listed) -> TransactionState {
    TransactionState::default()
        .with_transactional_id(transactional_id(&listed.id))
        .with_producer_id(listed.producer_id.into())
        .with_transaction_state(StrBytes::from_static_str(listed.status.name()))
}

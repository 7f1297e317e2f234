//! DescribeTransactions (key 65), version 0: everything about transactional ids (KIP-664).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use ratel_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicName,
};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::groups::{distinct, own, send_each, text};
use super::transactions::transactional_id;
use super::{Api, Context, Later};
use crate::coordinator::txn::Transaction;

pub struct DescribeTransactions;

impl Api for DescribeTransactions {
    type Request = DescribeTransactionsRequest;
    const KEY: ApiKey = ApiKey::DescribeTransactions;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(cx: Context, request: DescribeTransactionsRequest) -> Later {
        let ids = distinct(request.transactional_ids).into_iter();
        let ids: Vec<_> = ids.map(|id| own(&id)).collect();
        let asked = ids.clone();
        let broker = cx.broker.clone();
        let replies = send_each(asked, |id| broker.transactions.describe(&id)).await;
        Later::wait(async move {
            let found = ids.iter().zip(replies.all().await);
            let states = found.map(|(id, outcome)| state(id, outcome)).collect();
            cx.answer(&DescribeTransactionsResponse::default().with_transaction_states(states))
        })
    }
}

fn state(id: &str, outcome: Result<Box<Transaction>, ErrorCode>) -> TransactionState {
    let state = TransactionState::default().with_transactional_id(transactional_id(id));
    let outcome = match id.is_empty() {
        true => Err(ErrorCode::InvalidRequest),
        false => outcome,
    };
    match outcome {
        Ok(found) => state
            .with_transaction_state(StrBytes::from_static_str(found.status.name()))
            .with_transaction_timeout_ms(found.timeout_ms)
            .with_transaction_start_time_ms(found.started_ms)
            .with_producer_id(found.producer_id.into())
            .with_producer_epoch(found.epoch)
            .with_topics(topics(&found.partitions)),
        Err(code) => state.with_error_code(code.code()),
    }
}

fn topics(partitions: &BTreeMap<Arc<str>, BTreeSet<i32>>) -> Vec<TopicData> {
    let topics = partitions.iter().map(|(topic, indexes)| {
        TopicData::default()
            .with_topic(TopicName(text(topic)))
            .with_partitions(indexes.iter().copied().collect())
    });
    topics.collect()
}

//! Requests of producers that want a producer id or a transaction.

use crate::ApiKey;

use crate::schema::Kind::{Array, Bool, Int16, Int32, Int64, NullStr, Str};
use crate::schema::f;

use super::{Row, list};

pub(super) const ROWS: &[Row] = &[
    (ApiKey::InitProducerId, &[
        f("transactional_id", NullStr),
        f("transaction_timeout_ms", Int32),
        f("producer_id", Int64).since(3),
        f("producer_epoch", Int16).since(3),
    ]),
    (ApiKey::AddPartitionsToTxn, &[
        f("transactions", list![
            f("transactional_id", Str).since(4),
            f("producer_id", Int64).since(4),
            f("producer_epoch", Int16).since(4),
            f("verify_only", Bool).since(4),
            f("topics", list![f("name", Str), f("partitions", Array(&Int32))]).since(4),
        ]).since(4),
        f("v3_and_below_transactional_id", Str).until(3),
        f("v3_and_below_producer_id", Int64).until(3),
        f("v3_and_below_producer_epoch", Int16).until(3),
        f("v3_and_below_topics", list![f("name", Str), f("partitions", Array(&Int32))]).until(3),
    ]),
    (ApiKey::AddOffsetsToTxn, &[
        f("transactional_id", Str),
        f("producer_id", Int64),
        f("producer_epoch", Int16),
        f("group_id", Str),
    ]),
    (ApiKey::EndTxn, &[
        f("transactional_id", Str),
        f("producer_id", Int64),
        f("producer_epoch", Int16),
        f("committed", Bool),
    ]),
    (ApiKey::WriteTxnMarkers, &[
        f("markers", list![
            f("producer_id", Int64),
            f("producer_epoch", Int16),
            f("transaction_result", Bool),
            f("topics", list![f("name", Str), f("partition_indexes", Array(&Int32))]),
            f("coordinator_epoch", Int32),
        ]),
    ]),
    (ApiKey::TxnOffsetCommit, &[
        f("transactional_id", Str),
        f("group_id", Str),
        f("producer_id", Int64),
        f("producer_epoch", Int16),
        f("generation_id", Int32).since(3),
        f("member_id", Str).since(3),
        f("group_instance_id", NullStr).since(3),
        f("topics", list![
            f("name", Str),
            f("partitions", list![
                f("partition_index", Int32),
                f("committed_offset", Int64),
                f("committed_leader_epoch", Int32).since(2),
                f("committed_metadata", NullStr),
            ]),
        ]),
    ]),
    (ApiKey::DescribeTransactions, &[f("transactional_ids", Array(&Str))]),
    (ApiKey::ListTransactions, &[
        f("state_filters", Array(&Str)),
        f("producer_id_filters", Array(&Int64)),
        f("duration_filter", Int64).since(1),
        f("transactional_id_pattern", NullStr).since(2),
    ]),
];

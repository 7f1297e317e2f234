//! Requests for records, for their offsets, and for the topics that hold them.

use crate::ApiKey;

use crate::schema::Kind::{
    Array, Bool, Int8, Int16, Int32, Int64, NullBytes, NullStr, NullStruct, Str, Struct, Uuid,
};
use crate::schema::f;

use super::{Row, list, null_list};

pub(super) const ROWS: &[Row] = &[
    (ApiKey::Produce, &[
        f("transactional_id", NullStr),
        f("acks", Int16),
        f("timeout_ms", Int32),
        f("topic_data", list![
            f("name", Str).until(12),
            f("topic_id", Uuid).since(13),
            f("partition_data", list![f("index", Int32), f("records", NullBytes)]),
        ]),
    ]),
    (ApiKey::Fetch, &[
        f("replica_id", Int32).until(14),
        f("max_wait_ms", Int32),
        f("min_bytes", Int32),
        f("max_bytes", Int32),
        f("isolation_level", Int8),
        f("session_id", Int32).since(7),
        f("session_epoch", Int32).since(7),
        f("topics", list![
            f("topic", Str).until(12),
            f("topic_id", Uuid).since(13),
            f("partitions", list![
                f("partition", Int32),
                f("current_leader_epoch", Int32).since(9),
                f("fetch_offset", Int64),
                f("last_fetched_epoch", Int32).since(12),
                f("log_start_offset", Int64).since(5),
                f("partition_max_bytes", Int32),
                f("replica_directory_id", Uuid).tag(0).since(17),
                f("high_watermark", Int64).tag(1).since(18),
            ]),
        ]),
        f("forgotten_topics_data", list![
            f("topic", Str).since(7).until(12),
            f("topic_id", Uuid).since(13),
            f("partitions", Array(&Int32)).since(7),
        ]).since(7),
        f("rack_id", Str).since(11),
        f("cluster_id", NullStr).tag(0),
        f("replica_state", Struct(&[
            f("replica_id", Int32).since(15),
            f("replica_epoch", Int64).since(15),
        ])).tag(1).since(15),
    ]),
    (ApiKey::ListOffsets, &[
        f("replica_id", Int32),
        f("isolation_level", Int8).since(2),
        f("topics", list![
            f("name", Str),
            f("partitions", list![
                f("partition_index", Int32),
                f("current_leader_epoch", Int32).since(4),
                f("timestamp", Int64),
            ]),
        ]),
        f("timeout_ms", Int32).since(10),
    ]),
    (ApiKey::Metadata, &[
        f("topics", null_list![f("topic_id", Uuid).since(10), f("name", NullStr)]),
        f("allow_auto_topic_creation", Bool).since(4),
        f("include_cluster_authorized_operations", Bool).since(8).until(10),
        f("include_topic_authorized_operations", Bool).since(8),
    ]),
    (ApiKey::DeleteRecords, &[
        f("topics", list![
            f("name", Str),
            f("partitions", list![f("partition_index", Int32), f("offset", Int64)]),
        ]),
        f("timeout_ms", Int32),
    ]),
    (ApiKey::OffsetForLeaderEpoch, &[
        f("replica_id", Int32).since(3),
        f("topics", list![
            f("topic", Str),
            f("partitions", list![
                f("partition", Int32),
                f("current_leader_epoch", Int32),
                f("leader_epoch", Int32),
            ]),
        ]),
    ]),
    (ApiKey::DescribeProducers, &[
        f("topics", list![f("name", Str), f("partition_indexes", Array(&Int32))]),
    ]),
    (ApiKey::DescribeTopicPartitions, &[
        f("topics", list![f("name", Str)]),
        f("response_partition_limit", Int32),
        f("cursor", NullStruct(&[f("topic_name", Str), f("partition_index", Int32)])),
    ]),
];

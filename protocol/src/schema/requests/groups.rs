//! Requests of consumer groups: membership, committed offsets, descriptions.

use crate::ApiKey;

use crate::schema::Kind::{Array, Bool, Bytes, Int8, Int32, Int64, NullArray, NullStr, Str, Uuid};
use crate::schema::f;

use super::{Row, list, null_list};

pub(super) const ROWS: &[Row] = &[
    (ApiKey::OffsetCommit, &[
        f("group_id", Str),
        f("generation_id_or_member_epoch", Int32),
        f("member_id", Str),
        f("group_instance_id", NullStr).since(7),
        f("retention_time_ms", Int64).until(4),
        f("topics", list![
            f("name", Str),
            f("partitions", list![
                f("partition_index", Int32),
                f("committed_offset", Int64),
                f("committed_leader_epoch", Int32).since(6),
                f("committed_metadata", NullStr),
            ]),
        ]),
    ]),
    (ApiKey::OffsetFetch, &[
        f("group_id", Str).until(7),
        f("topics", null_list![
            f("name", Str).until(7),
            f("partition_indexes", Array(&Int32)).until(7),
        ]).until(7),
        f("groups", list![
            f("group_id", Str).since(8),
            f("member_id", NullStr).since(9),
            f("member_epoch", Int32).since(9),
            f("topics", null_list![
                f("name", Str).since(8),
                f("partition_indexes", Array(&Int32)).since(8),
            ]).since(8),
        ]).since(8),
        f("require_stable", Bool).since(7),
    ]),
    (ApiKey::FindCoordinator, &[
        f("key", Str).until(3),
        f("key_type", Int8).since(1),
        f("coordinator_keys", Array(&Str)).since(4),
    ]),
    (ApiKey::JoinGroup, &[
        f("group_id", Str),
        f("session_timeout_ms", Int32),
        f("rebalance_timeout_ms", Int32).since(1),
        f("member_id", Str),
        f("group_instance_id", NullStr).since(5),
        f("protocol_type", Str),
        f("protocols", list![f("name", Str), f("metadata", Bytes)]),
        f("reason", NullStr).since(8),
    ]),
    (ApiKey::Heartbeat, &[
        f("group_id", Str),
        f("generation_id", Int32),
        f("member_id", Str),
        f("group_instance_id", NullStr).since(3),
    ]),
    (ApiKey::LeaveGroup, &[
        f("group_id", Str),
        f("member_id", Str).until(2),
        f("members", list![
            f("member_id", Str).since(3),
            f("group_instance_id", NullStr).since(3),
            f("reason", NullStr).since(5),
        ]).since(3),
    ]),
    (ApiKey::SyncGroup, &[
        f("group_id", Str),
        f("generation_id", Int32),
        f("member_id", Str),
        f("group_instance_id", NullStr).since(3),
        f("protocol_type", NullStr).since(5),
        f("protocol_name", NullStr).since(5),
        f("assignments", list![f("member_id", Str), f("assignment", Bytes)]),
    ]),
    (ApiKey::DescribeGroups, &[
        f("groups", Array(&Str)),
        f("include_authorized_operations", Bool).since(3),
    ]),
    (ApiKey::ListGroups, &[
        f("states_filter", Array(&Str)).since(4),
        f("types_filter", Array(&Str)).since(5),
    ]),
    (ApiKey::DeleteGroups, &[f("groups_names", Array(&Str))]),
    (ApiKey::OffsetDelete, &[
        f("group_id", Str),
        f("topics", list![f("name", Str), f("partitions", list![f("partition_index", Int32)])]),
    ]),
    (ApiKey::ConsumerGroupHeartbeat, &[
        f("group_id", Str),
        f("member_id", Str),
        f("member_epoch", Int32),
        f("instance_id", NullStr),
        f("rack_id", NullStr),
        f("rebalance_timeout_ms", Int32),
        f("subscribed_topic_names", NullArray(&Str)),
        f("subscribed_topic_regex", NullStr).since(1),
        f("server_assignor", NullStr),
        f("topic_partitions", null_list![f("topic_id", Uuid), f("partitions", Array(&Int32))]),
    ]),
    (ApiKey::ConsumerGroupDescribe, &[
        f("group_ids", Array(&Str)),
        f("include_authorized_operations", Bool),
    ]),
];

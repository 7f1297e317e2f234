//! Requests of share groups (KIP-932).

use crate::ApiKey;

use crate::schema::Kind::{Array, Bool, Int8, Int32, Int64, NullArray, NullStr, Str, Uuid};
use crate::schema::{Kind, f};

use super::{Row, list, null_list};

/// Records by topic and partition, each range with what became of it.
const ACKNOWLEDGED_TOPICS: Kind = list![
    f("topic_id", Uuid),
    f("partitions", list![
        f("partition_index", Int32),
        f("acknowledgement_batches", list![
            f("first_offset", Int64),
            f("last_offset", Int64),
            f("acknowledge_types", Array(&Int8)),
        ]),
    ]),
];

pub(super) const ROWS: &[Row] = &[
    (ApiKey::ShareGroupHeartbeat, &[
        f("group_id", Str),
        f("member_id", Str),
        f("member_epoch", Int32),
        f("rack_id", NullStr),
        f("subscribed_topic_names", NullArray(&Str)),
    ]),
    (ApiKey::ShareGroupDescribe, &[
        f("group_ids", Array(&Str)),
        f("include_authorized_operations", Bool),
    ]),
    (ApiKey::ShareFetch, &[
        f("group_id", NullStr),
        f("member_id", NullStr),
        f("share_session_epoch", Int32),
        f("max_wait_ms", Int32),
        f("min_bytes", Int32),
        f("max_bytes", Int32),
        f("max_records", Int32),
        f("batch_size", Int32),
        f("share_acquire_mode", Int8).since(2),
        f("is_renew_ack", Bool).since(2),
        f("topics", ACKNOWLEDGED_TOPICS),
        f("forgotten_topics_data", list![f("topic_id", Uuid), f("partitions", Array(&Int32))]),
    ]),
    (ApiKey::ShareAcknowledge, &[
        f("group_id", NullStr),
        f("member_id", NullStr),
        f("share_session_epoch", Int32),
        f("is_renew_ack", Bool).since(2),
        f("topics", ACKNOWLEDGED_TOPICS),
    ]),
    (ApiKey::DescribeShareGroupOffsets, &[
        f("groups", list![
            f("group_id", Str),
            f("topics", null_list![f("topic_name", Str), f("partitions", Array(&Int32))]),
        ]),
    ]),
    (ApiKey::AlterShareGroupOffsets, &[
        f("group_id", Str),
        f("topics", list![
            f("topic_name", Str),
            f("partitions", list![f("partition_index", Int32), f("start_offset", Int64)]),
        ]),
    ]),
    (ApiKey::DeleteShareGroupOffsets, &[
        f("group_id", Str),
        f("topics", list![f("topic_name", Str)]),
    ]),
];

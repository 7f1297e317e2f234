//! The request of our private API.

use crate::ApiKey;
use crate::schema::Kind::{
    Bool, Int8, Int32, Int64, NullArray, NullBytes, NullStr, NullStruct, Str, Struct,
};
use crate::schema::f;

use super::{Row, null_list};

pub(super) const ROWS: &[Row] = &[(ApiKey::QueueAdmin, &[
    f("describe_queues", NullStruct(&[f("group_ids", NullArray(&Str))])),
    f("purge_queues", NullStruct(&[
        f("group_id", Str),
        f("topics", null_list![f("topic_name", Str), f("partitions", NullArray(&Int32))]),
    ])),
    f("start_redrive", NullStruct(&[
        f("group_id", Str),
        f("filter", Struct(&[
            f("dead_partition", Int32),
            f("dead_offset", Int64),
            f("topic_name", NullStr),
            f("partition", Int32),
            f("first_offset", Int64),
            f("last_offset", Int64),
            f("reason", Int8),
            f("from_ms", Int64),
            f("to_ms", Int64),
            f("key", NullBytes),
            f("header_name", NullStr),
            f("header_value", NullBytes),
        ])),
        f("rate", Int32),
        f("dry_run", Bool),
    ])),
    f("list_redrives", NullStruct(&[f("group_id", NullStr), f("job_id", Int64)])),
    f("cancel_redrive", NullStruct(&[f("job_id", Int64)])),
    f("resume_redrive", NullStruct(&[f("job_id", Int64)])),
])];

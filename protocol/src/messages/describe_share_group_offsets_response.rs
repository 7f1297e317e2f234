//! What answers DescribeShareGroupOffsets.

use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::coding::message;

message! { 0..=1;
    /// How far a group has come on a partition.
    DescribeShareGroupOffsetsResponsePartition {
        /// Its number.
        partition_index with_partition_index: i32;
        /// The first offset that is not done, -1 if the group never read it.
        start_offset with_start_offset: i64;
        /// The epoch of the partition's leader.
        leader_epoch with_leader_epoch: i32;
        /// Records that are not done, -1 if that is not known.
        lag with_lag: i64 = -1, since 1 or dropped;
        /// What went wrong, or 0.
        error_code with_error_code: i16;
        /// The same in words.
        error_message with_error_message: Option<StrBytes>;
    }

    /// A topic.
    DescribeShareGroupOffsetsResponseTopic {
        /// Its name.
        topic_name with_topic_name: TopicName;
        /// Its id.
        topic_id with_topic_id: Uuid;
        /// Its partitions.
        partitions with_partitions: Vec<DescribeShareGroupOffsetsResponsePartition>;
    }

    /// A group.
    DescribeShareGroupOffsetsResponseGroup {
        /// Its id.
        group_id with_group_id: GroupId;
        /// Its topics.
        topics with_topics: Vec<DescribeShareGroupOffsetsResponseTopic>;
        /// What went wrong, or 0.
        error_code with_error_code: i16;
        /// The same in words.
        error_message with_error_message: Option<StrBytes>;
    }

    /// The answer.
    DescribeShareGroupOffsetsResponse {
        /// How long the request was held back by a quota, ms.
        throttle_time_ms with_throttle_time_ms: i32;
        /// What is known of each group.
        groups with_groups: Vec<DescribeShareGroupOffsetsResponseGroup>;
    }
}

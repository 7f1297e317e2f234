//! DescribeShareGroupOffsets: how far share groups have come (KIP-932; version 1: KIP-1226).

use kafka_protocol::messages::{GroupId, TopicName};

use super::coding::message;

message! { 0..=1;
    /// A topic.
    DescribeShareGroupOffsetsRequestTopic {
        /// Its name.
        topic_name with_topic_name: TopicName;
        /// The numbers of its partitions.
        partitions with_partitions: Vec<i32>;
    }

    /// A group.
    DescribeShareGroupOffsetsRequestGroup {
        /// Its id.
        group_id with_group_id: GroupId;
        /// Its topics, or null for all that it reads.
        topics with_topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>> = Some(Vec::new());
    }

    /// A request for the offsets of groups.
    DescribeShareGroupOffsetsRequest {
        /// The groups.
        groups with_groups: Vec<DescribeShareGroupOffsetsRequestGroup>;
    }
}

//! What answers ShareAcknowledge.

use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::coding::message;

pub use super::share_fetch_response::{LeaderIdAndEpoch, NodeEndpoint};

message! { 1..=2;
    /// What came of a partition.
    PartitionData {
        /// Its number.
        partition_index with_partition_index: i32;
        /// What went wrong, or 0.
        error_code with_error_code: i16;
        /// The same in words.
        error_message with_error_message: Option<StrBytes>;
        /// Who leads it, said with NOT_LEADER_OR_FOLLOWER.
        current_leader with_current_leader: LeaderIdAndEpoch;
    }

    /// What came of a topic.
    ShareAcknowledgeTopicResponse {
        /// Its id.
        topic_id with_topic_id: Uuid;
        /// Its partitions.
        partitions with_partitions: Vec<PartitionData>;
    }

    /// The answer.
    ShareAcknowledgeResponse {
        /// How long the request was held back by a quota, ms.
        throttle_time_ms with_throttle_time_ms: i32;
        /// What went wrong as a whole, or 0.
        error_code with_error_code: i16;
        /// The same in words.
        error_message with_error_message: Option<StrBytes>;
        /// How long renewed leases last, ms.
        acquisition_lock_timeout_ms with_acquisition_lock_timeout_ms: i32, since 2 or dropped;
        /// What came of each topic.
        responses with_responses: Vec<ShareAcknowledgeTopicResponse>;
        /// Where the leaders are that partitions name.
        node_endpoints with_node_endpoints: Vec<NodeEndpoint>;
    }
}

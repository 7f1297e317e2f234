//! What answers ShareFetch. The records may be more than the member leases: `acquired_records`
//! says which.

use bytes::Bytes;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::coding::message;

message! { 1..=2;
    /// Records that the member leases now.
    AcquiredRecords {
        /// The first offset.
        first_offset with_first_offset: i64;
        /// The last offset.
        last_offset with_last_offset: i64;
        /// How often each has been delivered, this time included.
        delivery_count with_delivery_count: i16;
    }

    /// Who leads a partition.
    LeaderIdAndEpoch {
        /// The broker, -1 if it is not known.
        leader_id with_leader_id: i32 = -1;
        /// The epoch of its leadership, -1 if it is not known.
        leader_epoch with_leader_epoch: i32 = -1;
    }

    /// What came of a partition.
    PartitionData {
        /// Its number.
        partition_index with_partition_index: i32;
        /// What went wrong with the fetch, or 0.
        error_code with_error_code: i16;
        /// The same in words.
        error_message with_error_message: Option<StrBytes>;
        /// What went wrong with the acknowledgements, or 0.
        acknowledge_error_code with_acknowledge_error_code: i16;
        /// The same in words.
        acknowledge_error_message with_acknowledge_error_message: Option<StrBytes>;
        /// Who leads it, said with NOT_LEADER_OR_FOLLOWER.
        current_leader with_current_leader: LeaderIdAndEpoch;
        /// Whole batches, one behind the other. Never null.
        records with_records: Bytes;
        /// Which of them the member leases.
        acquired_records with_acquired_records: Vec<AcquiredRecords>;
    }

    /// What came of a topic.
    ShareFetchableTopicResponse {
        /// Its id.
        topic_id with_topic_id: Uuid;
        /// Its partitions.
        partitions with_partitions: Vec<PartitionData>;
    }

    /// Where a leader is.
    NodeEndpoint {
        /// The broker.
        node_id with_node_id: BrokerId;
        /// Its host.
        host with_host: StrBytes;
        /// Its port.
        port with_port: i32;
        /// Its rack, if it has one.
        rack with_rack: Option<StrBytes>;
    }

    /// The answer.
    ShareFetchResponse {
        /// How long the request was held back by a quota, ms.
        throttle_time_ms with_throttle_time_ms: i32;
        /// What went wrong as a whole, or 0.
        error_code with_error_code: i16;
        /// The same in words.
        error_message with_error_message: Option<StrBytes>;
        /// How long the leases last, ms.
        acquisition_lock_timeout_ms with_acquisition_lock_timeout_ms: i32;
        /// What came of each topic.
        responses with_responses: Vec<ShareFetchableTopicResponse>;
        /// Where the leaders are that partitions name.
        node_endpoints with_node_endpoints: Vec<NodeEndpoint>;
    }
}

//! ShareAcknowledge: what became of records that a member of a share group has
//! (KIP-932; version 2: KIP-1222).

use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::coding::message;

pub use super::share_fetch_request::AcknowledgementBatch;

message! { 1..=2;
    /// A partition.
    AcknowledgePartition {
        /// Its number.
        partition_index with_partition_index: i32;
        /// What became of records of it.
        acknowledgement_batches with_acknowledgement_batches: Vec<AcknowledgementBatch>;
    }

    /// A topic.
    AcknowledgeTopic {
        /// Its id.
        topic_id with_topic_id: Uuid;
        /// Its partitions.
        partitions with_partitions: Vec<AcknowledgePartition>;
    }

    /// A request that says what became of records.
    ShareAcknowledgeRequest {
        /// The share group.
        group_id with_group_id: Option<GroupId>;
        /// The member.
        member_id with_member_id: Option<StrBytes> = Some(StrBytes::new());
        /// -1 closes the session, else one more than the last.
        share_session_epoch with_share_session_epoch: i32;
        /// Whether an acknowledgement renews.
        is_renew_ack with_is_renew_ack: bool, since 2 or refused;
        /// The records.
        topics with_topics: Vec<AcknowledgeTopic>;
    }
}

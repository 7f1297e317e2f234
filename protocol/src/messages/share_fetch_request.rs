//! ShareFetch: records for a member of a share group, and what became of those it had
//! (KIP-932; version 2: KIP-1206, KIP-1222).

use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::coding::message;

message! { 1..=2;
    /// What became of a range of records.
    AcknowledgementBatch {
        /// The first offset.
        first_offset with_first_offset: i64;
        /// The last offset.
        last_offset with_last_offset: i64;
        /// One for all records or one for each: 0 gap, 1 accept, 2 release, 3 reject, and from
        /// version 2 on 4 renew.
        acknowledge_types with_acknowledge_types: Vec<i8>;
    }

    /// A partition to fetch from.
    FetchPartition {
        /// Its number.
        partition_index with_partition_index: i32;
        /// What became of records of it.
        acknowledgement_batches with_acknowledgement_batches: Vec<AcknowledgementBatch>;
    }

    /// A topic to fetch from.
    FetchTopic {
        /// Its id.
        topic_id with_topic_id: Uuid;
        /// Its partitions.
        partitions with_partitions: Vec<FetchPartition>;
    }

    /// Partitions that leave the session.
    ForgottenTopic {
        /// Their topic's id.
        topic_id with_topic_id: Uuid;
        /// Their numbers.
        partitions with_partitions: Vec<i32>;
    }

    /// A request for records.
    ShareFetchRequest {
        /// The share group.
        group_id with_group_id: Option<GroupId>;
        /// The member, which chose its id.
        member_id with_member_id: Option<StrBytes> = Some(StrBytes::new());
        /// 0 opens a session, -1 closes it, else one more than the last.
        share_session_epoch with_share_session_epoch: i32;
        /// How long to wait for records, ms.
        max_wait_ms with_max_wait_ms: i32;
        /// Bytes of records to wait for.
        min_bytes with_min_bytes: i32;
        /// The most bytes of records; the first batch may be larger (KIP-74).
        max_bytes with_max_bytes: i32 = i32::MAX;
        /// The most records; in acquire mode 0 up to the end of the batch that reaches it.
        max_records with_max_records: i32;
        /// The most records of one range in the answer.
        batch_size with_batch_size: i32;
        /// 0 whole batches, 1 never more than `max_records`.
        share_acquire_mode with_share_acquire_mode: i8, since 2 or dropped;
        /// Whether an acknowledgement renews; then no records are wanted.
        is_renew_ack with_is_renew_ack: bool, since 2 or refused;
        /// What to fetch; joins what the session has.
        topics with_topics: Vec<FetchTopic>;
        /// What leaves the session.
        forgotten_topics_data with_forgotten_topics_data: Vec<ForgottenTopic>;
    }
}

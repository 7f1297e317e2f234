//! QueueAdmin (key 20,000, ours alone): what Kafka has no API for. How queues stand, purging them
//! while members live, and bringing dead letters home.
//!
//! A request asks for exactly one thing: one of its fields is not null.

use bytes::Bytes;
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::coding::message;

message! { 0..=0;
    /// How queues stand.
    DescribeQueues {
        /// The share groups, or null for all.
        group_ids with_group_ids: Option<Vec<GroupId>>;
    }

    /// Queues of one topic.
    QueueTopic {
        /// Its name.
        topic_name with_topic_name: TopicName;
        /// The numbers of its partitions, or null for all that the group reads.
        partitions with_partitions: Option<Vec<i32>>;
    }

    /// Archive what is available in queues now. What is leased stays leased.
    PurgeQueues {
        /// The share group.
        group_id with_group_id: GroupId;
        /// The topics, or null for all that the group reads.
        topics with_topics: Option<Vec<QueueTopic>>;
    }

    /// Which dead letters are meant: those that match all that is given.
    RedriveFilter {
        /// The partition of the dead-letter topic, or -1 for all.
        dead_partition with_dead_partition: i32 = -1;
        /// The one offset of that partition, or -1 for all.
        dead_offset with_dead_offset: i64 = -1;
        /// The topic that they come from, or null for all.
        topic_name with_topic_name: Option<TopicName>;
        /// The partition that they come from, or -1 for all.
        partition with_partition: i32 = -1;
        /// The first offset that they come from.
        first_offset with_first_offset: i64;
        /// The last offset that they come from.
        last_offset with_last_offset: i64 = i64::MAX;
        /// Why they were given up: 0 rejected, 1 the limit of deliveries, -1 either.
        reason with_reason: i8 = -1;
        /// When they were given up at the earliest, ms since 1970.
        from_ms with_from_ms: i64;
        /// When they were given up at the latest, ms since 1970.
        to_ms with_to_ms: i64 = i64::MAX;
        /// Their key, or null for any.
        key with_key: Option<Bytes>;
        /// A header that they have, or null for any.
        header_name with_header_name: Option<StrBytes>;
        /// Its value, or null for any.
        header_value with_header_value: Option<Bytes>;
    }

    /// Begin to bring dead letters of a group home to the topics that they come from.
    StartRedrive {
        /// The share group whose dead letters they are.
        group_id with_group_id: GroupId;
        /// Which of them.
        filter with_filter: RedriveFilter;
        /// The most records in a second, or 0 for as fast as may be.
        rate with_rate: i32;
        /// Whether they are counted only.
        dry_run with_dry_run: bool;
    }

    /// Redrive jobs, those that ended lately among them.
    ListRedrives {
        /// Those of one group, or null for all.
        group_id with_group_id: Option<GroupId>;
        /// The job, or -1 for all.
        job_id with_job_id: i64 = -1;
    }

    /// One redrive job.
    RedriveId {
        /// Its number, which StartRedrive answered.
        job_id with_job_id: i64 = -1;
    }

    /// A request about queues.
    QueueAdminRequest {
        /// How do they stand?
        describe_queues with_describe_queues: Option<DescribeQueues>;
        /// Purge them.
        purge_queues with_purge_queues: Option<PurgeQueues>;
        /// Begin a redrive.
        start_redrive with_start_redrive: Option<StartRedrive>;
        /// Which redrives are there, and how far have they come?
        list_redrives with_list_redrives: Option<ListRedrives>;
        /// Stop a redrive. What it brought home stays there.
        cancel_redrive with_cancel_redrive: Option<RedriveId>;
        /// Go on with a redrive that was cancelled or failed, where it stopped.
        resume_redrive with_resume_redrive: Option<RedriveId>;
    }
}

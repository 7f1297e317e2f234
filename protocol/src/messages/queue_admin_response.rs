//! What answers QueueAdmin. Only the list that belongs to what was asked has elements.

use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::coding::message;

/// A redrive job is at work.
pub const REDRIVE_RUNNING: i8 = 0;
/// A redrive job came to the end of what there was when it began.
pub const REDRIVE_DONE: i8 = 1;
/// A redrive job was cancelled.
pub const REDRIVE_CANCELLED: i8 = 2;
/// A redrive job could not go on; its message says why.
pub const REDRIVE_FAILED: i8 = 3;

message! { 0..=0;
    /// How one queue stands: a share group's view of one partition.
    QueueDescription {
        /// The share group.
        group_id with_group_id: GroupId;
        /// The topic's name.
        topic_name with_topic_name: TopicName;
        /// The topic's id.
        topic_id with_topic_id: Uuid;
        /// The partition's number.
        partition_index with_partition_index: i32;
        /// The first offset that is not done.
        start_offset with_start_offset: i64;
        /// The first offset that was never leased.
        next_offset with_next_offset: i64;
        /// One past the partition's last offset that may be leased.
        end_offset with_end_offset: i64;
        /// Records that can be leased now, offsets from `next_offset` on included.
        ready with_ready: i64;
        /// Records that are leased.
        in_flight with_in_flight: i64;
        /// Records that are held back for a while.
        delayed with_delayed: i64;
        /// Records on their way to the dead-letter topic.
        archiving with_archiving: i64;
        /// Records given up since the server's start, without those that are still on their way.
        dead with_dead: i64;
        /// Deliveries but the first of each record, since the server's start.
        redelivered with_redelivered: i64;
        /// Leases that ran out, since the server's start.
        lock_expired with_lock_expired: i64;
        /// How long ago the oldest ready record was written, ms; -1 if there is none, or it
        /// cannot be read.
        oldest_ready_age_ms with_oldest_ready_age_ms: i64 = -1;
        /// Members of the group to whom the partition is assigned.
        consumers with_consumers: i32;
        /// Whether nothing is leased for now.
        paused with_paused: bool;
    }

    /// What was purged of one queue.
    PurgedQueue {
        /// The topic's name.
        topic_name with_topic_name: TopicName;
        /// The partition's number.
        partition_index with_partition_index: i32;
        /// Records that were archived.
        records with_records: i64;
        /// What went wrong, or 0.
        error_code with_error_code: i16;
        /// The same in words.
        error_message with_error_message: Option<StrBytes>;
    }

    /// A redrive job.
    RedriveJob {
        /// Its number.
        job_id with_job_id: i64;
        /// The share group whose dead letters it brings home.
        group_id with_group_id: GroupId;
        /// The topic that it reads.
        dead_letter_topic with_dead_letter_topic: TopicName;
        /// 0 running, 1 done, 2 cancelled, 3 failed.
        state with_state: i8;
        /// Whether it counts only.
        dry_run with_dry_run: bool;
        /// The most records in a second, or 0 for as fast as may be.
        rate with_rate: i32;
        /// When it began, ms since 1970.
        started_ms with_started_ms: i64;
        /// When it ended, ms since 1970, or -1.
        ended_ms with_ended_ms: i64 = -1;
        /// Offsets of the dead-letter topic that it reads in all.
        total with_total: i64;
        /// How many of them it has read.
        scanned with_scanned: i64;
        /// Records that match.
        matched with_matched: i64;
        /// Records that are home again.
        moved with_moved: i64;
        /// Records that match and cannot go home, for their topic is gone or does not take them.
        skipped with_skipped: i64;
        /// Why it failed, or skipped records.
        error_message with_error_message: Option<StrBytes>;
    }

    /// The answer.
    QueueAdminResponse {
        /// How long the request was held back by a quota, ms.
        throttle_time_ms with_throttle_time_ms: i32;
        /// What went wrong as a whole, or 0.
        error_code with_error_code: i16;
        /// The same in words.
        error_message with_error_message: Option<StrBytes>;
        /// How queues stand, in the order of group, topic and partition.
        queues with_queues: Vec<QueueDescription>;
        /// What was purged, in the order of topic and partition.
        purged with_purged: Vec<PurgedQueue>;
        /// Redrive jobs, the newest first: all that were asked for, or the one that was begun,
        /// cancelled or resumed.
        redrives with_redrives: Vec<RedriveJob>;
    }
}

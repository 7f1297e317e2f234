//! The only map from what the log says to what Kafka's clients understand.

use ratel_protocol::{ErrorCode, StrBytes};
use ratel_storage::{StorageError, TopicId};

/// The code of an error of the log. Total: a new error does not compile without one.
///
/// What the disk refuses is KAFKA_STORAGE_ERROR (DC5): clients retry it, and librdkafka takes it
/// as not persisted, so that an idempotent producer does not give up.
#[must_use]
pub fn code(error: &StorageError) -> ErrorCode {
    match error {
        StorageError::UnknownPartition(_) => ErrorCode::UnknownTopicOrPartition,
        StorageError::BatchTooLarge { .. } => ErrorCode::MessageTooLarge,
        StorageError::BatchAboveSegment { .. } => ErrorCode::RecordListTooLarge,
        StorageError::CorruptBatch(_) | StorageError::Corrupt { .. } => ErrorCode::CorruptMessage,
        StorageError::InvalidBatch(_) | StorageError::KeysMissing(_) => ErrorCode::InvalidRecord,
        StorageError::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
        StorageError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        StorageError::ProducerFenced { .. } => ErrorCode::InvalidProducerEpoch,
        StorageError::InvalidTransaction { .. } => ErrorCode::InvalidTxnState,
        StorageError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        // What every client tries again, until one of them ends.
        StorageError::TooManyTransactions { .. } => ErrorCode::NotEnoughReplicas,
        StorageError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        StorageError::DiskFull
        | StorageError::TooManyFiles
        | StorageError::Poisoned
        | StorageError::Closed
        | StorageError::Io(_) => ErrorCode::KafkaStorageError,
    }
}

/// Why one partition's part of a request was refused: a code, and a sentence for versions that
/// carry one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// What is wrong, for a human.
    pub message: Option<StrBytes>,
}

/// The longest sentence of a refusal, in bytes.
const MESSAGE_BYTES_MAX: usize = 1000;

/// A name that a client sent, for a sentence about it: 100 letters of it at most.
#[must_use]
pub fn cut(name: &str) -> &str {
    let end = name.char_indices().nth(100);
    end.map_or(name, |(end, _)| &name[..end])
}

impl Refusal {
    /// A refusal with a sentence. One that is too long is cut: it has to fit into a string of the
    /// protocol, whatever a client sent that is repeated in it.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<StrBytes>) -> Self {
        let message: StrBytes = message.into();
        let message = match message.len() {
            0..=MESSAGE_BYTES_MAX => message,
            _ => {
                let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
                StrBytes::from_string(message[..end].to_owned())
            }
        };
        Self {
            code,
            message: Some(message),
        }
    }

    /// There is no topic of this name.
    #[must_use]
    pub fn unknown_topic(name: &str) -> Self {
        // A name that no topic can have may be long.
        let name: String = name.chars().take(249).collect();
        let message = format!("Topic '{name}' does not exist.");
        Self::new(ErrorCode::UnknownTopicOrPartition, message)
    }

    /// There is no topic of this id.
    #[must_use]
    pub fn unknown_topic_id(id: TopicId) -> Self {
        let message = format!("There is no topic of the id {id}.");
        Self::new(ErrorCode::UnknownTopicId, message)
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
        }
    }
}

impl From<&StorageError> for Refusal {
    fn from(error: &StorageError) -> Self {
        Self {
            code: code(error),
            message: Some(StrBytes::from_string(error.to_string())),
        }
    }
}

/// Compare the leader epoch that a client knows with the log's (F-7): -1 asks for no check.
///
/// # Errors
/// FENCED_LEADER_EPOCH if the client's is older, UNKNOWN_LEADER_EPOCH if it is newer.
pub fn check_leader_epoch(client: i32, log: i32) -> Result<(), ErrorCode> {
    match client {
        -1 => Ok(()),
        _ if client < log => Err(ErrorCode::FencedLeaderEpoch),
        _ if client > log => Err(ErrorCode::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use ratel_storage::{Offset, PartitionId, TopicId};

    use super::*;

    #[test]
    fn every_error_of_the_log_has_kafkas_code() {
        let partition = PartitionId {
            topic: TopicId::nil(),
            index: 0,
        };
        let (bytes, limit) = (2, 1);
        let (offset, start, end) = (Offset::new(9), Offset::ZERO, Offset::new(3));
        let (producer_id, expected, found) = (7, 3, 5);
        let detail = String::new();
        let disk = Arc::new(io::Error::other("gone"));
        let cases = [
            (StorageError::UnknownPartition(partition), 3),
            (StorageError::BatchTooLarge { bytes, limit }, 10),
            (StorageError::BatchAboveSegment { bytes, limit }, 18),
            (StorageError::CorruptBatch("crc"), 2),
            (StorageError::InvalidBatch("count"), 87),
            (StorageError::KeysMissing(vec![0]), 87),
            (
                StorageError::InvalidTimestamp {
                    why: "late".into(),
                    records: vec![0],
                },
                32,
            ),
            (
                StorageError::OutOfOrderSequence {
                    producer_id,
                    expected,
                    found,
                },
                45,
            ),
            (
                StorageError::ProducerFenced {
                    producer_id,
                    current: 2,
                    found: 1,
                },
                47,
            ),
            (
                StorageError::InvalidTransaction {
                    producer_id,
                    why: "",
                },
                48,
            ),
            (
                StorageError::CoordinatorFenced {
                    producer_id,
                    current: 2,
                    found: 1,
                },
                52,
            ),
            (StorageError::TooManyTransactions { limit }, 19),
            (StorageError::OffsetOutOfRange { offset, start, end }, 1),
            (StorageError::Corrupt { partition, detail }, 2),
            (StorageError::DiskFull, 56),
            (StorageError::TooManyFiles, 56),
            (StorageError::Poisoned, 56),
            (StorageError::Closed, 56),
            (StorageError::Io(disk), 56),
        ];
        for (error, expected) in cases {
            assert_eq!(code(&error).code(), expected, "{error}");
        }
    }

    #[test]
    fn a_refusal_by_the_log_says_why() {
        let refusal = Refusal::from(&StorageError::DiskFull);
        assert_eq!(refusal.code, ErrorCode::KafkaStorageError);
        assert_eq!(
            refusal.message.as_deref(),
            Some("no space left on the disk")
        );
        assert_eq!(Refusal::from(ErrorCode::InvalidRecord).message, None);
    }

    #[test]
    fn f_7_an_older_epoch_is_fenced_and_a_newer_one_unknown() {
        assert_eq!(check_leader_epoch(-1, 4), Ok(()));
        assert_eq!(check_leader_epoch(4, 4), Ok(()));
        assert_eq!(check_leader_epoch(3, 4), Err(ErrorCode::FencedLeaderEpoch));
        assert_eq!(check_leader_epoch(0, 4), Err(ErrorCode::FencedLeaderEpoch));
        assert_eq!(check_leader_epoch(5, 4), Err(ErrorCode::UnknownLeaderEpoch));
    }
}

//! The keys of APIs: Kafka's, and those that are ours alone.

use kafka_protocol::messages::ApiKey as KafkaKey;

/// The first key of ours. Kafka's own count up from 0.
const PRIVATE_MIN: i16 = 20_000;
/// Where the private keys begin in a table by [`ApiKey::place`]: above all of Kafka's.
const PRIVATE_PLACE: usize = 120;

macro_rules! api_keys {
    ($($name:ident = $key:literal,)+) => {
        /// An API of the protocol, by the name that Kafka gives it.
        #[expect(missing_docs, reason = "the names say what they are")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $($name = $key,)+
        }

        impl TryFrom<i16> for ApiKey {
            type Error = ();

            /// Fails if no API has this key.
            fn try_from(key: i16) -> Result<Self, ()> {
                match key {
                    $($key => Ok(Self::$name),)+
                    _ => Err(()),
                }
            }
        }

        #[cfg(test)]
        const ALL: &[ApiKey] = &[$(ApiKey::$name,)+];
    };
}

api_keys! {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    DescribeGroups = 15,
    ListGroups = 16,
    SaslHandshake = 17,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    DeleteRecords = 21,
    InitProducerId = 22,
    OffsetForLeaderEpoch = 23,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    WriteTxnMarkers = 27,
    TxnOffsetCommit = 28,
    DescribeAcls = 29,
    CreateAcls = 30,
    DeleteAcls = 31,
    DescribeConfigs = 32,
    AlterConfigs = 33,
    AlterReplicaLogDirs = 34,
    DescribeLogDirs = 35,
    SaslAuthenticate = 36,
    CreatePartitions = 37,
    CreateDelegationToken = 38,
    RenewDelegationToken = 39,
    ExpireDelegationToken = 40,
    DescribeDelegationToken = 41,
    DeleteGroups = 42,
    ElectLeaders = 43,
    IncrementalAlterConfigs = 44,
    AlterPartitionReassignments = 45,
    ListPartitionReassignments = 46,
    OffsetDelete = 47,
    DescribeClientQuotas = 48,
    AlterClientQuotas = 49,
    DescribeUserScramCredentials = 50,
    AlterUserScramCredentials = 51,
    Vote = 52,
    BeginQuorumEpoch = 53,
    EndQuorumEpoch = 54,
    DescribeQuorum = 55,
    AlterPartition = 56,
    UpdateFeatures = 57,
    Envelope = 58,
    FetchSnapshot = 59,
    DescribeCluster = 60,
    DescribeProducers = 61,
    BrokerRegistration = 62,
    BrokerHeartbeat = 63,
    UnregisterBroker = 64,
    DescribeTransactions = 65,
    ListTransactions = 66,
    AllocateProducerIds = 67,
    ConsumerGroupHeartbeat = 68,
    ConsumerGroupDescribe = 69,
    ControllerRegistration = 70,
    GetTelemetrySubscriptions = 71,
    PushTelemetry = 72,
    AssignReplicasToDirs = 73,
    ListConfigResources = 74,
    DescribeTopicPartitions = 75,
    ShareGroupHeartbeat = 76,
    ShareGroupDescribe = 77,
    ShareFetch = 78,
    ShareAcknowledge = 79,
    AddRaftVoter = 80,
    RemoveRaftVoter = 81,
    UpdateRaftVoter = 82,
    InitializeShareGroupState = 83,
    ReadShareGroupState = 84,
    WriteShareGroupState = 85,
    DeleteShareGroupState = 86,
    ReadShareGroupStateSummary = 87,
    DescribeShareGroupOffsets = 90,
    AlterShareGroupOffsets = 91,
    DeleteShareGroupOffsets = 92,
    QueueAdmin = 20_000,
}

impl ApiKey {
    /// One past the largest [`Self::place`].
    pub const PLACES: usize = 128;

    /// A small number of its own, for tables: below [`Self::PLACES`].
    #[must_use]
    pub const fn place(self) -> usize {
        let key = self as i16;
        if key < PRIVATE_MIN {
            key as usize
        } else {
            PRIVATE_PLACE + (key - PRIVATE_MIN) as usize
        }
    }

    /// Whether it is ours alone: ApiVersions does not show it, as a client that knows Kafka's
    /// protocol has no use for it.
    #[must_use]
    pub const fn is_private(self) -> bool {
        self as i16 >= PRIVATE_MIN
    }

    /// The version of a request's header; from 2 on it ends with tagged fields.
    #[must_use]
    pub fn request_header_version(self, version: i16) -> i16 {
        KafkaKey::try_from(self as i16).map_or(2, |key| key.request_header_version(version))
    }

    /// The version of an answer's header; from 1 on it ends with tagged fields.
    #[must_use]
    pub fn response_header_version(self, version: i16) -> i16 {
        KafkaKey::try_from(self as i16).map_or(1, |key| key.response_header_version(version))
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, ApiKey, KafkaKey};

    #[test]
    fn the_names_and_keys_are_those_of_the_codec() {
        for key in ALL.iter().filter(|key| !key.is_private()) {
            let theirs = KafkaKey::try_from(*key as i16).expect("the codec has it");
            assert_eq!(format!("{key:?}"), format!("{theirs:?}"));
        }
        for key in 0..i16::MAX {
            let ours = ApiKey::try_from(key).is_ok_and(|key| !key.is_private());
            assert_eq!(ours, KafkaKey::try_from(key).is_ok(), "{key}");
        }
    }

    #[test]
    fn every_key_has_a_place_of_its_own() {
        let mut places: Vec<_> = ALL.iter().map(|key| key.place()).collect();
        assert!(places.iter().all(|place| *place < ApiKey::PLACES));
        places.dedup();
        assert_eq!(places.len(), ALL.len());
    }

    #[test]
    fn what_is_ours_alone_is_flexible() {
        assert!(ApiKey::QueueAdmin.is_private());
        assert_eq!(ApiKey::QueueAdmin.request_header_version(0), 2);
        assert_eq!(ApiKey::QueueAdmin.response_header_version(0), 1);
        assert_eq!(ApiKey::Metadata.request_header_version(8), 1);
    }
}

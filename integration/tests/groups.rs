//! Groups and committed offsets, request by request, at every version; across restarts, crashes
//! and topics that come and go.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteGroupsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    DescribeGroupsRequest, FetchRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, MetadataRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::RecordBatchDecoder;
use ratel_integration::{RawClient, TestBroker};
use ratel_server::coordinator::router::shard_of;

const MEMBER_ID_REQUIRED: i16 = 79;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group_id(id: &str) -> GroupId {
    GroupId(text(id))
}

async fn create_topic(client: &mut RawClient, name: &str) {
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(name)))
        .with_num_partitions(2)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let response = client.send(7, &request).await;
    assert_eq!(response.topics[0].error_code, 0);
}

/// A member of a group, at one version of JoinGroup and what goes with it.
struct Member {
    client: RawClient,
    version: i16,
    group: String,
    id: StrBytes,
    instance: Option<StrBytes>,
    generation: i32,
}

impl Member {
    async fn new(broker: &TestBroker, version: i16, group: &str) -> Self {
        Self {
            client: RawClient::connect(broker.addr()).await,
            version,
            group: group.to_owned(),
            id: StrBytes::default(),
            instance: None,
            generation: -1,
        }
    }

    /// The connection is lost and made again.
    async fn reconnect(&mut self, broker: &TestBroker) {
        self.client = RawClient::connect(broker.addr()).await;
    }

    fn join_request(&self) -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"\x00\x00\x00\x00\x00\x01\x00\x01t"));
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(30_000)
            .with_member_id(self.id.clone())
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let request = match self.version {
            0 => request,
            _ => request.with_rebalance_timeout_ms(30_000),
        };
        request.with_group_instance_id(self.instance.clone())
    }

    /// Send a JoinGroup; before that, take the id that one must come back with.
    async fn post_join(&mut self) {
        if self.version >= 4 && self.id.is_empty() && self.instance.is_none() {
            let request = self.join_request();
            let response = self.client.send(self.version, &request).await;
            assert_eq!(response.error_code, MEMBER_ID_REQUIRED);
            self.id = response.member_id;
        }
        let request = self.join_request();
        self.client.post(self.version, &request).await;
    }

    async fn joined(&mut self) -> JoinGroupResponse {
        let response = self.client.receive::<JoinGroupRequest>(self.version).await;
        assert_eq!(response.error_code, 0);
        self.id = response.member_id.clone();
        self.generation = response.generation_id;
        assert_eq!(response.protocol_name.as_deref(), Some("range"));
        response
    }

    async fn post_sync(&mut self, assignments: &[(&StrBytes, &'static str)]) {
        let assignments = assignments.iter().map(|(id, bytes)| {
            SyncGroupRequestAssignment::default()
                .with_member_id((*id).clone())
                .with_assignment(Bytes::from_static(bytes.as_bytes()))
        });
        let version = self.sync_version();
        let names = (version >= 5).then(|| (text("consumer"), text("range")));
        let (protocol_type, protocol) = names.unzip();
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_protocol_type(protocol_type)
            .with_protocol_name(protocol)
            .with_assignments(assignments.collect());
        self.client.post(version, &request).await;
    }

    async fn synced(&mut self) -> Bytes {
        let version = self.sync_version();
        let response = self.client.receive::<SyncGroupRequest>(version).await;
        assert_eq!(response.error_code, 0);
        response.assignment
    }

    fn sync_version(&self) -> i16 {
        self.version.min(5)
    }

    async fn heartbeat(&mut self) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone());
        let response = self.client.send(self.version.min(4), &request).await;
        response.error_code
    }

    async fn commit(&mut self, offset: i64) -> i16 {
        let request = commit_request(&self.group, &self.id, self.generation, offset);
        let response = self.client.send(self.version.clamp(2, 9), &request).await;
        response.topics[0].partitions[0].error_code
    }

    async fn committed(&mut self) -> i64 {
        committed(&mut self.client, self.version.clamp(1, 9), &self.group).await
    }

    async fn leave(&mut self) -> i16 {
        let version = self.version.min(5);
        let request = LeaveGroupRequest::default().with_group_id(group_id(&self.group));
        let request = if version < 3 {
            request.with_member_id(self.id.clone())
        } else {
            let member = MemberIdentity::default().with_member_id(self.id.clone());
            request.with_members(vec![member])
        };
        let response = self.client.send(version, &request).await;
        let members = response.members.first();
        members.map_or(response.error_code, |member| member.error_code)
    }
}

fn commit_request(group: &str, member: &str, generation: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text("t")))
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic])
}

/// What is committed for partition 0 of `t`.
async fn committed(client: &mut RawClient, version: i16, group: &str) -> i64 {
    if version >= 8 {
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(group_id(group))
            .with_topics(None);
        let request = OffsetFetchRequest::default().with_groups(vec![asked]);
        let response = client.send(version, &request).await;
        let topic = response.groups[0].topics.first();
        return topic.map_or(-1, |topic| topic.partitions[0].committed_offset);
    }
    let topic = OffsetFetchRequestTopic::default()
        .with_name(TopicName(text("t")))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(group_id(group))
        .with_topics(Some(vec![topic]));
    let response = client.send(version, &request).await;
    response.topics[0].partitions[0].committed_offset
}

/// Two members of a new group, stable; the first leads. Assignments are `one` and `two`.
async fn pair(broker: &TestBroker, version: i16, group: &str) -> (Member, Member) {
    let mut first = Member::new(broker, version, group).await;
    let mut second = Member::new(broker, version, group).await;
    first.post_join().await;
    first.joined().await;
    second.post_join().await;
    while first.heartbeat().await == 0 {
        tokio::task::yield_now().await;
    }
    first.post_join().await;
    let leader = first.joined().await;
    let follower = second.joined().await;
    assert_eq!((&leader.leader, &follower.leader), (&first.id, &first.id));
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    second.post_sync(&[]).await;
    let (one, two) = (first.id.clone(), second.id.clone());
    first.post_sync(&[(&one, "one"), (&two, "two")]).await;
    assert_eq!(first.synced().await, "one");
    assert_eq!(second.synced().await, "two");
    (first, second)
}

#[tokio::test]
async fn g_5_a_group_lives_at_every_version() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create_topic(&mut client, "t").await;
    for version in 0..=9 {
        let group = format!("g{version}");
        let (mut first, mut second) = pair(&broker, version, &group).await;
        assert_eq!(first.heartbeat().await, 0);
        assert_eq!(second.commit(7).await, 0);
        assert_eq!(first.committed().await, 7);
        describe(&mut client, version.min(6), &group, &first, &second).await;
        assert_eq!(first.leave().await, 0);
        assert_eq!(second.heartbeat().await, 27, "it is to rejoin");
        assert_eq!(second.leave().await, 0);
        assert_eq!(second.heartbeat().await, 25);
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&group)]);
        let response = client.send(version.min(2), &request).await;
        assert_eq!(response.results[0].error_code, 0);
        assert_eq!(second.committed().await, -1);
    }
}

async fn describe(
    client: &mut RawClient,
    version: i16,
    group: &str,
    first: &Member,
    second: &Member,
) {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
    let response = client.send(version, &request).await;
    let described = &response.groups[0];
    assert_eq!(
        (described.error_code, &*described.group_state),
        (0, "Stable")
    );
    assert_eq!(&*described.protocol_data, "range");
    let members: BTreeMap<_, _> = described
        .members
        .iter()
        .map(|member| (&member.member_id, &member.member_assignment[..]))
        .collect();
    assert_eq!(members[&first.id], b"one");
    assert_eq!(members[&second.id], b"two");
    assert_eq!(&*described.members[0].client_id, "raw");
    assert_eq!(&*described.members[0].client_host, "/127.0.0.1");
    let version = version.min(5);
    let request = ListGroupsRequest::default();
    let request = match version {
        4.. => request.with_states_filter(vec![text("stable")]),
        _ => request,
    };
    let response = client.send(version, &request).await;
    let ids: Vec<_> = response
        .groups
        .iter()
        .map(|group| &*group.group_id.0)
        .collect();
    assert_eq!(ids, [group]);
}

#[tokio::test]
async fn g_14_a_restart_or_a_crash_is_no_rebalance() {
    let mut broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create_topic(&mut client, "t").await;
    let (mut first, mut second) = pair(&broker, 9, "g").await;
    assert_eq!(first.commit(0).await, 0);
    for crash in [false, true] {
        if crash {
            broker.crash();
        }
        broker.restart().await;
        first.reconnect(&broker).await;
        second.reconnect(&broker).await;
        assert_eq!(first.heartbeat().await, 0);
        assert_eq!(second.heartbeat().await, 0);
        assert_eq!(second.committed().await, 0);
        assert_eq!(second.commit(0).await, 0);
        second.post_sync(&[]).await;
        assert_eq!(second.synced().await, "two");
    }
}

#[tokio::test]
async fn dc7_an_offset_past_the_end_of_a_log_comes_down_to_it_at_a_start() {
    let mut broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create_topic(&mut client, "t").await;
    client.send(8, &commit_request("g", "", -1, 5)).await;
    assert_eq!(committed(&mut client, 8, "g").await, 5);
    broker.restart().await;
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(committed(&mut client, 8, "g").await, 0);
}

#[tokio::test]
async fn g_8_a_static_member_is_replaced_and_fenced() {
    let broker = TestBroker::start().await;
    let mut old = Member::new(&broker, 5, "g").await;
    old.instance = Some(text("i"));
    old.post_join().await;
    old.joined().await;
    let id = old.id.clone();
    old.post_sync(&[(&id, "all")]).await;
    assert_eq!(old.synced().await, "all");
    let mut new = Member::new(&broker, 9, "g").await;
    new.instance = Some(text("i"));
    new.post_join().await;
    let joined = new.joined().await;
    assert_eq!((joined.generation_id, joined.skip_assignment), (1, true));
    assert_ne!(new.id, old.id);
    new.post_sync(&[]).await;
    assert_eq!(new.synced().await, "all");
    let request = HeartbeatRequest::default()
        .with_group_id(group_id("g"))
        .with_generation_id(1)
        .with_member_id(old.id.clone())
        .with_group_instance_id(Some(text("i")));
    assert_eq!(old.client.send(3, &request).await.error_code, 82);
}

#[tokio::test]
async fn o_10_a_recreated_topic_does_not_inherit() {
    let mut broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create_topic(&mut client, "t").await;
    client.send(8, &commit_request("g", "", -1, 0)).await;
    let topic = DeleteTopicState::default().with_name(Some(TopicName(text("t"))));
    let request = DeleteTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let response = client.send(6, &request).await;
    assert_eq!(response.responses[0].error_code, 0);
    create_topic(&mut client, "t").await;
    assert_eq!(committed(&mut client, 8, "g").await, -1);
    broker.restart().await;
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(committed(&mut client, 8, "g").await, -1);
    let response = client.send(5, &ListGroupsRequest::default()).await;
    assert_eq!(response.groups.len(), 0, "the group went with its offsets");
}

#[tokio::test]
async fn o_6_what_is_pipelined_is_seen_in_order() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create_topic(&mut client, "t").await;
    let topic = OffsetFetchRequestTopic::default()
        .with_name(TopicName(text("t")))
        .with_partition_indexes(vec![0]);
    let fetch = OffsetFetchRequest::default()
        .with_group_id(group_id("g"))
        .with_topics(Some(vec![topic]));
    for offset in 0..100 {
        client.post(8, &commit_request("g", "", -1, offset)).await;
        client.post(7, &fetch).await;
    }
    for offset in 0..100 {
        let response = client.receive::<OffsetCommitRequest>(8).await;
        assert_eq!(response.topics[0].partitions[0].error_code, 0);
        let response = client.receive::<OffsetFetchRequest>(7).await;
        assert_eq!(response.topics[0].partitions[0].committed_offset, offset);
    }
}

#[tokio::test]
async fn g_1_the_offsets_topic_is_there_from_the_start() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]);
    let response = client.send(4, &request).await;
    let found = &response.coordinators[0];
    assert_eq!(found.error_code, 0);
    assert_eq!(found.port, i32::from(broker.addr().port()));
    let response = client
        .send(12, &MetadataRequest::default().with_topics(None))
        .await;
    let topic = &response.topics[0];
    let name = topic.name.as_ref().map(|name| &*name.0);
    assert_eq!(
        (name, topic.is_internal),
        (Some("__consumer_offsets"), true)
    );
    assert_eq!(topic.partitions.len(), 50);
    let policy = cleanup_policy(&mut client).await;
    assert_eq!(policy.as_deref(), Some("compact"));
}

async fn cleanup_policy(client: &mut RawClient) -> Option<String> {
    use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("__consumer_offsets"))
        .with_configuration_keys(Some(vec![text("cleanup.policy")]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let response = client.send(4, &request).await;
    let config = response.results[0].configs.first()?;
    config.value.as_ref().map(ToString::to_string)
}

/// Lag tools read the topic of offsets as any other: they find the group where Kafka's rule says,
/// in Kafka's own bytes.
#[tokio::test]
async fn o_10_offsets_are_kept_in_kafkas_own_format() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create_topic(&mut client, "t").await;
    let metadata = client
        .send(12, &MetadataRequest::default().with_topics(None))
        .await;
    let named = |name: &str| {
        let mut topics = metadata.topics.iter();
        let topic = topics.find(|topic| topic.name.as_ref().is_some_and(|n| *n.0 == *name));
        topic.expect("the topic is there").topic_id
    };
    client.send(8, &commit_request("g", "", -1, 0x2a)).await;
    let partition = FetchPartition::default()
        .with_partition(shard_of("g", 50))
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic_id(named("__consumer_offsets"))
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_wait_ms(5000)
        .with_min_bytes(1)
        .with_topics(vec![topic]);
    let response = client.send(13, &request).await;
    let records = response.responses[0].partitions[0].records.clone();
    let mut records = records.expect("the commit is there");
    let records = RecordBatchDecoder::decode(&mut records)
        .expect("batches")
        .records;
    assert_eq!(records.len(), 1);
    assert_eq!(
        records[0].key.as_deref(),
        Some(&b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x00"[..])
    );
    let value = records[0].value.as_deref().expect("a value");
    assert_eq!(&value[..2], b"\x00\x04");
    assert_eq!(&value[2..10], b"\x00\x00\x00\x00\x00\x00\x00\x2a");
    assert_eq!(&value[10..14], b"\xff\xff\xff\xff");
    assert_eq!(value[14], 1, "empty metadata");
    assert_eq!(&value[23..26], b"\x01\x00\x10", "one tag: the topic's id");
    assert_eq!(&value[26..], named("t").as_bytes());
}

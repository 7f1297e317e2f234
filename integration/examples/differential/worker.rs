//! A member of a share group that fetches and acknowledges.

use ratel_integration::RawClient;
use ratel_protocol::messages::share_acknowledge_request::{
    AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch,
};
use ratel_protocol::messages::share_fetch_request::{FetchPartition, FetchTopic};
use ratel_protocol::messages::{ShareAcknowledgeRequest, ShareFetchRequest, ShareFetchResponse};

use crate::world::{Carrier, World};

/// What became of records.
pub fn ack(first: i64, last: i64, types: &[i8]) -> AcknowledgementBatch {
    AcknowledgementBatch::default()
        .with_first_offset(first)
        .with_last_offset(last)
        .with_acknowledge_types(types.to_vec())
}

/// Partitions of a topic to fetch from.
pub fn wanted(world: &World, topic: &str, partitions: &[i32]) -> FetchTopic {
    let partitions = partitions
        .iter()
        .map(|index| FetchPartition::default().with_partition_index(*index));
    FetchTopic::default()
        .with_topic_id(world.topic_id(topic))
        .with_partitions(partitions.collect())
}

/// A partition with acknowledgements, in a fetch.
pub fn fetched(
    world: &World,
    topic: &str,
    partition: i32,
    acks: &[AcknowledgementBatch],
) -> FetchTopic {
    let partition = FetchPartition::default()
        .with_partition_index(partition)
        .with_acknowledgement_batches(acks.to_vec());
    FetchTopic::default()
        .with_topic_id(world.topic_id(topic))
        .with_partitions(vec![partition])
}

/// The same without a fetch.
pub fn acknowledged(
    world: &World,
    topic: &str,
    partition: i32,
    acks: &[AcknowledgementBatch],
) -> AcknowledgeTopic {
    let partition = AcknowledgePartition::default()
        .with_partition_index(partition)
        .with_acknowledgement_batches(acks.to_vec());
    AcknowledgeTopic::default()
        .with_topic_id(world.topic_id(topic))
        .with_partitions(vec![partition])
}

/// One member on one connection, which counts the epochs of its session.
pub struct Worker {
    /// The connection.
    pub client: RawClient,
    group: String,
    member: String,
    /// The epoch of the next request.
    pub epoch: i32,
}

impl Worker {
    /// A worker of group `g` that has joined nothing.
    pub async fn stranger(world: &World, member: &str) -> Self {
        Self {
            client: world.connect().await,
            group: "g".to_owned(),
            member: member.to_owned(),
            epoch: 0,
        }
    }

    /// A member `m` of a group `g` that reads from the beginning of a topic `t` with one
    /// partition, in which there are batches of so many records.
    pub async fn with_records(world: &mut World, batches: &[i64]) -> Self {
        Self::configured(world, batches, &[]).await
    }

    /// The same with configs of the group.
    pub async fn configured(world: &mut World, batches: &[i64], configs: &[(&str, &str)]) -> Self {
        world.make_topic("t", 1).await;
        for count in batches {
            world.produce("t", 0, *count).await;
        }
        let mut all = vec![("share.auto.offset.reset", "earliest")];
        all.extend(configs);
        world.configure("g", &all).await;
        world.join("g", "m", &["t"], 1).await;
        Self::stranger(world, "m").await
    }

    /// A fetch as a client of Kafka's sends it, of no topic.
    pub fn request(&self, world: &World) -> ShareFetchRequest {
        ShareFetchRequest::default()
            .with_group_id(Some(world.group(&self.group)))
            .with_member_id(Some(self.member.clone().into()))
            .with_share_session_epoch(self.epoch)
            .with_max_wait_ms(5000)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_max_records(500)
            .with_batch_size(500)
    }

    /// Send a fetch, changed as you like, and count the epoch.
    pub async fn fetch(
        &mut self,
        world: &World,
        step: &str,
        change: impl FnOnce(ShareFetchRequest) -> ShareFetchRequest,
    ) -> ShareFetchResponse {
        let request = change(self.request(world));
        let version = world.version;
        let answer = world.send(&mut self.client, step, version, &request).await;
        self.count(request.share_session_epoch, answer.error_code);
        answer
    }

    /// Fetch from partition 0 of topic `t` for the first time.
    pub async fn open(&mut self, world: &World) -> ShareFetchResponse {
        let topics = vec![wanted(world, "t", &[0])];
        self.fetch(world, "open", |request| request.with_topics(topics))
            .await
    }

    /// Open a session anew until it gives records of topic `t`: a server that has just started
    /// gives none at first.
    pub async fn open_for_records(&mut self, world: &World) {
        for _ in 0..20 {
            self.epoch = 0;
            let topics = vec![wanted(world, "t", &[0])];
            let request = self.request(world).with_topics(topics);
            let answer = self.client.send(1, &request).await;
            let mut partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
            if partitions.any(|partition| !partition.acquired_records.is_empty()) {
                self.epoch = 1;
                return;
            }
        }
        panic!("no records come");
    }

    /// Fetch what comes within a second.
    pub async fn more(&mut self, world: &World, step: &str) -> ShareFetchResponse {
        self.fetch(world, step, |request| request.with_max_wait_ms(1000))
            .await
    }

    /// Acknowledge records of partition 0 of topic `t`, by whatever brings acknowledgements here.
    pub async fn acknowledge(&mut self, world: &World, step: &str, acks: &[AcknowledgementBatch]) {
        self.acknowledge_as(world, step, acks, false).await;
    }

    /// The same in a request that says whether it renews.
    pub async fn acknowledge_as(
        &mut self,
        world: &World,
        step: &str,
        acks: &[AcknowledgementBatch],
        renews: bool,
    ) {
        match world.carrier {
            Carrier::Fetch => {
                let topics = vec![fetched(world, "t", 0, acks)];
                let change = |request| quiet(request).with_topics(topics).with_is_renew_ack(renews);
                self.fetch(world, step, change).await;
            }
            Carrier::Acknowledge => {
                let request = ShareAcknowledgeRequest::default()
                    .with_topics(vec![acknowledged(world, "t", 0, acks)])
                    .with_is_renew_ack(renews);
                self.send_acknowledge(world, step, request).await;
            }
        }
    }

    /// Send acknowledgements by themselves, at the epoch that is next unless one is given.
    pub async fn send_acknowledge(
        &mut self,
        world: &World,
        step: &str,
        request: ShareAcknowledgeRequest,
    ) {
        let epoch = match request.share_session_epoch {
            0 => self.epoch,
            epoch => epoch,
        };
        let request = request
            .with_group_id(Some(world.group(&self.group)))
            .with_member_id(Some(self.member.clone().into()))
            .with_share_session_epoch(epoch);
        let version = world.version;
        let answer = world.send(&mut self.client, step, version, &request).await;
        self.count(epoch, answer.error_code);
    }

    /// End the session.
    pub async fn close(&mut self, world: &World, step: &str) {
        self.fetch(world, step, |request| {
            quiet(request).with_share_session_epoch(-1)
        })
        .await;
    }

    fn count(&mut self, epoch: i32, code: i16) {
        if code == 0 {
            self.epoch = if epoch == -1 { 0 } else { epoch + 1 };
        }
    }
}

/// A fetch that wants no records: only what it says of others counts.
pub fn quiet(request: ShareFetchRequest) -> ShareFetchRequest {
    request
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(0)
        .with_max_records(0)
}

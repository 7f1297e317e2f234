//! Modes for rebalances. Every member is a task of one thread with a connection of its own, and
//! says what it has to say without a pause, so that the server sets the pace.
//!
//! - `rebalance-new`: `members` of a group in the protocol of KIP-848 share out a topic; then one
//!   more joins. The time from its first heartbeat until all have the same epoch and every
//!   partition has its owner, each with as many as the others.
//! - `rebalance-classic`: the same with JoinGroup and SyncGroup, until all have their assignment
//!   of the next generation.
//!
//! Keys for both: topic, group, members, rounds (how often one more joins).

use std::time::{Duration, Instant};

use ratel_integration::RawClient;
use ratel_protocol::StrBytes;
use ratel_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use ratel_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use ratel_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use ratel_protocol::messages::{
    ConsumerGroupHeartbeatRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    JoinGroupRequest, SyncGroupRequest, TopicName,
};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use uuid::Uuid;

use crate::{Arguments, Fault, Process};

/// How long all members together may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR.
const NOT_YET: [i16; 3] = [14, 15, 16];
const REBALANCE_IN_PROGRESS: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;

/// Where a group is, and what its members read.
#[derive(Clone)]
struct Place {
    server: String,
    group: String,
    topic: String,
}

impl Place {
    fn new(arguments: &Arguments) -> Self {
        Self {
            server: arguments.text("servers", "127.0.0.1:9092").to_owned(),
            group: arguments.text("group", "load").to_owned(),
            topic: arguments.topic().to_owned(),
        }
    }

    async fn connect(&self) -> Result<RawClient, Fault> {
        let mut client = RawClient::try_connect(self.server.parse()?).await?;
        let request =
            FindCoordinatorRequest::default().with_coordinator_keys(vec![text(&self.group)]);
        client.try_send(4, &request).await?;
        Ok(client)
    }
}

/// Run a mode, and say what it took.
pub fn run(arguments: &Arguments, server: &Process, classic: bool) -> Result<Value, Fault> {
    let members = arguments.number("members", 100)?;
    let rounds = arguments.number("rounds", 3)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let place = Place::new(arguments);
    let cpu = server.cpu_s();
    let times = LocalSet::new().block_on(&runtime, async {
        match classic {
            true => classic_rounds(&place, members, rounds).await,
            false => new_rounds(&place, members, rounds).await,
        }
    })?;
    let ms: Vec<f64> = times
        .iter()
        .map(|time| time.as_secs_f64() * 1000.0)
        .collect();
    Ok(json!({ "members": members, "ms": ms, "server_cpu_s": server.cpu_s() - cpu }))
}

/// A member in the protocol of KIP-848.
struct Member {
    client: RawClient,
    place: Place,
    id: String,
    epoch: i32,
    owned: Vec<TopicPartitions>,
}

impl Member {
    async fn new(place: &Place) -> Result<Self, Fault> {
        Ok(Self {
            client: place.connect().await?,
            place: place.clone(),
            id: Uuid::new_v4().to_string(),
            epoch: 0,
            owned: Vec::new(),
        })
    }

    fn partitions(&self) -> usize {
        self.owned.iter().map(|topic| topic.partitions.len()).sum()
    }

    /// Say what it holds, and take what it is told.
    async fn beat(&mut self) -> Result<(), Fault> {
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&self.place.group)))
            .with_member_id(text(&self.id))
            .with_member_epoch(self.epoch)
            .with_topic_partitions(Some(self.owned.clone()));
        if self.epoch == 0 {
            request = request
                .with_rebalance_timeout_ms(60_000)
                .with_subscribed_topic_names(Some(vec![TopicName(text(&self.place.topic))]));
        }
        let answer = self.client.try_send(1, &request).await?;
        if NOT_YET.contains(&answer.error_code) {
            return Ok(());
        }
        if answer.error_code != 0 {
            let why = answer.error_message.unwrap_or_default();
            return Err(format!("heartbeat: error {} {why}", answer.error_code).into());
        }
        self.epoch = answer.member_epoch;
        if let Some(told) = answer.assignment {
            let topics = told.topic_partitions.into_iter();
            self.owned = topics
                .map(|topic| {
                    TopicPartitions::default()
                        .with_topic_id(topic.topic_id)
                        .with_partitions(topic.partitions)
                })
                .collect();
        }
        Ok(())
    }
}

async fn new_rounds(place: &Place, members: u64, rounds: u64) -> Result<Vec<Duration>, Fault> {
    let mut group = Vec::new();
    for _ in 0..members {
        group.push(Member::new(place).await?);
    }
    let mut group = settle(group).await?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        group.push(Member::new(place).await?);
        let began = Instant::now();
        group = settle(group).await?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// Let all speak at once, again and again, until nothing is left to do.
async fn settle(mut group: Vec<Member>) -> Result<Vec<Member>, Fault> {
    let end = Instant::now() + PATIENCE;
    let mut held = 0;
    loop {
        let mut speaking = JoinSet::new();
        for mut member in group.drain(..) {
            speaking.spawn_local(async move {
                member.beat().await.map_err(|fault| fault.to_string())?;
                Ok::<_, String>(member)
            });
        }
        while let Some(spoken) = speaking.join_next().await {
            group.push(spoken??);
        }
        let sizes: Vec<usize> = group.iter().map(Member::partitions).collect();
        let (least, most) = (sizes.iter().min(), sizes.iter().max());
        let epoch = group.iter().map(|member| member.epoch).max();
        let total: usize = sizes.iter().sum();
        held = held.max(total);
        let alike = group.iter().all(|member| Some(member.epoch) == epoch);
        let even = most
            .zip(least)
            .is_some_and(|(most, least)| most - least <= 1);
        if alike && even && total == held && total > 0 {
            return Ok(group);
        }
        if Instant::now() > end {
            return Err(format!("not steady after two minutes: {sizes:?}").into());
        }
    }
}

/// A member in the classic protocol.
struct Classic {
    client: RawClient,
    group: String,
    id: StrBytes,
    generation: i32,
}

impl Classic {
    async fn new(place: &Place) -> Result<Self, Fault> {
        Ok(Self {
            client: place.connect().await?,
            group: place.group.clone(),
            id: StrBytes::default(),
            generation: -1,
        })
    }

    fn group(&self) -> GroupId {
        GroupId(text(&self.group))
    }

    /// Join, and sync; the leader gives each a few bytes.
    async fn join(&mut self) -> Result<(), Fault> {
        loop {
            let protocol = JoinGroupRequestProtocol::default()
                .with_name(text("range"))
                .with_metadata(vec![0; 40].into());
            let request = JoinGroupRequest::default()
                .with_group_id(self.group())
                .with_member_id(self.id.clone())
                .with_session_timeout_ms(45_000)
                .with_rebalance_timeout_ms(60_000)
                .with_protocol_type(text("load"))
                .with_protocols(vec![protocol]);
            let joined = self.client.try_send(9, &request).await?;
            match joined.error_code {
                0 => {}
                MEMBER_ID_REQUIRED => {
                    self.id = joined.member_id;
                    continue;
                }
                REBALANCE_IN_PROGRESS => continue,
                code if NOT_YET.contains(&code) => continue,
                code => return Err(format!("JoinGroup: error {code}").into()),
            }
            self.id = joined.member_id;
            self.generation = joined.generation_id;
            let assignments = joined.members.into_iter().map(|member| {
                SyncGroupRequestAssignment::default()
                    .with_member_id(member.member_id)
                    .with_assignment(vec![0; 40].into())
            });
            let request = SyncGroupRequest::default()
                .with_group_id(self.group())
                .with_member_id(self.id.clone())
                .with_generation_id(self.generation)
                .with_protocol_type(Some(text("load")))
                .with_protocol_name(Some(text("range")))
                .with_assignments(assignments.collect());
            let synced = self.client.try_send(5, &request).await?;
            match synced.error_code {
                0 => return Ok(()),
                REBALANCE_IN_PROGRESS => {}
                code => return Err(format!("SyncGroup: error {code}").into()),
            }
        }
    }

    /// Tell that it lives until a rebalance begins.
    async fn beat_until_rebalance(&mut self) -> Result<(), Fault> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let request = HeartbeatRequest::default()
                .with_group_id(self.group())
                .with_member_id(self.id.clone())
                .with_generation_id(self.generation);
            match self.client.try_send(4, &request).await?.error_code {
                0 => {}
                REBALANCE_IN_PROGRESS => return Ok(()),
                code => return Err(format!("Heartbeat: error {code}").into()),
            }
        }
        Err("no rebalance within two minutes".into())
    }
}

async fn classic_rounds(place: &Place, members: u64, rounds: u64) -> Result<Vec<Duration>, Fault> {
    let mut group = Vec::new();
    for _ in 0..members {
        group.push(Classic::new(place).await?);
    }
    let mut group = join_all(group, false).await?;
    // Some may have come too late for the first generation.
    for _ in 0..2 {
        group.push(Classic::new(place).await?);
        group = join_all(group, true).await?;
    }
    let mut times = Vec::new();
    for _ in 0..rounds {
        group.push(Classic::new(place).await?);
        let began = Instant::now();
        group = join_all(group, true).await?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// Have all join; those that are members do so when they hear of it.
async fn join_all(group: Vec<Classic>, heartbeats: bool) -> Result<Vec<Classic>, Fault> {
    let mut joining = JoinSet::new();
    for mut member in group {
        joining.spawn_local(async move {
            if heartbeats && member.generation >= 0 {
                let waited = member.beat_until_rebalance().await;
                waited.map_err(|fault| fault.to_string())?;
            }
            member.join().await.map_err(|fault| fault.to_string())?;
            Ok::<_, String>(member)
        });
    }
    let mut group = Vec::new();
    while let Some(joined) = joining.join_next().await {
        group.push(joined??);
    }
    let newest = group.iter().map(|member| member.generation).max();
    match group.iter().all(|member| Some(member.generation) == newest) {
        true => Ok(group),
        false => Err("members of several generations".into()),
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

//! What a scenario works with: one of the two servers, and the list of what it answered.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreateTopicsRequest, DescribeConfigsRequest, FindCoordinatorRequest, GroupId,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, ListOffsetsRequest, ProduceRequest,
    ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse, TopicName,
};
use kafka_protocol::protocol::Request;
use ratel_integration::RawClient;
use ratel_integration::differential::Facts;
use ratel_integration::differential::wire::Names;
use ratel_storage::BatchBuilder;
use uuid::Uuid;

/// A resource of type group.
pub const GROUP: i8 = 32;
/// How long a server may take for what a scenario is built on.
const PATIENCE: u32 = 400;
/// What a coordinator says that is on its way: COORDINATOR_LOAD_IN_PROGRESS,
/// COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR.
const STARTING: &[i16] = &[14, 15, 16];

type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A script of requests.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name, the function's.
    pub name: &'static str,
    /// The first version that has it.
    pub since: i16,
    /// The script.
    pub run: for<'a> fn(&'a mut World) -> Running<'a>,
}

/// Scenarios from functions; `since N: name` for one of later versions only.
macro_rules! scenarios {
    ($(since $since:literal: $later:ident,)* ; $($name:ident,)*) => {
        vec![
            $(crate::world::Scenario {
                name: stringify!($later),
                since: $since,
                run: |world| Box::pin($later(world)),
            },)*
            $(crate::world::Scenario {
                name: stringify!($name),
                since: 0,
                run: |world| Box::pin($name(world)),
            },)*
        ]
    };
}
pub(crate) use scenarios;

/// What brings acknowledgements.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// ShareFetch.
    Fetch,
    /// ShareAcknowledge.
    Acknowledge,
}

/// Scenarios that run in each of some versions.
#[derive(Clone)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// The versions.
    pub versions: RangeInclusive<i16>,
    /// What brings acknowledgements, where that matters.
    pub carrier: Carrier,
    /// The scripts.
    pub scenarios: Vec<Scenario>,
}

impl Family {
    /// Each with each version.
    pub fn scenarios(&self) -> Vec<(Scenario, i16)> {
        let versions = self.versions.clone();
        let all = versions.flat_map(|version| {
            let of_version = self.scenarios.iter();
            of_version
                .filter(move |scenario| scenario.since <= version)
                .map(move |scenario| (*scenario, version))
        });
        all.collect()
    }
}

/// What was answered.
pub struct Step {
    /// The step's name.
    pub name: String,
    /// The answer.
    pub facts: Facts,
}

impl Step {
    /// Why a scenario does not go on.
    pub fn broken(why: &str) -> Self {
        Self {
            name: "broken".to_owned(),
            facts: Facts::one("why", why),
        }
    }

    /// Its name, and of a broken one why.
    pub fn shown(&self) -> String {
        let why = self.facts.0.get("why").map(String::as_str);
        format!("{} {}", self.name, why.unwrap_or_default())
    }
}

type Steps = Arc<Mutex<Vec<Step>>>;

/// The steps so far.
pub fn lock(steps: &Steps) -> MutexGuard<'_, Vec<Step>> {
    steps.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One server, and what it answered.
pub struct World {
    addr: SocketAddr,
    /// In front of each name of this run.
    unique: String,
    /// The version of the family's API.
    pub version: i16,
    /// What brings acknowledgements.
    pub carrier: Carrier,
    topics: BTreeMap<String, Uuid>,
    /// Values of earlier answers, by name.
    kept: BTreeMap<String, String>,
    steps: Steps,
}

/// Values that are shorter than this are no ids, and stand for themselves in an answer.
const ID_BYTES_MIN: usize = 16;

/// Whether a field belongs to what another scenario has made: `[d17-4-t]`.
fn is_of_others(path: &str) -> bool {
    path.split('[').skip(1).any(|element| {
        let rest = element.strip_prefix('d').unwrap_or_default();
        let number = rest.split('-').next().unwrap_or_default();
        !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
    })
}

impl Names for World {
    fn text(&self, word: &str) -> String {
        match word.strip_prefix('%') {
            Some(name) => self.kept.get(name).cloned().unwrap_or_default(),
            None => word.replace('$', &self.unique),
        }
    }

    fn id(&self, topic: &str) -> [u8; 16] {
        match topic {
            "" => [0; 16],
            topic => *self.topic_id(topic).as_bytes(),
        }
    }
}

impl World {
    /// Nothing is there yet.
    pub fn new(addr: SocketAddr, unique: &str, version: i16, carrier: Carrier) -> Self {
        Self {
            addr,
            unique: unique.to_owned(),
            version,
            carrier,
            topics: BTreeMap::new(),
            kept: BTreeMap::new(),
            steps: Steps::default(),
        }
    }

    /// Where the steps are kept.
    pub fn steps(&self) -> Steps {
        self.steps.clone()
    }

    /// A name that only this run of the scenario has.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.unique)
    }

    /// A group's id.
    pub fn group(&self, name: &str) -> GroupId {
        GroupId(self.name(name).into())
    }

    /// A topic's name.
    pub fn topic_name(&self, name: &str) -> TopicName {
        TopicName(self.name(name).into())
    }

    /// A topic's id; one that no topic has, if it was not made here.
    pub fn topic_id(&self, name: &str) -> Uuid {
        let unknown = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        self.topics.get(name).copied().unwrap_or(unknown)
    }

    /// A connection.
    pub async fn connect(&self) -> RawClient {
        RawClient::connect(self.addr).await
    }

    /// Take down an answer.
    pub fn record(&self, step: &str, answer: &impl Debug) {
        self.note(step, self.facts(answer));
    }

    /// What an answer says, by the names of this scenario, and without what others have made.
    pub fn facts(&self, answer: &impl Debug) -> Facts {
        let ids = self.topics.iter();
        let ids = ids.map(|(name, id)| (id.to_string(), name.clone()));
        let kept = self.kept.iter();
        let kept = kept
            .filter(|(_, value)| value.len() >= ID_BYTES_MIN)
            .map(|(name, value)| (value.clone(), name.clone()));
        let mut names: Vec<(String, String)> = ids.chain(kept).collect();
        names.push((self.unique.clone(), String::new()));
        names.push((
            format!("port: {}", self.addr.port()),
            "port: own".to_owned(),
        ));
        let mut facts = Facts::of(answer, &names);
        facts.0.retain(|path, _| !is_of_others(path));
        facts
    }

    /// Keep a value for later requests.
    pub fn keep(&mut self, name: &str, value: &str) {
        self.kept.insert(name.to_owned(), value.to_owned());
    }

    /// Take down facts.
    pub fn note(&self, step: &str, facts: Facts) {
        lock(&self.steps).push(Step {
            name: step.replace(' ', "-"),
            facts,
        });
    }

    /// Send a request and take down the answer.
    ///
    /// # Panics
    /// If there is none, which is taken down too.
    pub async fn send<R: Request>(
        &self,
        client: &mut RawClient,
        step: &str,
        version: i16,
        request: &R,
    ) -> R::Response
    where
        R::Response: Debug,
    {
        match client.try_send(version, request).await {
            Ok(answer) => {
                self.record(step, &answer);
                answer
            }
            Err(error) => {
                self.note(
                    step,
                    Facts::one("no answer", &format!("{:?}", error.kind())),
                );
                panic!("{step}: {error}");
            }
        }
    }

    /// Make a topic.
    pub async fn make_topic(&mut self, name: &str, partitions: i32) {
        let mut client = self.connect().await;
        let topic = CreatableTopic::default()
            .with_name(self.topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default()
            .with_timeout_ms(20_000)
            .with_topics(vec![topic]);
        let made = client.send(7, &request).await;
        let made = made.topics.first().expect("the topic is in the answer");
        assert_eq!(made.error_code, 0, "{name} is not made");
        self.topics.insert(name.to_owned(), made.topic_id);
        // The name is known everywhere only a while after the answer.
        for partition in 0..partitions {
            self.produce(name, partition, 0).await;
        }
    }

    /// The same with configs, and wait until its partitions answer.
    pub async fn make_table_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) {
        let mut client = self.connect().await;
        let configs = configs.iter().map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name((*key).to_owned().into())
                .with_value(Some((*value).to_owned().into()))
        });
        let topic = CreatableTopic::default()
            .with_name(self.topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(10_000);
        let answer = client.send(7, &request).await;
        let made = answer.topics.first().expect("the topic is in the answer");
        assert_eq!(made.error_code, 0, "{name} is not made: {made:?}");
        self.topics.insert(name.to_owned(), made.topic_id);
        let asked = (0..partitions).map(|index| {
            ListOffsetsPartition::default()
                .with_partition_index(index)
                .with_timestamp(-1)
        });
        let topic = ListOffsetsTopic::default()
            .with_name(self.topic_name(name))
            .with_partitions(asked.collect());
        let request = ListOffsetsRequest::default().with_topics(vec![topic]);
        for _ in 0..PATIENCE {
            let answer = client.send(7, &request).await;
            let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            if partitions.all(|partition| partition.error_code == 0) {
                return;
            }
            pause(10).await;
        }
        panic!("{name} does not come");
    }

    /// Append one batch of records.
    pub async fn produce(&self, topic: &str, partition: i32, count: i64) {
        let mut client = self.connect().await;
        let mut batch = BatchBuilder::new(1_700_000_000_000);
        for number in 0..count {
            batch.record(None, Some(format!("value {number:04}").as_bytes()));
        }
        let Some(batch) = batch.build() else {
            return;
        };
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(batch.bytes().clone()));
        let topic = TopicProduceData::default()
            .with_name(self.topic_name(topic))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![topic]);
        for _ in 0..PATIENCE {
            let answer = client.send(9, &request).await;
            let partition = answer
                .responses
                .first()
                .and_then(|topic| topic.partition_responses.first());
            if partition.is_some_and(|partition| partition.error_code == 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nothing can be produced");
    }

    /// Alter configs of a resource of this type.
    pub async fn alter(&self, resource_type: i8, name: &str, configs: &[(&str, &str)]) {
        let mut client = self.connect().await;
        let entries = configs.iter().map(|(key, value)| {
            AlterableConfig::default()
                .with_name((*key).to_owned().into())
                .with_value(Some((*value).to_owned().into()))
        });
        let resource = AlterConfigsResource::default()
            .with_resource_type(resource_type)
            .with_resource_name(self.name(name).into())
            .with_configs(entries.collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let altered = client.send(1, &request).await;
        assert!(
            altered
                .responses
                .iter()
                .all(|answer| answer.error_code == 0),
            "{configs:?} are refused: {altered:?}"
        );
    }

    /// Set a group's configs, and wait until the server has them.
    pub async fn configure(&self, group: &str, configs: &[(&str, &str)]) {
        self.alter(GROUP, group, configs).await;
        let mut client = self.connect().await;
        let resource = DescribeConfigsResource::default()
            .with_resource_type(GROUP)
            .with_resource_name(self.name(group).into());
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        for _ in 0..PATIENCE {
            let described = client.send(4, &request).await;
            let shown = described.results.iter().flat_map(|result| &result.configs);
            let shown: Vec<(&str, Option<&str>)> = shown
                .map(|config| (&*config.name as &str, config.value.as_deref()))
                .collect();
            if configs
                .iter()
                .all(|(key, value)| shown.contains(&(key, Some(value))))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{configs:?} do not come");
    }

    /// Wait until the server's coordinators of groups and of transactions are there: they make
    /// their topics when they are first asked. The first producer id is taken: it is 0, which
    /// says nothing in other answers.
    pub async fn wake(&self) {
        let mut client = self.connect().await;
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        client.send(4, &request).await;
        for kind in [0, 1] {
            let request = FindCoordinatorRequest::default()
                .with_key_type(kind)
                .with_coordinator_keys(vec![self.name("g").into()]);
            for _ in 0..PATIENCE {
                let answer = client.send(4, &request).await;
                let mut found = answer.coordinators.iter();
                if found.all(|found| found.error_code == 0) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// A heartbeat of a member.
    pub fn heartbeat(&self, group: &str, member: &str, epoch: i32) -> ShareGroupHeartbeatRequest {
        ShareGroupHeartbeatRequest::default()
            .with_group_id(self.group(group))
            .with_member_id(member.to_owned().into())
            .with_member_epoch(epoch)
    }

    /// Join a share group and wait until there are partitions. Gives the member's epoch. Nothing
    /// is taken down.
    pub async fn join(&self, group: &str, member: &str, topics: &[&str], partitions: usize) -> i32 {
        let mut client = self.connect().await;
        let names = topics.iter().map(|name| self.topic_name(name)).collect();
        let join = self
            .heartbeat(group, member, 0)
            .with_subscribed_topic_names(Some(names));
        let mut answer = client.send(1, &join).await;
        for _ in 0..PATIENCE {
            if STARTING.contains(&answer.error_code) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                answer = client.send(1, &join).await;
                continue;
            }
            assert_eq!(answer.error_code, 0, "{answer:?}");
            if assigned(&answer) >= partitions {
                return answer.member_epoch;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let stays = self.heartbeat(group, member, answer.member_epoch);
            answer = client.send(1, &stays).await;
        }
        panic!("{member} gets no partitions");
    }
}

fn assigned(answer: &ShareGroupHeartbeatResponse) -> usize {
    let topics = answer
        .assignment
        .iter()
        .flat_map(|all| &all.topic_partitions);
    topics.map(|topic| topic.partitions.len()).sum()
}

/// Wait.
pub async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

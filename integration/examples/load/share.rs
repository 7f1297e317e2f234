//! Modes for share groups (KIP-932). All members are tasks of one thread, each with a connection
//! of its own, as clients have.
//!
//! - `share-drain`: `members` of a group read a topic that is filled already, each accepting what
//!   it has with its next fetch. Counted are records whose acknowledgement the server answered,
//!   within `seconds` after `warm_ms`. With `hold`, one more member for each of so many partitions
//!   leases one record at the head first and never says a word of it.
//! - `share-latency`: a producer at `rate` records a second to one partition, for `seconds`;
//!   `members` wait for records. From the moment that a record was due to its delivery.
//! - `share-lease`: one member leases `records` and keeps them, or with `alternate=1` accepts every
//!   second one: what memory that takes.
//!
//! Keys for all: topic, group, `configs` (of the group: name:value,name:value).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ratel_integration::RawClient;
use ratel_protocol::StrBytes;
use ratel_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use ratel_protocol::messages::metadata_request::MetadataRequestTopic;
use ratel_protocol::messages::{
    FindCoordinatorRequest, GroupId, IncrementalAlterConfigsRequest, MetadataRequest,
    ShareGroupHeartbeatRequest, TopicName,
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, LocalSet};
use uuid::Uuid;

use crate::share_wire::{Member, Range, Wish};
use crate::{Arguments, Fault, Process, histogram, quantiles};

/// A group's resource type in IncrementalAlterConfigs.
const GROUP: i8 = 32;
/// COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR: to be asked again.
const COORDINATOR_NOT_YET: [i16; 3] = [14, 15, 16];
/// How long all members together may take to get their partitions.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Java's `max.poll.records` and `fetch.max.wait.ms`.
const WISH: Wish = Wish {
    max_records: 500,
    max_wait_ms: 500,
    exactly: false,
};

/// A group that reads a topic, and what is sent on one connection for all its members.
struct Group {
    server: String,
    name: String,
    topic_name: String,
    topic: Uuid,
    partitions: i32,
    control: RawClient,
}

impl Group {
    async fn new(arguments: &Arguments) -> Result<Self, Fault> {
        let server = arguments.text("servers", "127.0.0.1:9092").to_owned();
        let mut control = RawClient::try_connect(server.parse()?).await?;
        let topic_name = arguments.topic().to_owned();
        let wanted = MetadataRequestTopic::default().with_name(Some(TopicName(text(&topic_name))));
        let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
        let metadata = control.try_send(12, &request).await?;
        let found = metadata.topics.first().ok_or("no answer of the topic")?;
        let mut group = Self {
            server,
            name: arguments.text("group", "load").to_owned(),
            topic_name,
            topic: found.topic_id,
            partitions: i32::try_from(found.partitions.len())?,
            control,
        };
        group.configure(arguments.text("configs", "")).await?;
        // A new server makes the topic of its groups for who asks for one.
        let key = vec![text(&group.name)];
        let request = FindCoordinatorRequest::default().with_coordinator_keys(key);
        group.control.try_send(4, &request).await?;
        Ok(group)
    }

    /// Have the group read from the beginning, and behave as wanted.
    async fn configure(&mut self, wanted: &str) -> Result<(), Fault> {
        let pairs = wanted.split(',').filter_map(|pair| pair.split_once(':'));
        let pairs = pairs.chain([("share.auto.offset.reset", "earliest")]);
        let set = |(name, value)| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(GROUP)
            .with_resource_name(text(&self.name))
            .with_configs(pairs.map(set).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let answer = self.control.try_send(1, &request).await?;
        match answer.responses.first() {
            Some(done) if done.error_code == 0 => Ok(()),
            refused => Err(format!("the group's configs are refused: {refused:?}").into()),
        }
    }

    /// A member tells that it lives, or with epoch 0 or -1 that it comes or goes. Gives its epoch
    /// and, if there is news of them, its partitions.
    async fn heartbeat(
        &mut self,
        member: &str,
        epoch: i32,
    ) -> Result<(i32, Option<Vec<i32>>), Fault> {
        let topics = (epoch == 0).then(|| vec![TopicName(text(&self.topic_name))]);
        let request = ShareGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&self.name)))
            .with_member_id(text(member))
            .with_member_epoch(epoch)
            .with_subscribed_topic_names(topics);
        let answer = self.control.try_send(1, &request).await?;
        if COORDINATOR_NOT_YET.contains(&answer.error_code) {
            return Ok((epoch, None));
        }
        if answer.error_code != 0 {
            let why = answer.error_message.unwrap_or_default();
            return Err(format!("heartbeat: error {} {why}", answer.error_code).into());
        }
        let assigned = answer.assignment.map(|assignment| {
            let topics = assignment.topic_partitions.into_iter();
            topics.flat_map(|topic| topic.partitions).collect()
        });
        Ok((answer.member_epoch, assigned))
    }

    /// Have members join, and wait until each has partitions and each partition has members.
    async fn join(&mut self, members: u64) -> Result<Vec<Member>, Fault> {
        let mut joined: Vec<(String, i32, Vec<i32>)> = (0..members)
            .map(|_| (Uuid::new_v4().to_string(), 0, Vec::new()))
            .collect();
        let end = Instant::now() + JOIN_TIMEOUT;
        loop {
            let mut news = false;
            for (id, epoch, partitions) in &mut joined {
                let (next, assigned) = self.heartbeat(id, *epoch).await?;
                news |= next != *epoch;
                *epoch = next;
                if let Some(assigned) = assigned {
                    *partitions = assigned;
                }
            }
            let covered: BTreeSet<i32> = joined.iter().flat_map(|all| all.2.clone()).collect();
            let is_idle = joined
                .iter()
                .any(|(_, _, partitions)| partitions.is_empty());
            if !news && !is_idle && covered.len() == usize::try_from(self.partitions)? {
                break;
            }
            if Instant::now() > end {
                return Err("not every member got partitions within a minute".into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let mut members = Vec::new();
        for (id, _, partitions) in joined {
            members.push(self.member(&id, partitions).await?);
        }
        Ok(members)
    }

    async fn member(&self, id: &str, partitions: Vec<i32>) -> Result<Member, Fault> {
        Member::connect(&self.server, &self.name, id, self.topic, partitions).await
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn runtime() -> Result<Runtime, Fault> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// What the members of a run saw.
struct Seen {
    /// Records before this moment do not count.
    begin: Instant,
    end: Instant,
    /// All there are: who has seen them need not wait for more.
    records: u64,
    delivered: u64,
    accepted: u64,
    accepted_in_time: u64,
    /// The last moment at which one was accepted.
    last: Instant,
    /// The longest time without a delivery, from the beginning to the end.
    last_delivery: Instant,
    stall: Duration,
    round_trips: Histogram<u64>,
}

impl Seen {
    fn new(warm: Duration, window: Duration, records: u64) -> Self {
        let begin = Instant::now() + warm;
        Self {
            begin,
            end: begin + window,
            records,
            delivered: 0,
            accepted: 0,
            accepted_in_time: 0,
            last: begin,
            last_delivery: begin,
            stall: Duration::ZERO,
            round_trips: histogram(),
        }
    }

    fn is_over(&self) -> bool {
        self.accepted >= self.records || Instant::now() >= self.end
    }

    /// An answer came to a request that was sent at `asked`.
    fn answered(&mut self, asked: Instant, accepted: u64, leased: &[Range]) {
        let now = Instant::now();
        let delivered: u64 = leased.iter().map(Range::len).sum();
        self.delivered += delivered;
        self.accepted += accepted;
        if now < self.begin || now > self.end {
            return;
        }
        self.accepted_in_time += accepted;
        if accepted > 0 {
            self.last = now;
        }
        if delivered > 0 {
            self.stall = self.stall.max(now - self.last_delivery);
            self.last_delivery = now;
        }
        let took = u64::try_from((now - asked).as_micros()).unwrap_or(u64::MAX);
        self.round_trips.saturating_record(took.max(1));
    }

    /// From the beginning to the end, or to when nothing was left to do.
    fn window(&self) -> (Duration, Duration) {
        let is_done = self.accepted >= self.records;
        let to = if is_done { self.last } else { self.end };
        let silence = if is_done {
            Duration::ZERO
        } else {
            self.end.saturating_duration_since(self.last_delivery)
        };
        (to.saturating_duration_since(self.begin), silence)
    }
}

async fn drain_as(mut member: Member, seen: Rc<RefCell<Seen>>) -> Result<(), String> {
    while !seen.borrow().is_over() {
        let asked = Instant::now();
        let accepted = member.ask(WISH).await.map_err(|error| error.to_string())?;
        seen.borrow_mut().answered(asked, accepted, &member.leased);
    }
    Ok(())
}

/// Let every member work until it ends, or the first one fails.
async fn all(mut tasks: JoinSet<Result<(), String>>) -> Result<(), Fault> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Lease one record at the head of each of the first `hold` partitions.
async fn hold(group: &Group, hold: u64) -> Result<Vec<Member>, Fault> {
    let mut holders = Vec::new();
    let one = Wish {
        max_records: 1,
        exactly: true,
        ..WISH
    };
    for partition in 0..i32::try_from(hold)? {
        let id = Uuid::new_v4().to_string();
        let mut holder = group.member(&id, vec![partition]).await?;
        while holder.leased.is_empty() {
            holder.ask(one).await?;
        }
        holders.push(holder);
    }
    Ok(holders)
}

pub(crate) fn drain(arguments: &Arguments, server: &Process) -> Result<Value, Fault> {
    let members = arguments.number("members", 1)?;
    let warm = Duration::from_millis(arguments.number("warm_ms", 1000)?);
    let window = Duration::from_secs(arguments.number("seconds", 5)?);
    let local = LocalSet::new();
    local.block_on(&runtime()?, async {
        let mut group = Group::new(arguments).await?;
        let joined = group.join(members).await?;
        let _holders = hold(&group, arguments.number("hold", 0)?).await?;
        let records = arguments.number("records", u64::MAX)?;
        let seen = Rc::new(RefCell::new(Seen::new(warm, window, records)));
        let mut tasks = JoinSet::new();
        for member in joined {
            tasks.spawn_local(drain_as(member, seen.clone()));
        }
        tokio::time::sleep(warm).await;
        let cpu = (server.cpu_s(), Process::this().cpu_s());
        let ending = seen.clone();
        tasks.spawn_local(async move {
            while !ending.borrow().is_over() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Err("over".into())
        });
        let ended = all(tasks).await;
        let cpu = (server.cpu_s() - cpu.0, Process::this().cpu_s() - cpu.1);
        match ended {
            Err(why) if why.to_string() != "over" => return Err(why),
            _ => {}
        }
        let seen = seen.borrow();
        let (took, silence) = seen.window();
        Ok(json!({
            "members": members,
            "records": seen.accepted_in_time,
            "delivered": seen.delivered,
            "seconds": took.as_secs_f64(),
            "records_per_second": seen.accepted_in_time as f64 / took.as_secs_f64(),
            "stall_ms": seen.stall.max(silence).as_secs_f64() * 1e3,
            "round_trip": quantiles(&seen.round_trips),
            "server_cpu_s": cpu.0,
            "client_cpu_s": cpu.1,
        }))
    })
}

/// What the waiting members of a latency run saw.
struct Waited {
    epoch: Instant,
    rate: u64,
    /// Records before this offset do not count.
    warm: u64,
    total: u64,
    accepted: u64,
    deliveries: Histogram<u64>,
    acknowledgements: Histogram<u64>,
}

impl Waited {
    fn delivered(&mut self, leased: &[Range]) {
        let now = self.epoch.elapsed();
        for offset in leased.iter().flat_map(|range| range.first..=range.last) {
            let offset = u64::try_from(offset).unwrap_or(0);
            if offset >= self.warm {
                let due = Duration::from_nanos(offset * 1_000_000_000 / self.rate);
                let late = u64::try_from(now.saturating_sub(due).as_micros()).unwrap_or(u64::MAX);
                self.deliveries.saturating_record(late.max(1));
            }
        }
    }
}

async fn wait_as(mut member: Member, seen: Rc<RefCell<Waited>>) -> Result<(), String> {
    while seen.borrow().accepted < seen.borrow().total {
        let asked = Instant::now();
        let accepted = member.ask(WISH).await.map_err(|error| error.to_string())?;
        let mut seen = seen.borrow_mut();
        seen.delivered(&member.leased);
        if accepted > 0 {
            let took = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
            seen.acknowledgements.saturating_record(took.max(1));
            seen.accepted += accepted;
        }
    }
    Ok(())
}

pub(crate) fn latency(arguments: &Arguments, server: &Process) -> Result<Value, Fault> {
    let (rate, seconds) = (
        arguments.number("rate", 1000)?,
        arguments.number("seconds", 5)?,
    );
    let (warm, total) = (rate, rate * (seconds + 1));
    let members = arguments.number("members", 1)?;
    let local = LocalSet::new();
    local.block_on(&runtime()?, async {
        let mut group = Group::new(arguments).await?;
        let joined = group.join(members).await?;
        // Members that are there already, and wait.
        let epoch = Instant::now() + Duration::from_secs(1);
        let seen = Rc::new(RefCell::new(Waited {
            epoch,
            rate,
            warm,
            total,
            accepted: 0,
            deliveries: histogram(),
            acknowledgements: histogram(),
        }));
        let mut tasks = JoinSet::new();
        for member in joined {
            tasks.spawn_local(wait_as(member, seen.clone()));
        }
        let cpu = server.cpu_s();
        let sender = arguments.clone();
        let producing = thread::spawn(move || {
            crate::produce_at_rate(&sender, epoch, rate, total).map_err(|error| error.to_string())
        });
        let ended = tokio::time::timeout(Duration::from_secs(seconds + 60), all(tasks)).await;
        let failed = producing.join().map_err(|_| "the producer panicked")?;
        failed?;
        ended.map_err(|_| "records that were produced did not come")??;
        let seen = seen.borrow();
        Ok(json!({
            "rate": rate,
            "members": members,
            "delivery": quantiles(&seen.deliveries),
            "acknowledgement": quantiles(&seen.acknowledgements),
            "server_cpu_s": server.cpu_s() - cpu,
            "records": total,
        }))
    })
}

/// Every second record of what is leased, each by itself.
fn every_second(leased: &[Range]) -> Vec<Range> {
    let one = |partition, offset| Range {
        partition,
        first: offset,
        last: offset,
    };
    let of_range = |range: &Range| {
        let partition = range.partition;
        let offsets = (range.first..=range.last).step_by(2);
        offsets.map(move |offset| one(partition, offset))
    };
    leased.iter().flat_map(of_range).collect()
}

pub(crate) fn lease(arguments: &Arguments, server: &Process) -> Result<Value, Fault> {
    let records = arguments.number("records", 1_000_000)?;
    let wish = Wish {
        max_records: i32::try_from(arguments.number("max_records", 500)?)?,
        max_wait_ms: 100,
        ..WISH
    };
    let scattered = arguments.number("alternate", 0)? > 0;
    let local = LocalSet::new();
    local.block_on(&runtime()?, async {
        let mut group = Group::new(arguments).await?;
        let mut joined = group.join(1).await?;
        let member = joined.first_mut().ok_or("no member")?;
        let before = server.status_kib("VmRSS");
        let (mut leased, mut idle) = (0, 0);
        while leased < records && idle < 3 {
            member.ask(wish).await?;
            let new: u64 = member.leased.iter().map(Range::len).sum();
            if scattered {
                member.leased = every_second(&member.leased);
            } else {
                // Not a word of them with the next request.
                member.leased.clear();
            }
            idle = if new == 0 { idle + 1 } else { 0 };
            leased += new - member.leased.len() as u64;
        }
        Ok(json!({
            "leased": leased,
            "before_kib": before,
            "after_kib": server.status_kib("VmRSS"),
        }))
    })
}

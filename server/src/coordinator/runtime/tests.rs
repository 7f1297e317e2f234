use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use ratel_storage::StorageError;

use super::*;

mod transactions;

use crate::clock::{ManualClock, Timestamp};
use crate::coordinator::record::{Reader, Writer};
use crate::coordinator::testing::TestPartition;
use crate::coordinator::{Applied, Effects, Record, Ticket};

/// A machine that adds numbers up by name.
#[derive(Default)]
struct Sums {
    sums: BTreeMap<String, i64>,
    last: Option<Applied>,
    deadline: Option<i64>,
    parked: Vec<Ticket>,
}

enum Event {
    Add(&'static str, i64),
    Pad(usize),
    Sum(&'static str),
    Peek(&'static str),
    Park(i64),
    Act(&'static str),
}

#[derive(Debug, Clone, PartialEq)]
struct Sum(String, i64, usize);

impl Record for Sum {
    fn encode(&self) -> (Bytes, Option<Bytes>) {
        let mut key = Writer::new(0);
        key.string(&self.0);
        let mut value = Writer::new(0);
        value.i64(self.1).bytes(&vec![0; self.2]);
        (key.finish(), Some(value.finish()))
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, String> {
        let mut key = Reader::new(key);
        if key.i16()? != 0 {
            return Ok(None);
        }
        let mut value = Reader::new(value.ok_or("no value")?);
        value.i16()?;
        Ok(Some(Self(
            key.string()?.into(),
            value.i64()?,
            value.bytes()?.len(),
        )))
    }
}

impl Machine for Sums {
    type Event = Event;
    type Record = Sum;
    type Reply = i64;
    type Action = &'static str;

    fn handle(&mut self, now: Timestamp, ticket: Ticket, event: Event, out: &mut Effects<Self>) {
        let sum = |sums: &Self, name| sums.sums.get(name).copied().unwrap_or(0);
        match event {
            Event::Add(name, n) => {
                let total = sum(self, name) + n;
                out.record(self, Sum(name.into(), total, 0));
                out.reply(ticket, total);
            }
            Event::Pad(bytes) => {
                out.record(self, Sum("pad".into(), 1, bytes));
                out.reply(ticket, 1);
            }
            Event::Sum(name) => out.reply(ticket, sum(self, name)),
            Event::Peek(name) => out.reply_now(ticket, sum(self, name)),
            Event::Park(ms) => {
                self.deadline = Some(now.monotonic_ms + ms);
                self.parked.push(ticket);
            }
            Event::Act(name) => {
                out.record(self, Sum(name.into(), 1, 0));
                out.act(name);
                out.reply(ticket, 0);
            }
        }
    }

    fn handle_timeout(&mut self, now: Timestamp, out: &mut Effects<Self>) {
        self.deadline = None;
        for ticket in self.parked.drain(..) {
            out.reply_now(ticket, now.monotonic_ms);
        }
    }

    fn next_timeout(&self) -> Option<i64> {
        self.deadline
    }

    fn apply(&mut self, at: Applied, record: &Sum) {
        self.last = Some(at);
        self.sums.insert(record.0.clone(), record.1);
    }

    fn start(&mut self, _now: Timestamp, _ends: &LogEnds, out: &mut Effects<Self>) {
        if self.sums.contains_key("restart") {
            out.act("started");
        }
    }

    fn snapshot(&self, out: &mut Vec<Sum>) {
        out.extend(
            self.sums
                .iter()
                .map(|(name, sum)| Sum(name.clone(), *sum, 0)),
        );
    }
}

#[derive(Default, Clone)]
struct Deeds(Arc<Mutex<Vec<&'static str>>>);

impl Shell<Sums> for Deeds {
    async fn perform(&self, shard: &Shard<Sums>, action: &'static str) {
        self.0.lock().unwrap().push(action);
        if action == "tell" {
            shard.tell(Event::Add("told", 5));
        }
    }
}

struct Bench {
    partition: Arc<TestPartition>,
    clock: Arc<ManualClock>,
    deeds: Deeds,
    checkpoint_bytes_min: u64,
}

impl Bench {
    fn new() -> Self {
        Self {
            partition: Arc::default(),
            clock: Arc::new(ManualClock::new(Timestamp {
                monotonic_ms: 100,
                wall_ms: 5000,
            })),
            deeds: Deeds::default(),
            checkpoint_bytes_min: CHECKPOINT_BYTES_MIN,
        }
    }

    fn start(&self) -> Shard<Sums> {
        Shard::spawn(Setup {
            name: "sums".into(),
            machine: Sums::default,
            shell: self.deeds.clone(),
            partition: self.partition.clone(),
            clock: self.clock.clone(),
            checkpoint_bytes_min: self.checkpoint_bytes_min,
        })
    }

    fn deeds(&self) -> Vec<&'static str> {
        self.deeds.0.lock().unwrap().clone()
    }
}

/// Let every task do what it can.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

const GONE: Result<i64, ErrorCode> = Err(ErrorCode::CoordinatorNotAvailable);

#[tokio::test]
async fn events_are_handled_in_the_order_of_the_calls() {
    let bench = Bench::new();
    let shard = bench.start();
    let first = shard.send(Event::Add("a", 1));
    let second = shard.send(Event::Add("a", 10));
    let third = shard.send(Event::Sum("a"));
    assert_eq!(third.await, Ok(11));
    assert_eq!(second.await, Ok(11));
    assert_eq!(first.await, Ok(1));
    assert_eq!(bench.partition.bases(), [0], "one drain makes one batch");
}

#[tokio::test]
async fn durable_replies_wait_for_the_sync_and_now_replies_do_not() {
    let bench = Bench::new();
    let shard = bench.start();
    shard.loaded().await.unwrap();
    bench.partition.hold();
    let mut add = tokio::spawn(shard.send(Event::Add("a", 1)));
    settle().await;
    let mut sum = tokio::spawn(shard.send(Event::Sum("a")));
    assert_eq!(shard.send(Event::Peek("a")).await, Ok(1));
    settle().await;
    assert!(
        !add.is_finished() && !sum.is_finished(),
        "both depend on the first batch"
    );
    let more = tokio::spawn(shard.send(Event::Add("a", 2)));
    settle().await;
    assert_eq!(
        bench.partition.bases(),
        [0, 1],
        "the second batch does not wait for the first"
    );
    assert_eq!(bench.partition.held(), 2);
    bench.partition.release();
    assert_eq!((&mut add).await.unwrap(), Ok(1));
    assert_eq!((&mut sum).await.unwrap(), Ok(1));
    assert_eq!(more.await.unwrap(), Ok(3));
}

#[tokio::test]
async fn actions_come_after_the_sync_and_before_the_reply() {
    let bench = Bench::new();
    let shard = bench.start();
    shard.loaded().await.unwrap();
    bench.partition.hold();
    let first = tokio::spawn(shard.send(Event::Act("one")));
    let second = tokio::spawn(shard.send(Event::Act("tell")));
    settle().await;
    assert_eq!(bench.deeds(), [""; 0]);
    bench.partition.release();
    assert_eq!(first.await.unwrap(), Ok(0));
    assert_eq!(second.await.unwrap(), Ok(0));
    assert_eq!(bench.deeds(), ["one", "tell"]);
    assert_eq!(
        shard.send(Event::Sum("told")).await,
        Ok(5),
        "an outcome comes back as an event"
    );
}

#[tokio::test]
async fn a_replay_gives_the_same_state_and_starts_it() {
    let bench = Bench::new();
    let shard = bench.start();
    shard.send(Event::Add("a", 1)).await.unwrap();
    shard.send(Event::Add("restart", 2)).await.unwrap();
    shard.send(Event::Add("a", 3)).await.unwrap();
    shard.stop().await;
    assert_eq!(shard.state(), State::Stopped);
    assert_eq!(shard.send(Event::Sum("a")).await, GONE);

    let mut machine = Sums::default();
    let replayed = replay::replay(&mut machine, &*bench.partition)
        .await
        .ok()
        .unwrap();
    assert_eq!(replayed.end.get(), 3);
    let last = Applied {
        offset: ratel_storage::Offset::new(2),
        timestamp_ms: 5000,
    };
    assert_eq!(
        machine.last,
        Some(last),
        "a replay sees the offset and time of the append"
    );

    let again = bench.start();
    assert_eq!(again.send(Event::Sum("a")).await, Ok(4));
    assert_eq!(bench.deeds(), ["started"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_append_refuses_all_who_wait_and_replays() {
    let bench = Bench::new();
    let shard = bench.start();
    assert_eq!(shard.send(Event::Add("a", 1)).await, Ok(1));
    let parked = tokio::spawn(shard.send(Event::Park(60_000)));
    settle().await;
    bench.partition.refuse_next(StorageError::DiskFull);
    assert_eq!(shard.send(Event::Add("a", 5)).await, GONE);
    assert_eq!(parked.await.unwrap(), GONE);
    assert!(matches!(shard.state(), State::Failed(_)));
    assert_eq!(
        shard.send(Event::Peek("a")).await,
        GONE,
        "refused until the log is read again"
    );
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(shard.state(), State::Running);
    assert_eq!(
        shard.send(Event::Add("a", 2)).await,
        Ok(3),
        "the refused 5 never happened"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_sync_answers_nobody_behind_it() {
    let bench = Bench::new();
    let shard = bench.start();
    shard.loaded().await.unwrap();
    bench.partition.hold();
    let first = tokio::spawn(shard.send(Event::Act("one")));
    settle().await;
    let second = tokio::spawn(shard.send(Event::Sum("one")));
    settle().await;
    bench.partition.fail_syncs();
    assert_eq!(first.await.unwrap(), GONE);
    assert_eq!(second.await.unwrap(), GONE);
    assert_eq!(bench.deeds(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_engine_ends_the_shard() {
    let bench = Bench::new();
    let shard = bench.start();
    shard.loaded().await.unwrap();
    bench.partition.refuse_next(StorageError::Closed);
    assert_eq!(shard.send(Event::Add("a", 1)).await, GONE);
    settle().await;
    assert_eq!(shard.state(), State::Stopped);
    assert_eq!(shard.send(Event::Peek("a")).await, GONE);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_wakes_the_machine() {
    let bench = Bench::new();
    let shard = bench.start();
    let parked = tokio::spawn(shard.send(Event::Park(40)));
    settle().await;
    bench.clock.advance_ms(40);
    assert_eq!(parked.await.unwrap(), Ok(140));
}

#[tokio::test]
async fn a_long_log_is_cut_to_a_snapshot() {
    let mut bench = Bench::new();
    bench.checkpoint_bytes_min = 10_000;
    let shard = bench.start();
    shard.send(Event::Add("a", 7)).await.unwrap();
    for _ in 0..10 {
        shard.send(Event::Pad(900)).await.unwrap();
    }
    assert_eq!(bench.partition.bases().first(), Some(&0));
    shard.send(Event::Pad(900)).await.unwrap();
    settle().await;
    assert_eq!(bench.partition.bases(), [12], "two live sums are left");
    assert_eq!(shard.send(Event::Add("a", 1)).await, Ok(8));
    shard.stop().await;
    let again = bench.start();
    assert_eq!(again.send(Event::Sum("a")).await, Ok(8));
    assert_eq!(again.send(Event::Sum("pad")).await, Ok(1));
}

#[test]
fn a_large_snapshot_is_cut_into_batches() {
    let counts = |records: &[Sum]| -> Vec<i32> {
        let mut parts = parts::Parts::new(0, parts::ROUND_BYTES);
        parts.extend(records);
        let count = |part| match part {
            parts::Part::Batch(batch) => batch.count(),
            parts::Part::Marker(_) => panic!("a sum is no marker"),
        };
        parts.into_parts().into_iter().map(count).collect()
    };
    assert_eq!(counts(&vec![Sum("a".into(), 1, 10_000); 100]), [53, 47]);
    assert_eq!(counts(&vec![Sum("a".into(), 1, 700_000); 3]), [1, 1, 1]);
    assert_eq!(counts(&[]), [0; 0]);
}

#[tokio::test]
async fn a_full_mailbox_refuses_and_a_dropped_handle_ends_the_shard() {
    let bench = Bench::new();
    let shard = bench.start();
    let sent: Vec<_> = (0..MAILBOX_EVENTS_MAX)
        .map(|_| shard.send(Event::Peek("a")))
        .collect();
    assert_eq!(shard.send(Event::Peek("a")).await, GONE);
    for reply in sent {
        assert_eq!(reply.await, Ok(0));
    }
    assert_eq!(shard.send(Event::Peek("a")).await, Ok(0));
    let strong = Arc::strong_count(&bench.partition);
    drop(shard);
    settle().await;
    assert_eq!(
        Arc::strong_count(&bench.partition),
        strong - 1,
        "the task let go of its log"
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_writer_is_noticed() {
    let bench = Bench::new();
    let shard = bench.start();
    shard.loaded().await.unwrap();
    let (key, value) = Sum("a".into(), 40, 0).encode();
    let mut batch = ratel_storage::BatchBuilder::new(1);
    batch.record(Some(&key), value.as_deref());
    let batch = batch.build().unwrap();
    let origin = ratel_storage::Origin::Coordinator;
    let _ = bench
        .partition
        .append(&batch, origin, ratel_storage::Durability::Synced, 1)
        .await;
    assert_eq!(shard.send(Event::Add("b", 1)).await, GONE);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(
        shard.send(Event::Add("a", 2)).await,
        Ok(42),
        "what it wrote counts"
    );
}

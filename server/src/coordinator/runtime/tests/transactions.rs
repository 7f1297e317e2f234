//! Records inside producers' transactions, and the markers that end them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ratel_storage::disk_memory::MemoryDisk;
use ratel_storage::{
    BatchHeader, Bound, CleaningRules, Engine, LocalEngine, LocalOptions, LogSettings, Marker,
    Outcome, Partition, PartitionId, Producer, ReadRequest, StorageError, TopicId,
};

use super::super::{CHECKPOINT_BYTES_MIN, Setup, Shard, Shell, State};
use super::settle;
use crate::clock::{ManualClock, Timestamp};
use crate::coordinator::record::{Reader, Writer};
use crate::coordinator::testing::TestPartition;
use crate::coordinator::{Applied, Effects, LogEnds, Machine, Place, Record, Ticket};

/// A machine that keeps one number, and numbers that wait for their producers' ends.
#[derive(Default)]
struct Numbers {
    number: i64,
    pending: BTreeMap<Producer, (i64, i64)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Write {
    Set(i64),
    Within(Producer, i64),
    End(Marker),
    Pad(usize),
}

impl Record for Write {
    fn encode(&self) -> (Bytes, Option<Bytes>) {
        let mut value = Writer::new(0);
        match self {
            Self::Set(number) | Self::Within(_, number) => value.i64(*number),
            Self::Pad(bytes) => value.bytes(&vec![0; *bytes]),
            Self::End(_) => panic!("a marker's bytes are the log's"),
        };
        let is_pad = matches!(self, Self::Pad(_));
        (
            Writer::new(i16::from(is_pad)).finish(),
            Some(value.finish()),
        )
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, String> {
        let mut value = Reader::new(value.ok_or("no value")?);
        value.i16()?;
        Ok(Some(match Reader::new(key).i16()? {
            0 => Self::Set(value.i64()?),
            _ => Self::Pad(value.bytes()?.len()),
        }))
    }

    fn place(&self) -> Place {
        match self {
            Self::Set(_) | Self::Pad(_) => Place::Plain,
            Self::Within(producer, _) => Place::Within(*producer),
            Self::End(marker) => Place::Marker(*marker),
        }
    }

    fn within(self, producer: Producer) -> Option<Self> {
        match self {
            Self::Set(number) => Some(Self::Within(producer, number)),
            other => Some(other),
        }
    }

    fn marker(marker: Marker) -> Option<Self> {
        Some(Self::End(marker))
    }
}

enum Event {
    Write(Vec<Write>),
    Get,
}

impl Machine for Numbers {
    type Event = Event;
    type Record = Write;
    type Reply = (i64, Vec<i64>);
    type Action = ();

    fn handle(&mut self, _: Timestamp, ticket: Ticket, event: Event, out: &mut Effects<Self>) {
        if let Event::Write(writes) = event {
            for write in writes {
                out.record(self, write);
            }
        }
        let pending = self.pending.values().map(|(number, _)| *number);
        out.reply(ticket, (self.number, pending.collect()));
    }

    fn handle_timeout(&mut self, _: Timestamp, _: &mut Effects<Self>) {}

    fn next_timeout(&self) -> Option<i64> {
        None
    }

    fn apply(&mut self, at: Applied, record: &Write) {
        match record {
            Write::Set(number) => self.number = *number,
            Write::Within(producer, number) => {
                self.pending.insert(*producer, (*number, at.offset.get()));
            }
            Write::End(marker) => {
                let ended = self.pending.remove(&marker.producer);
                if let (Some((number, _)), Outcome::Commit) = (ended, marker.outcome) {
                    self.number = number;
                }
            }
            Write::Pad(_) => {}
        }
    }

    fn start(&mut self, _: Timestamp, _: &LogEnds, _: &mut Effects<Self>) {}

    fn snapshot(&self, out: &mut Vec<Write>) {
        out.push(Write::Set(self.number));
        let pending = self.pending.iter();
        out.extend(pending.map(|(producer, (number, _))| Write::Within(*producer, *number)));
    }
}

struct Idle;

impl Shell<Numbers> for Idle {
    async fn perform(&self, _: &Shard<Numbers>, (): ()) {}
}

fn start(partition: &Arc<TestPartition>, checkpoint_bytes_min: u64) -> Shard<Numbers> {
    start_on(partition.clone(), checkpoint_bytes_min)
}

fn start_on(partition: Arc<dyn Partition>, checkpoint_bytes_min: u64) -> Shard<Numbers> {
    Shard::spawn(Setup {
        name: "numbers".into(),
        machine: Numbers::default,
        shell: Idle,
        partition,
        clock: Arc::new(ManualClock::new(Timestamp {
            monotonic_ms: 1,
            wall_ms: 5000,
        })),
        checkpoint_bytes_min,
    })
}

const ONE: Producer = Producer { id: 1, epoch: 3 };
const TWO: Producer = Producer { id: 2, epoch: 0 };

fn end(producer: Producer, outcome: Outcome) -> Write {
    Write::End(Marker {
        producer,
        outcome,
        coordinator_epoch: 4,
        transaction_version: 0,
    })
}

async fn write(shard: &Shard<Numbers>, writes: Vec<Write>) -> (i64, Vec<i64>) {
    shard.send(Event::Write(writes)).await.unwrap()
}

/// Base offset, producer, transactional, control, count, first sequence of all batches.
async fn batches(partition: &TestPartition) -> Vec<(i64, i64, bool, bool, i32, i32)> {
    let shown = |header: BatchHeader| {
        (
            header.base_offset,
            header.producer_id,
            header.is_transactional(),
            header.is_control(),
            header.count,
            header.base_sequence,
        )
    };
    headers(partition).await.into_iter().map(shown).collect()
}

/// The headers of all batches of one read from the log's first on.
async fn headers(partition: &dyn Partition) -> Vec<BatchHeader> {
    let read = partition.read(ReadRequest {
        from: ratel_storage::Offset::new(0),
        max_bytes: usize::MAX,
        at_least_one: true,
        bound: Bound::End,
    });
    let mut bytes = read.await.unwrap().records.unwrap().to_bytes().unwrap();
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let header = BatchHeader::decode(&bytes).unwrap();
        bytes = bytes.split_off(header.bytes);
        found.push(header);
    }
    found
}

#[tokio::test]
async fn t_14_records_keep_their_order_in_batches_of_their_transactions() {
    let partition = Arc::default();
    let shard = start(&partition, CHECKPOINT_BYTES_MIN);
    let writes = vec![
        Write::Set(1),
        Write::Set(2),
        Write::Within(ONE, 10),
        Write::Within(ONE, 11),
        Write::Within(TWO, 20),
        Write::Set(3),
        end(ONE, Outcome::Commit),
        Write::Within(ONE, 12),
    ];
    assert_eq!(write(&shard, writes).await, (11, vec![12, 20]));
    let expected = [
        (0, -1, false, false, 2, -1),
        (2, 1, true, false, 2, -1),
        (4, 2, true, false, 1, -1),
        (5, -1, false, false, 1, -1),
        (6, 1, true, true, 1, -1),
        (7, 1, true, false, 1, -1),
    ];
    assert_eq!(batches(&partition).await, expected);
    shard.stop().await;

    let again = start(&partition, CHECKPOINT_BYTES_MIN);
    let read = again.send(Event::Get).await.unwrap();
    assert_eq!(read, (11, vec![12, 20]), "a replay gives the same");
    let ends = vec![end(TWO, Outcome::Abort), end(ONE, Outcome::Abort)];
    assert_eq!(write(&again, ends).await, (11, vec![]));
}

#[tokio::test]
async fn t_14_a_snapshot_keeps_what_is_pending_pending() {
    let partition = Arc::default();
    let shard = start(&partition, 10_000);
    write(&shard, vec![Write::Within(ONE, 10), Write::Set(1)]).await;
    for _ in 0..12 {
        write(&shard, vec![Write::Pad(900)]).await;
    }
    settle().await;
    let found = batches(&partition).await;
    assert!(found[0].0 > 2, "the old part is gone: {found:?}");
    let kinds: Vec<_> = found.iter().map(|batch| (batch.1, batch.2)).collect();
    assert_eq!(kinds[..2], [(-1, false), (1, true)]);
    shard.stop().await;
    let again = start(&partition, CHECKPOINT_BYTES_MIN);
    assert_eq!(again.send(Event::Get).await, Ok((1, vec![10])));
    let ended = write(&again, vec![end(ONE, Outcome::Commit)]).await;
    assert_eq!(ended, (10, vec![]));
}

/// A compacted log of small segments.
fn engine_on(disk: &MemoryDisk) -> (Arc<LocalEngine>, Arc<dyn Partition>) {
    let disk = Arc::new(disk.clone());
    let options = LocalOptions::default();
    let engine = LocalEngine::open(disk, std::path::Path::new(""), options, 5000).unwrap();
    let settings = LogSettings {
        compact: true,
        delete: false,
        segment_bytes: 400,
        min_cleanable_millionths: 0,
        delete_retention_ms: 0,
        ..LogSettings::default()
    };
    let id = PartitionId {
        topic: TopicId::from_u128(7),
        index: 0,
    };
    let partition = engine.open(id, Arc::new(settings)).unwrap();
    (engine, partition)
}

#[tokio::test]
async fn c_4_a_shard_replays_a_cleaned_log_with_what_is_pending() {
    let disk = MemoryDisk::new();
    let (engine, partition) = engine_on(&disk);
    let shard = start_on(partition.clone(), CHECKPOINT_BYTES_MIN);
    let rules = CleaningRules {
        map_bytes: 1 << 16,
        pace: &|_| ratel_storage::Pace::On,
    };
    let mut freed_bytes = 0;
    for round in 0..40 {
        let outcome = match round % 2 {
            0 => Outcome::Commit,
            _ => Outcome::Abort,
        };
        let writes = [
            Write::Set(round),
            Write::Within(TWO, 100 + round),
            end(TWO, outcome),
        ];
        for one in writes {
            write(&shard, vec![one]).await;
        }
        // Markers go at the second cleaning after what they end.
        let now_ms = 5000 + round * 60_000;
        engine.upkeep(now_ms);
        let done = engine.clean(&rules, now_ms).unwrap();
        freed_bytes += done.map_or(0, |done| done.freed_bytes);
    }
    assert!(freed_bytes > partition.size() / 2, "{freed_bytes}");
    write(&shard, vec![Write::Within(ONE, 1000)]).await;
    let before = write(&shard, vec![Write::Set(500)]).await;
    assert_eq!(before, (500, vec![1000]));
    let left = headers(&*partition).await;
    assert!(left[0].base_offset > 0, "a read begins behind a hole");
    assert!(left.iter().any(BatchHeader::is_filler));
    shard.stop().await;
    drop((partition, engine));

    let (_engine, partition) = engine_on(&disk.crash());
    let shard = start_on(partition, CHECKPOINT_BYTES_MIN);
    assert_eq!(shard.send(Event::Get).await, Ok(before));
    let ended = write(&shard, vec![end(ONE, Outcome::Commit)]).await;
    assert_eq!(ended, (1000, vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_was_appended_before_a_refused_batch_of_its_round_is_waited_for() {
    let partition: Arc<TestPartition> = Arc::default();
    let shard = start(&partition, CHECKPOINT_BYTES_MIN);
    shard.loaded().await.unwrap();
    partition.hold();
    partition.refuse_after(1, StorageError::DiskFull);
    let writes = vec![Write::Set(5), Write::Within(ONE, 10)];
    let refused = tokio::spawn(shard.send(Event::Write(writes)));
    settle().await;
    let running = shard.state() == State::Running;
    assert!(running, "the first batch is still on its way to the disk");
    partition.release();
    assert!(refused.await.unwrap().is_err());
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let read = shard.send(Event::Get).await;
    assert_eq!(read, Ok((5, vec![])), "the second batch never happened");
}

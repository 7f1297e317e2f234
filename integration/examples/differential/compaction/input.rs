//! What is written: batches by chance, the same for the same seed.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, DeleteRecordsRequest, EndTxnRequest, FindCoordinatorRequest,
    InitProducerIdRequest, ListOffsetsRequest, ProduceRequest, ProducerId, TopicName,
    TransactionalId,
};
use kafka_protocol::protocol::{Request, StrBytes};
use ratel_integration::{Random, RawClient};
use ratel_storage::batch::{CRC_FROM, HEADER_BYTES, LENGTH_FROM};
use ratel_storage::{Batch, BatchBuilder};

use super::read::{self, Left};
use crate::world::{World, pause};

pub const HOUR_MS: i64 = 3_600_000;
/// Records are from so long ago that say nothing else.
const USUAL_MS: i64 = -5 * HOUR_MS;
/// How long something may be on its way.
const TRIES: usize = 400;
/// The version of Produce of the old flow of transactions, and of the new one, in which a
/// partition needs no request of its own to be part of a transaction (KIP-890).
const PRODUCE_OLD: i16 = 9;
const PRODUCE_NEW: i16 = 12;
/// A batch that is alone in its segment, and closes the one before.
const CLOSING_BYTES: usize = 11_700;

/// When this program began: times are told from here.
pub fn began_ms() -> i64 {
    static BEGAN: OnceLock<i64> = OnceLock::new();
    *BEGAN.get_or_init(|| {
        let since = UNIX_EPOCH.elapsed();
        since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0))
    })
}

/// Which batches there are.
#[derive(Clone, Copy)]
pub struct Mix {
    producers: &'static [Kind],
    codecs: u64,
}

impl Mix {
    /// Without producer ids, nothing compressed.
    pub const PLAIN: Self = Self {
        producers: &[Kind::Plain],
        codecs: 1,
    };
    /// Transactions, overlapping, in both flows.
    pub const TRANSACTIONS: Self = Self {
        producers: &[Kind::Old, Kind::New, Kind::Old, Kind::New],
        codecs: 1,
    };
    /// All of it.
    pub const ALL: Self = Self {
        producers: &[
            Kind::Plain,
            Kind::Idempotent,
            Kind::Old,
            Kind::New,
            Kind::Idempotent,
            Kind::New,
        ],
        codecs: 5,
    };

    /// The same in every codec.
    pub const fn all_codecs(self) -> Self {
        Self { codecs: 5, ..self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Idempotent,
    /// Transactions of which the partition is told first.
    Old,
    /// Transactions of KIP-890.
    New,
}

struct Producer {
    kind: Kind,
    transactional: Option<TransactionalId>,
    id: i64,
    epoch: i16,
    sequence: i32,
    is_open: bool,
}

/// A topic of one partition, and who writes to it.
pub struct Log {
    client: RawClient,
    topic: TopicName,
    producers: Vec<Producer>,
    codecs: u64,
    random: Random,
    time_ms: i64,
    closings: usize,
    names: BTreeMap<i64, String>,
}

impl Log {
    pub async fn open(world: &World, mix: Mix, random: Random) -> Self {
        let mut log = Self {
            client: world.connect().await,
            topic: world.topic_name("t"),
            producers: Vec::new(),
            codecs: mix.codecs,
            random,
            time_ms: began_ms() + USUAL_MS,
            closings: 0,
            names: BTreeMap::new(),
        };
        for (number, kind) in mix.producers.iter().enumerate() {
            let id = world.name(&format!("x{number}"));
            let producer = log.producer(*kind, id).await;
            log.names.insert(producer.id, format!("p{number}"));
            log.producers.push(producer);
        }
        log
    }

    async fn producer(&mut self, kind: Kind, id: String) -> Producer {
        let mut producer = Producer {
            kind,
            transactional: None,
            id: -1,
            epoch: -1,
            sequence: -1,
            is_open: false,
        };
        if kind == Kind::Plain {
            return producer;
        }
        if kind != Kind::Idempotent {
            let id: StrBytes = id.into();
            let find = FindCoordinatorRequest::default()
                .with_key_type(1)
                .with_coordinator_keys(vec![id.clone()]);
            self.ask(4, &find, |answer| {
                answer.coordinators.first().map_or(-1, |one| one.error_code)
            })
            .await;
            producer.transactional = Some(TransactionalId(id));
        }
        let request = InitProducerIdRequest::default()
            .with_transactional_id(producer.transactional.clone())
            .with_transaction_timeout_ms(600_000);
        let answer = self.ask(4, &request, |answer| answer.error_code).await;
        producer.id = answer.producer_id.0;
        producer.epoch = answer.producer_epoch;
        producer.sequence = 0;
        producer
    }

    /// Send until it is not refused any more: coordinators come up, markers are on their way.
    async fn ask<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        code: impl Fn(&R::Response) -> i16,
    ) -> R::Response {
        let mut last = 0;
        for _ in 0..TRIES {
            let answer = self.client.send(version, request).await;
            last = code(&answer);
            if last == 0 {
                return answer;
            }
            pause(50).await;
        }
        panic!("API {} v{version} is refused: {last}", R::KEY);
    }

    /// Producers by their ids.
    pub fn names(&self) -> &BTreeMap<i64, String> {
        &self.names
    }

    /// The next records are from about then, told from now.
    pub fn set_time(&mut self, ms: i64) {
        self.time_ms = began_ms() + ms;
    }

    /// Write so many batches, and end transactions now and then.
    pub async fn write(&mut self, batches: usize) {
        for _ in 0..batches {
            let at = self.random.below(self.producers.len() as u64) as usize;
            self.batch_of(at).await;
            if self.producers[at].is_open && self.random.percent(35) {
                self.end(at).await;
            }
        }
    }

    /// Write so many batches of those who have no transactions.
    pub async fn write_plainly(&mut self, batches: usize) {
        for number in 0..batches {
            let plain = |producer: &Producer| producer.transactional.is_none();
            let all: Vec<_> = (0..self.producers.len())
                .filter(|at| plain(&self.producers[*at]))
                .collect();
            self.batch_of(all[number % all.len()]).await;
        }
    }

    /// Leave a transaction open.
    pub async fn begin_one(&mut self) {
        let of_some = |producer: &Producer| producer.transactional.is_some();
        if let Some(at) = self.producers.iter().position(of_some) {
            self.batch_of(at).await;
        }
    }

    /// End all transactions.
    pub async fn end_all(&mut self) {
        for at in 0..self.producers.len() {
            if self.producers[at].is_open {
                self.end(at).await;
            }
        }
    }

    /// A batch that closes the active segment and is alone in the next.
    pub async fn close(&mut self) {
        self.closings += 1;
        let mut builder = BatchBuilder::new(self.time_ms);
        let key = format!("closing {}", self.closings);
        builder.record(Some(key.as_bytes()), Some(&vec![b'c'; CLOSING_BYTES]));
        let batch = builder.build().expect("a record");
        self.produce(PRODUCE_OLD, None, batch.bytes().clone()).await;
    }

    async fn batch_of(&mut self, at: usize) {
        let mut builder = BatchBuilder::new(self.time_ms);
        let producer = &self.producers[at];
        let (kind, is_new) = (producer.kind, !producer.is_open);
        builder = builder.producer(producer.id, producer.epoch, producer.sequence);
        if producer.transactional.is_some() {
            builder = builder.transactional();
        }
        let count = 1 + self.random.below(6);
        for _ in 0..count {
            self.record(&mut builder);
        }
        self.time_ms += 1000;
        let codec = self.random.below(self.codecs) as u8;
        let batch = packed(&builder.build().expect("records"), codec);
        if kind == Kind::Old && is_new {
            self.add_partition(at).await;
        }
        let version = match kind {
            Kind::New => PRODUCE_NEW,
            _ => PRODUCE_OLD,
        };
        let transactional = self.producers[at].transactional.clone();
        self.produce(version, transactional, batch).await;
        let producer = &mut self.producers[at];
        if kind != Kind::Plain {
            producer.sequence += i32::try_from(count).unwrap_or(0);
        }
        producer.is_open = producer.transactional.is_some();
    }

    fn record(&mut self, builder: &mut BatchBuilder) {
        let random = &mut self.random;
        let key = match random.below(24) {
            0 => String::new(),
            number => format!("k{number}"),
        };
        let value = (!random.percent(20)).then(|| {
            let filling = "v".repeat(random.below(60) as usize);
            format!("{} {filling}", random.below(1 << 40))
        });
        let headers: &[(&[u8], Option<&[u8]>)] = match random.below(4) {
            0 => &[(b"h", Some(b"1")), (b"h", None)],
            _ => &[],
        };
        // Not in order.
        let time_ms = self.time_ms + random.below(5000) as i64 - 2500;
        let value = value.as_deref().map(str::as_bytes);
        builder.record_at(time_ms, Some(key.as_bytes()), value, headers);
    }

    async fn produce(&mut self, version: i16, id: Option<TransactionalId>, batch: Bytes) {
        let data = PartitionProduceData::default().with_records(Some(batch));
        let topic = TopicProduceData::default()
            .with_name(self.topic.clone())
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_transactional_id(id)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![topic]);
        self.ask(version, &request, |answer| {
            let mut partitions = answer.responses.iter().flat_map(|t| &t.partition_responses);
            partitions.next().map_or(-1, |one| one.error_code)
        })
        .await;
    }

    async fn add_partition(&mut self, at: usize) {
        let producer = &self.producers[at];
        let Some(id) = producer.transactional.clone() else {
            return;
        };
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(self.topic.clone())
            .with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id)
            .with_v3_and_below_producer_id(ProducerId(producer.id))
            .with_v3_and_below_producer_epoch(producer.epoch)
            .with_v3_and_below_topics(vec![topic]);
        self.ask(3, &request, |answer| {
            let mut topics = answer.results_by_topic_v3_and_below.iter();
            let mut all = topics.by_ref().flat_map(|one| &one.results_by_partition);
            all.next().map_or(-1, |one| one.partition_error_code)
        })
        .await;
    }

    /// End a transaction, and wait for its marker: what comes next must lie behind it.
    async fn end(&mut self, at: usize) {
        let end = self.offset_at(-1).await;
        let producer = &self.producers[at];
        let Some(id) = producer.transactional.clone() else {
            return;
        };
        let request = EndTxnRequest::default()
            .with_transactional_id(id)
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(self.random.percent(60));
        let version = if producer.kind == Kind::New { 5 } else { 4 };
        let answer = self
            .ask(version, &request, |answer| answer.error_code)
            .await;
        let producer = &mut self.producers[at];
        producer.is_open = false;
        if version == 5 {
            let is_same = producer.epoch == answer.producer_epoch;
            producer.epoch = answer.producer_epoch;
            producer.sequence = if is_same { producer.sequence } else { 0 };
        }
        for _ in 0..TRIES {
            if self.offset_at(-1).await > end {
                return;
            }
            pause(5).await;
        }
        panic!("no marker is written");
    }

    /// The offset that a timestamp stands for: -1 for the end, -2 for the start.
    async fn offset_at(&mut self, timestamp: i64) -> i64 {
        let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default()
            .with_name(self.topic.clone())
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_topics(vec![topic]);
        let answer = self.client.send(7, &request).await;
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.next().map_or(-1, |partition| partition.offset)
    }

    /// Have the log begin here.
    pub async fn delete_records(&mut self, offset: i64) {
        let partition = DeleteRecordsPartition::default().with_offset(offset);
        let topic = DeleteRecordsTopic::default()
            .with_name(self.topic.clone())
            .with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default()
            .with_timeout_ms(10_000)
            .with_topics(vec![topic]);
        self.ask(2, &request, |answer| {
            let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.next().map_or(-1, |one| one.error_code)
        })
        .await;
    }

    /// All that is there.
    pub async fn read_all(&mut self) -> Left {
        let start = self.offset_at(-2).await;
        read::all(&mut self.client, &self.topic, start).await
    }
}

/// The same batch, compressed.
fn packed(batch: &Batch, codec: u8) -> Bytes {
    let records = &batch.bytes()[HEADER_BYTES..];
    let body = match codec {
        1 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(records).expect("memory");
            encoder.finish().expect("memory")
        }
        2 => {
            let block = snap::raw::Encoder::new().compress_vec(records);
            let block = block.expect("a small block");
            let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
            framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
            framed.extend_from_slice(&block);
            framed
        }
        3 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(records).expect("memory");
            encoder.finish().expect("memory")
        }
        4 => zstd::bulk::compress(records, 3).expect("memory"),
        _ => records.to_vec(),
    };
    let mut bytes = batch.bytes()[..HEADER_BYTES].to_vec();
    bytes[CRC_FROM + 1] |= codec;
    bytes.extend_from_slice(&body);
    let length = (bytes.len() - LENGTH_FROM) as u32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
    bytes[CRC_FROM - 4..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

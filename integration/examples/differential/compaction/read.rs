//! What is left, read as a client does and told as facts.
//!
//! Batches without records and without a producer are left out: where whole batches went, ratel has
//! one for their offsets, and Kafka for the last batch of a cleaning.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, TopicName};
use ratel_integration::RawClient;
use ratel_storage::{Batch, BatchHeader, Marker, records};

use super::input::began_ms;

/// The version of Fetch.
const VERSION: i16 = 12;
/// What one answer may hold: several answers make up a log.
const ANSWER_BYTES: i32 = 20_000;

/// All that is in a log.
#[derive(Clone, Default, PartialEq)]
pub struct Left {
    /// Where it begins, where it is decided and where it ends.
    bounds: (i64, i64, i64),
    /// Every batch, as it came.
    batches: Vec<Bytes>,
    /// Aborted transactions: the producer, and the first offset.
    aborted: BTreeSet<(i64, i64)>,
}

impl Left {
    /// Where it begins.
    pub fn start(&self) -> i64 {
        self.bounds.0
    }
}

/// Read a log from where it begins.
pub async fn all(client: &mut RawClient, topic: &TopicName, start: i64) -> Left {
    let mut left = Left::default();
    for is_committed in [false, true] {
        let (mut from, mut asked) = (start, 0);
        loop {
            let answer = fetch(client, topic, from, is_committed).await;
            asked += 1;
            assert!(asked < 10_000, "no end is reached at offset {from}");
            if answer.error_code == 1 {
                // Retention was here meanwhile: whoever asks looks again.
                return left;
            }
            assert_eq!(answer.error_code, 0, "fetch from {from}");
            if is_committed {
                let aborted = answer.aborted_transactions.unwrap_or_default();
                let aborted = aborted
                    .iter()
                    .map(|one| (one.producer_id.0, one.first_offset));
                left.aborted.extend(aborted);
                left.bounds.1 = answer.last_stable_offset;
            } else {
                left.bounds.0 = answer.log_start_offset;
                left.bounds.2 = answer.high_watermark;
            }
            let batches = batches(answer.records.unwrap_or_default());
            let Some(last) = batches.last().map(|(header, _)| last_of(header)) else {
                break;
            };
            from = from.max(last + 1);
            if !is_committed {
                left.batches
                    .extend(batches.into_iter().map(|(_, bytes)| bytes));
            }
        }
    }
    left
}

async fn fetch(
    client: &mut RawClient,
    topic: &TopicName,
    from: i64,
    is_committed: bool,
) -> PartitionData {
    let partition = FetchPartition::default()
        .with_fetch_offset(from)
        .with_partition_max_bytes(ANSWER_BYTES);
    let wanted = FetchTopic::default()
        .with_topic(topic.clone())
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_wait_ms(0)
        .with_max_bytes(ANSWER_BYTES)
        .with_isolation_level(i8::from(is_committed))
        .with_topics(vec![wanted]);
    let answer = client.send(VERSION, &request).await;
    let mut partitions = answer
        .responses
        .into_iter()
        .flat_map(|topic| topic.partitions);
    partitions.next().expect("the partition is in the answer")
}

/// The whole batches of an answer.
fn batches(mut bytes: Bytes) -> Vec<(BatchHeader, Bytes)> {
    let mut found = Vec::new();
    while let Ok(header) = BatchHeader::decode(&bytes) {
        if header.bytes > bytes.len() {
            break;
        }
        found.push((header, bytes.split_to(header.bytes)));
    }
    found
}

fn last_of(header: &BatchHeader) -> i64 {
    header.base_offset + i64::from(header.last_offset_delta)
}

/// What is told of it; producers by name.
pub fn facts(left: &Left, names: &BTreeMap<i64, String>) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    let (start, stable, end) = left.bounds;
    told.insert("bounds".to_owned(), format!("{start} {stable} {end}"));
    let name = |id: i64| names.get(&id).cloned().unwrap_or_else(|| id.to_string());
    let mut batches = Vec::new();
    for bytes in &left.batches {
        match Batch::parse(bytes.clone(), usize::MAX) {
            Ok(batch) => batches.push(batch),
            Err(error) => {
                told.insert("broken".to_owned(), error.to_string());
            }
        }
    }
    for (id, first) in &left.aborted {
        let (path, value) = aborted_facts(&batches, &name(*id), *id, *first);
        told.insert(path, value);
    }
    for batch in batches {
        let header = batch.header();
        if header.is_filler() {
            continue;
        }
        let of_producer = format!(
            "{} {} {}",
            name(header.producer_id),
            header.producer_epoch,
            header.base_sequence
        );
        let path = format!("batch[{}]", header.base_offset);
        told.insert(path.clone(), batch_facts(header, &of_producer));
        record_facts(&batch, &path, &mut told);
    }
    told
}

/// An aborted transaction is known by its marker, and begins with what is left of it: where the
/// server says that it began is where a batch was that may be gone.
fn aborted_facts(batches: &[Batch], name: &str, id: i64, first: i64) -> (String, String) {
    let its = |batch: &&Batch| {
        let header = batch.header();
        header.producer_id == id && header.base_offset >= first
    };
    let mut its = batches.iter().filter(its);
    let first_left = its.clone().next().map(|batch| batch.header().base_offset);
    let marker = its.find(|batch| batch.header().is_control());
    let marker = marker.map(|batch| batch.header().base_offset);
    (
        format!("aborted[{name} up to {marker:?}]"),
        format!("from {first_left:?}"),
    )
}

fn batch_facts(header: &BatchHeader, of_producer: &str) -> String {
    let newest = match header.is_control() {
        // Whenever the coordinator wrote it.
        true => "then".to_owned(),
        false => (header.max_timestamp - began_ms()).to_string(),
    };
    format!(
        "-{} count {} attributes {:#04x} producer {of_producer} newest {newest} epoch {}",
        last_of(header),
        header.count,
        header.attributes,
        header.leader_epoch,
    )
}

fn record_facts(batch: &Batch, path: &str, told: &mut BTreeMap<String, String>) {
    if batch.header().is_control() {
        let marker = Marker::from_batch(batch).map(|marker| format!("{:?}", marker.outcome));
        told.insert(format!("{path}.marker"), marker.unwrap_or_default());
        return;
    }
    if batch.header().count == 0 {
        return;
    }
    let found = records(batch).and_then(|records| records.collect::<Result<Vec<_>, _>>());
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            told.insert(format!("{path}.broken"), error.to_string());
            return;
        }
    };
    let text = |bytes: Option<&Bytes>| match bytes {
        Some(bytes) => format!("\"{}\"", String::from_utf8_lossy(bytes)),
        None => "null".to_owned(),
    };
    for record in found {
        let headers = record.headers.iter();
        let headers =
            headers.map(|(key, value)| format!("{}={}", text(Some(key)), text(value.as_ref())));
        let shown = format!(
            "at {} {}: {} [{}]",
            record.timestamp_ms - began_ms(),
            text(record.key.as_ref()),
            text(record.value.as_ref()),
            headers.collect::<Vec<_>>().join(" "),
        );
        told.insert(format!("{path}.record {}", record.offset), shown);
    }
}

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use proptest::prelude::*;

use super::copy::copy;
use super::ended::find_aborted;
use super::filter::{LastBatch, Rules, finish};
use super::*;
use crate::batch::HEADER_BYTES;
use crate::disk::{Disk, Open};
use crate::disk_memory::MemoryDisk;
use crate::record::pack::pack;
use crate::{AbortedTransaction, BatchBuilder, BatchHeader, Record, records};

const RETENTION_MS: i64 = 100;

/// One record as it was written.
#[derive(Debug, Clone)]
struct Made {
    key: Option<u8>,
    value: Option<u8>,
}

/// One batch as it was written.
#[derive(Debug, Clone)]
enum Step {
    Batch {
        records: Vec<Made>,
        codec: i16,
        /// The producer, of 0 to 2, whose transaction it belongs to.
        producer: Option<i64>,
    },
    End {
        producer: i64,
        commits: bool,
    },
    Roll,
}

fn made() -> impl Strategy<Value = Made> {
    let key = prop_oneof![9 => (0_u8..12).prop_map(Some), 1 => Just(None)];
    let value = prop_oneof![3 => any::<u8>().prop_map(Some), 1 => Just(None)];
    (key, value).prop_map(|(key, value)| Made { key, value })
}

fn step() -> impl Strategy<Value = Step> {
    let batch = (
        prop::collection::vec(made(), 1..6),
        0_i16..5,
        prop_oneof![2 => Just(None), 1 => (0_i64..3).prop_map(Some)],
    );
    prop_oneof![
        6 => batch.prop_map(|(records, codec, producer)| Step::Batch { records, codec, producer }),
        2 => (0_i64..3, any::<bool>())
            .prop_map(|(producer, commits)| Step::End { producer, commits }),
        2 => Just(Step::Roll),
    ]
}

/// A log of sealed segments in memory.
struct Sealed {
    disk: MemoryDisk,
    sources: Vec<Source>,
    files: usize,
}

impl Sealed {
    fn new() -> Self {
        Self {
            disk: MemoryDisk::new(),
            sources: Vec::new(),
            files: 0,
        }
    }

    fn file(&mut self) -> Arc<dyn File> {
        self.files += 1;
        let name = format!("{}", self.files);
        self.disk.open(Path::new(&name), Open::Create).unwrap()
    }

    fn end(&self) -> Offset {
        self.sources.last().map_or(Offset::ZERO, |last| last.end)
    }

    fn roll(&mut self) {
        let (base, file) = (self.end(), self.file());
        self.sources.push(Source {
            base,
            end: base,
            size: 0,
            file,
        });
    }

    fn append(&mut self, batch: &Batch) {
        if self.sources.is_empty() {
            self.roll();
        }
        let last = self.sources.last_mut().unwrap();
        let mut bytes = batch.bytes().to_vec();
        bytes[..8].copy_from_slice(&last.end.get().to_be_bytes());
        bytes[12..16].fill(0);
        last.file
            .write_at(&[std::io::IoSlice::new(&bytes)], last.size)
            .unwrap();
        last.size += bytes.len() as u64;
        last.end = last
            .end
            .plus(i64::from(batch.header().last_offset_delta) + 1);
    }

    /// Clean up to where the map ends; as many segments at once as `group` says.
    fn clean(&mut self, run: &Run<'_>) -> Result<Offset, StorageError> {
        let found = find_aborted(&self.sources, &mut |_| Ok(()))?;
        let aborted = |from| Ended::new(found.clone(), from);
        let mut map = KeyMap::new(run.map_bytes, 1 << 20, run.from);
        let start = self.sources[0].base;
        let dirty: Vec<_> = self
            .sources
            .iter()
            .filter(|source| source.end > run.from)
            .cloned()
            .collect();
        let first = dirty.first().map_or(start, |first| first.base);
        let mapped = map_keys(&mut map, &dirty, run.from, &mut aborted(first), &mut |_| {
            Ok(())
        })?;
        let rules = Rules {
            map: &map,
            mapped,
            producers: run.producers,
            now_ms: run.now_ms,
            delete_retention_ms: RETENTION_MS,
        };
        let mut ended = aborted(start);
        let mut cleaned = Vec::new();
        let taken = self
            .sources
            .iter()
            .filter(|source| source.base <= mapped)
            .count();
        let rest = self.sources.split_off(taken);
        for group in std::mem::take(&mut self.sources).chunks(run.group) {
            let file = self.file();
            let copied = copy(group, &*file, &rules, &mut ended, 0, &mut |_| Ok(()));
            let copied = match copied {
                Ok(copied) => copied,
                Err(copy::CopyError::Read(error)) => return Err(error),
                Err(copy::CopyError::Write(error)) => panic!("{error}"),
            };
            cleaned.push(Source {
                base: group[0].base,
                end: group.last().unwrap().end,
                size: copied.segment.size,
                file,
            });
        }
        cleaned.extend(rest);
        self.sources = cleaned;
        Ok(mapped.plus(1))
    }

    fn batches(&self) -> Vec<Batch> {
        let mut batches = Vec::new();
        for source in &self.sources {
            let mut reader = BatchReader::new(source);
            while let Some(batch) = reader.next().unwrap() {
                batches.push(batch);
            }
            assert_eq!(reader.expected(), source.end, "no offset is missing");
        }
        batches
    }

    fn records(&self) -> Vec<Record> {
        let batches = self.batches();
        let data = batches.iter().filter(|batch| !batch.header().is_control());
        data.flat_map(|batch| records(batch).unwrap().map(Result::unwrap))
            .collect()
    }
}

struct Run<'a> {
    from: Offset,
    now_ms: i64,
    map_bytes: usize,
    group: usize,
    producers: &'a HashMap<i64, LastBatch>,
}

impl Run<'_> {
    fn plain(now_ms: i64, producers: &HashMap<i64, LastBatch>) -> Run<'_> {
        Run {
            from: Offset::ZERO,
            now_ms,
            map_bytes: 1 << 16,
            group: 1,
            producers,
        }
    }
}

/// The same batch, its records compressed.
fn packed(batch: &Batch, codec: i16) -> Batch {
    let body = pack(codec, batch.bytes()[HEADER_BYTES..].to_vec(), None).unwrap();
    let header = BatchHeader {
        attributes: batch.header().attributes | codec,
        ..*batch.header()
    };
    finish(header, &body).unwrap()
}

fn key(key: u8) -> Vec<u8> {
    vec![key; 3]
}

fn value(value: u8) -> Vec<u8> {
    vec![value; usize::from(value % 9)]
}

const HEADERS: [(&[u8], Option<&[u8]>); 3] = [(b"h", Some(b"1")), (b"h", Some(b"2")), (b"h", None)];

fn batch(records: &[Made], codec: i16, producer: Option<i64>, time: i64) -> Batch {
    let mut builder = BatchBuilder::new(time);
    if let Some(producer) = producer {
        builder = builder.producer(producer, 0, 0).transactional();
    }
    for (at, made) in records.iter().enumerate() {
        let (key, value) = (made.key.map(key), made.value.map(value));
        let headers = if at % 2 == 0 { &HEADERS[..] } else { &[] };
        let time = time + at as i64;
        builder.record_at(time, key.as_deref(), value.as_deref(), headers);
    }
    packed(&builder.build().unwrap(), codec)
}

fn marker(producer: i64, commits: bool) -> Batch {
    let mut builder = BatchBuilder::new(7)
        .producer(producer, 0, -1)
        .transactional()
        .control();
    builder.record(Some(&[0, 0, 0, u8::from(commits)]), Some(&[0; 6]));
    builder.build().unwrap()
}

/// What a record is known to be, and the batch it came in.
#[derive(Debug, Clone)]
struct Known {
    record: Record,
    batch: usize,
    is_aborted: bool,
}

/// The model: every record ever written, and what of them must be left.
#[derive(Default)]
struct Model {
    known: Vec<Known>,
    horizons: BTreeMap<usize, i64>,
    first: BTreeMap<usize, Offset>,
}

impl Model {
    fn clean(&mut self, end: Offset, now_ms: i64) {
        let mut last = HashMap::new();
        for known in &self.known {
            if !known.is_aborted && known.record.offset < end {
                last.insert(known.record.key.clone(), known.record.offset);
            }
        }
        let horizons = &self.horizons;
        self.known.retain(|known| {
            let record = &known.record;
            let is_past = horizons.get(&known.batch).is_some_and(|at| *at <= now_ms);
            let is_last = last.get(&record.key) == Some(&record.offset);
            let stays = record.value.is_some() || !is_past;
            record.offset >= end || (!known.is_aborted && record.key.is_some() && is_last && stays)
        });
        for known in &self.known {
            let is_reached = self.first[&known.batch] < end;
            if known.record.value.is_none() && is_reached {
                self.horizons
                    .entry(known.batch)
                    .or_insert(now_ms + RETENTION_MS);
            }
        }
    }

    fn records(&self) -> Vec<Record> {
        self.known
            .iter()
            .map(|known| known.record.clone())
            .collect()
    }
}

/// Write a log, and say which transactions were aborted. Ones that are open at the end are
/// committed: nothing undecided is cleaned.
fn write(steps: &[Step]) -> (Sealed, Model, Vec<AbortedTransaction>) {
    let (mut log, mut model, mut aborted) = (Sealed::new(), Model::default(), Vec::new());
    let mut open: BTreeMap<i64, (Offset, Vec<usize>)> = BTreeMap::new();
    let ends = (0..3).map(|producer| Step::End {
        producer,
        commits: true,
    });
    let steps: Vec<_> = steps.iter().cloned().chain(ends).collect();
    for (number, step) in steps.iter().enumerate() {
        let base = log.end();
        match step {
            Step::Roll if log.sources.last().is_none_or(|last| last.size > 0) => log.roll(),
            Step::Roll => {}
            Step::Batch {
                records: all,
                codec,
                producer,
            } => {
                let written = batch(all, *codec, *producer, number as i64 * 10);
                if let Some(producer) = producer {
                    let (_, batches) = open.entry(*producer).or_insert((base, Vec::new()));
                    batches.push(number);
                }
                for record in records(&written).unwrap() {
                    let record = record.unwrap();
                    model.known.push(Known {
                        record: Record {
                            offset: base.plus(record.offset.get()),
                            ..record
                        },
                        batch: number,
                        is_aborted: false,
                    });
                }
                model.first.insert(number, base);
                log.append(&written);
            }
            Step::End { producer, commits } => {
                let Some((first, batches)) = open.remove(producer) else {
                    continue;
                };
                log.append(&marker(*producer, *commits));
                if !commits {
                    for known in &mut model.known {
                        known.is_aborted |= batches.contains(&known.batch);
                    }
                    let others = open.values().map(|(first, _)| *first).min();
                    aborted.push(AbortedTransaction {
                        producer_id: *producer,
                        first_offset: first,
                        last_offset: base,
                        stable_at_marker: others.unwrap_or(base.plus(1)),
                    });
                }
            }
        }
    }
    (log, model, aborted)
}

proptest! {
    /// C-1 to C-4: a few cleanings in a row, with maps that are full too soon, leave what the
    /// model leaves: offsets, times, keys, values and headers.
    #[test]
    fn c_2_cleanings_leave_what_a_simple_model_leaves(
        steps in prop::collection::vec(step(), 1..40),
        rounds in prop::collection::vec((40_usize..600, 1_usize..4, 0_i64..80), 1..6),
    ) {
        let (mut log, mut model, aborted) = write(&steps);
        prop_assert_eq!(find_aborted(&log.sources, &mut |_| Ok(())).unwrap(), aborted);
        let (mut from, mut now_ms) = (Offset::ZERO, 1000);
        prop_assume!(!log.sources.is_empty());
        let end = log.end();
        for (map_bytes, group, later_ms) in rounds {
            now_ms += later_ms;
            let none = HashMap::new();
            let run = Run { from, map_bytes, group, ..Run::plain(now_ms, &none) };
            let reached = log.clean(&run).unwrap();
            prop_assert!(reached > from || from == end, "each cleaning comes further");
            model.clean(reached, now_ms);
            prop_assert_eq!(log.records(), model.records());
            prop_assert_eq!(log.end(), end);
            from = reached;
        }
    }
}

fn one(key: u8, value: Option<u8>) -> Vec<Made> {
    vec![Made {
        key: Some(key),
        value,
    }]
}

#[test]
fn c_2_a_batch_that_keeps_all_its_records_is_copied_byte_for_byte() {
    let mut log = Sealed::new();
    for codec in 0..5 {
        log.append(&batch(&one(codec as u8, Some(1)), codec, None, 5));
    }
    let before = log.batches();
    log.append(&batch(&one(9, Some(1)), 0, None, 6));
    log.append(&batch(&one(9, Some(2)), 0, None, 7));
    log.clean(&Run::plain(1, &HashMap::new())).unwrap();
    let after = log.batches();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.bytes(), after.bytes());
    }
    assert!(after[5].header().is_filler(), "{:?}", after[5].header());
    assert_eq!(after.len(), 7);
}

#[test]
fn c_2_a_batch_that_loses_records_keeps_offsets_sequence_and_codec() {
    for codec in 0..5 {
        let mut log = Sealed::new();
        let three = [one(1, Some(1)), one(2, Some(2)), one(3, Some(3))].concat();
        log.append(&batch(&three, codec, Some(0), 50));
        log.append(&marker(0, true));
        log.append(&batch(
            &[one(1, Some(4)), one(3, Some(5))].concat(),
            codec,
            None,
            90,
        ));
        log.clean(&Run::plain(1, &HashMap::new())).unwrap();
        let header = *log.batches()[0].header();
        assert_eq!(
            (header.base_offset, header.last_offset_delta, header.count),
            (0, 2, 1)
        );
        assert_eq!((header.base_sequence, header.codec()), (0, codec));
        assert_eq!(header.max_timestamp, 51, "the largest that is left");
        let left = log.records();
        assert_eq!(left[0].offset, Offset::new(1));
        assert_eq!(left[0].timestamp_ms, 51);
    }
}

#[test]
fn c_2_the_last_batch_of_a_producer_stays_if_only_empty() {
    let mut log = Sealed::new();
    for _ in 0..3 {
        log.append(&batch(&one(1, Some(1)), 0, Some(4), 5));
    }
    log.append(&marker(4, true));
    log.append(&batch(&one(1, Some(9)), 0, None, 5));
    let last = |last: Option<i64>| {
        HashMap::from([(
            4,
            LastBatch {
                epoch: 0,
                last: last.map(Offset::new),
            },
        )])
    };
    log.clean(&Run::plain(1, &last(Some(2)))).unwrap();
    let shape = |log: &Sealed| -> Vec<(i64, i64, i32)> {
        let shape = |batch: &Batch| {
            let header = batch.header();
            (header.base_offset, header.producer_id, header.count)
        };
        log.batches().iter().map(shape).collect()
    };
    let kept = [(0, -1, 0), (2, 4, 0), (3, 4, 1), (4, -1, 1)];
    assert_eq!(shape(&log), kept, "sequence and marker stay");
    log.clean(&Run::plain(2, &last(Some(2)))).unwrap();
    assert_eq!(shape(&log), kept, "however often");
    // Once the producer is forgotten its batch goes; the marker only after that, and its horizon.
    log.clean(&Run::plain(3, &HashMap::new())).unwrap();
    assert_eq!(shape(&log), [(0, -1, 0), (3, 4, 1), (4, -1, 1)]);
    log.clean(&Run::plain(4, &HashMap::new())).unwrap();
    assert_eq!(shape(&log), [(0, -1, 0), (3, 4, 1), (4, -1, 1)]);
    log.clean(&Run::plain(4 + RETENTION_MS, &last(None)))
        .unwrap();
    assert_eq!(
        shape(&log),
        [(0, -1, 0), (3, 4, 0), (4, -1, 1)],
        "its epoch is known from it"
    );
    log.clean(&Run::plain(5 + RETENTION_MS, &HashMap::new()))
        .unwrap();
    assert_eq!(shape(&log), [(0, -1, 0), (4, -1, 1)]);
}

#[test]
fn c_3_a_tombstone_stays_until_its_horizon() {
    let mut log = Sealed::new();
    log.append(&batch(&one(1, Some(1)), 0, None, 5));
    log.append(&batch(&one(1, None), 2, None, 6));
    let clean = |log: &mut Sealed, now_ms| {
        log.clean(&Run::plain(now_ms, &HashMap::new())).unwrap();
        log.records()
            .iter()
            .map(|record| record.offset.get())
            .collect::<Vec<_>>()
    };
    assert_eq!(clean(&mut log, 1000), [1]);
    let header = *log.batches()[1].header();
    assert_eq!(header.delete_horizon_ms(), Some(1000 + RETENTION_MS));
    assert_eq!(log.records()[0].timestamp_ms, 6, "its time is what it was");
    assert_eq!(clean(&mut log, 999 + RETENTION_MS), [1]);
    assert_eq!(clean(&mut log, 1000 + RETENTION_MS), [0_i64; 0]);
}

#[test]
fn hostile_records_end_a_cleaning_with_an_error() {
    let good = batch(&[one(1, Some(1)), one(1, Some(2))].concat(), 0, None, 5);
    for codec in 0..6 {
        for cut in [0, 1, 5] {
            let mut body = good.bytes()[HEADER_BYTES..].to_vec();
            body.truncate(cut);
            let header = BatchHeader {
                attributes: codec,
                ..*good.header()
            };
            let mut log = Sealed::new();
            log.append(&finish(header, &body).unwrap());
            let error = log.clean(&Run::plain(1, &HashMap::new())).unwrap_err();
            assert!(matches!(error, StorageError::InvalidBatch(_)), "{error}");
        }
    }
    // An offset outside of the batch could delete another batch's record.
    let header = BatchHeader {
        last_offset_delta: 0,
        ..*good.header()
    };
    let mut log = Sealed::new();
    log.append(&finish(header, &good.bytes()[HEADER_BYTES..]).unwrap());
    log.clean(&Run::plain(1, &HashMap::new())).unwrap_err();
}

/// A compressed batch of a MiB may hold millions of records, all of one key.
#[test]
fn the_keys_of_a_batch_are_noted_some_at_a_time() {
    let mut log = Sealed::new();
    let all: Vec<_> = one(1, Some(1)).into_iter().cycle().take(10_000).collect();
    log.append(&batch(&all, 4, None, 5));
    let from = Offset::new(70);
    let (mut map, mut scratch) = (KeyMap::new(1000, 10, from), Scratch::default());
    let mut mapped = from.plus(-1);
    let batch = &log.batches()[0];
    assert!(map_batch(&mut map, batch, from, &mut mapped, &mut scratch).unwrap());
    let last = Offset::new(9_999);
    assert_eq!(mapped, last);
    assert_eq!(map.get(map.hash(&key(1))), Some(last));
    let memory = scratch.found.capacity();
    assert!(memory <= 2 * map::FETCH_KEYS, "{memory}");
}

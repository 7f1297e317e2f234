//! The log against a vector: whatever is done to it, it holds what the vector holds.

use proptest::prelude::*;

use super::*;

/// Something that is done to the log. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Append {
        records: u8,
        bytes: u8,
        synced: bool,
    },
    /// A producer's next batch, or its `back`-th last one again.
    Produce {
        producer: u8,
        back: u8,
    },
    Read {
        from: u16,
        max_bytes: u16,
    },
    AdvanceStart {
        by: u8,
    },
    Retain,
    Upkeep,
    Crash,
    Restart,
    /// Take so many bytes off the end, as a torn write would leave it.
    Tear {
        bytes: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..5_u8, any::<u8>(), any::<bool>())
            .prop_map(|(records, bytes, synced)| Step::Append { records, bytes, synced }),
        4 => (0..3_u8, 0..7_u8).prop_map(|(producer, back)| Step::Produce { producer, back }),
        6 => (any::<u16>(), any::<u16>())
            .prop_map(|(from, max_bytes)| Step::Read { from, max_bytes: max_bytes % 2000 }),
        1 => any::<u8>().prop_map(|by| Step::AdvanceStart { by }),
        1 => Just(Step::Retain),
        1 => Just(Step::Upkeep),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        1 => (1..60_u8).prop_map(|bytes| Step::Tear { bytes }),
    ]
}

/// A batch in the vector.
#[derive(Debug, Clone)]
struct Kept {
    base: i64,
    values: Vec<String>,
    bytes: usize,
    producer: Option<(i64, i32)>,
}

impl Kept {
    fn end(&self) -> i64 {
        self.base + self.values.len() as i64
    }
}

struct Model {
    rig: Option<Rig>,
    log: Arc<dyn Partition>,
    kept: Vec<Kept>,
    start: i64,
    /// One past what must survive a torn end.
    synced: i64,
    counter: u32,
    now_ms: i64,
}

fn settings() -> LogSettings {
    LogSettings {
        segment_bytes: 700,
        retention_ms: None,
        retention_bytes: Some(1500),
        file_delete_delay_ms: 0,
        ..LogSettings::default()
    }
}

impl Model {
    fn new() -> Self {
        let rig = Rig::new();
        let log = rig.open(settings());
        Self {
            rig: Some(rig),
            log,
            kept: Vec::new(),
            start: 0,
            synced: 0,
            counter: 0,
            now_ms: NOW_MS,
        }
    }

    fn end(&self) -> i64 {
        self.kept
            .last()
            .map_or(self.start, Kept::end)
            .max(self.start)
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Append {
                records,
                bytes,
                synced,
            } => self.append(*records, *bytes, *synced),
            Step::Produce { producer, back } => self.produce(i64::from(*producer), *back),
            Step::Read { from, max_bytes } => self.read(*from, usize::from(*max_bytes)),
            Step::AdvanceStart { by } => self.advance_start(*by),
            Step::Retain => self.upkeep(400_000),
            Step::Upkeep => self.upkeep(61_000),
            Step::Crash => self.reopen(Rig::crash),
            Step::Restart => self.reopen(Rig::restart),
            Step::Tear { bytes } => self.tear(u64::from(*bytes)),
        }
        let offsets = self.log.offsets();
        assert_eq!(self.log.damage(), None);
        assert_eq!(
            (
                offsets.start.get(),
                offsets.high_watermark.get(),
                offsets.end.get()
            ),
            (self.start, self.end(), self.end())
        );
    }

    fn append(&mut self, records: u8, bytes: u8, synced: bool) {
        let values: Vec<String> = (0..records)
            .map(|n| {
                format!(
                    "{} {n} {}",
                    self.counter,
                    "y".repeat(usize::from(bytes) / 2)
                )
            })
            .collect();
        self.counter += 1;
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let durability = if synced {
            Durability::Synced
        } else {
            Durability::Written
        };
        let batch = batch(&texts);
        let appended = append(&self.log, &batch, durability).unwrap();
        let base = self.end();
        assert_eq!(
            (appended.base_offset.get(), appended.duplicate),
            (base, false)
        );
        let bytes = batch.bytes().len();
        self.kept.push(Kept {
            base,
            values,
            bytes,
            producer: None,
        });
        if synced {
            self.synced = self.end();
        }
    }

    fn produce(&mut self, id: i64, back: u8) {
        let sent: Vec<_> = self
            .kept
            .iter()
            .filter_map(|kept| Some((kept.producer.filter(|(of, _)| *of == id)?.1, kept.base)))
            .collect();
        let again = back.checked_sub(1).map(usize::from);
        let (sequence, original) = match again.and_then(|back| sent.iter().rev().nth(back)) {
            Some((sequence, base)) => (*sequence, Some(*base)),
            None => (sent.last().map_or(0, |(last, _)| last + 1), None),
        };
        let value = format!("{id}/{sequence}");
        let mut builder = BatchBuilder::new(NOW_MS).producer(id, 0, sequence);
        builder.record(None, Some(value.as_bytes()));
        let batch = builder.build().unwrap();
        let outcome = append(&self.log, &batch, Durability::Written);
        match original {
            // Only the last five are remembered.
            Some(_) if again >= Some(5) => assert!(
                matches!(outcome, Err(StorageError::OutOfOrderSequence { .. })),
                "{outcome:?}"
            ),
            Some(base) => {
                let appended = outcome.unwrap();
                assert_eq!(
                    (appended.base_offset.get(), appended.duplicate),
                    (base, true)
                );
            }
            None => {
                let base = self.end();
                let appended = outcome.unwrap();
                assert_eq!(
                    (appended.base_offset.get(), appended.duplicate),
                    (base, false)
                );
                self.kept.push(Kept {
                    base,
                    values: vec![value],
                    bytes: batch.bytes().len(),
                    producer: Some((id, sequence)),
                });
            }
        }
    }

    fn read(&self, from: u16, max_bytes: usize) {
        let span = self.end() - self.start;
        let from = self.start + i64::from(from) % (span + 1);
        let read = read_from(&self.log, from, max_bytes).unwrap();
        let got = batches(&read);
        let mut wanted = self.kept.iter().filter(|kept| kept.end() > from);
        let mut bytes = 0;
        for (at, batch) in got.iter().enumerate() {
            let kept = wanted.next().unwrap();
            bytes += kept.bytes;
            assert!(at == 0 || bytes <= max_bytes);
            let values: Vec<_> = records(batch)
                .unwrap()
                .map(|record| String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap())
                .collect();
            assert_eq!(
                (batch.header().base_offset, &values),
                (kept.base, &kept.values)
            );
        }
        assert_eq!(got.is_empty(), from == self.end());
    }

    fn advance_start(&mut self, by: u8) {
        let to = self.start + i64::from(by) % (self.end() - self.start + 1);
        let start = wait(self.log.advance_start(Offset::new(to))).unwrap();
        assert_eq!(start.get(), to);
        self.start = to;
        self.synced = self.synced.max(to);
    }

    fn upkeep(&mut self, passed_ms: i64) {
        self.now_ms += passed_ms;
        self.rig.as_ref().unwrap().engine.upkeep(self.now_ms);
        let start = self.log.offsets().start.get();
        assert!(start >= self.start, "the start moved back");
        assert!(
            start == self.start || self.kept.iter().any(|kept| kept.end() == start),
            "retention drops whole segments"
        );
        let left: usize = self
            .kept
            .iter()
            .filter(|kept| kept.end() > start)
            .map(|kept| kept.bytes)
            .sum();
        assert!(
            start == self.start || left >= 1500,
            "retention keeps what it should"
        );
        self.start = start;
        // Both a checkpoint and a moved start come after a sync.
        self.synced = self.end();
    }

    fn reopen(&mut self, how: fn(Rig) -> Rig) {
        let rig = how(self.rig.take().unwrap());
        self.log = rig.open(settings());
        self.rig = Some(rig);
        // What recovery found is synced before it is served.
        self.synced = self.end();
    }

    fn tear(&mut self, bytes: u64) {
        let unsynced: u64 = self
            .kept
            .iter()
            .filter(|kept| kept.base >= self.synced)
            .map(|kept| kept.bytes as u64)
            .sum();
        let rig = self.rig.take().unwrap();
        let boot = rig.boot.clone();
        let disk = rig.stop().0;
        let dir = Path::new("data/topics").join(id(0).to_string());
        let logs = disk.list(&dir).unwrap_or_default();
        let logs = logs.iter().filter(|entry| entry.name.ends_with(".log"));
        if let Some(last) = logs.max_by(|a, b| a.name.cmp(&b.name)) {
            let cut = bytes.min(unsynced).min(last.len);
            let file = disk
                .open(&dir.join(&last.name), crate::disk::Open::Write)
                .unwrap();
            file.set_len(last.len - cut).unwrap();
            let mut lost = cut;
            while lost > 0 {
                let kept = self.kept.pop().unwrap();
                lost = lost.saturating_sub(kept.bytes as u64);
            }
        }
        let rig = Rig::on(disk, &boot);
        self.log = rig.open(settings());
        self.rig = Some(rig);
        self.synced = self.end();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn the_log_is_a_vector(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in &steps {
            model.apply(step);
        }
        let all = all_from(&model.log, model.start);
        let wanted: Vec<_> = model
            .kept
            .iter()
            .flat_map(|kept| (kept.base..).zip(kept.values.iter().cloned()))
            .filter(|(offset, _)| *offset >= model.start)
            .collect();
        prop_assert_eq!(all, wanted);
    }
}

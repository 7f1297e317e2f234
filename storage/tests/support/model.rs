//! What a log must hold after any crash, and a workload that is played against it.
//!
//! The model remembers every batch that the engine took, in order, and what it promised about
//! each. After a crash [`Model::check`] starts an engine on what the disk kept and holds the two
//! against each other (DC1, DC2, DC7, DC8, DC9).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ratel_storage::disk::Disk;
use ratel_storage::{
    AbortedTransaction, Appended, Batch, Bound, Durability, Engine, LocalEngine, LocalOptions,
    LogSettings, Marker, Offset, Origin, Outcome, Partition, PartitionId, Pending, Producer,
    StorageError,
};

use super::{
    NOW_MS, Random, batch, partition_id, poll_once, produced, read_values, start_with,
    transactional, wait,
};

/// How the machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Only the process died: all that was written is there.
    Process,
    /// The power was cut: what was synced is there.
    Power,
}

/// A step of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    End(Outcome),
}

/// An aborted transaction as it was sent.
#[derive(Debug)]
struct Aborted {
    id: i64,
    written: Vec<i64>,
    marker: i64,
}

/// A batch that the engine took.
#[derive(Debug, Clone)]
struct Sent {
    base: i64,
    values: Vec<String>,
    producer: Option<(i64, i32)>,
    /// What it does in a transaction of this producer.
    transaction: Option<(i64, Step)>,
    durability: Durability,
    batch: Batch,
}

impl Sent {
    fn end(&self) -> i64 {
        self.base + i64::try_from(self.values.len()).unwrap()
    }
}

/// One partition as it should be.
#[derive(Debug, Clone, Default)]
struct Part {
    sent: Vec<Sent>,
    /// One past the last record that was acknowledged with acks=all.
    synced_end: i64,
    /// One past the last record that was acknowledged at all.
    written_end: i64,
    /// The largest start that was answered, and the largest that was asked for.
    start_answered: i64,
    start_asked: i64,
    leader_epoch: i32,
    /// The next sequence of each producer.
    sequences: [i32; PRODUCERS],
    /// The batch with which the log ended: refused, but it may be there.
    doubtful: Option<Sent>,
    /// Whether a deletion began that was not answered.
    deleting: bool,
    /// How many logs had this place before: each has an id of its own, as topics do.
    generation: i32,
}

const PRODUCERS: usize = 3;

/// The first id of producers that write in transactions.
const TRANSACTIONAL: i64 = 100;

/// What a marker's record looks like as text.
const MARKER: &str = "\0\0\0\0\0\0";

/// The id of the log that has this place for the `generation`-th time.
fn id_of(at: usize, generation: i32) -> PartitionId {
    partition_id(i32::try_from(at).unwrap() + 1000 * generation)
}

impl Part {
    /// The log that comes after one that was deleted.
    fn after(generation: i32) -> Self {
        Self {
            generation: generation + 1,
            ..Self::default()
        }
    }

    fn end(&self) -> i64 {
        self.sent
            .last()
            .map_or(0, Sent::end)
            .max(self.start_answered)
    }

    /// Readers saw everything below `seen`: what of it was sent with acks=all is never lost (DC8),
    /// nor what lies before it.
    fn show(&mut self, seen: i64) {
        let shown = self
            .sent
            .iter()
            .rev()
            .find(|sent| sent.durability == Durability::Synced && sent.end() <= seen);
        if let Some(end) = shown.map(Sent::end) {
            self.synced_end = self.synced_end.max(end);
        }
    }

    /// The offsets that each open transaction has, and those of all that were aborted, with the
    /// producer and the marker.
    fn transactions(&self) -> (BTreeMap<i64, Vec<i64>>, Vec<Aborted>) {
        let mut open: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut aborted = Vec::new();
        for sent in &self.sent {
            match sent.transaction {
                None => {}
                Some((id, Step::Write)) => open.entry(id).or_default().push(sent.base),
                Some((id, Step::End(outcome))) => {
                    if let Some(written) = open.remove(&id)
                        && outcome == Outcome::Abort
                    {
                        let marker = sent.base;
                        aborted.push(Aborted {
                            id,
                            written,
                            marker,
                        });
                    }
                }
            }
        }
        (open, aborted)
    }

    fn acknowledge(&mut self, end: i64, durability: Durability) {
        self.written_end = self.written_end.max(end);
        if durability == Durability::Synced {
            self.synced_end = self.synced_end.max(end);
        }
    }
}

/// Which operations a workload has, by weight.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    pub partitions: usize,
    pub written: u64,
    pub synced: u64,
    /// Acks=all whose answer is not waited for.
    pub pipelined: u64,
    /// Batches in transactions, and ends of these.
    pub transactional: u64,
    pub advance_start: u64,
    pub upkeep: u64,
    pub delete: u64,
    pub restart: u64,
    /// Batches of this many bytes, about.
    pub value_bytes: u64,
    pub segment_bytes: u64,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            partitions: 3,
            written: 50,
            synced: 20,
            pipelined: 15,
            transactional: 25,
            advance_start: 3,
            upkeep: 3,
            delete: 1,
            restart: 1,
            value_bytes: 60,
            segment_bytes: 1200,
        }
    }
}

/// What an engine should hold.
#[derive(Clone)]
pub struct Model {
    mix: Mix,
    parts: Vec<Part>,
    counter: u64,
    fatal: Arc<AtomicUsize>,
}

/// A running engine with its open partitions and answers that are on their way.
pub struct Running {
    disk: Arc<dyn Disk>,
    engine: Arc<LocalEngine>,
    is_closed: bool,
    logs: Vec<Arc<dyn Partition>>,
    waiting: Vec<(usize, i64, Pending<Appended>)>,
}

impl Running {
    /// Whether it was closed and the start that should have followed failed.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub fn engine(&self) -> &Arc<LocalEngine> {
        &self.engine
    }
}

/// What is open and what was aborted, behind the start and in front of the end (T-15, F-4).
fn check_transactions(part: &mut Part, log: &Arc<dyn Partition>) {
    let offsets = log.offsets();
    let (start, end) = (offsets.start.get(), offsets.end.get());
    let lost = part.sent.partition_point(|sent| sent.end() <= end);
    let lost = part.sent.split_off(lost);
    let (open, aborted) = part.transactions();
    part.sent.extend(lost);
    let first = open.values().filter_map(|written| written.first()).min();
    let stable = first.map_or(end, |first| start.max(*first));
    assert_eq!(offsets.stable.get(), stable, "{open:?}");
    let found = wait(log.aborted(offsets.start, offsets.stable)).unwrap();
    // What began before the start may be known from there on alone.
    let is_it = |one: &AbortedTransaction, known: &Aborted| {
        let (first, begins) = (one.first_offset.get(), known.written[0]);
        let seen = known.written.iter().find(|offset| **offset >= start);
        (one.producer_id, one.last_offset.get()) == (known.id, known.marker)
            && (first == begins || first > begins && seen.is_none_or(|seen| first <= *seen))
    };
    let is_known = |one| aborted.iter().any(|known| is_it(one, known));
    assert!(
        found.iter().all(is_known),
        "{start}: {found:?} of {aborted:?}"
    );
    let is_seen = |offset: &i64| (start..stable).contains(offset);
    let seen = aborted.iter().filter(|one| one.written.iter().any(is_seen));
    for known in seen {
        let is_found = found.iter().any(|one| is_it(one, known));
        assert!(is_found, "{start}: {known:?} in {found:?}");
    }
}

impl Model {
    pub fn new(mix: Mix) -> Self {
        Self {
            mix,
            parts: vec![Part::default(); mix.partitions],
            counter: 0,
            fatal: Arc::default(),
        }
    }

    /// The id of the log that has this place now.
    pub fn id(&self, at: usize) -> PartitionId {
        id_of(at, self.parts[at].generation)
    }

    /// How often an engine said that it must not go on.
    pub fn fatal(&self) -> usize {
        self.fatal.load(Ordering::SeqCst)
    }

    fn settings(&self) -> Arc<LogSettings> {
        Arc::new(LogSettings {
            segment_bytes: self.mix.segment_bytes,
            index_interval_bytes: 256,
            file_delete_delay_ms: 0,
            retention_ms: None,
            ..LogSettings::default()
        })
    }

    /// Start an engine and open all partitions.
    pub fn start(&self, disk: Arc<dyn Disk>) -> Result<Running, StorageError> {
        let fatal = Arc::clone(&self.fatal);
        let options = LocalOptions {
            on_fatal: Arc::new(move |_: &str| {
                fatal.fetch_add(1, Ordering::SeqCst);
            }),
            ..LocalOptions::default()
        };
        let engine = start_with(Arc::clone(&disk), options)?;
        let mut logs = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            let mut generation = part.generation;
            if part.deleting {
                // As a broker does it: the catalog says that it is gone.
                engine.delete(id_of(index, generation))?;
                generation += 1;
            }
            logs.push(engine.open(id_of(index, generation), self.settings())?);
        }
        Ok(Running {
            disk,
            engine,
            is_closed: false,
            logs,
            waiting: Vec::new(),
        })
    }

    /// Do one thing that the seed chooses.
    pub fn step(&mut self, running: &mut Running, random: &mut Random) -> Result<(), StorageError> {
        self.collect(running);
        let mix = self.mix;
        let weights = [
            mix.written,
            mix.synced,
            mix.pipelined,
            mix.advance_start,
            mix.upkeep,
            mix.delete,
            mix.restart,
            mix.transactional,
        ];
        let mut draw = random.below(weights.iter().sum());
        let choice = weights.iter().position(|weight| {
            let hit = draw < *weight;
            draw = draw.wrapping_sub(*weight);
            hit
        });
        let at = usize::try_from(random.below(self.parts.len() as u64)).unwrap();
        if running.logs[at].id() != self.id(at) {
            // The last log was deleted, and the next could not be opened.
            return Err(StorageError::Closed);
        }
        self.parts[at].show(running.logs[at].offsets().high_watermark.get());
        if self.parts[at].deleting {
            return self.delete(running, at);
        }
        match choice.unwrap() {
            0 => self.append(running, at, Durability::Written, false, random),
            1 => self.append(running, at, Durability::Synced, false, random),
            2 => self.append(running, at, Durability::Synced, true, random),
            3 => self.advance_start(running, at, random),
            4 => {
                running.engine.upkeep(NOW_MS + 100_000);
                Ok(())
            }
            5 => self.delete(running, at),
            6 => self.restart(running),
            _ => self.transact(running, at, random),
        }
    }

    fn append(
        &mut self,
        running: &mut Running,
        at: usize,
        durability: Durability,
        pipelined: bool,
        random: &mut Random,
    ) -> Result<(), StorageError> {
        let part = &mut self.parts[at];
        let count = 1 + random.below(3);
        let filler = "x".repeat(usize::try_from(random.below(2 * self.mix.value_bytes)).unwrap());
        let values: Vec<String> = (0..count)
            .map(|index| format!("{at}/{}/{index}/{filler}", self.counter))
            .collect();
        self.counter += 1;
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let producer = random.below(1 + PRODUCERS as u64).checked_sub(1);
        let (producer, sent) = match producer.map(|id| usize::try_from(id).unwrap()) {
            None => (None, batch(&texts)),
            Some(id) => {
                let sequence = part.sequences[id];
                part.sequences[id] += i32::try_from(count).unwrap();
                let id = i64::try_from(id).unwrap();
                (Some((id, sequence)), produced(id, 0, sequence, &texts))
            }
        };
        let entry = Sent {
            base: part.end(),
            values,
            producer,
            transaction: None,
            durability,
            batch: sent,
        };
        self.put(running, at, entry, Origin::Client, pipelined)
    }

    /// A step of a transaction, as a coordinator writes it: without sequences.
    fn transact(
        &mut self,
        running: &mut Running,
        at: usize,
        random: &mut Random,
    ) -> Result<(), StorageError> {
        let id = TRANSACTIONAL + i64::try_from(random.below(3)).unwrap();
        let (step, values, sent) = match random.below(4) {
            0 | 1 => {
                self.counter += 1;
                let value = format!("{at}/{}/in {id}", self.counter);
                let sent = transactional(id, &[&value]);
                (Step::Write, vec![value], sent)
            }
            end => {
                let outcome = if end == 2 {
                    Outcome::Commit
                } else {
                    Outcome::Abort
                };
                let marker = Marker {
                    producer: Producer { id, epoch: 0 },
                    outcome,
                    coordinator_epoch: 0,
                    transaction_version: 0,
                };
                let sent = marker.to_batch(NOW_MS);
                (Step::End(outcome), vec![MARKER.to_owned()], sent)
            }
        };
        let durability = match random.below(2) {
            0 => Durability::Written,
            _ => Durability::Synced,
        };
        let entry = Sent {
            base: self.parts[at].end(),
            values,
            producer: None,
            transaction: Some((id, step)),
            durability,
            batch: sent,
        };
        let pipelined = random.below(2) == 0;
        self.put(running, at, entry, Origin::Coordinator, pipelined)
    }

    fn put(
        &mut self,
        running: &mut Running,
        at: usize,
        entry: Sent,
        origin: Origin,
        pipelined: bool,
    ) -> Result<(), StorageError> {
        let part = &mut self.parts[at];
        let (base, durability, producer) = (entry.base, entry.durability, entry.producer);
        let mut answer = running.logs[at].append(&entry.batch, origin, durability, NOW_MS);
        let early = poll_once(&mut answer);
        let is_in = running.logs[at].offsets().end.get() > base;
        if let Some(Err(error)) = &early
            && !is_in
        {
            // Refused before it was written: it is not in the log. (If the log ended with it, all
            // of it may have been written.)
            if let Some((id, sequence)) = producer {
                part.sequences[usize::try_from(id).unwrap()] = sequence;
            }
            if matches!(error, StorageError::Poisoned | StorageError::Io(_)) {
                part.doubtful.get_or_insert(entry);
            }
            return Err(error.clone());
        }
        let end = entry.end();
        part.sent.push(entry);
        let appended = match early {
            None if pipelined => {
                running.waiting.push((at, end, answer));
                return Ok(());
            }
            None => wait(answer)?,
            Some(outcome) => outcome?,
        };
        assert_eq!(
            (appended.base_offset.get(), appended.duplicate),
            (base, false)
        );
        part.acknowledge(end, durability);
        Ok(())
    }

    /// Note which answers have come.
    pub fn collect(&mut self, running: &mut Running) {
        running
            .waiting
            .retain_mut(|(at, end, answer)| match poll_once(answer) {
                None => true,
                Some(outcome) => {
                    if let Ok(appended) = outcome {
                        assert_eq!(appended.end_offset.get(), *end);
                        self.parts[*at].acknowledge(*end, Durability::Synced);
                    }
                    false
                }
            });
    }

    /// Wait for all answers.
    pub fn settle(&mut self, running: &mut Running) {
        for (at, end, answer) in std::mem::take(&mut running.waiting) {
            if wait(answer).is_ok() {
                self.parts[at].acknowledge(end, Durability::Synced);
            }
        }
    }

    fn advance_start(
        &mut self,
        running: &mut Running,
        at: usize,
        random: &mut Random,
    ) -> Result<(), StorageError> {
        let part = &mut self.parts[at];
        let offsets = running.logs[at].offsets();
        let room = offsets.high_watermark.get() - offsets.start.get();
        let to =
            offsets.start.get() + i64::try_from(random.below(room.cast_unsigned() + 1)).unwrap();
        part.start_asked = part.start_asked.max(to);
        let start = wait(running.logs[at].advance_start(Offset::new(to)))?;
        assert_eq!(start.get(), to.max(part.start_answered));
        part.start_answered = start.get();
        // A start is durable, so what lies before it is (DC10).
        part.acknowledge(start.get(), Durability::Synced);
        Ok(())
    }

    fn delete(&mut self, running: &mut Running, at: usize) -> Result<(), StorageError> {
        self.settle(running);
        let generation = self.parts[at].generation;
        self.parts[at].deleting = true;
        running.engine.delete(id_of(at, generation))?;
        // Until the next one is open it is not there, as if it were being deleted, too.
        self.parts[at] = Part {
            deleting: true,
            ..Part::after(generation)
        };
        running.logs[at] = running
            .engine
            .open(id_of(at, generation + 1), self.settings())?;
        self.parts[at].deleting = false;
        Ok(())
    }

    fn restart(&mut self, running: &mut Running) -> Result<(), StorageError> {
        self.settle(running);
        running.is_closed = true;
        wait(running.engine.close())?;
        for part in &mut self.parts {
            // A clean end leaves everything on stable storage.
            part.synced_end = part.end();
            part.written_end = part.end();
        }
        *running = self.start(Arc::clone(&running.disk))?;
        Ok(())
    }

    /// Start on what the disk kept, and hold it against what was promised. Afterwards the model
    /// is what the log is, and the engine goes on.
    pub fn check(&mut self, disk: Arc<dyn Disk>, end: End) -> Running {
        let mut running = self.start(disk).unwrap();
        for at in 0..self.parts.len() {
            let log = Arc::clone(&running.logs[at]);
            self.check_part(at, &log, end);
        }
        self.check_producers(&mut running);
        running
    }

    fn check_part(&mut self, at: usize, log: &Arc<dyn Partition>, end: End) {
        let part = &mut self.parts[at];
        if part.deleting {
            *part = Part::after(part.generation);
        }
        assert_eq!(log.damage(), None);
        let offsets = log.offsets();
        let (first, last) = (offsets.start.get(), offsets.end.get());
        assert!(
            part.start_answered <= first && first <= part.start_asked.max(0),
            "the start is {first} ({last}): {} answered, {} asked {:?}",
            part.start_answered,
            part.start_asked,
            log.id()
        );
        let promised = match end {
            End::Process => part.written_end,
            End::Power => part.synced_end,
        };
        assert!(
            last >= promised,
            "partition {at}: {promised} was acknowledged, {last} is left"
        );
        if let Some(doubtful) = part.doubtful.take()
            && doubtful.base == part.end()
            && doubtful.end() == last
        {
            if let Some((id, sequence)) = doubtful.producer {
                let next = sequence + i32::try_from(doubtful.values.len()).unwrap();
                part.sequences[usize::try_from(id).unwrap()] = next;
            }
            part.sent.push(doubtful);
        }
        assert!(
            last <= part.end().max(first),
            "partition {at}: {last} was never written, {first} {} {:?} {}",
            part.end(),
            log.id(),
            part.generation
        );
        assert_eq!(
            offsets.high_watermark, offsets.end,
            "nothing waits for a sync any more"
        );
        assert!(
            offsets.leader_epoch >= part.leader_epoch,
            "the leader epoch"
        );
        part.leader_epoch = offsets.leader_epoch;
        let found = read_values(log, offsets.start, Bound::HighWatermark).unwrap();
        let expected: Vec<(i64, String)> = part
            .sent
            .iter()
            .flat_map(|sent| (sent.base..).zip(sent.values.iter().cloned()))
            .filter(|(offset, _)| (first..last).contains(offset))
            .collect();
        assert_eq!(found, expected, "partition {at}");
        check_transactions(part, log);
        (part.start_answered, part.start_asked) = (first, first);
        (part.synced_end, part.written_end) = (promised, last);
        part.show(last);
    }

    /// Producers repeat what is there, which is recognised, and what is not, which is taken (DC9).
    fn check_producers(&mut self, running: &mut Running) {
        for at in 0..self.parts.len() {
            let log = &running.logs[at];
            let last = log.offsets().end.get();
            let sent = std::mem::take(&mut self.parts[at].sent);
            let (kept, lost): (Vec<_>, Vec<_>) =
                sent.into_iter().partition(|sent| sent.end() <= last);
            for id in 0..i64::try_from(PRODUCERS).unwrap() {
                let of_this = kept
                    .iter()
                    .filter(|sent| sent.producer.is_some_and(|(producer, _)| producer == id));
                for sent in of_this.rev().take(5) {
                    let again = log.append(&sent.batch, Origin::Client, Durability::Synced, NOW_MS);
                    let again = wait(again).unwrap();
                    let found = (again.base_offset.get(), again.duplicate);
                    assert_eq!(found, (sent.base, true), "partition {at}, producer {id}");
                    let part = &mut self.parts[at];
                    part.synced_end = part.synced_end.max(sent.end());
                }
            }
            self.parts[at].sent = kept;
            for sent in lost.into_iter().filter(|sent| sent.producer.is_some()) {
                let base = self.parts[at].end();
                let again = log.append(&sent.batch, Origin::Client, Durability::Synced, NOW_MS);
                let again = wait(again).unwrap();
                assert_eq!((again.base_offset.get(), again.duplicate), (base, false));
                let part = &mut self.parts[at];
                part.sent.push(Sent {
                    base,
                    durability: Durability::Synced,
                    ..sent
                });
                part.acknowledge(part.end(), Durability::Synced);
            }
        }
    }

    /// Append to each partition with acks=all: everything before it is durable, too.
    pub fn append_everywhere(&mut self, running: &mut Running) {
        let mut random = Random(1);
        for at in 0..self.parts.len() {
            self.append(running, at, Durability::Synced, false, &mut random)
                .unwrap();
        }
    }
}

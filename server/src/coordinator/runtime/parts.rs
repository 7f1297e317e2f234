//! Records in their batches.

use ratel_storage::{BatchBuilder, Marker, Producer};

use crate::coordinator::{Place, Record};

/// A batch is closed once its records hold this many bytes.
pub(super) const ROUND_BYTES: usize = 512 << 10;

/// What is appended at once.
pub(super) enum Part {
    /// Records that stand in the same place.
    Batch(BatchBuilder),
    /// The end of a transaction.
    Marker(Marker),
}

/// Records in the order of the decisions. A batch ends where the next record stands elsewhere.
pub(super) struct Parts {
    parts: Vec<Part>,
    /// Whose transaction the last batch is in; none while it takes no more.
    open: Option<Option<Producer>>,
    timestamp_ms: i64,
    batch_bytes_max: usize,
    records: usize,
    bytes: usize,
}

impl Parts {
    /// Nothing yet. A batch takes no more once it has `batch_bytes_max` bytes.
    pub fn new(timestamp_ms: i64, batch_bytes_max: usize) -> Self {
        Self {
            parts: Vec::new(),
            open: None,
            timestamp_ms,
            batch_bytes_max,
            records: 0,
            bytes: 0,
        }
    }

    /// How many records there are, markers among them.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Bytes of all batches.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Put records behind the others.
    pub fn extend<R: Record>(&mut self, records: &[R]) {
        for record in records {
            match record.place() {
                Place::Plain => self.put(None, record),
                Place::Within(producer) => self.put(Some(producer), record),
                Place::Marker(marker) => {
                    self.parts.push(Part::Marker(marker));
                    self.open = None;
                }
            }
            self.records += 1;
        }
    }

    fn put<R: Record>(&mut self, producer: Option<Producer>, record: &R) {
        let (key, value) = record.encode();
        let (mut batch, before) = match self.parts.pop() {
            Some(Part::Batch(batch)) if self.open == Some(producer) => {
                let bytes = batch.size_bytes();
                (batch, bytes)
            }
            last => {
                self.parts.extend(last);
                (self.fresh(producer), 0)
            }
        };
        batch.record(Some(&key), value.as_deref());
        self.bytes += batch.size_bytes() - before;
        self.open = (batch.size_bytes() < self.batch_bytes_max).then_some(producer);
        self.parts.push(Part::Batch(batch));
    }

    fn fresh(&self, producer: Option<Producer>) -> BatchBuilder {
        let batch = BatchBuilder::new(self.timestamp_ms);
        match producer {
            // Without a sequence: the coordinator's records are not numbered by the producer.
            Some(producer) => batch
                .producer(producer.id, producer.epoch, -1)
                .transactional(),
            None => batch,
        }
    }

    /// All of them, in order.
    pub fn into_parts(self) -> Vec<Part> {
        self.parts
    }
}

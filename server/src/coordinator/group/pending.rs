//! Offsets that were committed inside transactions which have not ended (T-14). Hard state:
//! changed by records alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{Marker, OPEN_TRANSACTIONS_MAX, Offset, Producer, ProducerSummary};

use super::offsets::Placed;
use super::record::Record;

/// Producers whose last marker is remembered, beyond those with an open transaction.
const KNOWN_MAX: usize = 65_536;

type Key = (Arc<str>, i32);

/// The pending offsets of one group, by producer and then by topic and partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending {
    producers: BTreeMap<i64, BTreeMap<Key, (i16, Placed)>>,
}

impl Pending {
    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Whether a transaction has an offset for this partition (O-6).
    pub fn contains(&self, topic: &Arc<str>, partition: i32) -> bool {
        !self.is_empty() && {
            let key = (topic.clone(), partition);
            self.producers
                .values()
                .any(|offsets| offsets.contains_key(&key))
        }
    }

    /// An offset of a producer's transaction.
    pub fn put(&mut self, producer: Producer, topic: &Arc<str>, partition: i32, placed: Placed) {
        let offsets = self.producers.entry(producer.id).or_default();
        offsets.insert((topic.clone(), partition), (producer.epoch, placed));
    }

    /// A tombstone takes pending offsets along, whoever's they are.
    pub fn clear(&mut self, topic: &Arc<str>, partition: i32) {
        if self.is_empty() {
            return;
        }
        let key = (topic.clone(), partition);
        self.producers.retain(|_, offsets| {
            offsets.remove(&key);
            !offsets.is_empty()
        });
    }

    /// A producer's transaction has ended: what it left, in order of topic and partition.
    pub fn take(&mut self, producer_id: i64) -> impl Iterator<Item = (Key, Placed)> + use<> {
        let offsets = self.producers.remove(&producer_id).unwrap_or_default();
        offsets.into_iter().map(|(key, (_, placed))| (key, placed))
    }

    /// All of them: who, topic, partition, what.
    pub fn iter(&self) -> impl Iterator<Item = (Producer, &Arc<str>, i32, &Placed)> {
        self.producers.iter().flat_map(|(id, offsets)| {
            offsets.iter().map(|((topic, partition), (epoch, placed))| {
                let producer = Producer {
                    id: *id,
                    epoch: *epoch,
                };
                (producer, topic, *partition, placed)
            })
        })
    }

    /// Those that `which` picks as records with the offsets they lie at, in that order.
    pub fn records(
        &self,
        group: &Arc<str>,
        mut which: impl FnMut(&Arc<str>, i32, &Placed) -> bool,
    ) -> Vec<Record> {
        let picked = self.iter();
        let picked =
            picked.filter(|(_, topic, partition, placed)| which(topic, *partition, placed));
        let mut records: Vec<_> = picked
            .map(|(producer, topic, partition, placed)| {
                let record = Record::Pending {
                    producer,
                    group: group.clone(),
                    topic: topic.clone(),
                    partition,
                    value: placed.committed.clone(),
                };
                (placed.at, record)
            })
            .collect();
        records.sort_unstable_by_key(|(at, _)| *at);
        records.into_iter().map(|(_, record)| record).collect()
    }
}

/// What the shard's log last heard of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    epoch: i16,
    coordinator_epoch: i32,
    /// Where its last marker lies, if that is known.
    ended_at: Option<Offset>,
    /// That marker raised the epoch (transaction version 2): who has it now is in the next
    /// transaction, whose answer the marker does not void.
    raised: bool,
}

/// The producers of one shard: who has a transaction open, and who may still write.
///
/// The coordinator says whether a transaction may write here. Between its answer and the write
/// the transaction may end; a write that came after its own marker would open a transaction that
/// nobody ends (T-18). So who asks notes first where the log ends, and a marker of the same
/// producer from there on voids the answer.
#[derive(Debug, Default)]
pub struct Producers {
    /// By id: the epoch, and the groups with pending offsets.
    open: BTreeMap<i64, (i16, BTreeSet<Arc<str>>)>,
    known: BTreeMap<i64, Known>,
    /// Answers of the coordinator to questions from before this offset cannot be judged.
    forgotten: Offset,
}

impl Producers {
    /// Begin with what the log itself knows: it refuses what an older epoch writes. Answers to
    /// questions of before are void.
    pub fn start(&mut self, summaries: &[ProducerSummary], end: Offset) {
        self.forgotten = end;
        for summary in summaries {
            let known = Known {
                epoch: summary.producer_epoch,
                coordinator_epoch: summary.coordinator_epoch,
                ended_at: None,
                raised: false,
            };
            self.known.insert(summary.producer_id, known);
            if summary.transaction_start.is_some() {
                // It may have nothing pending: a tombstone can have taken that along.
                let open = self.open.entry(summary.producer_id).or_default();
                open.0 = summary.producer_epoch;
            }
        }
    }

    /// Whether the producer's transaction is open here, at its epoch.
    pub fn is_open(&self, producer: Producer) -> bool {
        let open = self.open.get(&producer.id);
        open.is_some_and(|(epoch, _)| *epoch == producer.epoch)
    }

    /// Whether a producer may commit offsets; `verified_at` is where the log ended when the
    /// coordinator was asked.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH if it is fenced, INVALID_TXN_STATE if its transaction is not known to
    /// be open, COORDINATOR_LOAD_IN_PROGRESS if that cannot be told, or as many are open as the log
    /// takes: what it refuses would take the shard's state along.
    pub fn check_commit(
        &self,
        producer: Producer,
        verified_at: Option<Offset>,
    ) -> Result<(), ErrorCode> {
        let known = self.known.get(&producer.id);
        if known.is_some_and(|known| known.epoch > producer.epoch) {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if self.is_open(producer) {
            return Ok(());
        }
        let verified_at = verified_at.ok_or(ErrorCode::InvalidTxnState)?;
        let is_next = |known: &Known| known.raised && known.epoch == producer.epoch;
        if known.is_some_and(|known| known.ended_at >= Some(verified_at) && !is_next(known)) {
            return Err(ErrorCode::InvalidTxnState);
        }
        if verified_at < self.forgotten || self.open.len() >= OPEN_TRANSACTIONS_MAX {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        Ok(())
    }

    /// Whether a marker may be written (T-12): what the log would refuse, too.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED.
    pub fn check_marker(&self, marker: &Marker) -> Result<(), ErrorCode> {
        let Some(known) = self.known.get(&marker.producer.id) else {
            return Ok(());
        };
        let epoch = marker.producer.epoch;
        let is_open = self.open.contains_key(&marker.producer.id);
        let is_late = marker.transaction_version >= 2 && epoch == known.epoch && is_open;
        if epoch < known.epoch || is_late {
            Err(ErrorCode::InvalidProducerEpoch)
        } else if marker.coordinator_epoch < known.coordinator_epoch {
            Err(ErrorCode::TransactionCoordinatorFenced)
        } else {
            Ok(())
        }
    }

    /// A producer has a pending offset in this group.
    pub fn opened(&mut self, producer: Producer, group: &Arc<str>) {
        let (epoch, groups) = self.open.entry(producer.id).or_default();
        *epoch = producer.epoch;
        if !groups.contains(group) {
            groups.insert(group.clone());
        }
        let known = self.known.entry(producer.id).or_insert(Known {
            epoch: producer.epoch,
            coordinator_epoch: -1,
            ended_at: None,
            raised: false,
        });
        known.epoch = producer.epoch;
    }

    /// A marker lies at `at`: the groups that may have offsets of its transaction.
    pub fn ended(&mut self, at: Offset, marker: &Marker) -> BTreeSet<Arc<str>> {
        let known = Known {
            epoch: marker.producer.epoch,
            coordinator_epoch: marker.coordinator_epoch,
            ended_at: Some(at),
            raised: marker.transaction_version >= 2,
        };
        self.known.insert(marker.producer.id, known);
        let groups = self.open.remove(&marker.producer.id);
        self.limit();
        groups.map_or_else(BTreeSet::new, |(_, groups)| groups)
    }

    /// Forget the eighth that was heard of longest ago, but nobody whose transaction is open. The
    /// log may still know them: if it refuses something then, the shard reads it all anew.
    fn limit(&mut self) {
        if self.known.len() < KNOWN_MAX + self.open.len() {
            return;
        }
        let closed = self.known.iter();
        let closed = closed.filter(|(id, _)| !self.open.contains_key(id));
        let mut ages: Vec<_> = closed.map(|(id, known)| (known.ended_at, *id)).collect();
        ages.sort_unstable();
        for (ended_at, id) in ages.iter().take(ages.len() / 8 + 1) {
            self.known.remove(id);
            let seen = ended_at.map_or(self.forgotten, |at| at.plus(1));
            self.forgotten = self.forgotten.max(seen);
        }
    }
}

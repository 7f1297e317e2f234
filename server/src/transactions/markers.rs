//! Writing the markers of a transaction into its partitions, once: what is left is said.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{Durability, Engine, Marker, Outcome, Partition, Producer};

use crate::clock::Clock;
use crate::config::{Config, DurabilityMode};
use crate::coordinator::catalog::{OFFSETS_TOPIC, View};
use crate::coordinator::txn::{Partitions, WriteMarkers};
use crate::error;
use crate::groups::Groups;
use crate::metrics::Metrics;

/// Where markers go.
pub(super) struct World {
    pub(super) engine: Arc<dyn Engine>,
    view: Arc<View>,
    groups: Groups,
    durability: Durability,
    clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
}

type Written = Pin<Box<dyn Future<Output = Result<(), ErrorCode>> + Send>>;

/// A marker that is not written.
pub(super) fn refused(code: ErrorCode) -> Written {
    Box::pin(std::future::ready(Err(code)))
}

impl World {
    pub(super) fn new(
        engine: Arc<dyn Engine>,
        view: Arc<View>,
        groups: Groups,
        config: &Config,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            engine,
            view,
            groups,
            durability: match config.durability {
                DurabilityMode::Contract => Durability::Synced,
                DurabilityMode::Relaxed => Durability::Written,
            },
            clock,
            metrics,
        }
    }

    fn partition(&self, topic: &str, index: i32) -> Option<Arc<dyn Partition>> {
        let topic = self.view.topic(topic)?;
        // What else is internal is written to by its coordinator alone.
        if topic.internal && &*topic.name != OFFSETS_TOPIC {
            return None;
        }
        self.engine.partition(topic.partition(index)?)
    }

    /// Append a marker that somebody else than a coordinator asks for. It may end a transaction,
    /// and bears the coordinator's epoch that the log knows: a higher one would fence the
    /// coordinator, whose own marker has yet to come.
    pub(super) fn append_for_operator(&self, asked: &Marker, topic: &str, index: i32) -> Written {
        let known = self.partition(topic, index);
        let known = known.and_then(|partition| partition.producer(asked.producer.id));
        let known = known.map_or(0, |known| known.coordinator_epoch.max(0));
        let marker = Marker {
            coordinator_epoch: asked.coordinator_epoch.min(known),
            ..*asked
        };
        self.append(&marker, topic, index)
    }

    /// Append a marker: its place in the log is fixed when this returns.
    pub(super) fn append(&self, marker: &Marker, topic: &str, index: i32) -> Written {
        if topic == OFFSETS_TOPIC {
            return Box::pin(self.groups.marker(index, *marker));
        }
        let Some(partition) = self.partition(topic, index) else {
            return refused(ErrorCode::UnknownTopicOrPartition);
        };
        let now_ms = self.clock.now().wall_ms;
        let appended = partition.append_marker(marker, self.durability, now_ms);
        Box::pin(async move {
            let appended = appended.await;
            appended.map(drop).map_err(|refused| error::code(&refused))
        })
    }
}

/// Append markers of a transaction: their places are fixed when this returns. The future ends when
/// it is known which are durable, and says where one is left to be written.
pub(super) fn write(
    world: &Arc<World>,
    coordinator_epoch: i32,
    asked: &WriteMarkers,
) -> impl Future<Output = Partitions> + Send + use<> {
    let marker = Marker {
        producer: Producer {
            id: asked.producer.id,
            epoch: asked.producer.epoch,
        },
        outcome: match asked.commit {
            true => Outcome::Commit,
            false => Outcome::Abort,
        },
        coordinator_epoch,
        transaction_version: u8::try_from(asked.version).unwrap_or(0),
    };
    let parts = asked.partitions.iter();
    let parts = parts.flat_map(|(topic, indexes)| indexes.iter().map(move |index| (topic, *index)));
    let writing: Vec<_> = parts
        .map(|(topic, index)| {
            let written = world.append(&marker, topic, index);
            (topic.clone(), index, written)
        })
        .collect();
    let world = world.clone();
    async move {
        let mut left = Partitions::new();
        for (topic, index, written) in writing {
            match written.await {
                Ok(()) => {}
                Err(code) if is_final(code) => {
                    tracing::debug!(topic = &*topic, index, "takes no marker any more: {code}");
                }
                Err(code) => {
                    world.metrics.transactions.marker_failed();
                    tracing::warn!(
                        topic = &*topic,
                        index,
                        "a marker must be tried again: {code}"
                    );
                    left.entry(topic).or_default().insert(index);
                }
            }
        }
        if left.is_empty() {
            let is_commit = marker.outcome == Outcome::Commit;
            world.metrics.transactions.ended(is_commit);
        }
        left
    }
}

/// Whether there is nothing left to do in a partition: it is gone, or whoever ended the
/// transaction there did it with a higher epoch.
fn is_final(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownTopicOrPartition
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::TransactionCoordinatorFenced
    )
}

//! What each member is to hold, and when that is decided anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ratel_storage::TopicId;

use super::assignor::{Assignor, Subscriber};
use super::{Assignment, Consumer, ConsumerGroupMetadata, ConsumerMemberMetadata, ConsumerRecord};
use crate::coordinator::Effects;
use crate::coordinator::group::share::TopicNow;
use crate::coordinator::group::{Action, GroupMachine};

impl GroupMachine {
    /// The assignor that most members ask for; the first there is if nobody does.
    pub(super) fn consumer_assignor(&self, consumer: &Consumer) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        let asked = consumer.members.values();
        let asked =
            asked.filter_map(|member| Assignor::named(member.metadata.assignor.as_deref()?));
        for assignor in asked {
            *votes.entry(assignor).or_default() += 1;
        }
        let most = votes.into_iter().rev().max_by_key(|(_, count)| *count);
        let first = || self.limits.consumer.assignors.first().copied();
        most.map(|(assignor, _)| assignor)
            .or_else(first)
            .unwrap_or(Assignor::Uniform)
    }

    /// The topics that a member reads, of those that exist.
    pub(super) fn consumer_reads(
        &self,
        consumer: &Consumer,
        metadata: &ConsumerMemberMetadata,
    ) -> BTreeSet<TopicId> {
        let by_regex = super::pattern(metadata).and_then(|regex| consumer.resolved.get(regex));
        let by_regex = by_regex.into_iter().flat_map(|resolved| &resolved.topics);
        let names = metadata.topics.iter().chain(by_regex);
        names
            .filter_map(|name| Some(self.topics.get(name)?.0))
            .collect()
    }

    /// Raise the group's epoch if its topics are not what they were, or if `forced`; write down a
    /// new group, which reads nothing yet.
    pub(in crate::coordinator::group) fn consumer_refresh(
        &mut self,
        id: &Arc<str>,
        forced: bool,
        out: &mut Effects<Self>,
    ) {
        let Ok(consumer) = self.consumer(id) else {
            return;
        };
        let metadata_hash = self.topics.hash(&consumer.watched);
        let hash = consumer
            .metadata
            .map_or(0, |metadata| metadata.metadata_hash);
        let rises = forced || metadata_hash != hash;
        if rises || consumer.metadata.is_none() {
            let metadata = ConsumerGroupMetadata {
                epoch: consumer.epoch().saturating_add(i32::from(rises)),
                metadata_hash,
            };
            self.consumer_record(id, ConsumerRecord::Group(Some(metadata)), out);
        }
    }

    /// Decide what every member is to hold, if that was decided for an older epoch.
    pub(super) fn consumer_assign(&mut self, id: &Arc<str>, out: &mut Effects<Self>) {
        let Ok(consumer) = self.consumer(id) else {
            return;
        };
        let epoch = consumer.epoch();
        if epoch <= consumer.assignment_epoch() {
            return;
        }
        let old: Vec<_> = consumer
            .members
            .values()
            .map(super::Member::target)
            .collect();
        // Most members read the same: what that is, is looked up once.
        let mut known: HashMap<_, Arc<BTreeSet<TopicId>>> = HashMap::new();
        let members = consumer.members.iter().zip(&old);
        let subscribers: Vec<_> = members
            .map(|((name, member), held)| {
                let metadata = &member.metadata;
                let key = (&metadata.topics[..], super::pattern(metadata));
                let topics = known
                    .entry(key)
                    .or_insert_with(|| Arc::new(self.consumer_reads(consumer, metadata)));
                Subscriber {
                    id: name,
                    instance: metadata.instance.as_deref(),
                    topics: topics.clone(),
                    held,
                }
            })
            .collect();
        let topics = self.topics.existing(&consumer.watched);
        let targets = self
            .consumer_assignor(consumer)
            .assign(&subscribers, &topics);
        let members = consumer.members.iter().zip(&old).zip(targets);
        let changed: Vec<(Arc<str>, Assignment)> = members
            .filter(|(((_, member), old), new)| member.target.is_none() || ***old != *new)
            .map(|(((name, _), _), new)| (name.clone(), new))
            .collect();
        for (name, target) in changed {
            let record = ConsumerRecord::Target(name, Some(Arc::new(target)));
            self.consumer_record(id, record, out);
        }
        self.consumer_record(id, ConsumerRecord::TargetEpoch(Some(epoch)), out);
    }

    /// Watch what the group reads now, and no more. What was not watched before is looked up once
    /// more: what the handler found may be old, and nobody told of a change since.
    pub(super) fn consumer_watch(
        &mut self,
        id: &Arc<str>,
        found: &[TopicNow],
        out: &mut Effects<Self>,
    ) {
        let Ok(consumer) = self.consumer_mut(id) else {
            return;
        };
        let wanted = consumer.subscribed();
        let before = std::mem::replace(&mut consumer.watched, wanted.clone());
        let unknown = self.topics.rewatch(id, &before, &wanted);
        if !unknown.is_empty() {
            out.act(Action::FindTopics(unknown));
        }
        self.topics_news(found, Some(id), out);
    }

    /// Watch nothing any more: the group ends.
    pub(super) fn consumer_unwatch(&mut self, id: &Arc<str>) {
        if let Ok(consumer) = self.consumer_mut(id) {
            let before = std::mem::take(&mut consumer.watched);
            self.topics.rewatch(id, &before, &BTreeSet::new());
        }
    }
}

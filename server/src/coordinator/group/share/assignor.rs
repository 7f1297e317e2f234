//! Kafka's assignor `simple` for share groups: first balance, then stickiness.
//!
//! With as many partitions as members or more, each partition has one member; with fewer, each
//! has `ceil(members / partitions)`, so that every member has something to do. What members hold
//! differs by at most one partition, and who keeps its place keeps its partitions as far as that
//! allows. If members subscribe to different topics, this holds for each topic among those who
//! read it, and who has less in sum is given the odd ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ratel_storage::{PartitionId, TopicId};

use super::Assignment;

/// A member as the assignor sees it.
#[derive(Debug, Clone)]
pub struct Subscriber<'a> {
    /// The topics it reads, of those that exist.
    pub topics: BTreeSet<TopicId>,
    /// What it held so far.
    pub held: &'a Assignment,
}

/// What each subscriber holds from now on, in their order, of topics with so many partitions.
pub fn assign(subscribers: &[Subscriber<'_>], topics: &BTreeMap<TopicId, i32>) -> Vec<Assignment> {
    let mut assigned = vec![Assignment::new(); subscribers.len()];
    let mut loads = vec![0; subscribers.len()];
    // Who reads nothing is no reason to share out the topics of the others one by one.
    let all = subscribers.iter().map(|one| &one.topics);
    let mut reading = all.filter(|topics| !topics.is_empty());
    let first = reading.next();
    let alike = reading.all(|topics| Some(topics) == first);
    let topics: Vec<(TopicId, i32)> = topics.iter().map(|(id, count)| (*id, *count)).collect();
    let whole = topics.len().max(1);
    for together in topics.chunks(if alike { whole } else { 1 }) {
        let reads = |subscriber: &Subscriber<'_>| {
            let mut ids = together.iter().map(|(id, _)| id);
            ids.any(|id| subscriber.topics.contains(id))
        };
        let members: Vec<usize> = (0..subscribers.len())
            .filter(|member| reads(&subscribers[*member]))
            .collect();
        let partitions = partitions_of(together);
        let held = members.iter().map(|member| {
            let held = subscribers[*member].held;
            held_of(held, &partitions)
        });
        let held = held.collect();
        let spread = Spread::new(held, partitions.len(), &|place| loads[members[place]]).done();
        for (member, places) in members.iter().zip(spread) {
            loads[*member] += places.len();
            for place in places {
                let id = partitions[place];
                assigned[*member]
                    .entry(id.topic)
                    .or_default()
                    .push(id.index);
            }
        }
    }
    assigned
}

/// All partitions of these topics, in order.
fn partitions_of(topics: &[(TopicId, i32)]) -> Vec<PartitionId> {
    let partitions = topics.iter().flat_map(|(topic, count)| {
        (0..*count).map(|index| PartitionId {
            topic: *topic,
            index,
        })
    });
    partitions.collect()
}

/// The places in `partitions` of what is held.
fn held_of(held: &Assignment, partitions: &[PartitionId]) -> BTreeSet<usize> {
    let ids = held.iter().flat_map(|(topic, indexes)| {
        indexes.iter().map(|index| PartitionId {
            topic: *topic,
            index: *index,
        })
    });
    ids.filter_map(|id| partitions.binary_search(&id).ok())
        .collect()
}

/// Partitions on their way to members, both by number.
struct Spread {
    /// By member.
    held: Vec<BTreeSet<usize>>,
    /// By partition.
    holders: Vec<BTreeSet<usize>>,
    /// What each member is to have.
    quotas: Vec<usize>,
    /// How many members each partition is to have.
    sharing: usize,
}

impl Spread {
    /// `load` is what a member has besides.
    fn new(held: Vec<BTreeSet<usize>>, partitions: usize, load: &dyn Fn(usize) -> usize) -> Self {
        let members = held.len();
        let mut holders = vec![BTreeSet::new(); partitions];
        for (member, places) in held.iter().enumerate() {
            for place in places {
                holders[*place].insert(member);
            }
        }
        let sharing = members.div_ceil(partitions.max(1));
        let total = sharing * partitions;
        let (least, odd) = (total / members.max(1), total % members.max(1));
        let mut quotas = vec![least; members];
        let mut order: Vec<usize> = (0..members).collect();
        order.sort_by_key(|member| (Reverse(held[*member].len().min(least + 1)), load(*member)));
        for member in order.into_iter().take(odd) {
            quotas[member] += 1;
        }
        Self {
            held,
            holders,
            quotas,
            sharing,
        }
    }

    fn done(mut self) -> Vec<BTreeSet<usize>> {
        self.empty_overfull();
        self.free_overshared();
        self.fill();
        self.held
    }

    fn give(&mut self, place: usize, member: usize) {
        self.held[member].insert(place);
        self.holders[place].insert(member);
    }

    fn take(&mut self, place: usize, member: usize) {
        self.held[member].remove(&place);
        self.holders[place].remove(&member);
    }

    /// Who has too much gives up what most others have too.
    fn empty_overfull(&mut self) {
        for member in 0..self.held.len() {
            while self.held[member].len() > self.quotas[member] {
                let places = self.held[member].iter().copied();
                let Some(place) = places.max_by_key(|place| self.holders[*place].len()) else {
                    break;
                };
                self.take(place, member);
            }
        }
    }

    /// What too many have is given up by who has most.
    fn free_overshared(&mut self) {
        for place in 0..self.holders.len() {
            while self.holders[place].len() > self.sharing {
                let members = self.holders[place].iter().copied();
                let Some(member) = members.max_by_key(|member| self.held[*member].len()) else {
                    break;
                };
                self.take(place, member);
            }
        }
    }

    /// What too few have goes to who misses most.
    fn fill(&mut self) {
        for place in 0..self.holders.len() {
            while self.holders[place].len() < self.sharing {
                let missing = |member: usize| self.quotas[member] - self.held[member].len();
                let free = (0..self.held.len())
                    .filter(|member| !self.holders[place].contains(member) && missing(*member) > 0);
                if let Some(member) = free.max_by_key(|member| (missing(*member), Reverse(*member)))
                {
                    self.give(place, member);
                } else if !self.fill_by_exchange(place) {
                    break;
                }
            }
        }
    }

    /// All who miss something have this partition already: another takes it, and hands one of
    /// its own on. There is one: its quota is at most one smaller and it lacks this partition, so
    /// it has some other that the receiver lacks.
    fn fill_by_exchange(&mut self, place: usize) -> bool {
        let members = 0..self.held.len();
        let Some(needy) = members
            .clone()
            .find(|member| self.held[*member].len() < self.quotas[*member])
        else {
            return false;
        };
        for member in members.filter(|member| !self.holders[place].contains(member)) {
            let other = self.held[member].difference(&self.held[needy]).next();
            if let Some(other) = other.copied() {
                self.take(other, member);
                self.give(other, needy);
                self.give(place, member);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop, proptest};
    use uuid::Uuid;

    use super::*;

    fn id(topic: u128) -> TopicId {
        Uuid::from_u128(topic)
    }

    fn sizes(assigned: &[Assignment]) -> Vec<usize> {
        let size = |assignment: &Assignment| assignment.values().map(Vec::len).sum();
        assigned.iter().map(size).collect()
    }

    /// Everybody reads all of these topics.
    fn assign_alike(held: &[Assignment], topics: &BTreeMap<TopicId, i32>) -> Vec<Assignment> {
        let subscribers: Vec<_> = held
            .iter()
            .map(|held| Subscriber {
                topics: topics.keys().copied().collect(),
                held,
            })
            .collect();
        assign(&subscribers, topics)
    }

    fn check_balance(assigned: &[Assignment], topics: &BTreeMap<TopicId, i32>) {
        let partitions: i32 = topics.values().sum();
        let sizes = sizes(assigned);
        let (Some(least), Some(most)) = (sizes.iter().min(), sizes.iter().max()) else {
            return;
        };
        assert!(most - least <= 1, "sizes {sizes:?}");
        let sharing = assigned.len().div_ceil(partitions.max(1) as usize);
        for (topic, count) in topics {
            for index in 0..*count {
                let has = |assignment: &&Assignment| {
                    let indexes = assignment.get(topic);
                    indexes.is_some_and(|indexes| indexes.contains(&index))
                };
                assert_eq!(assigned.iter().filter(has).count(), sharing, "of {index}");
            }
        }
    }

    #[test]
    fn each_partition_has_one_member_while_there_are_enough() {
        let topics = BTreeMap::from([(id(1), 3), (id(2), 2)]);
        let assigned = assign_alike(&[Assignment::new(), Assignment::new()], &topics);
        check_balance(&assigned, &topics);
        assert_eq!(sizes(&assigned), [3, 2]);
    }

    #[test]
    fn partitions_are_shared_by_members_that_outnumber_them() {
        let topics = BTreeMap::from([(id(1), 2)]);
        let assigned = assign_alike(&vec![Assignment::new(); 5], &topics);
        check_balance(&assigned, &topics);
        assert_eq!(sizes(&assigned).iter().sum::<usize>(), 6);
    }

    #[test]
    fn a_newcomer_takes_only_what_balance_asks_for() {
        let topics = BTreeMap::from([(id(1), 9)]);
        let before = assign_alike(&vec![Assignment::new(); 2], &topics);
        let mut held = before.clone();
        held.push(Assignment::new());
        let after = assign_alike(&held, &topics);
        check_balance(&after, &topics);
        for (before, after) in before.iter().zip(&after) {
            let kept = &after[&id(1)];
            assert!(kept.iter().all(|index| before[&id(1)].contains(index)));
        }
        assert_eq!(
            assign_alike(&after, &topics),
            after,
            "nothing moves for nothing"
        );
    }

    #[test]
    fn who_reads_different_topics_shares_each_with_its_readers() {
        let topics = BTreeMap::from([(id(1), 4), (id(2), 4)]);
        let none = Assignment::new();
        let reader = |ids: &[u128]| Subscriber {
            topics: ids.iter().map(|topic| id(*topic)).collect(),
            held: &none,
        };
        let assigned = assign(&[reader(&[1]), reader(&[2]), reader(&[1, 2])], &topics);
        assert_eq!(sizes(&assigned), [2, 2, 4]);
        assert_eq!(assigned[0].keys().copied().collect::<Vec<_>>(), [id(1)]);
    }

    #[test]
    fn who_reads_nothing_changes_nothing_for_the_others() {
        let topics = BTreeMap::from([(id(1), 2), (id(2), 1)]);
        let none = Assignment::new();
        let reader = |ids: &[u128]| Subscriber {
            topics: ids.iter().map(|topic| id(*topic)).collect(),
            held: &none,
        };
        let two = assign(&[reader(&[1, 2]), reader(&[1, 2])], &topics);
        let three = assign(&[reader(&[1, 2]), reader(&[1, 2]), reader(&[])], &topics);
        assert_eq!(three[..2], two);
        assert_eq!(sizes(&three), [2, 1, 0]);
    }

    #[test]
    fn without_members_or_topics_there_is_nothing() {
        assert!(assign(&[], &BTreeMap::from([(id(1), 1)])).is_empty());
        let assigned = assign_alike(&[Assignment::new()], &BTreeMap::new());
        assert_eq!(assigned, [Assignment::new()]);
    }

    fn held() -> impl Strategy<Value = Assignment> {
        let indexes = prop::collection::btree_set(0..8_i32, 0..8);
        let topics = prop::collection::btree_map((1..5_u128).prop_map(id), indexes, 0..4);
        topics.prop_map(|topics| {
            let topics = topics.into_iter();
            topics
                .map(|(id, indexes)| (id, indexes.into_iter().collect()))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn any_past_leads_to_balance(
            held in prop::collection::vec(held(), 1..12),
            counts in prop::collection::btree_map((1..4_u128).prop_map(id), 1..7_i32, 0..4),
        ) {
            let assigned = assign_alike(&held, &counts);
            check_balance(&assigned, &counts);
            assert_eq!(assign_alike(&assigned, &counts), assigned);
        }
    }
}

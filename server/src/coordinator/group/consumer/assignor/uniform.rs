//! The assignor `uniform`: what members hold differs as little as their subscriptions allow, and
//! who keeps its place keeps its partitions as far as balance allows.
//!
//! First everybody keeps what it had; then partitions without a holder go to the reader that has
//! least, those of few readers first; then, as long as one reader has at least two more than
//! another of the same topics, it hands one over. Each such step brings loads closer together, so
//! they come to an end; if all read the same, the first round is the last.

use std::collections::{BTreeMap, BTreeSet};

use ratel_storage::TopicId;

use super::{Subscriber, classes};
use crate::coordinator::group::record::Assignment;

/// Rounds of evening out at most: in practice two or three do.
const ROUNDS_MAX: usize = 100;

/// Members that read the same topics of some set, and what they hold of it.
struct Class {
    readers: Vec<usize>,
    /// By place in `readers`.
    held: Vec<Vec<(TopicId, i32)>>,
    free: Vec<(TopicId, i32)>,
}

pub(super) fn assign(
    subscribers: &[Subscriber<'_>],
    topics: &BTreeMap<TopicId, i32>,
) -> Vec<Assignment> {
    let classes = classes(subscribers, topics);
    let mut loads = vec![0_usize; subscribers.len()];
    let mut classes: Vec<Class> = classes
        .into_iter()
        .map(|(readers, topics)| Class::keep(subscribers, readers, &topics, &mut loads))
        .collect();
    classes.sort_by_key(|class| class.readers.len());
    for class in &mut classes {
        class.fill(&mut loads);
    }
    for _ in 0..ROUNDS_MAX {
        let moves = classes.iter_mut().map(|class| class.even_out(&mut loads));
        if moves.sum::<usize>() == 0 || classes.len() == 1 {
            break;
        }
    }
    let mut assigned = vec![Assignment::new(); subscribers.len()];
    for class in classes {
        for (reader, held) in class.readers.iter().zip(class.held) {
            for (topic, index) in held {
                assigned[*reader].entry(topic).or_default().push(index);
            }
        }
    }
    for assignment in &mut assigned {
        for partitions in assignment.values_mut() {
            partitions.sort_unstable();
        }
    }
    assigned
}

impl Class {
    /// Everybody keeps what it had, and nobody what another has.
    fn keep(
        subscribers: &[Subscriber<'_>],
        readers: Vec<usize>,
        topics: &[(TopicId, i32)],
        loads: &mut [usize],
    ) -> Self {
        let mut free: BTreeMap<TopicId, BTreeSet<i32>> = topics
            .iter()
            .map(|(topic, count)| (*topic, (0..*count).collect()))
            .collect();
        let mut held = vec![Vec::new(); readers.len()];
        for (reader, held) in readers.iter().zip(&mut held) {
            for (topic, partitions) in subscribers[*reader].held {
                let Some(free) = free.get_mut(topic) else {
                    continue;
                };
                let kept = partitions.iter().filter(|index| free.remove(index));
                held.extend(kept.map(|index| (*topic, *index)));
            }
            loads[*reader] += held.len();
        }
        let free = free.into_iter();
        let free = free.flat_map(|(topic, left)| left.into_iter().map(move |index| (topic, index)));
        Self {
            readers,
            held,
            free: free.collect(),
        }
    }

    /// Readers by load, then by number.
    fn by_load(&self, loads: &[usize]) -> BTreeSet<(usize, usize)> {
        let places = 0..self.readers.len();
        places
            .map(|place| (loads[self.readers[place]], place))
            .collect()
    }

    /// Who has least gets what has no holder.
    fn fill(&mut self, loads: &mut [usize]) {
        let mut order = self.by_load(loads);
        for partition in std::mem::take(&mut self.free) {
            let Some((load, place)) = order.pop_first() else {
                return;
            };
            self.held[place].push(partition);
            loads[self.readers[place]] += 1;
            order.insert((load + 1, place));
        }
    }

    /// Who has most hands over to who has least, as long as that helps. How often it did.
    fn even_out(&mut self, loads: &mut [usize]) -> usize {
        let mut takers = self.by_load(loads);
        let mut givers = takers.clone();
        givers.retain(|(_, place)| !self.held[*place].is_empty());
        let mut moves = 0;
        while let (Some((most, giver)), Some((least, taker))) =
            (givers.last().copied(), takers.first().copied())
        {
            if most < least + 2 {
                break;
            }
            let Some(partition) = self.held[giver].pop() else {
                givers.remove(&(most, giver));
                continue;
            };
            self.held[taker].push(partition);
            loads[self.readers[giver]] -= 1;
            loads[self.readers[taker]] += 1;
            givers.remove(&(most, giver));
            givers.remove(&(least, taker));
            takers.remove(&(most, giver));
            takers.remove(&(least, taker));
            takers.insert((most - 1, giver));
            takers.insert((least + 1, taker));
            givers.insert((least + 1, taker));
            if !self.held[giver].is_empty() {
                givers.insert((most - 1, giver));
            }
            moves += 1;
        }
        moves
    }
}

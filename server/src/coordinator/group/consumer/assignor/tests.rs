use std::collections::BTreeMap;

use proptest::prelude::{Strategy, prop, proptest};
use uuid::Uuid;

use super::*;

fn id(topic: u128) -> TopicId {
    Uuid::from_u128(topic)
}

/// What a member reads and held.
type Reader = (BTreeSet<TopicId>, Assignment);

fn assign(
    assignor: Assignor,
    readers: &[Reader],
    topics: &BTreeMap<TopicId, i32>,
) -> Vec<Assignment> {
    let ids: Vec<String> = (0..readers.len())
        .map(|number| format!("{number:03}"))
        .collect();
    let subscribers: Vec<Subscriber<'_>> = readers
        .iter()
        .zip(&ids)
        .map(|((reads, held), id)| Subscriber {
            id,
            instance: None,
            topics: Arc::new(reads.clone()),
            held,
        })
        .collect();
    assignor.assign(&subscribers, topics)
}

fn sizes(assigned: &[Assignment]) -> Vec<usize> {
    let size = |assignment: &Assignment| assignment.values().map(Vec::len).sum();
    assigned.iter().map(size).collect()
}

/// Each partition that is read has one holder, who reads it.
fn check_whole(readers: &[Reader], topics: &BTreeMap<TopicId, i32>, assigned: &[Assignment]) {
    let mut seen = BTreeSet::new();
    for ((reads, _), assignment) in readers.iter().zip(assigned) {
        for (topic, partitions) in assignment {
            assert!(reads.contains(topic), "it reads {topic}");
            assert!(!partitions.is_empty() && partitions.is_sorted());
            for index in partitions {
                assert!(
                    seen.insert((*topic, *index)),
                    "{topic}-{index} has two holders"
                );
            }
        }
    }
    for (topic, count) in topics {
        if readers.iter().any(|(reads, _)| reads.contains(topic)) {
            for index in 0..*count {
                assert!(
                    seen.contains(&(*topic, index)),
                    "{topic}-{index} has no holder"
                );
            }
        }
    }
}

/// Nobody could hand one partition to somebody with two fewer.
fn check_even(readers: &[Reader], assigned: &[Assignment]) {
    let sizes = sizes(assigned);
    for (from, assignment) in assigned.iter().enumerate() {
        for topic in assignment.keys() {
            for (to, (reads, _)) in readers.iter().enumerate() {
                let helps = reads.contains(topic) && sizes[from] >= sizes[to] + 2;
                assert!(!helps, "{from} could give {topic} to {to}: {sizes:?}");
            }
        }
    }
}

fn kept(before: &[Assignment], after: &[Assignment]) -> usize {
    let pairs = before.iter().zip(after);
    pairs
        .flat_map(|(before, after)| {
            before.iter().map(move |(topic, partitions)| {
                let now = after.get(topic);
                let stays = |index: &&i32| now.is_some_and(|now| now.contains(index));
                partitions.iter().filter(stays).count()
            })
        })
        .sum()
}

fn alike(held: Vec<Assignment>, topics: &BTreeMap<TopicId, i32>) -> Vec<Reader> {
    let reads: BTreeSet<TopicId> = topics.keys().copied().collect();
    held.into_iter().map(|held| (reads.clone(), held)).collect()
}

#[test]
fn h_6_a_newcomer_takes_its_part_and_nothing_else_moves() {
    let topics = BTreeMap::from([(id(1), 12)]);
    let before = assign(
        Assignor::Uniform,
        &alike(vec![Assignment::new(); 3], &topics),
        &topics,
    );
    assert_eq!(sizes(&before), [4, 4, 4]);
    let mut held = before.clone();
    held.push(Assignment::new());
    let after = assign(Assignor::Uniform, &alike(held, &topics), &topics);
    assert_eq!(sizes(&after), [3, 3, 3, 3]);
    assert_eq!(kept(&before, &after), 9);
}

#[test]
fn h_6_who_reads_less_is_given_less_and_the_others_make_up_for_it() {
    let topics = BTreeMap::from([(id(1), 4), (id(2), 2)]);
    let readers = [
        (BTreeSet::from([id(1), id(2)]), Assignment::new()),
        (BTreeSet::from([id(2)]), Assignment::new()),
        (BTreeSet::from([id(1)]), Assignment::new()),
    ];
    let assigned = assign(Assignor::Uniform, &readers, &topics);
    check_whole(&readers, &topics, &assigned);
    assert_eq!(sizes(&assigned), [2, 2, 2]);
}

#[test]
fn h_6_range_cuts_topics_alike_and_puts_static_members_first() {
    let topics = BTreeMap::from([(id(1), 5), (id(2), 5)]);
    let none = Assignment::new();
    let reads = Arc::new(topics.keys().copied().collect());
    let member = |id, instance| Subscriber {
        id,
        instance,
        topics: Arc::clone(&reads),
        held: &none,
    };
    let subscribers = [member("a", None), member("z", Some("i"))];
    let assigned = Assignor::Range.assign(&subscribers, &topics);
    for topic in topics.keys() {
        assert_eq!(assigned[1][topic], [0, 1, 2]);
        assert_eq!(assigned[0][topic], [3, 4]);
    }
}

#[test]
fn h_6_names_are_kafkas() {
    for assignor in [Assignor::Uniform, Assignor::Range] {
        assert_eq!(Assignor::named(assignor.name()), Some(assignor));
    }
    assert_eq!(Assignor::named("sticky"), None);
}

fn held() -> impl Strategy<Value = Assignment> {
    let indexes = prop::collection::btree_set(0..8_i32, 1..8);
    let topics = prop::collection::btree_map((1..5_u128).prop_map(id), indexes, 0..4);
    topics.prop_map(|topics| {
        let topics = topics.into_iter();
        topics
            .map(|(id, indexes)| (id, indexes.into_iter().collect()))
            .collect()
    })
}

fn reader() -> impl Strategy<Value = Reader> {
    let reads = prop::collection::btree_set((1..5_u128).prop_map(id), 0..4);
    (reads, held())
}

proptest! {
    #[test]
    fn h_6_any_past_leads_to_one_holder_each_balance_and_rest(
        mut readers in prop::collection::vec(reader(), 1..10),
        topics in prop::collection::btree_map((1..5_u128).prop_map(id), 1..7_i32, 0..5),
    ) {
        for assignor in [Assignor::Uniform, Assignor::Range] {
            for (reads, _) in &mut readers {
                reads.retain(|topic| topics.contains_key(topic));
            }
            let assigned = assign(assignor, &readers, &topics);
            check_whole(&readers, &topics, &assigned);
            if assignor == Assignor::Uniform {
                check_even(&readers, &assigned);
            }
            let reads = readers.iter().map(|(reads, _)| reads.clone());
            let again: Vec<Reader> = reads.zip(assigned.clone()).collect();
            assert_eq!(assign(assignor, &again, &topics), assigned, "nothing moves for nothing");
        }
    }

    #[test]
    fn h_6_who_read_the_same_keep_all_that_balance_lets_them(
        sizes_before in prop::collection::vec(0..8_usize, 1..10),
        fresh in 0..6_i32,
    ) {
        let mut next = 0..;
        let held: Vec<Assignment> = sizes_before
            .iter()
            .map(|size| match size {
                0 => Assignment::new(),
                size => BTreeMap::from([(id(1), next.by_ref().take(*size).collect())]),
            })
            .collect();
        let total = next.start + fresh;
        let topics = BTreeMap::from([(id(1), total)]);
        let readers = alike(held.clone(), &topics);
        let assigned = assign(Assignor::Uniform, &readers, &topics);
        check_whole(&readers, &topics, &assigned);
        check_even(&readers, &assigned);
        // Each keeps its quota: the larger ones go to who had most.
        let members = sizes_before.len();
        let (least, odd) = (total as usize / members, total as usize % members);
        let mut sorted = sizes_before.clone();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        let may: usize = sorted
            .iter()
            .enumerate()
            .map(|(place, size)| *size.min(&(least + usize::from(place < odd))))
            .sum();
        assert_eq!(kept(&held, &assigned), may);
    }
}

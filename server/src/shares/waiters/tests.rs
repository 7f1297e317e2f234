use std::collections::BTreeSet;
use std::task::{Context, Waker};
use std::{future::Future, pin::pin};

use proptest::prelude::*;
use ratel_storage::{PartitionId, TopicId};

use super::*;

fn key() -> QueueKey {
    QueueKey {
        group: "g".into(),
        partition: PartitionId {
            topic: TopicId::from_u128(1),
            index: 0,
        },
    }
}

fn take(notify: &Notify) -> bool {
    let notified = pin!(notify.notified());
    let mut cx = Context::from_waker(Waker::noop());
    notified.poll(&mut cx).is_ready()
}

/// Where a fetch is in its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asleep,
    /// It has begun to look, and has not asked yet.
    Looking,
    /// It has asked, and was given something.
    Found,
    /// It has asked, and there was nothing.
    Nothing,
    /// It does not ask: too little for it.
    Declined,
}

struct Fetch {
    waiter: Waiter,
    notify: Arc<Notify>,
    watches_log: bool,
    /// Wants more than there ever is.
    is_picky: bool,
    phase: Phase,
}

/// A queue of records that lie in no order, and those who wait for it.
#[derive(Default)]
struct World {
    waiters: Arc<Waiters>,
    ready: usize,
    fetches: Vec<Fetch>,
    looks: usize,
    /// The places of those who found something, in the order of their asking.
    served: Vec<u64>,
}

impl World {
    fn join(&mut self, is_picky: bool) {
        let notify = Arc::new(Notify::new());
        let waiter = self.waiters.wait(key(), notify.clone());
        // As if it had been called: it looks before it sleeps.
        notify.notify_one();
        self.fetches.push(Fetch {
            waiter,
            notify,
            watches_log: false,
            is_picky,
            phase: Phase::Asleep,
        });
    }

    /// Records come back.
    fn release(&mut self, records: usize) {
        self.ready += records;
        self.waiters.wake(&key());
    }

    /// The log grows.
    fn append(&mut self, records: usize) {
        self.ready += records;
        for fetch in &mut self.fetches {
            if std::mem::take(&mut fetch.watches_log) {
                fetch.notify.notify_one();
            }
        }
    }

    /// One step of one fetch. Whether there was one to make.
    fn step(&mut self, at: usize, most: usize) -> bool {
        let Some(fetch) = self.fetches.get_mut(at) else {
            return false;
        };
        fetch.phase = match fetch.phase {
            Phase::Asleep if !take(&fetch.notify) => return false,
            Phase::Asleep => {
                fetch.watches_log = fetch.waiter.look();
                Phase::Looking
            }
            Phase::Looking if fetch.is_picky => Phase::Declined,
            Phase::Looking => {
                self.looks += 1;
                let found = self.ready.min(most);
                self.ready -= found;
                match found {
                    0 => Phase::Nothing,
                    _ => Phase::Found,
                }
            }
            Phase::Nothing => {
                fetch.waiter.found_nothing();
                fetch.waiter.pass_on();
                Phase::Asleep
            }
            Phase::Declined => {
                fetch.waiter.pass_on();
                Phase::Asleep
            }
            Phase::Found => {
                let served = self.fetches.remove(at);
                self.served.push(served.waiter.number);
                return true;
            }
        };
        true
    }

    /// A wait ends, or its client is gone.
    fn end(&mut self, at: usize) {
        if at < self.fetches.len() {
            self.fetches.remove(at);
        }
    }

    /// Let all go on until nobody can.
    fn settle(&mut self, most: usize) {
        while (0..self.fetches.len()).any(|at| self.step(at, most)) {}
    }

    fn assert_nobody_sleeps_beside_records(&self) {
        let waiting = self.fetches.iter().filter(|fetch| !fetch.is_picky).count();
        assert!(
            self.ready == 0 || waiting == 0,
            "{} records are ready and {waiting} fetches sleep",
            self.ready
        );
    }
}

fn sleeping(count: usize) -> World {
    let mut world = World::default();
    for _ in 0..count {
        world.join(false);
    }
    world.settle(1);
    world.looks = 0;
    world
}

#[test]
fn one_record_has_few_look_however_many_wait() {
    for wake in [World::release, World::append] {
        let mut world = sleeping(64);
        wake(&mut world, 1);
        world.settle(1);
        assert_eq!((world.served.len(), world.fetches.len()), (1, 63));
        assert!(world.looks <= 1 + CALLS + 1, "{} looked", world.looks);
    }
}

#[test]
fn the_looks_grow_with_the_records() {
    let mut world = sleeping(64);
    world.release(20);
    world.settle(1);
    assert_eq!(world.served.len(), 20);
    assert!(world.looks <= 20 * (1 + CALLS), "{} looked", world.looks);
}

#[test]
fn who_waits_longest_is_served_first() {
    let mut world = sleeping(10);
    for _ in 0..10 {
        world.release(1);
        world.settle(1);
    }
    assert_eq!(world.served, (0..10).collect::<Vec<_>>());
}

#[test]
fn one_who_finds_nothing_keeps_its_place() {
    let mut world = sleeping(3);
    world.waiters.wake(&key());
    world.settle(1);
    assert_eq!((world.looks, world.served.len()), (1, 0));
    world.release(1);
    world.settle(1);
    assert_eq!(world.served, [0]);
}

#[test]
fn many_records_are_handed_out_in_few_rounds() {
    let mut world = sleeping(64);
    world.release(64);
    let mut rounds = 0;
    while !world.fetches.is_empty() {
        // All who can go on take their steps at the same time.
        let called: BTreeSet<u64> = world
            .fetches
            .iter()
            .filter(|fetch| take(&fetch.notify))
            .map(|fetch| fetch.waiter.number)
            .collect();
        assert!(!called.is_empty(), "nobody is called any more");
        for number in called {
            let at = |fetch: &Fetch| fetch.waiter.number == number;
            let at = world.fetches.iter().position(at).expect("it is there");
            world.fetches[at].notify.notify_one();
            while world.fetches.get(at).map(|fetch| fetch.waiter.number) == Some(number) {
                assert!(world.step(at, 1));
            }
        }
        rounds += 1;
    }
    assert!(rounds <= 8, "{rounds} rounds");
}

#[test]
fn places_are_given_up() {
    let mut world = sleeping(3);
    assert_eq!(world.waiters.len(), 3);
    world.fetches.clear();
    assert!(world.waiters.is_empty());
}

#[derive(Debug, Clone)]
enum Act {
    Join { is_picky: bool },
    Release(usize),
    Append(usize),
    Step(usize),
    End(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..8).prop_map(|dice| Act::Join { is_picky: dice == 0 }),
        1 => (0_usize..4).prop_map(Act::Release),
        1 => (1_usize..4).prop_map(Act::Append),
        16 => (0_usize..64).prop_map(Act::Step),
        1 => (0_usize..64).prop_map(Act::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_wake_up_is_lost(
        acts in proptest::collection::vec(act(), 1..200),
        most in 1_usize..3,
        ends in proptest::collection::vec(0_usize..64, 0..8),
    ) {
        let mut world = World::default();
        for act in acts {
            let count = world.fetches.len().max(1);
            match act {
                Act::Join { is_picky } => world.join(is_picky),
                Act::Release(records) => world.release(records),
                Act::Append(records) => world.append(records),
                Act::Step(at) => drop(world.step(at % count, most)),
                Act::End(at) => world.end(at % count),
            }
        }
        world.settle(most);
        world.assert_nobody_sleeps_beside_records();
        // The log is still watched, whoever of them leaves.
        for at in ends {
            let count = world.fetches.len().max(1);
            world.end(at % count);
            world.append(1);
            world.settle(most);
            world.assert_nobody_sleeps_beside_records();
        }
        world.fetches.clear();
        prop_assert!(world.waiters.is_empty());
    }
}

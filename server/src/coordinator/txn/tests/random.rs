//! The machine against what must hold whatever happens: at most one open transaction for an id,
//! what a client was told is so after any restart, every transaction that was to end ends, and as
//! it was told.

use std::collections::VecDeque;

use proptest::prelude::*;
use ratel_protocol::ErrorCode;

use super::bench::{Bench, part};
use crate::coordinator::txn::{ProducerId, Status};

#[derive(Debug, Clone)]
enum Step {
    Init { client: usize, names_itself: bool },
    Add { client: usize, index: i32 },
    End { client: usize, commit: bool },
    Markers,
    MarkersFail,
    Restart,
    Pass { ms: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..3_usize;
    prop_oneof![
        2 => (client.clone(), any::<bool>())
            .prop_map(|(client, names_itself)| Step::Init { client, names_itself }),
        6 => (client.clone(), 0..3).prop_map(|(client, index)| Step::Add { client, index }),
        4 => (client, any::<bool>()).prop_map(|(client, commit)| Step::End { client, commit }),
        4 => Just(Step::Markers),
        1 => Just(Step::MarkersFail),
        1 => Just(Step::Restart),
        1 => (0..40_000_i64).prop_map(|ms| Step::Pass { ms }),
    ]
}

/// A client of the one transactional id, as it sees itself.
#[derive(Default, Clone)]
struct Client {
    producer: Option<ProducerId>,
    added: Vec<i32>,
}

struct World {
    bench: Bench,
    clients: Vec<Client>,
    /// Who holds the id: the last to begin with it. Nobody after a timeout.
    holder: Option<usize>,
    /// The end that a client was told of, and the partitions it is for.
    owed: Option<(bool, Vec<i32>)>,
    /// Who waits for markers, in the order of the answers, and with which partition.
    waiting: VecDeque<(usize, i32)>,
}

/// Two of the clients know epochs, one does not (T-17).
fn version(client: usize) -> i16 {
    if client == 0 { 0 } else { 2 }
}

impl World {
    fn new() -> Self {
        Self {
            bench: Bench::new(),
            clients: vec![Client::default(); 3],
            holder: None,
            owed: None,
            waiting: VecDeque::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Init {
                client,
                names_itself,
            } => self.init(client, names_itself),
            Step::Add { client, index } => self.add(client, index),
            Step::End { client, commit } => self.end(client, commit),
            Step::Markers => self.markers(),
            Step::MarkersFail => self.markers_fail(),
            Step::Restart => {
                self.bench.restart();
                self.waiting.clear();
            }
            Step::Pass { ms } => {
                self.bench.advance(ms);
                if self.bench.status_of("t") == Some(Status::PrepareAbort) && self.owed.is_none() {
                    self.holder = None;
                }
            }
        }
        assert_eq!(
            self.bench.logged(),
            self.bench.state(),
            "the log says what is so"
        );
        for (_, outcome) in std::mem::take(&mut self.bench.late) {
            let (client, index) = self.waiting.pop_front().expect("one who waits");
            if outcome.is_ok() {
                self.added(client, index);
            }
        }
    }

    fn added(&mut self, client: usize, index: i32) {
        assert_eq!(self.holder, Some(client), "who was fenced adds nothing");
        self.clients[client].added.push(index);
    }

    fn init(&mut self, client: usize, names_itself: bool) {
        let expected = self.clients[client].producer.filter(|_| names_itself);
        match self.bench.init_as("t", expected) {
            Ok(producer) => {
                let others = self
                    .clients
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| *at != client);
                for (_, other) in others {
                    assert_ne!(other.producer, Some(producer), "a producer of two clients");
                }
                self.clients[client] = Client {
                    producer: Some(producer),
                    added: Vec::new(),
                };
                self.holder = Some(client);
            }
            Err(ErrorCode::ConcurrentTransactions) => {
                if self.owed.is_none() {
                    self.holder = None;
                }
            }
            Err(code) => assert_eq!(code, ErrorCode::ProducerFenced),
        }
    }

    fn add(&mut self, client: usize, index: i32) {
        let Some(producer) = self.clients[client].producer else {
            return;
        };
        let event = self
            .bench
            .add_event("t", producer, &[part("a", index)], version(client));
        let answer = self
            .bench
            .ask_when(crate::coordinator::txn::Event::Add(event));
        match answer {
            Some((Ok(_), _)) => self.added(client, index),
            Some((Err(_), _)) => {}
            None => self.waiting.push_back((client, index)),
        }
    }

    fn end(&mut self, client: usize, commit: bool) {
        let Some(producer) = self.clients[client].producer else {
            return;
        };
        let was = self.bench.status_of("t");
        let Ok(next) = self.bench.end("t", producer, commit, version(client)) else {
            return;
        };
        if was == Some(Status::Ongoing) {
            assert_eq!(self.holder, Some(client), "who was fenced ends nothing");
            let mut added = std::mem::take(&mut self.clients[client].added);
            added.sort_unstable();
            added.dedup();
            self.owed = Some((commit, added));
        } else if next != producer {
            // It heard of an abort that was not its own, and goes on until somebody else begins
            // (T-9): Kafka lets it, too.
            assert!(self.holder.is_none_or(|holder| holder == client));
            self.holder = Some(client);
        }
        self.clients[client].added.clear();
        self.clients[client].producer = Some(next);
    }

    fn markers_fail(&mut self) {
        for asked in self.bench.markers() {
            let parts = asked.partitions.iter();
            let parts = parts.flat_map(|(topic, all)| all.iter().map(|index| part(topic, *index)));
            self.bench.tell_markers(&asked, &parts.collect::<Vec<_>>());
        }
    }

    fn markers(&mut self) {
        // After a restart they are asked for again, so any number of them may be there.
        for markers in self.bench.write_markers() {
            if let Some((commit, added)) = self.owed.take() {
                assert_eq!(markers.commit, commit, "it ends as was told");
                let indexes = markers.partitions["a"].iter().copied();
                assert_eq!(indexes.collect::<Vec<_>>(), added);
            } else {
                assert!(!markers.commit, "nobody asked for a commit");
            }
            let after = [Status::completed(markers.commit), Status::Ongoing];
            assert!(after.contains(&self.bench.status("t")), "it has ended");
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        // Nothing hangs: after the last markers a new producer can begin.
        world.bench.restart();
        world.waiting.clear();
        world.markers();
        let _ = world.bench.init("t");
        world.markers();
        prop_assert!(world.bench.init("t").is_ok());
    }
}

//! Random transactions against a model that keeps every commit in a list (T-14, O-6).

use proptest::prelude::{Just, Strategy, prop, prop_oneof, proptest};
use ratel_protocol::ErrorCode;
use ratel_storage::{Outcome as End, Producer};

use super::bench::{Bench, COMMITTED, commit_with};
use super::transactions::{bench, marker, pending};
use crate::coordinator::group::{DeleteOffsets, Event, Fetch, Reply};

#[derive(Debug, Clone)]
enum Step {
    /// Producer, partition, offset.
    Within(i64, i32, i64),
    /// Partition, offset.
    Outside(i32, i64),
    End(i64, End),
    Delete(i32),
    DeleteGroup,
    Restart,
    Snapshot,
}

fn step() -> impl Strategy<Value = Step> {
    let (producer, partition, offset) = (0..3_i64, 0..2_i32, 0..1000_i64);
    let end = prop_oneof![Just(End::Commit), Just(End::Abort)];
    prop_oneof![
        6 => (producer.clone(), partition.clone(), offset.clone())
            .prop_map(|(producer, partition, offset)| Step::Within(producer, partition, offset)),
        3 => (partition.clone(), offset)
            .prop_map(|(partition, offset)| Step::Outside(partition, offset)),
        4 => (producer, end).prop_map(|(producer, end)| Step::End(producer, end)),
        1 => partition.prop_map(Step::Delete),
        1 => Just(Step::DeleteGroup),
        1 => Just(Step::Restart),
        2 => Just(Step::Snapshot),
    ]
}

/// All commits that are not settled away, oldest first: partition, whose, offset.
#[derive(Default)]
struct Model(Vec<(i32, Option<i64>, i64)>);

impl Model {
    fn within(&mut self, producer: i64, partition: i32, offset: i64) {
        // A producer has one offset for a partition: its last.
        self.0
            .retain(|it| (it.0, it.1) != (partition, Some(producer)));
        self.0.push((partition, Some(producer), offset));
    }

    fn end(&mut self, producer: i64, end: End) {
        if end == End::Abort {
            self.0.retain(|it| it.1 != Some(producer));
        }
        for it in &mut self.0 {
            it.1 = it.1.filter(|of| *of != producer);
        }
    }

    fn committed(&self, partition: i32) -> Option<i64> {
        let settled = self.0.iter().rev();
        settled
            .filter(|it| it.0 == partition && it.1.is_none())
            .map(|it| it.2)
            .next()
    }

    fn is_unstable(&self, partition: i32) -> bool {
        self.0.iter().any(|it| it.0 == partition && it.1.is_some())
    }
}

fn seen(bench: &mut Bench, require_stable: bool) -> Vec<Result<Option<i64>, ErrorCode>> {
    let fetch = Fetch {
        group: "g".into(),
        member: None,
        member_epoch: -1,
        topics: Some(vec![("t".into(), vec![0, 1])]),
        require_stable,
    };
    let Ok(Reply::Fetched(topics)) = bench.ask(Event::Fetch(fetch)) else {
        panic!("no offsets");
    };
    let partitions = topics[0].partitions.iter();
    partitions
        .map(|(_, found)| found.clone().map(|found| found.map(|found| found.offset)))
        .collect()
}

fn outside(partition: i32, offset: i64) -> Event {
    commit_with("", -1, offset, |commit| {
        commit.offsets[0].partition = partition;
    })
}

fn play(bench: &mut Bench, model: &mut Model, step: Step) {
    let producer = |id| Producer { id, epoch: 0 };
    match step {
        Step::Within(id, partition, offset) => {
            let outcome = pending(bench, producer(id), outside(partition, offset));
            assert_eq!(outcome, COMMITTED());
            model.within(id, partition, offset);
        }
        Step::Outside(partition, offset) => {
            assert_eq!(bench.ask(outside(partition, offset)), COMMITTED());
            model.0.push((partition, None, offset));
        }
        Step::End(id, end) => {
            assert_eq!(bench.ask(marker(producer(id), end)), Ok(Reply::Done));
            model.end(id, end);
        }
        Step::Delete(partition) => {
            let event = DeleteOffsets {
                group: "g".into(),
                offsets: vec![("t".into(), partition)],
            };
            if bench.ask(Event::DeleteOffsets(event)).is_ok() {
                model.0.retain(|it| it.0 != partition);
            }
        }
        Step::DeleteGroup => {
            if bench.ask(Event::DeleteGroup("g".into())).is_ok() {
                model.0.clear();
            }
        }
        Step::Restart => bench.restart(),
        Step::Snapshot => {
            bench.log = bench.snapshot();
            bench.restart();
        }
    }
}

proptest! {
    #[test]
    fn t_14_random_transactions_end_as_the_model_says(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (mut bench, mut model) = (bench(), Model::default());
        for step in steps {
            play(&mut bench, &mut model, step);
            let committed = [0, 1].map(|partition| Ok(model.committed(partition)));
            assert_eq!(seen(&mut bench, false), committed);
            let stable = [0, 1].map(|partition| match model.is_unstable(partition) {
                true => Err(ErrorCode::UnstableOffsetCommit),
                false => Ok(model.committed(partition)),
            });
            assert_eq!(seen(&mut bench, true), stable);
            assert_eq!(bench.state() == "Dead", model.0.is_empty(), "what keeps a group");
        }
    }
}

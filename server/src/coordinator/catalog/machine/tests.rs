use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use ratel_storage::Offset;

use super::super::alter::Op;
use super::*;
use crate::config::Config;
use crate::coordinator::When;

/// A machine and the effects of what happens to it.
struct Bench {
    machine: CatalogMachine,
    records: Vec<CatalogRecord>,
}

type Replies = Vec<(Ticket, Result<Reply, ErrorCode>, When)>;

impl Bench {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self {
            machine: CatalogMachine::new(BrokerConfigs::new(Arc::new(config))),
            records: Vec::new(),
        }
    }

    /// What an event leads to.
    fn handle(&mut self, event: Event) -> (Vec<CatalogRecord>, Reply, Vec<Action>) {
        let next = Applied {
            offset: Offset::ZERO,
            timestamp_ms: 0,
        };
        let mut out = Effects::new(next);
        self.machine
            .handle(Timestamp::default(), Ticket(4), event, &mut out);
        let mut replies: Replies = out.replies;
        let (ticket, reply, when) = replies.pop().unwrap();
        assert_eq!((ticket, when, replies.len()), (Ticket(4), When::Durable, 0));
        self.records.extend(out.records.iter().cloned());
        (out.records, reply.unwrap(), out.actions)
    }

    fn create(&mut self, topics: Vec<NewTopic>) -> Vec<Result<Arc<Topic>, (ErrorCode, String)>> {
        let (_, reply, _) = self.handle(Event::Create {
            topics,
            validate_only: false,
        });
        outcomes(reply)
    }

    /// The refusal of the one topic.
    fn refusal(&mut self, new: NewTopic) -> (ErrorCode, String) {
        self.create(vec![new]).pop().unwrap().unwrap_err()
    }
}

fn outcomes(reply: Reply) -> Vec<Result<Arc<Topic>, (ErrorCode, String)>> {
    let Reply::Topics(topics) = reply else {
        panic!("{reply:?}");
    };
    topics
        .into_iter()
        .map(|topic| topic.map_err(plain))
        .collect()
}

fn plain(refusal: Refusal) -> (ErrorCode, String) {
    (
        refusal.code,
        refusal
            .message
            .map(|message| message.to_string())
            .unwrap_or_default(),
    )
}

fn altered(reply: Reply) -> Result<(), (ErrorCode, String)> {
    let Reply::Altered(outcome) = reply else {
        panic!("{reply:?}");
    };
    outcome.map_err(plain)
}

fn id(n: u128) -> TopicId {
    TopicId::from_u128(n)
}

fn new(name: &str, n: u128, partitions: i32) -> NewTopic {
    NewTopic {
        name: name.into(),
        id: id(n),
        partitions,
        configs: BTreeMap::new(),
        internal: false,
    }
}

fn record(name: &str, n: u128, partitions: i32) -> TopicRecord {
    TopicRecord {
        id: id(n),
        name: name.into(),
        partitions,
        internal: false,
        configs: BTreeMap::new(),
    }
}

fn each(changes: &[(&str, Op, Option<&str>)]) -> Changes {
    let changes = changes.iter();
    Changes::Each(
        changes
            .map(|(name, op, value)| ((*name).into(), *op, value.map(Into::into)))
            .collect(),
    )
}

fn alter(n: u128, changes: Changes) -> Event {
    Event::AlterTopic {
        id: id(n),
        changes,
        validate_only: false,
    }
}

#[test]
fn a_1_a_topic_is_written_down_and_published() {
    let mut bench = Bench::new();
    let topics = vec![new("a", 1, 3), new("a.b", 2, 1)];
    let (records, reply, actions) = bench.handle(Event::Create {
        topics,
        validate_only: false,
    });
    let expected = [("a", 1, 3), ("a.b", 2, 1)].map(|(name, n, p)| record(name, n, p));
    assert_eq!(records, expected.map(CatalogRecord::Topic));
    let made: Vec<_> = outcomes(reply)
        .into_iter()
        .map(|topic| topic.unwrap().name.clone())
        .collect();
    assert_eq!(made, ["a".into(), "a.b".into()]);
    let published: Vec<_> = actions
        .iter()
        .map(|action| match action {
            Action::Publish(topic) => (&*topic.name, topic.partitions),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(published, [("a", 3), ("a.b", 1)]);
}

#[test]
fn a_1_names_that_exist_collide_or_cannot_be_are_refused() {
    let mut bench = Bench::new();
    bench.create(vec![new("a.b_c", 1, 1)])[0].as_ref().unwrap();
    let exists = (
        ErrorCode::TopicAlreadyExists,
        "Topic 'a.b_c' already exists.".to_owned(),
    );
    assert_eq!(bench.refusal(new("a.b_c", 2, 1)), exists);
    for collides in ["a_b_c", "a.b.c", "a_b.c"] {
        let (code, message) = bench.refusal(new(collides, 2, 1));
        assert_eq!(code, ErrorCode::InvalidTopicException);
        assert!(message.contains("collides with 'a.b_c'"), "{message}");
    }
    assert!(bench.create(vec![new("a-b-c", 2, 1)])[0].is_ok());
    for bad in ["", ".", "..", "a b", "ä", "a/b", &"a".repeat(250)] {
        assert_eq!(
            bench.refusal(new(bad, 3, 1)).0,
            ErrorCode::InvalidTopicException,
            "{bad}"
        );
    }
    assert!(bench.create(vec![new(&"a".repeat(249), 3, 1)])[0].is_ok());
    // Two of one request are as two requests.
    let both = bench.create(vec![new("twice", 5, 1), new("twice", 6, 1)]);
    assert_eq!(
        both[1].as_ref().unwrap_err().0,
        ErrorCode::TopicAlreadyExists
    );
    // A name is free again once its topic is gone.
    bench.handle(Event::Delete { ids: vec![id(1)] });
    assert!(bench.create(vec![new("a_b_c", 7, 1)])[0].is_ok());
}

#[test]
fn a_1_limits_of_topics_and_partitions_hold_at_the_limit_and_one_past_it() {
    let config = Config {
        topics_max: 2,
        partitions_max: 5,
        ..Config::default()
    };
    let mut bench = Bench::with(config);
    let none = (
        ErrorCode::InvalidPartitions,
        "0 partitions: a topic has at least one.".to_owned(),
    );
    assert_eq!(bench.refusal(new("none", 9, 0)), none);
    let above = |limit: &str| {
        let message = format!("This would be more than {limit} allows.");
        (ErrorCode::PolicyViolation, message)
    };
    assert_eq!(bench.refusal(new("a", 1, 6)), above("partitions.max=5"));
    assert!(bench.create(vec![new("a", 1, 2)])[0].is_ok());
    assert!(bench.create(vec![new("b", 2, 2)])[0].is_ok());
    assert_eq!(bench.refusal(new("c", 3, 1)), above("topics.max=2"));
    let grow = |n, count| Event::Grow {
        topics: vec![(id(n), count)],
        validate_only: false,
    };
    let reply = bench.handle(grow(1, 4)).1;
    assert_eq!(
        outcomes(reply).pop().unwrap().unwrap_err(),
        above("partitions.max=5")
    );
    let reply = bench.handle(grow(1, 3)).1;
    assert_eq!(outcomes(reply).pop().unwrap().unwrap().partitions, 3);
    bench.handle(Event::Delete { ids: vec![id(1)] });
    assert!(
        bench.create(vec![new("c", 3, 3)])[0].is_ok(),
        "what is gone counts no more"
    );
}

#[test]
fn validate_only_answers_as_if_and_writes_nothing() {
    let mut bench = Bench::new();
    let topics = vec![new("a", 1, 3)];
    let (records, reply, actions) = bench.handle(Event::Create {
        topics,
        validate_only: true,
    });
    assert_eq!(outcomes(reply).pop().unwrap().unwrap().partitions, 3);
    assert!(records.is_empty() && actions.is_empty());
    bench.create(vec![new("a", 1, 3)]);
    let grow = Event::Grow {
        topics: vec![(id(1), 4)],
        validate_only: true,
    };
    let changes = each(&[("retention.ms", Op::Set, Some("1"))]);
    let alter_topic = Event::AlterTopic {
        id: id(1),
        changes: changes.clone(),
        validate_only: true,
    };
    let changes = each(&[("log.retention.ms", Op::Set, Some("1"))]);
    let scope = BrokerScope::Cluster;
    let alter_broker = Event::AlterBroker {
        scope,
        changes,
        validate_only: true,
    };
    for event in [grow, alter_topic, alter_broker] {
        let (records, _, actions) = bench.handle(event);
        assert!(records.is_empty() && actions.is_empty());
    }
}

#[test]
fn a_2_a_deletion_is_written_down_before_files_go_and_forgotten_after() {
    let mut bench = Bench::new();
    bench.create(vec![new("a", 1, 3)]);
    let (records, _, actions) = bench.handle(Event::Delete { ids: vec![id(1)] });
    assert_eq!(
        records,
        [CatalogRecord::Deleted {
            id: id(1),
            partitions: 3
        }]
    );
    assert!(matches!(&actions[..], [Action::Retire(topic)] if topic.id == id(1)));
    let (records, _, _) = bench.handle(Event::FilesRemoved(id(1)));
    assert_eq!(records, [CatalogRecord::Forgotten { id: id(1) }]);
    let (records, _, _) = bench.handle(Event::FilesRemoved(id(1)));
    assert_eq!(records, [], "once is enough");
    let reply = bench.handle(Event::Delete { ids: vec![id(1)] }).1;
    assert_eq!(
        outcomes(reply)[0].as_ref().unwrap_err().0,
        ErrorCode::UnknownTopicId
    );
}

#[test]
fn the_servers_own_topics_are_neither_deleted_nor_grown() {
    let mut bench = Bench::new();
    let configs = [("cleanup.policy".to_owned(), "compact".to_owned())].into();
    let own = NewTopic {
        internal: true,
        configs,
        ..new("__consumer_offsets", 1, 50)
    };
    let made = bench.create(vec![own]).pop().unwrap().unwrap();
    assert!(made.internal && !made.settings.delete);
    let reply = bench.handle(Event::Delete { ids: vec![id(1)] }).1;
    assert_eq!(
        outcomes(reply)[0].as_ref().unwrap_err().0,
        ErrorCode::InvalidTopicException
    );
    let grow = Event::Grow {
        topics: vec![(id(1), 60)],
        validate_only: false,
    };
    let reply = bench.handle(grow).1;
    assert_eq!(
        outcomes(reply)[0].as_ref().unwrap_err().0,
        ErrorCode::InvalidTopicException
    );
    // Its other keys can be altered, though it has a value that nobody else may give.
    let reply = bench
        .handle(alter(
            1,
            each(&[("segment.bytes", Op::Set, Some("2000000"))]),
        ))
        .1;
    assert_eq!(altered(reply), Ok(()));
}

#[test]
fn a_3_the_number_of_partitions_only_grows() {
    let mut bench = Bench::new();
    bench.create(vec![new("a", 1, 3)]);
    for count in [-1, 0, 1, 3] {
        let grow = Event::Grow {
            topics: vec![(id(1), count)],
            validate_only: false,
        };
        let reply = bench.handle(grow).1;
        assert_eq!(
            outcomes(reply)[0].as_ref().unwrap_err().0,
            ErrorCode::InvalidPartitions
        );
    }
    let grow = Event::Grow {
        topics: vec![(id(1), 4)],
        validate_only: false,
    };
    let (records, _, actions) = bench.handle(grow);
    assert_eq!(records, [CatalogRecord::Topic(record("a", 1, 4))]);
    assert!(matches!(&actions[..], [Action::Publish(topic)] if topic.partitions == 4));
}

#[test]
fn a_5_each_operation_changes_one_key() {
    let mut bench = Bench::new();
    bench.create(vec![new("a", 1, 1)]);
    let replicas = "leader.replication.throttled.replicas";
    let mut now = |changes: &[(&str, Op, Option<&str>)]| {
        let (records, reply, _) = bench.handle(alter(1, each(changes)));
        assert_eq!(altered(reply), Ok(()));
        let configs = bench.machine.topics[&id(1)].configs.clone();
        (
            records.len(),
            configs
                .into_iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect::<Vec<_>>(),
        )
    };
    let set = [
        ("retention.ms", Op::Set, Some(" 5 ")),
        (replicas, Op::Append, Some("0:1,0:2")),
    ];
    let first = format!("{replicas}=0:1,0:2");
    assert_eq!(now(&set), (1, vec![first.clone(), "retention.ms=5".into()]));
    assert_eq!(
        now(&set),
        (0, vec![first, "retention.ms=5".into()]),
        "twice is once"
    );
    let subtract = [
        (replicas, Op::Subtract, Some("0:1")),
        ("retention.ms", Op::Delete, None),
    ];
    assert_eq!(now(&subtract), (1, vec![format!("{replicas}=0:2")]));
    let append = [("cleanup.policy", Op::Append, Some("delete"))];
    let expected = vec![
        "cleanup.policy=delete".to_owned(),
        format!("{replicas}=0:2"),
    ];
    assert_eq!(
        now(&append),
        (1, expected),
        "to the default, which has it already"
    );
}

#[test]
fn a_5_what_makes_no_sense_is_refused_whole() {
    let mut bench = Bench::new();
    bench.create(vec![new("a", 1, 1)]);
    let good = ("segment.ms", Op::Set, Some("7"));
    let cases = [
        (
            ("retention.ms", Op::Append, Some("5")),
            ErrorCode::InvalidConfig,
        ),
        (
            ("retention.ms", Op::Subtract, Some("5")),
            ErrorCode::InvalidConfig,
        ),
        (("retention.ms", Op::Set, None), ErrorCode::InvalidRequest),
        (
            ("retention.ms", Op::Set, Some("x")),
            ErrorCode::InvalidConfig,
        ),
        (
            ("segment.ms", Op::Set, Some("8")),
            ErrorCode::InvalidRequest,
        ),
        (("no.such", Op::Set, Some("8")), ErrorCode::InvalidConfig),
        (("no.such", Op::Delete, None), ErrorCode::InvalidConfig),
        (
            ("cleanup.policy", Op::Append, Some("shred")),
            ErrorCode::InvalidConfig,
        ),
        (
            ("cleanup.policy", Op::Append, Some("")),
            ErrorCode::InvalidConfig,
        ),
        (
            ("cleanup.policy", Op::Set, Some("delete,")),
            ErrorCode::InvalidConfig,
        ),
        (("no.such", Op::Set, None), ErrorCode::InvalidRequest),
    ];
    for (bad, code) in cases {
        let (records, reply, actions) = bench.handle(alter(1, each(&[good, bad])));
        assert_eq!(altered(reply).unwrap_err().0, code, "{bad:?}");
        assert!(records.is_empty() && actions.is_empty());
    }
    let reply = bench.handle(alter(2, each(&[good]))).1;
    assert_eq!(altered(reply).unwrap_err().0, ErrorCode::UnknownTopicId);
}

#[test]
fn a_6_what_is_not_named_goes_back_to_its_default() {
    let mut bench = Bench::new();
    bench.create(vec![new("a", 1, 1)]);
    let replace = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        Changes::Replace(pairs.map(|(k, v)| ((*k).into(), (*v).into())).collect())
    };
    bench.handle(alter(
        1,
        replace(&[("retention.ms", "1"), ("segment.ms", "2")]),
    ));
    let (_, reply, _) = bench.handle(alter(1, replace(&[("segment.ms", "3")])));
    assert_eq!(altered(reply), Ok(()));
    let topic = bench.machine.topics[&id(1)].clone();
    assert_eq!(
        topic.configs,
        [("segment.ms".to_owned(), "3".to_owned())].into()
    );
    assert_eq!(
        (topic.settings.segment_ms, topic.settings.retention_ms),
        (3, Some(604_800_000))
    );
    let scope = BrokerScope::Node(1);
    let broker = |changes| Event::AlterBroker {
        scope,
        changes,
        validate_only: false,
    };
    bench.handle(broker(replace(&[("log.retention.ms", "9")])));
    let (records, _, _) = bench.handle(broker(replace(&[("log.roll.ms", "8")])));
    let config = |name: &str, value: Option<&str>| CatalogRecord::BrokerConfig {
        scope,
        name: name.into(),
        value: value.map(Into::into),
    };
    assert_eq!(
        records,
        [
            config("log.retention.ms", None),
            config("log.roll.ms", Some("8"))
        ]
    );
}

#[test]
fn a_broker_key_is_altered_for_all_topics_that_say_nothing_themselves() {
    let mut bench = Bench::new();
    let own = [("retention.ms".to_owned(), "1".to_owned())].into();
    bench.create(vec![
        new("plain", 1, 1),
        NewTopic {
            configs: own,
            ..new("own", 2, 1)
        },
    ]);
    let scope = BrokerScope::Cluster;
    let changes = each(&[("log.retention.ms", Op::Set, Some("77"))]);
    let (_, reply, actions) = bench.handle(Event::AlterBroker {
        scope,
        changes,
        validate_only: false,
    });
    assert_eq!(altered(reply), Ok(()));
    let [Action::Reconfigure(brokers, topics)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(brokers.effective().retention_ms(), Some(77));
    let retention: Vec<_> = topics
        .iter()
        .map(|topic| topic.settings.retention_ms)
        .collect();
    assert_eq!(retention, [Some(77), Some(1)]);
    for (name, value, code) in [
        ("no.such", "1", ErrorCode::InvalidConfig),
        ("listeners", "PLAINTEXT://:1", ErrorCode::InvalidRequest),
        ("log.retention.hours", "1", ErrorCode::InvalidRequest),
        ("num.partitions", "2", ErrorCode::InvalidRequest),
        ("log.retention.ms", "-2", ErrorCode::InvalidRequest),
        ("log.segment.bytes", "1", ErrorCode::InvalidRequest),
        ("log.cleanup.policy", "shred", ErrorCode::InvalidRequest),
    ] {
        let changes = each(&[(name, Op::Set, Some(value))]);
        let event = Event::AlterBroker {
            scope,
            changes,
            validate_only: false,
        };
        let (records, reply, _) = bench.handle(event);
        assert_eq!(altered(reply).unwrap_err().0, code, "{name}={value}");
        assert_eq!(records, []);
    }
}

#[test]
fn producer_ids_come_in_blocks_that_never_overlap() {
    let mut bench = Bench::new();
    for expected in [0..1000, 1000..2000] {
        let (records, reply, _) = bench.handle(Event::ProducerIds);
        assert_eq!(records, [CatalogRecord::ProducerIds { end: expected.end }]);
        assert!(matches!(reply, Reply::ProducerIds(ids) if ids == expected));
    }
}

/// All that a machine knows, as records.
fn knowledge(machine: &CatalogMachine) -> Vec<CatalogRecord> {
    let mut records = Vec::new();
    machine.snapshot(&mut records);
    records
}

/// The machine that a log makes, through bytes.
fn replayed(records: &[CatalogRecord]) -> CatalogMachine {
    let mut machine = CatalogMachine::new(BrokerConfigs::new(Arc::default()));
    for (offset, record) in records.iter().enumerate() {
        let (key, value) = crate::coordinator::Record::encode(record);
        let decoded = crate::coordinator::Record::decode(&key, value.as_deref());
        let record: CatalogRecord = decoded.unwrap().unwrap();
        let at = Applied {
            offset: Offset::new(offset as i64),
            timestamp_ms: 0,
        };
        machine.apply(at, &record);
    }
    machine.refresh();
    machine
}

/// What does not stand in the snapshot but must agree with it.
fn derived(machine: &CatalogMachine) -> (usize, Vec<String>, Vec<String>, Vec<Arc<Topic>>) {
    let mut names: Vec<_> = machine.by_name.keys().map(ToString::to_string).collect();
    let mut folded: Vec<_> = machine.by_folded_name.keys().cloned().collect();
    names.sort();
    folded.sort();
    (
        machine.partitions,
        names,
        folded,
        machine.topics.values().cloned().collect(),
    )
}

#[derive(Debug, Clone)]
enum Step {
    Create(usize, i32),
    Delete(usize),
    Grow(usize, i32),
    Topic(usize, usize, u32),
    Broker(bool, usize, u32),
    Producers,
    FilesRemoved(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..8_usize, 0..4).prop_map(|(n, p)| Step::Create(n, p)),
        (0..40_usize).prop_map(Step::Delete),
        (0..40_usize, 0..9).prop_map(|(n, p)| Step::Grow(n, p)),
        (0..40_usize, 0..3_usize, 0..3_u32).prop_map(|(n, key, v)| Step::Topic(n, key, v)),
        (any::<bool>(), 0..3_usize, 0..3_u32).prop_map(|(all, key, v)| Step::Broker(all, key, v)),
        Just(Step::Producers),
        (0..40_usize).prop_map(Step::FilesRemoved),
    ]
}

fn event(step: Step, next: &mut u128) -> Event {
    let change = |name: &str, value: u32| match value {
        0 => each(&[(name, Op::Delete, None)]),
        value => each(&[(name, Op::Set, Some(&value.to_string()))]),
    };
    let names = ["a", "b", "a.b", "a_b", "a.c", "c", "x_y", "x-y"];
    let validate_only = false;
    match step {
        Step::Create(n, partitions) => {
            *next += 1;
            let topics = vec![new(names[n], *next, partitions)];
            Event::Create {
                topics,
                validate_only,
            }
        }
        Step::Delete(n) => Event::Delete {
            ids: vec![id(n as u128)],
        },
        Step::Grow(n, count) => Event::Grow {
            topics: vec![(id(n as u128), count)],
            validate_only,
        },
        Step::Topic(n, key, value) => {
            let name = ["retention.ms", "segment.ms", "flush.ms"][key];
            alter(n as u128, change(name, value))
        }
        Step::Broker(all, key, value) => {
            let name = ["log.retention.ms", "log.roll.ms", "message.max.bytes"][key];
            let scope = if all {
                BrokerScope::Cluster
            } else {
                BrokerScope::Node(1)
            };
            Event::AlterBroker {
                scope,
                changes: change(name, value),
                validate_only,
            }
        }
        Step::Producers => Event::ProducerIds,
        Step::FilesRemoved(n) => Event::FilesRemoved(id(n as u128)),
    }
}

proptest! {
    #[test]
    fn a_snapshot_replays_to_the_same_state(steps in prop::collection::vec(step(), 0..60)) {
        let mut bench = Bench::new();
        let mut next = 0;
        for step in steps {
            bench.handle(event(step, &mut next));
        }
        let live = &bench.machine;
        let snapshot = knowledge(live);
        let whole_log = replayed(&bench.records);
        let alone = replayed(&snapshot);
        // A crash between the snapshot and the cut leaves both in the log, or a part of it.
        let both = replayed(&[&bench.records[..], &snapshot[..]].concat());
        let part = replayed(&[&bench.records[..], &snapshot[..snapshot.len() / 2]].concat());
        for again in [&whole_log, &alone, &both, &part] {
            prop_assert_eq!(knowledge(again), snapshot.clone());
            let (ours, theirs) = (derived(live), derived(again));
            prop_assert_eq!((ours.0, &ours.1, &ours.2), (theirs.0, &theirs.1, &theirs.2));
            for (ours, theirs) in ours.3.iter().zip(&theirs.3) {
                prop_assert_eq!(&ours.settings, &theirs.settings);
            }
            prop_assert_eq!(&**again.brokers.settings(), &**live.brokers.settings());
        }
    }
}

fn alter_group(changes: Changes, validate_only: bool) -> Event {
    Event::AlterGroup {
        group: "workers".into(),
        changes,
        validate_only,
    }
}

#[test]
fn a_groups_configuration_is_written_down_whole_and_survives_a_replay() {
    let mut bench = Bench::new();
    let set = each(&[
        ("share.record.lock.duration.ms", Op::Set, Some("1000")),
        ("queue.paused", Op::Set, Some("true")),
    ]);
    let (records, reply, actions) = bench.handle(alter_group(set.clone(), true));
    assert_eq!(altered(reply), Ok(()));
    assert!(records.is_empty() && actions.is_empty(), "only validated");

    let (records, reply, actions) = bench.handle(alter_group(set, false));
    assert_eq!(altered(reply), Ok(()));
    assert_eq!(records.len(), 1);
    let [Action::PublishGroup(config)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(config.settings.queue.lock_duration_ms, 1000);
    assert!(config.settings.queue.paused);

    let mut again = Bench::new();
    for record in &bench.records {
        let at = Applied {
            offset: Offset::ZERO,
            timestamp_ms: 0,
        };
        again.machine.apply(at, record);
    }
    assert_eq!(again.machine.groups, bench.machine.groups);
    let mut snapshot = Vec::new();
    bench.machine.snapshot(&mut snapshot);
    assert!(snapshot.contains(&records[0]));
}

#[test]
fn a_group_whose_last_value_goes_has_no_configuration_any_more() {
    let mut bench = Bench::new();
    let set = each(&[("queue.paused", Op::Set, Some("true"))]);
    bench.handle(alter_group(set, false));
    let (records, reply, actions) =
        bench.handle(alter_group(Changes::Replace(BTreeMap::new()), false));
    assert_eq!(altered(reply), Ok(()));
    assert!(matches!(&actions[..], [Action::PublishGroup(config)] if config.configs.is_empty()));
    let (_, value) = crate::coordinator::Record::encode(&records[0]);
    assert_eq!(value, None, "a tombstone");
    assert!(bench.machine.groups.is_empty());
}

#[test]
fn a_groups_bad_value_and_one_group_too_many_change_nothing() {
    let mut bench = Bench::with(Config {
        groups_max: 1,
        ..Config::default()
    });
    let bad = each(&[
        ("queue.paused", Op::Set, Some("true")),
        ("share.delivery.count.limit", Op::Set, Some("1001")),
    ]);
    let (records, reply, _) = bench.handle(alter_group(bad, false));
    let (code, why) = altered(reply).unwrap_err();
    assert_eq!((code, records.len()), (ErrorCode::InvalidConfig, 0));
    assert!(
        why.contains("1001") && why.contains("from 1 to 1000"),
        "{why}"
    );

    let set = each(&[("queue.paused", Op::Set, Some("true"))]);
    bench.handle(alter_group(set.clone(), false));
    let (records, reply, _) = bench.handle(Event::AlterGroup {
        group: "others".into(),
        changes: set,
        validate_only: false,
    });
    let (code, _) = altered(reply).unwrap_err();
    assert_eq!((code, records.len()), (ErrorCode::PolicyViolation, 0));
}

#[test]
fn quotas_change_once_and_survive_a_replay_and_a_snapshot() {
    use crate::coordinator::catalog::client_quota::{Quota, QuotaChange};
    let change = |value| Event::AlterQuotas {
        changes: vec![QuotaChange {
            owner: vec![("client-id".into(), None)],
            limits: vec![("producer_byte_rate".into(), value)],
        }],
        validate_only: false,
    };
    let mut bench = Bench::new();
    let (records, _, actions) = bench.handle(change(Some(5.0)));
    assert_eq!(records.len(), 1);
    let seen = match &actions[..] {
        [Action::PublishQuotas(quotas)] => quotas.has(Quota::ProducerByteRate),
        other => panic!("{other:?}"),
    };
    assert!(seen);
    let (again, _, actions) = bench.handle(change(Some(5.0)));
    assert!(again.is_empty() && actions.is_empty(), "it is so already");

    let mut replayed = Bench::new();
    let at = Applied {
        offset: Offset::ZERO,
        timestamp_ms: 0,
    };
    replayed.machine.apply(at, &records[0]);
    assert_eq!(replayed.machine.quotas, bench.machine.quotas);
    let mut snapshot = Vec::new();
    bench.machine.snapshot(&mut snapshot);
    assert!(snapshot.contains(&records[0]));
    bench.handle(change(None));
    assert!(bench.machine.quotas.owners().next().is_none());
}

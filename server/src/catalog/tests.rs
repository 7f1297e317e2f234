use ratel_storage::disk_memory::{Keep, MemoryDisk};
use ratel_storage::{LocalEngine, LocalOptions, PartitionId, StorageError};

use super::*;
use crate::clock::ManualClock;
use crate::coordinator::catalog::alter::Op;
use crate::coordinator::catalog::record;
use crate::coordinator::testing::TestEngine;

async fn start(engine: &Arc<TestEngine>) -> Catalog {
    let clock = Arc::new(ManualClock::default());
    Catalog::start(engine.clone(), Arc::default(), clock)
        .await
        .unwrap()
}

fn new(name: &str, partitions: i32) -> NewTopic {
    NewTopic {
        name: name.into(),
        id: fresh_id(),
        partitions,
        configs: BTreeMap::new(),
        internal: false,
    }
}

fn set(name: &str, value: &str) -> Changes {
    Changes::Each(vec![(name.into(), Op::Set, Some(value.into()))])
}

#[tokio::test]
async fn a_new_topic_is_open_and_seen_when_its_creation_is_answered() {
    let engine = Arc::default();
    let catalog = start(&engine).await;
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = seen.clone();
    catalog.listen(move |change| {
        let Change::Published(topic) = change else {
            return;
        };
        heard
            .lock()
            .unwrap()
            .push((topic.name.to_string(), topic.partitions));
    });
    let topic = catalog
        .create(vec![new("a", 3)], false)
        .await
        .pop()
        .unwrap()
        .unwrap();
    assert_eq!(catalog.view.topic("a").unwrap().id, topic.id);
    assert_eq!(catalog.view.topic_by_id(topic.id).unwrap().partitions, 3);
    let mut ids = vec![CATALOG_PARTITION];
    ids.extend((0..3).map(|index| PartitionId {
        topic: topic.id,
        index,
    }));
    ids.sort();
    assert_eq!(engine.ids(), ids);
    let grown = catalog
        .grow(vec![(topic.id, 4)], false)
        .await
        .pop()
        .unwrap()
        .unwrap();
    assert_eq!(
        (
            grown.partitions,
            catalog.view.topic("a").unwrap().partitions
        ),
        (4, 4)
    );
    assert_eq!(engine.ids().len(), 5);
    assert_eq!(
        *seen.lock().unwrap(),
        [("a".to_owned(), 3), ("a".to_owned(), 4)]
    );
}

#[tokio::test]
async fn a_restart_finds_topics_configurations_and_ids() {
    let engine: Arc<TestEngine> = Arc::default();
    let catalog = start(&engine).await;
    let topic = catalog.create_automatically("a").await.unwrap();
    catalog
        .alter_topic(topic.id, set("retention.ms", "5"), false)
        .await
        .unwrap();
    let scope = BrokerScope::Cluster;
    catalog
        .alter_broker(scope, set("log.segment.bytes", "2097152"), false)
        .await
        .unwrap();
    let gone = catalog.create_automatically("gone").await.unwrap();
    catalog.delete(vec![gone.id]).await.pop().unwrap().unwrap();
    assert_eq!(catalog.producer_id_block().await, Ok(0..1000));
    assert_eq!(catalog.producer_id_block().await, Ok(1000..2000));
    catalog.stop().await;
    assert_eq!(
        catalog.complaint().as_deref(),
        Some("the catalog has stopped")
    );

    let again = start(&engine).await;
    let names: Vec<_> = again
        .view
        .topics()
        .iter()
        .map(|topic| topic.name.clone())
        .collect();
    assert_eq!(names, ["a".into()]);
    let found = again.view.topic("a").unwrap();
    assert_eq!((found.id, found.partitions), (topic.id, 1));
    assert_eq!(found.settings.retention_ms, Some(5));
    assert_eq!(found.settings.segment_bytes, 2 << 20);
    assert_eq!(again.brokers().effective().log_segment_bytes, 2 << 20);
    let block = again.producer_id_block().await;
    assert_eq!(block, Ok(2000..3000), "no id is given out twice");
}

#[tokio::test]
async fn a_deleted_topic_is_gone_from_view_and_engine_and_a_new_one_has_another_id() {
    let engine: Arc<TestEngine> = Arc::default();
    let catalog = start(&engine).await;
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = seen.clone();
    catalog.listen(move |change| {
        let Change::Deleted(topic) = change else {
            return;
        };
        heard.lock().unwrap().push(topic.id);
    });
    let topic = catalog.create_automatically("a").await.unwrap();
    catalog.delete(vec![topic.id]).await.pop().unwrap().unwrap();
    assert!(catalog.view.topic("a").is_none() && catalog.view.is_empty());
    assert_eq!(engine.ids(), [CATALOG_PARTITION]);
    assert_eq!(*seen.lock().unwrap(), [topic.id]);
    let again = catalog.delete(vec![topic.id]).await.pop().unwrap();
    assert_eq!(
        again.map_err(|refusal| refusal.code).err(),
        Some(ErrorCode::UnknownTopicId)
    );
    assert_ne!(
        catalog.create_automatically("a").await.unwrap().id,
        topic.id
    );
}

#[tokio::test]
async fn a_broker_key_reaches_the_logs_of_topics_that_do_not_say_otherwise() {
    let engine: Arc<TestEngine> = Arc::default();
    let catalog = start(&engine).await;
    let plain = catalog.create_automatically("plain").await.unwrap();
    let own = catalog.create_automatically("own").await.unwrap();
    catalog
        .alter_topic(own.id, set("max.message.bytes", "50"), false)
        .await
        .unwrap();
    let scope = BrokerScope::Node(1);
    catalog
        .alter_broker(scope, set("message.max.bytes", "70"), false)
        .await
        .unwrap();
    let max = |topic: &Topic| {
        engine
            .settings(topic.partition(0).unwrap())
            .unwrap()
            .max_message_bytes
    };
    assert_eq!((max(&plain), max(&own)), (70, 50));
    assert_eq!(
        catalog
            .view
            .topic("plain")
            .unwrap()
            .settings
            .max_message_bytes,
        70
    );
}

#[tokio::test]
async fn m_2_two_who_ask_for_a_topic_get_the_same() {
    let engine = Arc::default();
    let catalog = start(&engine).await;
    let (one, two) = tokio::join!(
        catalog.create_automatically("a"),
        catalog.create_automatically("a")
    );
    assert_eq!(one.unwrap().id, two.unwrap().id);
    let bad = catalog.create_automatically("a b").await;
    assert_eq!(bad.err(), Some(ErrorCode::InvalidTopicException));
    let offsets = catalog.create_automatically(OFFSETS_TOPIC).await.unwrap();
    assert_eq!((offsets.partitions, offsets.internal), (50, true));
    assert_eq!(offsets.configs["cleanup.policy"], "compact");
    assert_eq!(
        catalog.internal_topic(OFFSETS_TOPIC).await.unwrap().id,
        offsets.id
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_durable_when_the_machine_was_lost_is_still_acted_upon() {
    let engine: Arc<TestEngine> = Arc::default();
    let catalog = start(&engine).await;
    let gone = catalog.create_automatically("gone").await.unwrap();
    let log = engine.log(CATALOG_PARTITION).unwrap();
    log.hold();
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let telling = heard.clone();
    catalog.listen(move |change| {
        let (what, topic) = match change {
            Change::Published(topic) => ("published", topic),
            Change::Deleted(topic) => ("deleted", topic),
        };
        telling
            .lock()
            .unwrap()
            .push(format!("{what} {}", topic.name));
    });
    let deleted = tokio::spawn(catalog.delete(vec![gone.id]));
    let made = tokio::spawn(catalog.create(vec![new("new", 1)], false));
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    // Both are in the log; the next append fails before they are known to be durable.
    log.refuse_next(StorageError::DiskFull);
    let refused = tokio::spawn(catalog.create(vec![new("refused", 1)], false));
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    log.release();
    for outcome in [deleted, made, refused] {
        let code = outcome
            .await
            .unwrap()
            .pop()
            .unwrap()
            .map_err(|refusal| refusal.code)
            .err();
        assert_eq!(code, Some(ErrorCode::CoordinatorNotAvailable));
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let names: Vec<_> = catalog
        .view
        .topics()
        .iter()
        .map(|topic| topic.name.clone())
        .collect();
    assert_eq!(names, ["new".into()]);
    catalog.producer_id_block().await.unwrap();
    assert_eq!(*heard.lock().unwrap(), ["deleted gone", "published new"]);
    assert!(
        engine.ids().iter().all(|id| id.topic != gone.id),
        "its files are gone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_a_change_and_the_catalog_recovers() {
    let engine: Arc<TestEngine> = Arc::default();
    let catalog = start(&engine).await;
    catalog.create_automatically("a").await.unwrap();
    engine
        .log(CATALOG_PARTITION)
        .unwrap()
        .refuse_next(StorageError::DiskFull);
    let refused = catalog.create_automatically("b").await;
    assert_eq!(refused.err(), Some(ErrorCode::CoordinatorNotAvailable));
    assert!(catalog.complaint().unwrap().contains("no space left"));
    assert!(catalog.view.topic("a").is_some() && catalog.view.topic("b").is_none());
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(catalog.complaint(), None);
    assert!(catalog.create_automatically("b").await.is_ok());
}

#[test]
fn ids_never_look_like_an_option() {
    assert!((0..2000).all(|_| fresh_id().as_bytes()[0] >> 2 != 62));
}

#[tokio::test]
async fn a_start_removes_what_is_recorded_as_deleted_and_leaves_what_is_unknown() {
    let engine: Arc<TestEngine> = Arc::default();
    let catalog = start(&engine).await;
    let topic = catalog
        .create(vec![new("a", 2)], false)
        .await
        .pop()
        .unwrap()
        .unwrap();
    catalog.stop().await;
    // As if the server had died between the record and the files.
    let log = engine.log(CATALOG_PARTITION).unwrap();
    let mut batch = ratel_storage::BatchBuilder::new(0);
    let deleted = record::CatalogRecord::Deleted {
        id: topic.id,
        partitions: 2,
    };
    let (key, value) = crate::coordinator::Record::encode(&deleted);
    batch.record(Some(&key), value.as_deref());
    let (origin, durability) = (
        ratel_storage::Origin::Coordinator,
        ratel_storage::Durability::Synced,
    );
    let log: Arc<dyn ratel_storage::Partition> = log;
    log.append(&batch.build().unwrap(), origin, durability, 0)
        .await
        .unwrap();
    let unknown = PartitionId {
        topic: TopicId::from_u128(99),
        index: 0,
    };
    engine.open(unknown, Arc::default()).unwrap();

    let again = start(&engine).await;
    again.producer_id_block().await.unwrap();
    assert!(again.view.is_empty());
    let mut left = vec![CATALOG_PARTITION, unknown];
    left.sort();
    assert_eq!(engine.ids(), left);
    again.stop().await;
    let ends = engine.partition(CATALOG_PARTITION).unwrap().offsets().end;
    let third = start(&engine).await;
    third.stop().await;
    let end = engine.partition(CATALOG_PARTITION).unwrap().offsets().end;
    assert_eq!(end, ends, "the deletion is done and written down as done");
}

/// The real engine on a disk in memory, and the catalog on it.
async fn start_on(disk: &MemoryDisk) -> Catalog {
    let (root, options) = (std::path::Path::new(""), LocalOptions::default());
    let engine = LocalEngine::open(Arc::new(disk.clone()), root, options, 0).unwrap();
    let clock = Arc::new(ManualClock::default());
    Catalog::start(engine, Arc::default(), clock).await.unwrap()
}

fn names(catalog: &Catalog) -> Vec<String> {
    let topics = catalog.view.topics();
    topics.iter().map(|topic| topic.name.to_string()).collect()
}

#[tokio::test]
async fn dc4_what_was_answered_survives_a_power_cut() {
    let mut disk = MemoryDisk::new();
    let mut expected = Vec::new();
    let mut blocks = 0;
    for round in 0..8 {
        let catalog = start_on(&disk).await;
        assert_eq!(names(&catalog), expected);
        for n in 0..3 {
            let name = format!("{round}.{n}");
            let topic = catalog.create_automatically(&name).await.unwrap();
            catalog
                .alter_topic(topic.id, set("retention.ms", "5"), false)
                .await
                .unwrap();
            expected.push(name);
        }
        let first = catalog.view.topic(&expected.remove(0)).unwrap();
        catalog.delete(vec![first.id]).await.pop().unwrap().unwrap();
        let block = catalog.producer_id_block().await.unwrap();
        assert_eq!(block.start, blocks);
        blocks = block.end;
        let topics = catalog.view.topics();
        assert!(
            topics
                .iter()
                .all(|topic| topic.settings.retention_ms == Some(5))
        );
        // Nothing is closed; all that was not synced is gone.
        disk = disk.power_cut(Keep::Nothing);
    }
}

#[tokio::test]
async fn a_long_history_of_few_topics_leaves_a_short_log() {
    let disk = MemoryDisk::new();
    let (root, options) = (std::path::Path::new(""), LocalOptions::default());
    let engine = LocalEngine::open(Arc::new(disk.clone()), root, options, 0).unwrap();
    let brokers = BrokerConfigs::new(Arc::default());
    let surroundings = Arc::new(Surroundings::new(engine.clone(), brokers.clone()));
    let settings = LogSettings {
        segment_bytes: 4096,
        delete: false,
        ..LogSettings::default()
    };
    let partition = engine.open(CATALOG_PARTITION, Arc::new(settings)).unwrap();
    let shard = Shard::spawn(Setup {
        name: "catalog".into(),
        machine: move || CatalogMachine::new(brokers.clone()),
        shell: CatalogShell(surroundings.clone()),
        partition: partition.clone(),
        clock: Arc::new(ManualClock::default()),
        checkpoint_bytes_min: 8192,
    });
    let view = surroundings.view.clone();
    let catalog = Catalog {
        view,
        shard,
        surroundings,
    };
    let topic = catalog.create_automatically("a").await.unwrap();
    for n in 0..400 {
        let change = set("retention.ms", &n.to_string());
        catalog.alter_topic(topic.id, change, false).await.unwrap();
    }
    catalog.stop().await;
    assert!(
        partition.offsets().start.get() > 300,
        "{:?}",
        partition.offsets()
    );
    assert!(
        partition.size() < 20_000,
        "{} bytes are left",
        partition.size()
    );
    let again = start_on(&disk.power_cut(Keep::Nothing)).await;
    assert_eq!(
        again.view.topic("a").unwrap().settings.retention_ms,
        Some(399)
    );
}

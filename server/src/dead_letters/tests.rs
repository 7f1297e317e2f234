use ratel_storage::{BatchBuilder, Record, TimestampType};

use super::testing::{Site, read};
use super::*;
use crate::api::testing::NOW_MS;
use crate::coordinator::share::{
    AckType, Acknowledge, AcknowledgeBatch, Acquire, Event, Mode, Reply, Shape, Span,
};
use crate::shares::Shares;

impl Site {
    async fn produce(&self, values: &[&[u8]]) {
        let mut builder = BatchBuilder::new(NOW_MS);
        for value in values {
            let headers: [(&[u8], Option<&[u8]>); 2] = [
                (b"colour", Some(b"red")),
                (TOPIC.as_bytes(), Some(b"older")),
            ];
            builder.record_at(NOW_MS, Some(b"k"), Some(value), &headers);
        }
        self.append(self.key().partition, builder).await;
    }

    async fn die(&self, first: i64, last: i64, reason: DeadReason) -> Vec<(i64, i64)> {
        self.bury(&self.key(), (first, last), reason).await
    }
}

fn header(record: &Record, name: &str) -> Option<String> {
    let mut named = record
        .headers
        .iter()
        .filter(|(key, _)| key == name.as_bytes());
    let (_, value) = named.next()?;
    assert!(named.next().is_none(), "{name} twice");
    Some(String::from_utf8(value.as_ref()?.to_vec()).unwrap())
}

#[tokio::test]
async fn a_dead_letter_is_the_record_and_where_it_comes_from() {
    let site = Site::new(&[("max.message.bytes", "2000000")], &[]).await;
    site.produce(&[b"a", b"b", b"c"]).await;
    let done = site.die(1, 2, DeadReason::Rejected).await;
    assert_eq!(done, [(1, 2)]);
    let dead = site.dead().await;
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[0].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(dead[0].value.as_deref(), Some(&b"b"[..]));
    for (name, value) in [
        ("colour", "red"),
        (TOPIC, "jobs"),
        (PARTITION, "1"),
        (OFFSET, "1"),
        (GROUP, "workers"),
        (DELIVERY_COUNT, "5"),
        (MESSAGE, "Offset rejected by client."),
    ] {
        assert_eq!(header(&dead[0], name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(header(&dead[0], INCOMPLETE), None);
    assert_eq!(header(&dead[1], OFFSET).as_deref(), Some("2"));
    let topic = site.bench.broker.catalog.view.topic("dead").unwrap();
    assert_eq!(topic.settings.max_message_bytes, 2_000_000 + 65_536);
    assert_eq!(topic.settings.timestamp_type, TimestampType::CreateTime);
    site.die(0, 0, DeadReason::DeliveryLimit).await;
    let message = header(&site.dead().await[2], MESSAGE);
    assert_eq!(
        message.as_deref(),
        Some("Offset delivery count exceeded the threshold.")
    );
    assert_eq!(site.letters.counts().written.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_dead_letter_that_was_reported_survives_a_crash_before_the_queue_wrote_it_down() {
    let site = Site::new(&[], &[]).await;
    site.produce(&[b"a"]).await;
    site.die(0, 0, DeadReason::Rejected).await;
    let dead = site.dead_partition();
    let disk = site
        .bench
        .disk
        .power_cut(ratel_storage::disk_memory::Keep::Nothing);
    let engine = ratel_storage::LocalEngine::open(
        Arc::new(disk),
        std::path::Path::new(""),
        ratel_storage::LocalOptions::default(),
        NOW_MS,
    )
    .unwrap();
    engine.open(dead, Arc::default()).unwrap();
    let letters = read(&*engine, dead).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), Some(&b"a"[..]));
}

#[tokio::test]
async fn nothing_is_reported_before_it_is_durable() {
    let site = Site::new(&[], &[]).await;
    site.produce(&[b"a"]).await;
    site.die(0, 0, DeadReason::Rejected).await;
    site.bench.disk.hold_syncs();
    let held = site.die(0, 0, DeadReason::Rejected);
    let waited = tokio::time::timeout(Duration::from_millis(200), held).await;
    site.bench.disk.release_syncs();
    assert!(waited.is_err(), "reported while the sync was held");
}

#[tokio::test]
async fn what_does_not_fit_goes_without_payload_and_says_so() {
    let site = Site::new(&[("max.message.bytes", "2000")], &[]).await;
    site.produce(&[b"small"]).await;
    site.die(0, 0, DeadReason::Rejected).await;
    let topic = site.bench.broker.catalog.view.topic("dead").unwrap();
    site.alter(&topic.name, "max.message.bytes", "600").await;
    site.produce(&[&[7; 1000]]).await;
    assert_eq!(site.die(1, 1, DeadReason::Rejected).await, [(1, 1)]);
    let dead = site.dead().await;
    assert_eq!((&dead[1].key, &dead[1].value), (&None, &None));
    let why = header(&dead[1], INCOMPLETE).unwrap();
    assert!(why.contains("max.message.bytes=600"), "{why}");
    assert_eq!(header(&dead[1], OFFSET).as_deref(), Some("1"));
    assert_eq!(site.letters.counts().incomplete.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_retention_took_goes_as_headers_only() {
    let site = Site::new(&[], &[]).await;
    site.produce(&[b"a"]).await;
    site.produce(&[b"b"]).await;
    let log = site.bench.broker.engine.partition(site.key().partition);
    log.unwrap().advance_start(Offset::new(1)).await.unwrap();
    let done = site.die(0, 1, DeadReason::DeliveryLimit).await;
    assert_eq!(done, [(0, 0), (1, 1)]);
    let dead = site.dead().await;
    assert_eq!((dead.len(), &dead[0].value), (2, &None));
    assert!(header(&dead[0], INCOMPLETE).unwrap().contains("retention"));
    assert_eq!(dead[1].value.as_deref(), Some(&b"b"[..]));
}

#[tokio::test]
async fn without_copies_only_headers_go() {
    let copies = ("errors.deadletterqueue.copy.record.enable", "false");
    let site = Site::new(&[], &[copies]).await;
    site.produce(&[b"a"]).await;
    site.die(0, 0, DeadReason::Rejected).await;
    let dead = site.dead().await;
    assert_eq!((&dead[0].key, &dead[0].value), (&None, &None));
    assert_eq!(
        (header(&dead[0], "colour"), header(&dead[0], INCOMPLETE)),
        (None, None)
    );
    assert_eq!(header(&dead[0], OFFSET).as_deref(), Some("0"));
}

#[tokio::test]
async fn a_topic_is_not_its_own_dead_letter_topic_and_no_topic_is_none() {
    let site = Site::new(&[], &[]).await;
    site.produce(&[b"a"]).await;
    for name in ["jobs", ""] {
        site.set("errors.deadletterqueue.topic.name", name).await;
        assert_eq!(site.die(0, 0, DeadReason::Rejected).await, [(0, 0)]);
    }
    let log = site
        .bench
        .broker
        .engine
        .partition(site.key().partition)
        .unwrap();
    assert_eq!(log.offsets().end, Offset::new(1));
    assert_eq!(site.letters.counts().written.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_full_disk_is_tried_again_until_there_is_room() {
    let site = Site::new(&[], &[]).await;
    site.produce(&[b"a"]).await;
    site.die(0, 0, DeadReason::Rejected).await;
    site.bench.disk.set_capacity(site.bench.disk.used());
    let mend = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        site.bench.disk.set_capacity(1 << 30);
    };
    let (done, ()) = tokio::join!(site.die(0, 0, DeadReason::Rejected), mend);
    assert_eq!(done, [(0, 0)]);
    assert!(site.letters.counts().failures.load(Ordering::Relaxed) > 0);
    assert_eq!(site.dead().await.len(), 2);
}

#[tokio::test]
async fn many_dead_letters_go_in_several_batches_and_each_once() {
    let site = Site::new(&[("max.message.bytes", "4000000")], &[]).await;
    let value = vec![1_u8; 1000];
    for _ in 0..3 {
        site.produce(&vec![&value[..]; 1000]).await;
    }
    let done = site.die(500, 2499, DeadReason::DeliveryLimit).await;
    assert!(done.len() > 1, "{done:?}");
    let dead = site.dead().await;
    let offsets: Vec<_> = dead
        .iter()
        .map(|record| header(record, OFFSET).unwrap())
        .collect();
    let expected: Vec<_> = (500..2500).map(|offset| offset.to_string()).collect();
    assert_eq!(offsets, expected);
}

#[tokio::test]
async fn a_rejected_record_is_in_the_dead_letter_topic_before_its_queue_forgets_it() {
    let site = Site::new(&[], &[]).await;
    site.produce(&[b"a", b"b"]).await;
    let broker = &site.bench.broker;
    let (engine, clock) = (broker.engine.clone(), broker.clock.clone());
    let shares = Shares::start(engine, &broker.catalog, clock).await.unwrap();
    let (key, config) = (site.key(), shares.config("workers"));
    shares.reset(key.clone(), Offset::ZERO).await.unwrap();
    let (zero, one, end) = (Offset::ZERO, Offset::new(1), Offset::new(2));
    let acquire = Event::Acquire(Acquire {
        key: key.clone(),
        member: "m".into(),
        config: config.clone(),
        max_records: 10,
        mode: Mode::BatchOptimized,
        log_start: zero,
        end,
        shape: Some(Shape {
            from: zero,
            to: end,
            batches: vec![Span {
                first: zero,
                last: one,
            }],
        }),
        waits_until_ms: 0,
    });
    let leased = shares.send(&key, acquire).await.unwrap();
    assert!(matches!(leased, Reply::Acquired { .. }), "{leased:?}");
    let reject = Event::Acknowledge(Acknowledge {
        key: key.clone(),
        member: "m".into(),
        config,
        batches: vec![AcknowledgeBatch {
            first: one,
            last: one,
            types: vec![AckType::Reject],
        }],
    });
    shares.send(&key, reject).await.unwrap();
    for _ in 0..500 {
        let describe = Event::Describe { key: key.clone() };
        let Ok(Reply::Described(depth)) = shares.send(&key, describe).await else {
            panic!("no queue");
        };
        if depth.archiving == 0 {
            let dead = site.dead().await;
            assert_eq!(dead.len(), 1);
            assert_eq!(dead[0].value.as_deref(), Some(&b"b"[..]));
            assert_eq!(depth.dead, 1);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the record stays in Archiving");
}

#[tokio::test]
async fn records_behind_one_that_cannot_be_unpacked_have_letters_too() {
    let site = Site::new(&[], &[]).await;
    let mut builder = BatchBuilder::new(NOW_MS);
    for value in ["a", "b", "c"] {
        builder.record(None, Some(value.as_bytes()));
    }
    // The batch says four records and holds three.
    let mut bytes = builder.build().unwrap().bytes().to_vec();
    bytes[23..27].copy_from_slice(&3_i32.to_be_bytes());
    bytes[57..61].copy_from_slice(&4_i32.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());

    let range = DeadRange {
        first: Offset::ZERO,
        last: Offset::new(3),
        delivery_count: 5,
        reason: DeadReason::Rejected,
    };
    let letters = Letters::new(NOW_MS, &site.key(), "jobs", &range, 1 << 20);
    let stretch = copied(letters, range.first, range.last.plus(1), &bytes.into()).unwrap();
    assert_eq!(stretch.next, Offset::new(4));
    assert_eq!(
        (stretch.letters.count(), stretch.letters.incomplete()),
        (4, 1)
    );
}

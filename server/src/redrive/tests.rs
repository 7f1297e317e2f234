use bytes::Bytes;
use ratel_storage::BatchBuilder;

use super::*;
use crate::api::testing::{Bench, NOW_MS};
use crate::catalog::fresh_id;
use crate::config::Config;
use crate::coordinator::catalog::Topic;
use crate::coordinator::catalog::alter::{Changes, Op};
use crate::coordinator::catalog::machine::NewTopic;
use crate::coordinator::share::{DeadRange, DeadReason, QueueKey};
use crate::dead_letters::{DeadLetters, ORIGIN_PREFIX};

struct Site {
    bench: Bench,
    letters: DeadLetters,
    redrives: Redrives,
}

impl Site {
    async fn new() -> Self {
        let bench = Bench::started(Config::default()).await;
        let broker = &bench.broker;
        let (engine, catalog) = (broker.engine.clone(), broker.catalog.clone());
        let site = Self {
            letters: DeadLetters::new(engine.clone(), catalog.clone(), broker.clock.clone()),
            redrives: Redrives::start(engine, catalog, broker.clock.clone()),
            bench,
        };
        site.topic("jobs").await;
        let name = "errors.deadletterqueue.topic.name".into();
        let changes = Changes::Each(vec![(name, Op::Set, Some("dead".into()))]);
        let catalog = &site.bench.broker.catalog;
        catalog
            .alter_group("workers".into(), changes, false)
            .await
            .unwrap();
        site
    }

    async fn topic(&self, name: &str) -> Arc<Topic> {
        let new = NewTopic {
            name: name.into(),
            id: fresh_id(),
            partitions: 2,
            configs: BTreeMap::new(),
            internal: false,
        };
        let catalog = &self.bench.broker.catalog;
        catalog.create(vec![new], false).await.remove(0).unwrap()
    }

    fn jobs(&self) -> PartitionId {
        let topic = self.bench.broker.catalog.view.topic("jobs").unwrap();
        topic.partition(1).unwrap()
    }

    /// Produce so many records to jobs-1 and have all of them die.
    async fn die(&self, count: i64) {
        let mut builder = BatchBuilder::new(NOW_MS);
        for number in 0..count {
            let value = format!("{number}");
            let colour: &[u8] = if number % 2 == 0 { b"red" } else { b"blue" };
            let headers: [(&[u8], Option<&[u8]>); 1] = [(b"colour", Some(colour))];
            builder.record_at(NOW_MS, Some(b"k"), Some(value.as_bytes()), &headers);
        }
        let log = self.bench.broker.engine.partition(self.jobs()).unwrap();
        let batch = builder.build().unwrap();
        let appended = log.append(&batch, Origin::Client, Durability::Synced, NOW_MS);
        let first = appended.await.unwrap().base_offset;
        let range = DeadRange {
            first,
            last: first.plus(count - 1),
            delivery_count: 1,
            reason: DeadReason::Rejected,
        };
        let key = QueueKey {
            group: "workers".into(),
            partition: self.jobs(),
        };
        self.letters.bury(&key, &[range], |_, _| {}).await;
    }

    async fn begin(&self, filter: Filter, rate: i32, dry_run: bool) -> Arc<Job> {
        let begun = self.redrives.begin("workers", filter, rate, dry_run).await;
        begun.unwrap()
    }

    async fn ended(&self, id: i64) -> Arc<Job> {
        for _ in 0..1000 {
            let job = self.redrives.list(None, Some(id)).remove(0);
            if job.state != JobState::Running {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redrive {id} does not end");
    }

    /// The values in jobs-1 from an offset on.
    async fn values(&self, from: i64) -> Vec<String> {
        let home = self.records(from).await.into_iter();
        home.map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap())
            .collect()
    }

    async fn records(&self, from: i64) -> Vec<Record> {
        let log = self.bench.broker.engine.partition(self.jobs()).unwrap();
        let request = ReadRequest {
            from: Offset::new(from),
            max_bytes: 64 << 20,
            at_least_one: true,
            bound: Bound::HighWatermark,
        };
        let slice = log.read(request).await.unwrap().records;
        let mut rest = slice.map_or_else(Bytes::new, |slice| slice.to_bytes().unwrap());
        let mut all = Vec::new();
        while !rest.is_empty() {
            let length = BatchHeader::decode(&rest).unwrap().bytes;
            let batch = Batch::parse(rest.split_to(length), usize::MAX).unwrap();
            all.extend(records(&batch).unwrap().map(Result::unwrap));
        }
        all.retain(|record| record.offset >= Offset::new(from));
        all
    }
}

#[tokio::test]
async fn dead_records_come_home_as_they_were_and_a_second_job_finds_none() {
    let site = Site::new().await;
    site.die(3).await;
    let dry = site.begin(Filter::default(), 0, true).await;
    let dry = site.ended(dry.id).await;
    assert_eq!((dry.state, dry.matched, dry.moved), (JobState::Done, 3, 0));
    assert!(site.records(3).await.is_empty(), "a dry run moves nothing");

    let job = site.begin(Filter::default(), 0, false).await;
    let job = site.ended(job.id).await;
    assert_eq!((job.state, job.matched, job.moved), (JobState::Done, 3, 3));
    assert_eq!((job.scanned(), job.total()), (3, 3));
    let home = site.records(3).await;
    assert_eq!(site.values(3).await, ["0", "1", "2"]);
    assert_eq!(home[0].key.as_deref(), Some(&b"k"[..]));
    let names: Vec<_> = home[0]
        .headers
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(names, ["colour"], "nothing begins with {ORIGIN_PREFIX}");

    let again = site.begin(Filter::default(), 0, false).await;
    let again = site.ended(again.id).await;
    assert_eq!((again.matched, again.moved), (0, 0));
    assert_eq!(site.records(3).await.len(), 3);
}

#[tokio::test]
async fn a_filter_chooses_and_what_it_left_is_for_another_job() {
    let site = Site::new().await;
    site.die(4).await;
    let red = Filter {
        header: Some("colour".into()),
        header_value: Some(Bytes::from_static(b"red")),
        ..Filter::default()
    };
    let job = site.begin(red, 0, false).await;
    assert_eq!(site.ended(job.id).await.moved, 2);
    assert_eq!(site.values(4).await, ["0", "2"]);
    let one = Filter {
        dead_partition: Some(0),
        dead_offset: Some(3),
        ..Filter::default()
    };
    let job = site.begin(one, 0, false).await;
    assert_eq!(site.ended(job.id).await.moved, 1);
    let job = site.begin(Filter::default(), 0, false).await;
    assert_eq!(site.ended(job.id).await.moved, 1);
    assert_eq!(site.values(4).await, ["0", "2", "3", "1"]);
}

#[tokio::test]
async fn a_job_that_died_before_it_wrote_down_how_far_it_came_moves_each_letter_once() {
    let site = Site::new().await;
    site.die(5).await;
    let begun = site.begin(Filter::default(), 0, false).await;
    site.ended(begun.id).await;
    // As a crash leaves it: some copies stand, and the record is that of the beginning.
    let broker = &site.bench.broker;
    let before = (*begun).clone();
    broker.catalog.put_redrive(before, false).await.unwrap();
    let (engine, catalog) = (broker.engine.clone(), broker.catalog.clone());
    let again = Redrives::start(engine, catalog, broker.clock.clone());
    let job = site.ended(begun.id).await;
    assert_eq!((job.state, job.moved), (JobState::Done, 5));
    assert_eq!(site.values(5).await, ["0", "1", "2", "3", "4"]);
    assert_eq!(again.list(Some("workers"), None).len(), 1);
}

#[tokio::test]
async fn a_cancelled_job_goes_on_where_it_stopped() {
    let site = Site::new().await;
    site.die(12).await;
    let job = site.begin(Filter::default(), 5, false).await;
    while site.redrives.list(None, Some(job.id))[0].moved == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rival = site
        .redrives
        .begin("workers", Filter::default(), 0, false)
        .await;
    assert_eq!(rival.unwrap_err().code, ErrorCode::InvalidRequest);
    let stopped = site.redrives.cancel(job.id).await.unwrap();
    assert_eq!((stopped.state, stopped.moved), (JobState::Cancelled, 5));
    assert_eq!(site.records(12).await.len(), 5);
    assert!(site.redrives.cancel(job.id).await.is_err(), "it has ended");
    site.redrives.resume(job.id).await.unwrap();
    let job = site.ended(job.id).await;
    assert_eq!((job.state, job.moved), (JobState::Done, 12));
    let expected: Vec<_> = (0..12).map(|number| number.to_string()).collect();
    assert_eq!(site.values(12).await, expected);
    assert!(site.redrives.resume(job.id).await.is_err(), "it is done");
}

#[tokio::test]
async fn what_has_no_home_is_passed_by_and_goes_when_it_has_one() {
    let site = Site::new().await;
    site.die(2).await;
    let catalog = &site.bench.broker.catalog;
    let id = catalog.view.topic("jobs").unwrap().id;
    catalog.delete(vec![id]).await.remove(0).unwrap();
    let job = site.begin(Filter::default(), 0, false).await;
    let job = site.ended(job.id).await;
    assert_eq!(
        (job.state, job.moved, job.skipped.len()),
        (JobState::Done, 0, 2)
    );
    assert!(job.message.as_ref().unwrap().contains("jobs"));
    site.topic("jobs").await;
    let job = site.begin(Filter::default(), 0, false).await;
    assert_eq!(site.ended(job.id).await.moved, 2);
    assert_eq!(site.values(0).await, ["0", "1"]);
}

#[tokio::test]
async fn without_a_dead_letter_topic_there_is_nothing_to_bring_home() {
    let site = Site::new().await;
    for group in ["others", "workers"] {
        let refused = site
            .redrives
            .begin(group, Filter::default(), 0, false)
            .await;
        assert_eq!(
            refused.unwrap_err().code,
            ErrorCode::InvalidRequest,
            "{group}"
        );
    }
}

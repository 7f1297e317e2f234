use bytes::Bytes;
use ratel_storage::BatchBuilder;

use super::*;
use crate::api::testing::NOW_MS;
use crate::coordinator::share::DeadReason;
use crate::dead_letters::{ORIGIN_PREFIX, testing};

/// Redrives of the dead letters of a site.
struct Site {
    yard: testing::Site,
    redrives: Redrives,
}

impl Site {
    async fn new() -> Self {
        let yard = testing::Site::new(&[], &[]).await;
        let redrives = redrives(&yard);
        Self { yard, redrives }
    }

    /// Produce so many records to partition 1 of `jobs` and have all of them die.
    async fn die(&self, count: i64) {
        self.die_of("jobs", count).await;
    }

    async fn die_of(&self, topic: &str, count: i64) {
        let mut builder = BatchBuilder::new(NOW_MS);
        for number in 0..count {
            let value = format!("{number}");
            let colour: &[u8] = if number % 2 == 0 { b"red" } else { b"blue" };
            let headers: [(&[u8], Option<&[u8]>); 1] = [(b"colour", Some(colour))];
            builder.record_at(NOW_MS, Some(b"k"), Some(value.as_bytes()), &headers);
        }
        let place = self.yard.place(topic);
        let first = self.yard.append(place, builder).await.get();
        let range = (first, first + count - 1);
        let key = self.yard.key_of(place);
        self.yard.bury(&key, range, DeadReason::Rejected).await;
    }

    /// As a crash leaves it: copies stand, and the job's record is an older one.
    async fn crash(&mut self, before: &Job) {
        let catalog = &self.yard.bench.broker.catalog;
        catalog.put_redrive(before.clone(), false).await.unwrap();
        self.redrives = redrives(&self.yard);
    }

    /// So much time passes that logs forget their producers.
    fn forget_producers(&self) {
        let bench = &self.yard.bench;
        bench.broker.engine.upkeep(NOW_MS + 2 * 86_400_000);
        let log = bench.broker.engine.partition(self.yard.place("jobs"));
        assert_eq!(log.unwrap().producers(), []);
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

    /// The values in partition 1 of `jobs` from an offset on.
    async fn values(&self, from: i64) -> Vec<String> {
        self.values_of("jobs", from).await
    }

    async fn values_of(&self, topic: &str, from: i64) -> Vec<String> {
        let home = self.records_of(topic, from).await.into_iter();
        home.map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap())
            .collect()
    }

    async fn records(&self, from: i64) -> Vec<Record> {
        self.records_of("jobs", from).await
    }

    async fn records_of(&self, topic: &str, from: i64) -> Vec<Record> {
        let place = self.yard.place(topic);
        let mut all = testing::read(&*self.yard.bench.broker.engine, place).await;
        all.retain(|record| record.offset >= Offset::new(from));
        all
    }
}

fn redrives(yard: &testing::Site) -> Redrives {
    let broker = &yard.bench.broker;
    let (engine, catalog) = (broker.engine.clone(), broker.catalog.clone());
    Redrives::start(engine, catalog, broker.clock.clone())
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
    let mut site = Site::new().await;
    site.die(5).await;
    let begun = site.begin(Filter::default(), 0, false).await;
    site.ended(begun.id).await;
    site.crash(&begun).await;
    let job = site.ended(begun.id).await;
    assert_eq!((job.state, job.moved), (JobState::Done, 5));
    assert_eq!(site.values(5).await, ["0", "1", "2", "3", "4"]);
    assert_eq!(site.redrives.list(Some("workers"), None).len(), 1);
}

/// It is found out from the log itself then.
#[tokio::test]
async fn a_job_that_died_is_not_taken_for_new_once_its_producer_is_forgotten() {
    let mut site = Site::new().await;
    site.die(3).await;
    let job = site.begin(Filter::default(), 0, false).await;
    site.ended(job.id).await;
    site.die(2).await;
    let second = site.begin(Filter::default(), 0, false).await;
    site.ended(second.id).await;
    for round in 0..2 {
        site.forget_producers();
        site.crash(&second).await;
        let job = site.ended(second.id).await;
        assert_eq!((job.state, job.moved), (JobState::Done, 2), "{round}");
        assert_eq!(site.values(3).await, ["0", "1", "2", "0", "1", "0", "1"]);
    }
}

#[tokio::test]
async fn a_job_that_cannot_know_what_is_home_says_so_and_moves_nothing() {
    let mut site = Site::new().await;
    site.die(3).await;
    let begun = site.begin(Filter::default(), 0, false).await;
    site.ended(begun.id).await;
    site.die(1).await;
    site.forget_producers();
    let log = site.yard.bench.broker.engine.clone();
    let log = log.partition(site.yard.place("jobs")).unwrap();
    log.advance_start(Offset::new(6)).await.unwrap();
    site.crash(&begun).await;
    for _ in 0..2 {
        let job = site.ended(begun.id).await;
        assert_eq!(job.state, JobState::Failed);
        let why = job.message.as_ref().unwrap();
        assert!(
            why.contains("retention") && why.contains("begin another"),
            "{why}"
        );
        assert_eq!(site.records(6).await.len(), 1);
        // Nor does it forget that when it is resumed.
        site.redrives.resume(begun.id).await.unwrap();
    }
}

/// What of a step could go home stays there once, whoever goes on.
#[tokio::test]
async fn a_step_that_fails_in_part_is_not_made_twice() {
    let site = Site::new().await;
    let topics = [
        site.yard.topic("other", &[]).await,
        site.yard.source.clone(),
    ];
    for topic in &topics {
        site.die_of(&topic.name, 3).await;
    }
    // Letters go home in the order of the topics' ids.
    let first = topics.iter().min_by_key(|topic| topic.id).unwrap();
    let last = topics.iter().max_by_key(|topic| topic.id).unwrap();
    let engine = &site.yard.bench.broker.engine;
    let shut = site.yard.place(&last.name);
    engine.delete(shut).unwrap();
    let job = site.begin(Filter::default(), 0, false).await;
    while site.values_of(&first.name, 3).await.len() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let job = site.redrives.cancel(job.id).await.unwrap();
    assert_eq!(
        (job.state, job.matched, job.moved),
        (JobState::Cancelled, 3, 3)
    );
    // Resumed, and no better.
    site.redrives.resume(job.id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    let job = site.redrives.cancel(job.id).await.unwrap();
    assert_eq!((job.state, job.moved), (JobState::Cancelled, 3));
    // Another job knows too what is home.
    engine.open(shut, last.settings.clone()).unwrap();
    let other = site.begin(Filter::default(), 0, false).await;
    assert_eq!(site.ended(other.id).await.moved, 3);
    site.redrives.resume(job.id).await.unwrap();
    let job = site.ended(job.id).await;
    assert_eq!((job.state, job.moved), (JobState::Done, 3));
    for (topic, from) in [(first, 3), (last, 0)] {
        let home = site.values_of(&topic.name, from).await;
        assert_eq!(home, ["0", "1", "2"], "{}", topic.name);
    }
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
    let catalog = &site.yard.bench.broker.catalog;
    let id = site.yard.source.id;
    catalog.delete(vec![id]).await.remove(0).unwrap();
    let job = site.begin(Filter::default(), 0, false).await;
    let job = site.ended(job.id).await;
    assert_eq!(
        (job.state, job.moved, job.skipped.len()),
        (JobState::Done, 0, 2)
    );
    assert!(job.message.as_ref().unwrap().contains("jobs"));
    site.yard.topic("jobs", &[]).await;
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

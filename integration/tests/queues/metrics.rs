//! What `/metrics` says of queues, scraped from a server with a record in every state.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::{ACCEPT, Member, REJECT, Rig, ranges, until};

async fn scraped(rig: &Rig, query: &str) -> String {
    let address = rig.server.http_addr();
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let request =
        format!("GET /metrics{query} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (_, page) = answer.split_once("\r\n\r\n").expect("a head");
    page.to_owned()
}

/// The value of a series of group `workers` on topic `jobs`.
fn value(page: &str, family: &str) -> f64 {
    let series = format!("{family}{{group=\"workers\",topic=\"jobs\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&series));
    assert!(value.is_some(), "no {series} in {page}");
    let value = value.and_then(|value| value.parse().ok());
    value.expect("a number")
}

/// Families with their kinds, as the page declares them.
fn families(page: &str) -> BTreeMap<String, String> {
    let heads = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let heads = heads.filter_map(|head| head.split_once(' '));
    heads
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// Of partition 0, let one lock run out and its record be held back; of the rest one is rejected,
/// one done, and two are leased for the second time, by the member that is given.
async fn bring_about(rig: &mut Rig, jobs: Uuid) -> Member {
    let mut member = rig.member("workers", "m").await;
    member.join(&["jobs"]).await;
    until!(rig.queues("workers").await.len() == 2);
    let lease = member.request(&[(jobs, &[0])]).with_max_records(1);
    assert_eq!(ranges(&member.send(&lease).await), [(0, 0, 0, 1)]);
    until!(rig.queues("workers").await[0].delayed == 1);
    rig.group("workers", &[("share.record.lock.duration.ms", "600000")])
        .await;
    let lease = member.request(&[]).with_max_records(4);
    assert_eq!(ranges(&member.send(&lease).await), [(0, 1, 4, 1)]);
    assert_eq!(
        member.say(jobs, 0, &[(1, 1, REJECT), (2, 2, ACCEPT)]).await,
        0
    );
    // A member that is gone gives back what the next one gets a second time.
    drop(member);
    until!(rig.queues("workers").await[0].in_flight == 0);
    let mut member = rig.member("workers", "n").await;
    let lease = member.request(&[(jobs, &[0])]).with_max_records(2);
    assert_eq!(ranges(&member.send(&lease).await), [(0, 3, 4, 2)]);
    until!(
        scraped(rig, "")
            .await
            .contains("\nratel_dead_letters_total 1\n")
    );
    member
}

#[tokio::test]
async fn the_metrics_tell_of_every_state_and_the_manual_of_every_metric() {
    let mut rig = Rig::start(&[]).await;
    let jobs = rig.topic("jobs", 2).await;
    let settings = [
        ("errors.deadletterqueue.topic.name", "dead"),
        ("queue.release.backoff.ms", "600000"),
        ("share.record.lock.duration.ms", "1000"),
    ];
    rig.group("workers", &settings).await;
    for _ in 0..8 {
        rig.produce("jobs", 0, &[b"a"]).await;
    }
    rig.produce("jobs", 1, &[b"a"]).await;
    let _member = bring_about(&mut rig, jobs).await;

    let page = scraped(&rig, "").await;
    let wanted = [
        ("ratel_queue_ready", 4.0),
        ("ratel_queue_in_flight", 2.0),
        ("ratel_queue_scheduled", 1.0),
        ("ratel_queue_dead", 1.0),
        ("ratel_queue_redelivered_total", 2.0),
        ("ratel_queue_lock_expired_total", 1.0),
        ("ratel_queue_lost_total", 0.0),
    ];
    for (family, wanted) in wanted {
        assert!(
            (value(&page, family) - wanted).abs() < 0.5,
            "{family}: {page}"
        );
    }
    // Seconds, by the clock of the producer: these records are from 2023.
    let age = value(&page, "ratel_queue_oldest_ready_age_seconds");
    assert!(age > 1e7 && age < 1e10, "{age}");
    let members = "\nkafka_consumergroup_members{consumergroup=\"workers\"} 1\n";
    assert!(page.contains(members), "{page}");

    let detail = scraped(&rig, "?detail=partition").await;
    for line in [
        "\nratel_queue_ready{group=\"workers\",partition=\"0\",topic=\"jobs\"} 3\n",
        "\nratel_queue_ready{group=\"workers\",partition=\"1\",topic=\"jobs\"} 1\n",
        "\nratel_queue_scheduled{group=\"workers\",partition=\"1\",topic=\"jobs\"} 0\n",
    ] {
        assert!(detail.contains(line), "{line} in {detail}");
    }
    check_manual(&families(&detail));
}

/// Each family is a row of docs/metrics.md, with its kind.
fn check_manual(families: &BTreeMap<String, String>) {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let manual = std::fs::read_to_string(manual).expect("the manual");
    assert!(families.len() > 25, "{families:?}");
    for (name, kind) in families {
        let row = manual
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}`")));
        let has_kind = row.map(|row| row.contains(&format!("| {kind} |")));
        assert_eq!(has_kind, Some(true), "{name}, a {kind}, in docs/metrics.md");
    }
}

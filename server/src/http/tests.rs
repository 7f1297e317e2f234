use std::net::SocketAddr;

use ratel_storage::batch::BatchBuilder;
use ratel_storage::{Durability, Origin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::broker::Broker;
use crate::config::Config;
use crate::coordinator::group::{Commit, CommitOffset, Event, Reply};
use crate::start::Server;

async fn server(dir: &std::path::Path) -> Server {
    let config = Config {
        listeners: vec![crate::config::Listener {
            name: "PLAINTEXT".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 0,
            advertised: None,
        }],
        log_dir: dir.to_owned(),
        http_listen: Some(([127, 0, 0, 1], 0).into()),
        num_partitions: 2,
        offsets_topic_num_partitions: 3,
        ..Config::default()
    };
    Server::start(config).await.expect("it starts")
}

/// The status code and the body.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    ask_as(address, &address.to_string(), path).await
}

async fn ask_as(address: SocketAddr, host: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

#[tokio::test]
async fn a_server_that_is_well_says_so() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = server(temporary.path()).await;
    let http = server.http_address().expect("http is on");
    let ok = (200, "{\"reasons\":[],\"status\":\"ok\"}".to_owned());
    assert_eq!(get(http, "/healthz").await, ok);
    assert_eq!(get(http, "/readyz").await, ok);
    assert_eq!(get(http, "/nothing").await.0, 404);
    server.shutdown().await.expect("it stops");
}

#[tokio::test]
async fn the_metrics_have_no_series_for_what_is_not_used() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = server(temporary.path()).await;
    let http = server.http_address().expect("http is on");
    let (status, page) = get(http, "/metrics").await;
    assert_eq!(status, 200);
    assert!(page.contains("\nkafka_brokers 1\n"), "{page}");
    for name in [
        "ratel_request_seconds",
        "ratel_connections",
        "_queue_",
        "lag",
    ] {
        assert!(!page.contains(name), "{name} in {page}");
    }
    let metrics = &server.broker().metrics;
    metrics.request(ratel_protocol::ApiKey::Fetch, 40);
    metrics.request_error(ratel_protocol::ApiKey::Fetch, 3);
    metrics.rejected(crate::metrics::Rejection::Idle);
    let (_, page) = get(http, "/metrics").await;
    for line in [
        "ratel_request_seconds_bucket{api=\"Fetch\",le=\"0.00005\"} 1",
        "ratel_request_seconds_count{api=\"Fetch\"} 1",
        "redpanda_kafka_request_latency_seconds_count{redpanda_request=\"consume\"} 1",
        "ratel_request_errors_total{api=\"Fetch\",code=\"UnknownTopicOrPartition\"} 1",
        "ratel_connections_rejected_total{reason=\"idle\"} 1",
    ] {
        assert!(
            page.lines().any(|there| there == line),
            "{line} not in {page}"
        );
    }
    assert_eq!(get(http, "/metrics?detail=all").await.0, 400);
    server.shutdown().await.expect("it stops");
}

/// A topic `t` of two partitions with three records in each, the oldest 90 s old.
async fn three_records_each(broker: &Broker) {
    let topic = broker
        .catalog
        .create_automatically("t")
        .await
        .expect("a topic");
    let now_ms = broker.clock.now().wall_ms;
    for index in 0..2 {
        let partition = broker.partition(&topic, index).expect("its log");
        for age_ms in [90_000, 60_000, 30_000] {
            let mut builder = BatchBuilder::new(now_ms - age_ms);
            builder.record(None, Some(b"value"));
            let batch = builder.build().expect("a batch");
            let appending = partition.append(&batch, Origin::Client, Durability::Written, now_ms);
            appending.await.expect("appended");
        }
    }
}

async fn commit(broker: &Broker, index: i32, offset: i64) {
    let topic = broker.catalog.view.topic("t").expect("it is there");
    let event = Event::Commit(Commit {
        group: "g".into(),
        member: "".into(),
        instance: None,
        generation: -1,
        retention_ms: None,
        knows_group_id_not_found: true,
        offsets: vec![CommitOffset {
            topic: "t".into(),
            topic_id: topic.id,
            partition: index,
            offset,
            leader_epoch: -1,
            metadata: "".into(),
        }],
    });
    let reply = broker
        .groups
        .send("g", event)
        .await
        .expect("it is answered");
    assert_eq!(reply, Reply::Committed(vec![Ok(())]));
}

#[tokio::test]
async fn offsets_and_lag_are_told_without_an_exporter() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = server(temporary.path()).await;
    let http = server.http_address().expect("http is on");
    three_records_each(server.broker()).await;
    commit(server.broker(), 0, 3).await;
    commit(server.broker(), 1, 1).await;

    let (_, page) = get(http, "/metrics").await;
    check_lines(
        &page,
        &[
            "kafka_topic_partitions{topic=\"t\"} 2",
            "kafka_topic_partition_current_offset{topic=\"t\"} 6",
            "kafka_topic_partition_oldest_offset{topic=\"t\"} 0",
            "kafka_consumergroup_members{consumergroup=\"g\"} 0",
            "kafka_consumergroup_current_offset{consumergroup=\"g\",topic=\"t\"} 4",
            "kafka_consumergroup_lag{consumergroup=\"g\",topic=\"t\"} 2",
        ],
    );
    let age = "kafka_consumergroup_group_lag_seconds{group=\"g\",topic=\"t\"} ";
    let age = page
        .lines()
        .find_map(|line| line.strip_prefix(age))
        .expect("an age");
    let age: f64 = age.parse().expect("a number");
    assert!(
        (60.0..75.0).contains(&age),
        "the batch at offset 1 is 60 s old: {age}"
    );

    let (_, page) = get(http, "/metrics?detail=partition").await;
    check_lines(
        &page,
        &[
            "kafka_topic_partition_current_offset{partition=\"0\",topic=\"t\"} 3",
            "kafka_consumergroup_lag{consumergroup=\"g\",partition=\"0\",topic=\"t\"} 0",
            "kafka_consumergroup_lag{consumergroup=\"g\",partition=\"1\",topic=\"t\"} 2",
            "kafka_consumergroup_group_lag_seconds{group=\"g\",partition=\"0\",topic=\"t\"} 0",
            "redpanda_kafka_max_offset{redpanda_namespace=\"kafka\",redpanda_partition=\"1\",\
             redpanda_topic=\"t\"} 3",
            "redpanda_kafka_consumer_group_committed_offset{redpanda_group=\"g\",\
             redpanda_partition=\"1\",redpanda_topic=\"t\"} 1",
        ],
    );
    server.shutdown().await.expect("it stops");
}

#[track_caller]
fn check_lines(page: &str, expected: &[&str]) {
    for line in expected {
        assert!(
            page.lines().any(|there| there == *line),
            "{line} not in {page}"
        );
    }
}

/// A page of somebody else's can have its own name point to this machine, and then read what a
/// browser here may read: a server on loopback answers to loopback's names alone.
#[tokio::test]
async fn on_loopback_other_host_names_are_refused() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = server(temporary.path()).await;
    let http = server.http_address().expect("http is on");
    for good in ["localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:8080"] {
        assert_eq!(ask_as(http, good, "/healthz").await.0, 200, "{good}");
    }
    for bad in [
        "evil.example",
        "localhost.evil.example:80",
        "10.0.0.1",
        "[::2]",
    ] {
        assert_eq!(ask_as(http, bad, "/metrics").await.0, 403, "{bad}");
    }
    server.shutdown().await.expect("it stops");
}

#[test]
fn a_recovery_that_goes_on_is_a_reason_not_to_be_ready() {
    let clock = crate::clock::ManualClock::default();
    let (fail, failure) = tokio::sync::watch::channel(None);
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let site = super::Site {
        broker: std::sync::OnceLock::new(),
        disk: std::sync::Arc::new(ratel_storage::disk_memory::MemoryDisk::new()),
        clock: std::sync::Arc::new(clock),
        began_us: 0,
        failure,
        stopping,
    };
    let recovery = "recovery: the logs are being opened";
    assert_eq!(super::health::ready(&site), [recovery]);
    assert_eq!(super::health::live(&site), [""; 0]);
    stop.send_replace(true);
    fail.send_replace(Some("a segment could not be synced".to_owned()));
    let stopping = "stopping: the server was asked to stop";
    let failed = "a segment could not be synced";
    assert_eq!(super::health::ready(&site), [failed, stopping, recovery]);
    assert_eq!(super::health::live(&site), [failed]);
}

#[tokio::test]
async fn how_queues_stand_is_told_by_group_and_topic() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = server(temporary.path()).await;
    let http = server.http_address().expect("http is on");
    let broker = server.broker();
    three_records_each(broker).await;
    let topic = broker.catalog.view.topic("t").expect("the topic");
    for (index, start) in [(0, 0), (1, 1)] {
        let key = crate::coordinator::share::QueueKey {
            group: "workers".into(),
            partition: topic.partition(index).expect("a partition"),
        };
        let start = ratel_storage::Offset::new(start);
        broker.shares.reset(key, start).await.expect("a queue");
    }
    let (_, page) = get(http, "/metrics").await;
    check_lines(
        &page,
        &[
            "ratel_queue_ready{group=\"workers\",topic=\"t\"} 5",
            "ratel_queue_in_flight{group=\"workers\",topic=\"t\"} 0",
            "ratel_queue_dead{group=\"workers\",topic=\"t\"} 0",
            "ratel_queue_redelivered_total{group=\"workers\",topic=\"t\"} 0",
            "ratel_queue_lock_expired_total{group=\"workers\",topic=\"t\"} 0",
        ],
    );
    assert!(page.contains("ratel_queue_oldest_ready_age_seconds{group=\"workers\""));
    let (_, page) = get(http, "/metrics?detail=partition").await;
    let ready = "ratel_queue_ready{group=\"workers\",partition=\"1\",topic=\"t\"} 2";
    check_lines(&page, &[ready]);
    server.shutdown().await.expect("it stops");
}

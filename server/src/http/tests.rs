use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::Config;
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
        ..Config::default()
    };
    Server::start(config).await.expect("it starts")
}

/// The status code and the body.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
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

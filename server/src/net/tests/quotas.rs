//! What quotas do to connections: of the time that requests take, and of new connections.

use std::time::Instant;

use super::*;
use crate::coordinator::catalog::client_quota::{ClientQuotas, Limit, Owner, Part, Quota};

fn limit(server: &Server, owner: Owner, quota: Quota, limit: f64) {
    let mut quotas = ClientQuotas::default();
    quotas.put(&owner, &[(quota, Limit(limit))].into());
    server.broker.catalog.view.put_quotas(Arc::new(quotas));
}

/// A Heartbeat of a version that is told how long it has to be silent.
fn told(correlation_id: i32, command: &str) -> Vec<u8> {
    let request = HeartbeatRequest::default()
        .with_group_id(StrBytes::from_string(command.to_owned()).into())
        .with_generation_id(correlation_id);
    let mut body = BytesMut::new();
    request.encode(&mut body, 1).expect("encodes");
    frame(ApiKey::Heartbeat as i16, 1, correlation_id, &body)
}

async fn throttle_ms(client: &mut Client) -> i32 {
    let mut frame = client.receive().await.expect("an answer");
    frame.advance(4);
    let body = HeartbeatResponse::decode(&mut frame, 1).expect("decodes");
    body.throttle_time_ms
}

#[tokio::test(flavor = "multi_thread")]
async fn kip_124_a_client_whose_requests_take_too_long_is_throttled() {
    let server = Server::start(Config::default()).await;
    let mut client = server.connect().await;
    client.send(&told(1, "work 100")).await;
    assert_eq!(throttle_ms(&mut client).await, 0, "there is no quota");
    // 50 ms in ten seconds.
    let owner = Owner::from([(Part::ClientId, None)]);
    limit(&server, owner, Quota::RequestPercentage, 0.5);
    client.send(&told(2, "park 200")).await;
    assert_eq!(throttle_ms(&mut client).await, 0, "waiting is no work");
    for command in ["work 100", "work-later 100"] {
        client.send(&told(3, command)).await;
        assert_eq!(throttle_ms(&mut client).await, 1000, "one sample at most");
        let began = Instant::now();
        client.send(&told(4, "answer")).await;
        assert!(throttle_ms(&mut client).await > 0, "it is still above");
        assert!(began.elapsed() >= Duration::from_millis(900), "{command}");
    }
    // Answers of old versions cannot tell, but the client is muted all the same.
    let began = Instant::now();
    client.send(&beat(5, "answer")).await;
    assert_eq!(client.beat().await, (5, 5));
    assert!(began.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn kip_612_an_address_above_its_quota_is_kept_waiting_and_then_refused() {
    let server = Server::start(Config::default()).await;
    let owner = Owner::from([(Part::Ip, None)]);
    limit(&server, owner, Quota::ConnectionCreationRate, 1.0);
    let mut clients = Vec::new();
    for id in 0..10 {
        let mut client = server.connect().await;
        client.send(&beat(id, "answer")).await;
        assert_eq!(client.beat().await.0, id);
        clients.push(client);
    }
    let began = Instant::now();
    let mut refused = server.connect().await;
    assert!(refused.is_closed().await);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(500), "{waited:?}");
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    server.rejected(Rejection::ConnectionRate).await;

    let mut refused = server.connect().await;
    server.shutdown.send_replace(true);
    assert!(refused.is_closed().await);
}

#[tokio::test]
async fn kip_612_connections_above_the_brokers_rate_wait_to_be_accepted() {
    let config = Config {
        max_connection_creation_rate: 5,
        quota_window_num: 2,
        ..Config::default()
    };
    let server = Server::start(config).await;
    let began = Instant::now();
    let mut clients = Vec::new();
    for id in 0..8 {
        let mut client = server.connect().await;
        client.send(&beat(id, "answer")).await;
        clients.push(client);
    }
    for (id, client) in (0..).zip(&mut clients) {
        assert_eq!(client.beat().await.0, id);
        if id == 4 {
            let waited = began.elapsed();
            assert!(waited < Duration::from_millis(200), "{waited:?}");
        }
    }
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(550), "{waited:?}");
    assert_eq!(
        server.broker.metrics.rejections(Rejection::ConnectionRate),
        0
    );
}

/// A wait of no time is one all the same, and would let in a thousand clients a second.
#[tokio::test]
async fn connections_wait_for_no_rate_that_is_not_limited() {
    let server = Server::start(Config::default()).await;
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    let pace = std::pin::pin!(server.network.pace());
    assert!(pace.poll(&mut task).is_ready());
}

#[tokio::test]
async fn connections_are_asked_for_a_sign_of_life() {
    let listener = listener(&[]);
    let address = listener.local_addr().expect("bound");
    let _client = TcpStream::connect(address).await.expect("accepts");
    let (accepted, _) = listener.accept().await.expect("accepts");
    let socket = SockRef::from(&accepted);
    assert_eq!(socket.keepalive().ok(), Some(true));
    let idle = socket.tcp_keepalive_time().expect("it has one");
    let interval = socket.tcp_keepalive_interval().expect("it has one");
    let probes = socket.tcp_keepalive_retries().expect("it has some");
    assert_eq!(idle + interval * probes, Duration::from_secs(120));
}

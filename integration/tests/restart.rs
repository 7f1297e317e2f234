//! The broker in this process stops, crashes and comes back on the same directory.

use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::messages::MetadataRequest;
use ratel_integration::{RawClient, TestBroker};
use ratel_server::api::ROUTES;

#[tokio::test]
async fn a_broker_answers_before_and_after_a_restart_and_a_crash() {
    let mut broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    let versions = client.send(0, &ApiVersionsRequest::default()).await;
    assert_eq!(versions.error_code, 0);
    let keys: Vec<i16> = versions.api_keys.iter().map(|api| api.api_key).collect();
    let table: Vec<i16> = ROUTES
        .iter()
        .filter(|route| !route.key.is_private())
        .map(|route| route.key as i16)
        .collect();
    assert_eq!(keys, table, "what is spoken is what the table says");
    let cluster_id = cluster_id(&broker).await;

    broker.restart().await;
    assert_eq!(
        self::cluster_id(&broker).await,
        cluster_id,
        "after a restart"
    );
    assert!(
        client.is_closed().await,
        "a stopped broker closes its connections"
    );

    broker.crash();
    broker.restart().await;
    assert_eq!(self::cluster_id(&broker).await, cluster_id, "after a crash");
}

async fn cluster_id(broker: &TestBroker) -> String {
    let mut client = RawClient::connect(broker.addr()).await;
    let answer = client
        .send(12, &MetadataRequest::default().with_topics(None))
        .await;
    answer.cluster_id.expect("a cluster has an id").to_string()
}

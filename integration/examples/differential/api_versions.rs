//! ApiVersions: the ranges and features that a server tells its clients.

use kafka_protocol::messages::ApiVersionsRequest;

use crate::world::{Carrier, Family, World, scenarios};

pub fn families() -> Vec<Family> {
    vec![Family {
        name: "api_versions",
        versions: 0..=4,
        carrier: Carrier::Fetch,
        scenarios: scenarios![; advertised,],
    }]
}

async fn advertised(world: &mut World) {
    let mut client = world.connect().await;
    let request = ApiVersionsRequest::default();
    let request = match world.version {
        ..3 => request,
        _ => request
            .with_client_software_name("differential".into())
            .with_client_software_version("1".into()),
    };
    let mut answer = client.send(world.version, &request).await;
    // How often features were changed is up to each server.
    answer.finalized_features_epoch = 0;
    world.record("answer", &answer);
}

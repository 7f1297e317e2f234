//! DescribeCluster (key 60), versions 0 to 2: the one broker, which is the controller too.
//!
//! - v1: endpoint type: 1 brokers; 2 controllers is MISMATCHED_ENDPOINT_TYPE on this listener,
//!   any other UNSUPPORTED_ENDPOINT_TYPE
//! - v2: fenced brokers: none

use std::ops::RangeInclusive;

use ratel_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use ratel_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::metadata::{CLUSTER_OPERATIONS, NOT_ASKED};
use super::{Api, Context, Later};
use crate::advertised;
use crate::error::Refusal;

pub struct DescribeCluster;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

impl Api for DescribeCluster {
    type Request = DescribeClusterRequest;
    const KEY: ApiKey = ApiKey::DescribeCluster;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(cx: Context, request: DescribeClusterRequest) -> Later {
        let response = DescribeClusterResponse::default();
        if let Err(refusal) = check_endpoint_type(request.endpoint_type) {
            return cx.ready(
                &response
                    .with_error_code(refusal.code.code())
                    .with_error_message(refusal.message),
            );
        }
        let (host, port) = advertised::endpoint(&cx.broker.config, &cx.session);
        let node_id = cx.broker.config.node_id.into();
        let broker = DescribeClusterBroker::default()
            .with_broker_id(node_id)
            .with_host(host.into())
            .with_port(port.into());
        let operations = if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            NOT_ASKED
        };
        cx.ready(
            &response
                .with_cluster_id(StrBytes::from_string(cx.broker.cluster_id.to_string()))
                .with_controller_id(node_id)
                .with_brokers(vec![broker])
                .with_cluster_authorized_operations(operations),
        )
    }
}

fn check_endpoint_type(endpoint_type: i8) -> Result<(), Refusal> {
    match endpoint_type {
        BROKERS => Ok(()),
        CONTROLLERS => Err(Refusal::new(
            ErrorCode::MismatchedEndpointType,
            "this is a listener of brokers, not of controllers",
        )),
        _ => Err(Refusal::new(
            ErrorCode::UnsupportedEndpointType,
            "endpoint types are 1, brokers, and 2, controllers",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn a_10_only_brokers_can_be_described_here() {
        let bench = Bench::new();
        for version in 1..=2 {
            for (endpoint_type, code) in [(1, 0), (2, 114), (0, 115), (3, 115)] {
                let request = DescribeClusterRequest::default().with_endpoint_type(endpoint_type);
                let response = bench.send(version, &request).await;
                assert_eq!(response.error_code, code);
                assert_eq!(response.error_message.is_some(), code != 0);
                assert_eq!(response.brokers.len(), usize::from(code == 0));
            }
        }
    }

    #[tokio::test]
    async fn a_10_every_version_describes_the_one_broker() {
        let bench = Bench::new();
        for version in 0..=2 {
            let request = DescribeClusterRequest::default()
                .with_include_cluster_authorized_operations(version > 0);
            let response = bench.send(version, &request).await;
            assert_eq!(&*response.cluster_id, &*bench.broker.cluster_id);
            assert_eq!(response.controller_id, 1);
            let broker = &response.brokers[0];
            assert_eq!(
                (broker.broker_id, &*broker.host, broker.port),
                (1.into(), "127.0.0.1", 9092)
            );
            assert!(!broker.is_fenced);
            let operations = if version > 0 {
                CLUSTER_OPERATIONS
            } else {
                NOT_ASKED
            };
            assert_eq!(response.cluster_authorized_operations, operations);
        }
    }
}

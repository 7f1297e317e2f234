//! ListConfigResources (key 74), versions 0 to 1: what has a configuration.
//!
//! - v0: subscriptions to clients' metrics alone
//! - v1: the types that are asked for, none standing for all: topics, this broker and
//!   its log, subscriptions, and groups that were given a configuration

use std::ops::RangeInclusive;

use ratel_protocol::messages::list_config_resources_response::ConfigResource;
use ratel_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::{Api, Context, Later};
use crate::config_resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};

/// All types, in the order of their numbers.
const TYPES: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

pub struct ListConfigResources;

impl Api for ListConfigResources {
    type Request = ListConfigResourcesRequest;
    const KEY: ApiKey = ApiKey::ListConfigResources;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(cx: Context, request: ListConfigResourcesRequest) -> Later {
        let asked = match cx.version {
            0 => vec![CLIENT_METRICS],
            _ if request.resource_types.is_empty() => TYPES.to_vec(),
            _ => request.resource_types,
        };
        let response = ListConfigResourcesResponse::default();
        if asked.iter().any(|kind| !TYPES.contains(kind)) {
            return cx.ready(&response.with_error_code(ErrorCode::UnsupportedVersion.code()));
        }
        let wanted = TYPES.into_iter().filter(|kind| asked.contains(kind));
        let resources = wanted.flat_map(|kind| {
            let names = names(&cx, kind).into_iter();
            names.map(move |name| {
                let resource = ConfigResource::default().with_resource_type(kind);
                resource.with_resource_name(StrBytes::from_string(name))
            })
        });
        let resources = resources.collect();
        cx.ready(&response.with_config_resources(resources))
    }
}

fn names(cx: &Context, kind: i8) -> Vec<String> {
    match kind {
        TOPIC => {
            let topics = cx.broker.catalog.view.topics();
            topics.iter().map(|topic| topic.name.to_string()).collect()
        }
        GROUP => {
            let groups = cx.broker.catalog.view.groups();
            groups
                .iter()
                .map(|config| config.group.to_string())
                .collect()
        }
        BROKER | BROKER_LOGGER => vec![cx.broker.config.node_id.to_string()],
        CLIENT_METRICS => {
            let subscriptions = cx.broker.catalog.view.subscriptions();
            subscriptions.keys().map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    }
}

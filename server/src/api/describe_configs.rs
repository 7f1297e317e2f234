//! DescribeConfigs (key 32), versions 1 to 4: the configuration of topics, of this broker and
//! its loggers, of groups and of subscriptions to clients' metrics.
//!
//! For each key its value in force and where that comes from; on request every place that gives a
//! value, the one that counts first. A broker is named by its id; the empty name shows what was
//! altered for all brokers. A group or subscription need not exist. No keys, or null, stand for all
//! of them. A resource that stands there twice is answered once, and an answer ends at a million
//! keys.
//! - v3: type, and documentation on request
//! - v4: flexible

use std::collections::HashSet;
use std::ops::RangeInclusive;

use ratel_protocol::messages::describe_configs_request::DescribeConfigsResource;
use ratel_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use ratel_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::{Api, Context, Later};
use crate::config_resource::Resource;
use crate::coordinator::catalog::broker_config::{BrokerConfigs, BrokerScope, Shown};
use crate::coordinator::catalog::client_metrics::CLIENT_METRICS;
use crate::coordinator::catalog::config_key::ShownDefaults;
use crate::coordinator::catalog::group_config::GROUPS;
use crate::coordinator::catalog::topic_config::TOPICS;
use crate::error::Refusal;

pub struct DescribeConfigs;

/// Keys in one answer at most. Any name is that of a group, and each takes a few bytes of the
/// request and a few thousand of the answer.
const ROWS_MAX: usize = 1_000_000;

impl Api for DescribeConfigs {
    type Request = DescribeConfigsRequest;
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    const VERSIONS: RangeInclusive<i16> = 1..=4;

    async fn handle(cx: Context, request: DescribeConfigsRequest) -> Later {
        let brokers = cx.broker.catalog.brokers();
        let defaults = ShownDefaults::new(&TOPICS, &brokers);
        let mut seen = HashSet::new();
        let mut room = Room(ROWS_MAX);
        let once = request.resources.iter();
        let once = once.filter(|asked| seen.insert((asked.resource_type, &asked.resource_name)));
        let results = once.map(|asked| {
            let result = DescribeConfigsResult::default()
                .with_resource_type(asked.resource_type)
                .with_resource_name(asked.resource_name.clone());
            match room.take(|| shown(&cx, asked, &brokers, &defaults)) {
                Ok(shown) => {
                    let rows = shown.into_iter().map(|shown| row(shown, &request));
                    result.with_error_message(None).with_configs(rows.collect())
                }
                Err(refusal) => result
                    .with_error_code(refusal.code.code())
                    .with_error_message(refusal.message),
            }
        });
        cx.ready(&DescribeConfigsResponse::default().with_results(results.collect()))
    }
}

/// What is left of an answer's room.
struct Room(usize);

impl Room {
    /// The rows of one more resource. Once one found no room, no other is looked at.
    fn take(
        &mut self,
        rows: impl FnOnce() -> Result<Vec<Shown>, Refusal>,
    ) -> Result<Vec<Shown>, Refusal> {
        let rows = match self.0 {
            0 => Vec::new(),
            _ => rows()?,
        };
        self.0 = self.0.saturating_sub(rows.len());
        match self.0 {
            0 => Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "The answer is too long already: ask for fewer resources at once.",
            )),
            _ => Ok(rows),
        }
    }
}

fn shown(
    cx: &Context,
    asked: &DescribeConfigsResource,
    brokers: &BrokerConfigs,
    defaults: &ShownDefaults,
) -> Result<Vec<Shown>, Refusal> {
    let mut shown = match Resource::find(&cx.broker, asked.resource_type, &asked.resource_name)? {
        Resource::Topic(topic) => defaults.with(&topic.configs),
        Resource::Broker(BrokerScope::Cluster) => brokers.shown_for_cluster(),
        Resource::Broker(BrokerScope::Node(_)) => brokers.shown(),
        Resource::Logger => cx.broker.loggers.shown(),
        Resource::Group(group) => {
            let config = cx.broker.catalog.view.group(&group);
            let configs = config.map(|config| config.configs.clone());
            ShownDefaults::new(&GROUPS, brokers).with(&configs.unwrap_or_default())
        }
        Resource::ClientMetrics(name) => {
            let subscriptions = cx.broker.catalog.view.subscriptions();
            let configs = subscriptions.get(&name).cloned().unwrap_or_default();
            ShownDefaults::new(&CLIENT_METRICS, brokers).with(&configs)
        }
    };
    if let Some(keys) = asked
        .configuration_keys
        .as_ref()
        .filter(|keys| !keys.is_empty())
    {
        let keys: HashSet<&str> = keys.iter().map(|key| &**key).collect();
        shown.retain(|shown| keys.contains(shown.name));
    }
    Ok(shown)
}

fn row(shown: Shown, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let synonyms = shown
        .synonyms
        .into_iter()
        .filter(|_| request.include_synonyms);
    let synonyms = synonyms.map(|(name, value, source)| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_string(value)))
            .with_source(source as i8)
    });
    let documentation = StrBytes::from_static_str(shown.doc);
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(shown.name))
        .with_value(shown.value.map(StrBytes::from_string))
        .with_read_only(shown.read_only)
        .with_config_source(shown.source as i8)
        .with_is_sensitive(shown.sensitive)
        .with_synonyms(synonyms.collect())
        .with_config_type(shown.kind.code())
        .with_documentation(request.include_documentation.then_some(documentation))
}

#[cfg(test)]
mod tests;

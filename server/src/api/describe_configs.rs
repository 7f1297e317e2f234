//! DescribeConfigs (key 32), versions 1 to 4: the configuration of topics, of this broker and
//! its loggers, of groups and of subscriptions to clients' metrics.
//!
//! For each key its value in force and where that comes from; on request every place that gives a
//! value, the one that counts first. A broker is named by its id; the empty name shows what was
//! altered for all brokers. A group or subscription need not exist. No keys, or null, stand for all
//! of them. An answer ends at a million keys; a resource that stands there again counts as all of
//! its keys, whichever are asked for.
//! - v3: type, and documentation on request
//! - v4: flexible

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

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
        let common = Common::new(&cx);
        let mut seen = HashSet::new();
        let mut room = Room(ROWS_MAX);
        let results = request.resources.iter().map(|asked| {
            let is_new = seen.insert((asked.resource_type, &asked.resource_name));
            let result = DescribeConfigsResult::default()
                .with_resource_type(asked.resource_type)
                .with_resource_name(asked.resource_name.clone());
            match room.take(is_new, asked, || common.shown(&cx, asked)) {
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
    /// The rows of one more resource that are asked for, of all that it has. Once one found no
    /// room, no other is looked at.
    fn take(
        &mut self,
        is_new: bool,
        asked: &DescribeConfigsResource,
        all: impl FnOnce() -> Result<Vec<Shown>, Refusal>,
    ) -> Result<Vec<Shown>, Refusal> {
        let mut rows = match self.0 {
            0 => Vec::new(),
            _ => all()?,
        };
        // To name a resource again takes no new name, and to look at it as long as at first.
        let looked_at = rows.len().max(1);
        let keys = asked.configuration_keys.as_deref().unwrap_or_default();
        if !keys.is_empty() {
            let keys: HashSet<&str> = keys.iter().map(|key| &**key).collect();
            rows.retain(|shown| keys.contains(shown.name));
        }
        let taken = if is_new { rows.len() } else { looked_at };
        self.0 = self.0.saturating_sub(taken);
        match self.0 {
            0 => Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "The answer is too long already: ask for fewer resources at once.",
            )),
            _ => Ok(rows),
        }
    }
}

/// What resources of a kind have in common: worked out once, by the first that needs it.
struct Common {
    brokers: Arc<BrokerConfigs>,
    broker: OnceCell<Vec<Shown>>,
    topics: OnceCell<ShownDefaults>,
    groups: OnceCell<ShownDefaults>,
    subscriptions: OnceCell<ShownDefaults>,
}

impl Common {
    fn new(cx: &Context) -> Self {
        Self {
            brokers: cx.broker.catalog.brokers(),
            broker: OnceCell::new(),
            topics: OnceCell::new(),
            groups: OnceCell::new(),
            subscriptions: OnceCell::new(),
        }
    }

    /// All rows of a resource.
    fn shown(&self, cx: &Context, asked: &DescribeConfigsResource) -> Result<Vec<Shown>, Refusal> {
        let brokers = &self.brokers;
        let defaults = |table| move || ShownDefaults::new(table, brokers);
        let view = &cx.broker.catalog.view;
        let resource = Resource::find(&cx.broker, asked.resource_type, &asked.resource_name)?;
        Ok(match resource {
            Resource::Topic(topic) => {
                let defaults = self.topics.get_or_init(defaults(&TOPICS));
                defaults.with(&topic.configs)
            }
            Resource::Broker(BrokerScope::Cluster) => brokers.shown_for_cluster(),
            Resource::Broker(BrokerScope::Node(_)) => {
                self.broker.get_or_init(|| brokers.shown()).clone()
            }
            Resource::Logger => cx.broker.loggers.shown(),
            Resource::Group(group) => {
                let configs = view.group(&group).map(|config| config.configs.clone());
                let defaults = self.groups.get_or_init(defaults(&GROUPS));
                defaults.with(&configs.unwrap_or_default())
            }
            Resource::ClientMetrics(name) => {
                let configs = view.subscriptions().get(&name).cloned();
                let defaults = self.subscriptions.get_or_init(defaults(&CLIENT_METRICS));
                defaults.with(&configs.unwrap_or_default())
            }
        })
    }
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

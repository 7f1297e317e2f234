//! What the configuration APIs speak of: resources, by Kafka's numbers and names.

use std::collections::BTreeMap;
use std::sync::Arc;

use ratel_protocol::{ErrorCode, StrBytes};

use crate::broker::Broker;
use crate::coordinator::catalog::alter::{self, Changes};
use crate::coordinator::catalog::broker_config::BrokerScope;
use crate::coordinator::catalog::client_metrics::CLIENT_METRICS as CLIENT_METRIC_KEYS;
use crate::coordinator::catalog::group_config::GROUPS;
use crate::coordinator::catalog::topic_config::TOPICS;
use crate::coordinator::catalog::{Topic, check_legal_name};
use crate::error::{Refusal, cut};

/// A topic's configuration.
pub const TOPIC: i8 = 2;
/// A broker's configuration.
pub const BROKER: i8 = 4;
/// The levels of a broker's own log.
pub const BROKER_LOGGER: i8 = 8;
/// A subscription to clients' metrics (KIP-714).
pub const CLIENT_METRICS: i8 = 16;
/// A group's configuration.
pub const GROUP: i8 = 32;

/// A resource that has a configuration here.
#[derive(Debug, Clone)]
pub enum Resource {
    /// A topic.
    Topic(Arc<Topic>),
    /// This broker, or with [`BrokerScope::Cluster`] all of them.
    Broker(BrokerScope),
    /// This broker's own log.
    Logger,
    /// A group, whether or not it exists.
    Group(Arc<str>),
    /// A subscription to clients' metrics, whether or not it exists.
    ClientMetrics(Arc<str>),
}

impl Resource {
    /// The resource of this type and name.
    ///
    /// # Errors
    /// INVALID_TOPIC_EXCEPTION, UNKNOWN_TOPIC_OR_PARTITION, or INVALID_REQUEST for a broker that
    /// is not this one and for types that are unknown or not supported.
    pub fn find(broker: &Broker, kind: i8, name: &str) -> Result<Self, Refusal> {
        let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
        let node_id = broker.config.node_id;
        match kind {
            TOPIC => {
                check_legal_name(name)?;
                let topic = broker.catalog.view.topic(name);
                Ok(Self::Topic(
                    topic.ok_or_else(|| Refusal::unknown_topic(name))?,
                ))
            }
            BROKER if name.is_empty() => Ok(Self::Broker(BrokerScope::Cluster)),
            BROKER | BROKER_LOGGER => match name.parse::<i32>() {
                Ok(id) if id == node_id && kind == BROKER => {
                    Ok(Self::Broker(BrokerScope::Node(node_id)))
                }
                Ok(id) if id == node_id => Ok(Self::Logger),
                _ => invalid(format!(
                    "Broker '{}' is not this one, which is {node_id}.",
                    cut(name)
                )),
            },
            CLIENT_METRICS if name.is_empty() => {
                invalid("A subscription to clients' metrics has a name.".into())
            }
            CLIENT_METRICS => Ok(Self::ClientMetrics(name.into())),
            GROUP if name.is_empty() => invalid("A group has a name.".into()),
            GROUP => Ok(Self::Group(name.into())),
            kind => invalid(format!("Resources of type {kind} have no configuration.")),
        }
    }

    /// [`Self::find`], to be altered. Of what is not there, what is wrong with the changes is said
    /// first, as in Kafka: all of it for a topic, and for a name that none can have what is added
    /// to or taken from something else than a list.
    fn find_altered(
        broker: &Broker,
        kind: i8,
        name: &str,
        changes: &Changes,
    ) -> Result<Self, Refusal> {
        Self::find(broker, kind, name).or_else(|missing| {
            let table = match kind {
                TOPIC => &TOPICS,
                CLIENT_METRICS => &CLIENT_METRIC_KEYS,
                GROUP => &GROUPS,
                _ => return Err(missing),
            };
            changes.check_lists(table)?;
            if kind == TOPIC && name.is_empty() {
                let message = "Topics have no configuration that all of them share.";
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
            if missing.code == ErrorCode::UnknownTopicOrPartition {
                let (changes, brokers) = (changes.without_deletions(), broker.catalog.brokers());
                alter::own(table, &BTreeMap::new(), &changes, &brokers)?;
            }
            Err(missing)
        })
    }

    /// Alter its configuration. The order of changes is that of the calls, not of the futures.
    pub fn alter(
        self,
        broker: &Broker,
        changes: Changes,
        validate_only: bool,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>> {
        let catalog = &broker.catalog;
        match self {
            Self::Topic(topic) => Box::pin(catalog.alter_topic(topic.id, changes, validate_only)),
            Self::Broker(scope) => Box::pin(catalog.alter_broker(scope, changes, validate_only)),
            Self::Group(group) => Box::pin(catalog.alter_group(group, changes, validate_only)),
            Self::ClientMetrics(name) => {
                Box::pin(catalog.alter_subscription(name, changes, validate_only))
            }
            Self::Logger => {
                let altered = broker.loggers.alter(&changes, validate_only);
                Box::pin(std::future::ready(altered))
            }
        }
    }
}

/// The changes that AlterConfigs and IncrementalAlterConfigs ask for: which resource, and how.
pub type Asked = (i8, StrBytes, Result<Changes, Refusal>);

/// Begin all changes of a request, in its order. A resource that is named twice is changed by
/// neither. What is wrong with the changes themselves is said first, as in Kafka, even of a
/// resource that is not there.
pub fn begin(
    broker: &Broker,
    asked: Vec<Asked>,
    validate_only: bool,
) -> Vec<(
    i8,
    StrBytes,
    impl Future<Output = Result<(), Refusal>> + Send + use<>,
)> {
    let mut counts = std::collections::HashMap::new();
    for (kind, name, _) in &asked {
        *counts.entry((*kind, name.clone())).or_insert(0) += 1;
    }
    let begun = asked.into_iter().map(|(kind, name, changes)| {
        let once = match counts.get(&(kind, name.clone())) {
            Some(1) => Ok(()),
            _ => Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "The resource stands in the request more than once.",
            )),
        };
        let altered = once.and_then(|()| {
            let changes = changes?;
            changes.check()?;
            let resource = Resource::find_altered(broker, kind, &name, &changes)?;
            Ok(resource.alter(broker, changes, validate_only))
        });
        let outcome = async move {
            match altered {
                Ok(altered) => altered.await,
                Err(refusal) => Err(refusal),
            }
        };
        (kind, name, outcome)
    });
    begun.collect()
}

//! The broker's keys as they are now: what the server was started with, and over it what was
//! altered while it ran.

use std::collections::BTreeMap;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::LogSettings;

use super::config_key::VALUE_BYTES_MAX;
use crate::config::{self, Config, Key, Kind};
use crate::error::{Refusal, cut};

/// For whom a broker key was altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BrokerScope {
    /// For every broker: the resource with the empty name.
    Cluster,
    /// For the broker with this id.
    Node(i32),
}

impl BrokerScope {
    /// Its number in the catalog's log: the node's id, -1 for every broker.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Cluster => -1,
            Self::Node(id) => id,
        }
    }

    /// The scope with this number.
    #[must_use]
    pub fn of_number(number: i32) -> Self {
        match number {
            -1 => Self::Cluster,
            id => Self::Node(id),
        }
    }
}

/// Where a value comes from, by Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Set on the topic.
    Topic = 1,
    /// Altered for this broker.
    DynamicBroker = 2,
    /// Altered for every broker.
    DynamicDefault = 3,
    /// Given at the start.
    Static = 4,
    /// Nobody gave one.
    Default = 5,
    /// The level of the server's own log.
    Logger = 6,
    /// Set on the subscription to clients' metrics.
    ClientMetrics = 7,
    /// Set on the group.
    Group = 8,
}

/// A key as DescribeConfigs shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The name.
    pub name: &'static str,
    /// The value in force; `None` is null.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// The type.
    pub kind: Kind,
    /// Whether it cannot be altered at run time.
    pub read_only: bool,
    /// Whether the value must not be shown.
    pub sensitive: bool,
    /// Every place that gives a value, the one that counts first.
    pub synonyms: Vec<(&'static str, String, Source)>,
    /// What it means.
    pub doc: &'static str,
}

/// The broker's keys as they are now.
#[derive(Debug, Clone)]
pub struct BrokerConfigs {
    base: Arc<Config>,
    altered: BTreeMap<(BrokerScope, String), String>,
    effective: Arc<Config>,
    settings: Arc<LogSettings>,
}

impl BrokerConfigs {
    /// As the server was started.
    #[must_use]
    pub fn new(base: Arc<Config>) -> Self {
        Self {
            settings: Arc::new(base.log_settings()),
            effective: base.clone(),
            altered: BTreeMap::new(),
            base,
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn effective(&self) -> &Arc<Config> {
        &self.effective
    }

    /// How the log of a topic behaves that says nothing itself.
    #[must_use]
    pub fn settings(&self) -> &Arc<LogSettings> {
        &self.settings
    }

    /// What was altered, for whom, by name.
    #[must_use]
    pub fn altered(&self) -> &BTreeMap<(BrokerScope, String), String> {
        &self.altered
    }

    /// The values altered in one scope.
    #[must_use]
    pub fn altered_in(&self, scope: BrokerScope) -> BTreeMap<String, String> {
        let all = self.altered.iter();
        all.filter(|((of, _), _)| *of == scope)
            .map(|((_, name), value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Alter a key, or with `None` take the alteration back. [`Self::refresh`] makes it count.
    pub fn alter(&mut self, scope: BrokerScope, name: &str, value: Option<String>) {
        let place = (scope, name.to_owned());
        match value {
            Some(value) => self.altered.insert(place, value),
            None => self.altered.remove(&place),
        };
    }

    /// Work out the configuration in force anew.
    pub fn refresh(&mut self) {
        let mut effective = (*self.base).clone();
        for scope in [BrokerScope::Cluster, BrokerScope::Node(self.base.node_id)] {
            for (name, value) in self.altered_in(scope) {
                // One that an older version took and this one does not is left out.
                let Some(Err(why)) =
                    config::key(&name).map(|key| key.write(&mut effective, &value))
                else {
                    continue;
                };
                tracing::warn!("{name}={value} {why}; it is left out");
            }
        }
        self.settings = Arc::new(effective.log_settings());
        self.effective = Arc::new(effective);
    }

    /// Every place that gives one of these keys a value, the one that counts first.
    pub fn synonyms(
        &self,
        names: impl Iterator<Item = &'static str> + Clone,
    ) -> Vec<(&'static str, String, Source)> {
        let altered = |scope, source| {
            names.clone().filter_map(move |name| {
                let value = self.altered.get(&(scope, name.to_owned()))?;
                Some((name, value.clone(), source))
            })
        };
        let node = altered(BrokerScope::Node(self.base.node_id), Source::DynamicBroker);
        let cluster = altered(BrokerScope::Cluster, Source::DynamicDefault);
        let given = names.clone().filter_map(|name| {
            let is_given = self.base.source(name) != config::Source::Default;
            Some((
                name,
                self.base.value(name).filter(|_| is_given)?,
                Source::Static,
            ))
        });
        let default = names
            .clone()
            .filter_map(|name| Some((name, config::key(name)?.default()?, Source::Default)));
        node.chain(cluster).chain(given).chain(default).collect()
    }

    /// Every key as DescribeConfigs shows it for this broker.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        let rows = self.effective.rows();
        rows.into_iter()
            .filter_map(|row| {
                let key = config::key(row.name)?;
                let chain = [key.name].into_iter().chain(key.synonyms.iter().copied());
                let mut synonyms = self.synonyms(chain);
                if row.sensitive {
                    synonyms.clear();
                }
                let own = synonyms.iter().find(|(name, _, _)| *name == key.name);
                Some(Shown {
                    name: row.name,
                    source: own.map_or(Source::Default, |(_, _, source)| *source),
                    value: row.value.filter(|_| !row.sensitive),
                    kind: row.kind,
                    read_only: row.read_only,
                    sensitive: row.sensitive,
                    synonyms,
                    doc: row.doc,
                })
            })
            .collect()
    }

    /// Every alteration for all brokers, as DescribeConfigs shows it for the empty name.
    #[must_use]
    pub fn shown_for_cluster(&self) -> Vec<Shown> {
        self.altered_in(BrokerScope::Cluster)
            .into_iter()
            .filter_map(|(name, value)| {
                let key = config::key(&name)?;
                Some(Shown {
                    name: key.name,
                    synonyms: vec![(key.name, value.clone(), Source::DynamicDefault)],
                    value: Some(value),
                    source: Source::DynamicDefault,
                    kind: key.kind,
                    read_only: false,
                    sensitive: false,
                    doc: key.doc(),
                })
            })
            .collect()
    }

    /// Check an alteration's value.
    ///
    /// # Errors
    /// INVALID_REQUEST, as in Kafka, with a sentence that names the value and what is allowed.
    pub fn check(&self, key: &Key, value: &str) -> Result<(), Refusal> {
        let mut copy = (*self.effective).clone();
        let is_number = matches!(
            key.kind,
            Kind::Int | Kind::Short | Kind::Long | Kind::Double
        );
        let outcome = match value.len() {
            // What stands for no value in a file is none here: a key is deleted instead.
            0 if is_number => Err(format!("is empty; give {}", key.expects())),
            0..=VALUE_BYTES_MAX => key.write(&mut copy, value),
            _ => Err(format!("is longer than {VALUE_BYTES_MAX} bytes")),
        };
        outcome.map_err(|why| {
            let (value, name) = (cut(value), key.name);
            let message = format!("Invalid value {value} for configuration {name}: {why}.");
            Refusal::new(ErrorCode::InvalidRequest, message)
        })
    }
}

/// The broker key of this name, if it can be altered at run time: those of Kafka's can whose change
/// takes effect at once here, and those that change nothing.
///
/// # Errors
/// INVALID_CONFIG for an unknown name, INVALID_REQUEST for one that only a restart changes.
pub fn alterable(name: &str) -> Result<&'static Key, Refusal> {
    let Some(key) = config::key(name) else {
        let message = format!("Unknown broker configuration {}.", cut(name));
        return Err(Refusal::new(ErrorCode::InvalidConfig, message));
    };
    if key.scope == config::Scope::ReadOnly {
        let message = format!(
            "The broker configuration {name} cannot be altered while the server runs; set it in \
             the server's configuration and start it again."
        );
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    Ok(key)
}

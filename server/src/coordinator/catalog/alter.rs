//! From a configuration and changes to it to the new configuration, or a refusal.

use std::collections::{BTreeMap, HashSet};

use ratel_protocol::ErrorCode;

use super::broker_config::{BrokerConfigs, BrokerScope, alterable};
use super::config_key::KeyTable;
use crate::config::{Kind, split_list};
use crate::error::{Refusal, cut};

/// What is done to one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Give it this value.
    Set,
    /// Take its value away.
    Delete,
    /// Add these to its list.
    Append,
    /// Take these off its list.
    Subtract,
}

/// Changes to a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// All of it: what is not named goes back to its default.
    Replace(BTreeMap<String, String>),
    /// Key by key, each key once.
    Each(Vec<(String, Op, Option<String>)>),
}

/// The new configuration of a topic or group.
///
/// # Errors
/// INVALID_REQUEST for a key named twice or a value that is missing, before all else;
/// INVALID_CONFIG for a name or value that cannot be.
pub fn own(
    table: &KeyTable,
    before: &BTreeMap<String, String>,
    changes: &Changes,
    brokers: &BrokerConfigs,
) -> Result<BTreeMap<String, String>, Refusal> {
    let after = match changes {
        Changes::Replace(all) => all.clone(),
        Changes::Each(each) => {
            let mut after = before.clone();
            for (name, op, value) in whole(each)? {
                let key = table.key(name).map_err(invalid)?;
                let now = || {
                    after
                        .get(name)
                        .cloned()
                        .unwrap_or_else(|| key.default_in(brokers))
                };
                match changed(name, key.kind, op, value, now)? {
                    Some(value) => after.insert(name.to_owned(), value),
                    None => after.remove(name),
                };
            }
            after
        }
    };
    // What was there already is not judged again: the server gives its own topics values that
    // nobody else may give.
    let new = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value));
    for (name, value) in new {
        table
            .key(name)
            .and_then(|key| key.check(value))
            .map_err(invalid)?;
    }
    (table.together)(&after, brokers).map_err(invalid)?;
    Ok(after)
}

/// What changes in the broker's configuration for `scope`: the new value of each key, `None` for
/// one that goes back to what the server was started with.
///
/// # Errors
/// As of [`own`], and INVALID_REQUEST for a key that only a restart changes.
pub fn broker(
    brokers: &BrokerConfigs,
    scope: BrokerScope,
    changes: &Changes,
) -> Result<Vec<(String, Option<String>)>, Refusal> {
    let before = brokers.altered_in(scope);
    let wanted = match changes {
        Changes::Replace(all) => {
            let gone = before.keys().filter(|name| !all.contains_key(*name));
            let gone = gone.map(|name| (name.clone(), None));
            let set = all
                .iter()
                .map(|(name, value)| (name.clone(), Some(value.clone())));
            gone.chain(set).collect()
        }
        Changes::Each(each) => {
            let mut wanted = Vec::new();
            for (name, op, value) in whole(each)? {
                if op == Op::Delete {
                    wanted.push((name.to_owned(), None));
                    continue;
                }
                let key = alterable(name)?;
                let now = || {
                    let value = before.get(name).cloned();
                    value
                        .or_else(|| brokers.effective().value(name))
                        .unwrap_or_default()
                };
                let value = changed(name, key.kind, op, value, now)?;
                wanted.push((name.to_owned(), value));
            }
            wanted
        }
    };
    let mut altered = Vec::new();
    for (name, value) in wanted {
        // What is not there may always be taken away, as in Kafka.
        if let Some(value) = &value {
            brokers.check(alterable(&name)?, value)?;
        }
        if before.get(&name) != value.as_ref() {
            altered.push((name, value));
        }
    }
    Ok(altered)
}

type Change = (String, Op, Option<String>);

impl Changes {
    /// Whether they make sense by themselves, whatever they are for.
    ///
    /// # Errors
    /// INVALID_REQUEST for a key named twice or a value that is missing.
    pub fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Replace(_) => Ok(()),
            Self::Each(each) => whole(each).map(drop),
        }
    }

    /// Those that give something a value: anything may be taken from what has nothing.
    #[must_use]
    pub fn without_deletions(&self) -> Self {
        match self {
            Self::Replace(_) => self.clone(),
            Self::Each(each) => {
                let each = each.iter().filter(|(_, op, _)| *op != Op::Delete);
                Self::Each(each.cloned().collect())
            }
        }
    }

    /// Whether what is added to or taken from is a list, whatever they are for.
    ///
    /// # Errors
    /// INVALID_CONFIG for a key of this table that is none, or a name that is not in it.
    pub fn check_lists(&self, table: &KeyTable) -> Result<(), Refusal> {
        let Self::Each(each) = self else {
            return Ok(());
        };
        let on_lists = |op: Op| matches!(op, Op::Append | Op::Subtract);
        let mut each = each.iter().filter(|(_, op, _)| on_lists(*op));
        each.try_for_each(|(name, _, _)| check_list(name, table.key(name).map_err(invalid)?.kind))
    }
}

/// The changes, if no key is named twice and each has the value that it needs; that of a deletion
/// does not count.
///
/// # Errors
/// INVALID_REQUEST.
pub fn whole(each: &[Change]) -> Result<Vec<(&str, Op, &str)>, Refusal> {
    let mut seen = HashSet::new();
    let checked = each.iter().map(|(name, op, value)| {
        let why = match value {
            _ if !seen.insert(name) => "is changed twice in one request",
            None if *op != Op::Delete => "is given no value",
            value => return Ok((name.as_str(), *op, value.as_deref().unwrap_or_default())),
        };
        let message = format!("The configuration {} {why}.", cut(name));
        Err(Refusal::new(ErrorCode::InvalidRequest, message))
    });
    checked.collect()
}

/// A key's new value; `None` if it goes back to its default.
fn changed(
    name: &str,
    kind: Kind,
    op: Op,
    value: &str,
    now: impl FnOnce() -> String,
) -> Result<Option<String>, Refusal> {
    if op == Op::Delete {
        return Ok(None);
    }
    if op == Op::Set {
        return Ok(Some(value.trim().to_owned()));
    }
    check_list(name, kind)?;
    let now = now();
    let mut list: Vec<_> = split_list(&now).collect();
    // As in Kafka, an empty word is one, too: where it may stand is the key's to say.
    for word in value.split(',').map(str::trim) {
        match op {
            Op::Append if !list.contains(&word) => list.push(word),
            Op::Subtract => list.retain(|there| *there != word),
            _ => {}
        }
    }
    Ok(Some(list.join(",")))
}

fn check_list(name: &str, kind: Kind) -> Result<(), Refusal> {
    match kind {
        Kind::List => Ok(()),
        _ => Err(invalid(format!(
            "The configuration {name} is no list: nothing is added or taken."
        ))),
    }
}

fn invalid(why: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidConfig, why)
}

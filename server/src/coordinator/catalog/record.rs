//! What the catalog writes down. The bytes are drawn in `storage/FORMAT.md`, "The catalog's log".

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ratel_storage::TopicId;

use super::broker_config::BrokerScope;
use super::client_quota::{Limit, Limits, Owner, Part, Quota};
use super::redrive_job::Job;
use crate::coordinator::Record;
use crate::coordinator::record::{Reader, Writer};

/// Types of keys.
const TOPIC: i16 = 0;
const DELETED: i16 = 1;
const BROKER_CONFIG: i16 = 2;
const PRODUCER_IDS: i16 = 3;
const GROUP_CONFIG: i16 = 4;
const REDRIVE: i16 = 5;
const QUOTAS: i16 = 6;
const CLIENT_METRICS: i16 = 7;

/// The one version of every value.
const VERSION: i16 = 0;

const FLAG_INTERNAL: i8 = 1;

/// A record of the catalog's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogRecord {
    /// A topic as it is from now on.
    Topic(TopicRecord),
    /// A topic is gone; its files may still be there.
    Deleted {
        /// Which.
        id: TopicId,
        /// How many partitions it had.
        partitions: i32,
    },
    /// The files of a deleted topic are gone too.
    Forgotten {
        /// Which.
        id: TopicId,
    },
    /// A broker key is altered, or with `None` no longer so.
    BrokerConfig {
        /// For whom.
        scope: BrokerScope,
        /// Which key.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// A group's own configuration, all of it; empty if it has none any more.
    GroupConfig {
        /// Which group.
        group: Arc<str>,
        /// Its configuration.
        configs: BTreeMap<String, String>,
    },
    /// A subscription to clients' metrics, all of it; empty if it is gone.
    ClientMetrics {
        /// Its name.
        name: Arc<str>,
        /// Its configuration.
        configs: BTreeMap<String, String>,
    },
    /// A redrive as it stands, or with `None` forgotten.
    Redrive {
        /// Its number.
        id: i64,
        /// The job.
        job: Option<Arc<Job>>,
    },
    /// The quotas of a user, client or address, all of them; empty if there are none any more.
    Quotas {
        /// Whose.
        owner: Owner,
        /// The quotas.
        limits: Limits,
    },
    /// Every producer id below this one has been given out.
    ProducerIds {
        /// One past the last.
        end: i64,
    },
}

/// A topic, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions.
    pub partitions: i32,
    /// Whether the server itself made it.
    pub internal: bool,
    /// Its own configuration.
    pub configs: BTreeMap<String, String>,
}

impl TopicRecord {
    fn encode(&self) -> Bytes {
        let mut value = Writer::new(VERSION);
        value.string(&self.name).i32(self.partitions);
        value.i8(if self.internal { FLAG_INTERNAL } else { 0 });
        write_configs(&mut value, &self.configs);
        value.finish()
    }

    fn decode(id: TopicId, value: &mut Reader<'_>) -> Result<Self, String> {
        let name = value.string()?.into();
        let partitions = value.i32()?;
        if partitions < 1 {
            return Err(format!("a topic with {partitions} partitions"));
        }
        let internal = value.i8()? & FLAG_INTERNAL != 0;
        let configs = read_configs(value)?;
        Ok(Self {
            id,
            name,
            partitions,
            internal,
            configs,
        })
    }
}

fn write_configs(value: &mut Writer, configs: &BTreeMap<String, String>) {
    value.count(configs.len());
    for (name, text) in configs {
        value.string(name).string(text);
    }
}

fn read_configs(value: &mut Reader<'_>) -> Result<BTreeMap<String, String>, String> {
    (0..value.count()?)
        .map(|_| Ok((value.string()?.into(), value.string()?.into())))
        .collect()
}

/// A configuration under a name; an empty one is a tombstone.
fn encode_named(
    kind: i16,
    name: &str,
    configs: &BTreeMap<String, String>,
) -> (Bytes, Option<Bytes>) {
    let mut key = Writer::new(kind);
    key.string(name);
    let value = (!configs.is_empty()).then(|| {
        let mut value = Writer::new(VERSION);
        write_configs(&mut value, configs);
        value.finish()
    });
    (key.finish(), value)
}

fn configs_or_none(value: Option<Reader<'_>>) -> Result<BTreeMap<String, String>, String> {
    let configs = value.map(|mut value| read_configs(&mut value));
    Ok(configs.transpose()?.unwrap_or_default())
}

fn encode_quotas(owner: &Owner, limits: &Limits) -> (Bytes, Option<Bytes>) {
    let mut key = Writer::new(QUOTAS);
    key.count(owner.len());
    for (part, name) in owner {
        key.string(part.name()).i8(i8::from(name.is_some()));
        if let Some(name) = name {
            key.string(name);
        }
    }
    let value = (!limits.is_empty()).then(|| {
        let mut value = Writer::new(VERSION);
        value.count(limits.len());
        for (quota, limit) in limits {
            value
                .string(quota.name())
                .i64(limit.0.to_bits().cast_signed());
        }
        value.finish()
    });
    (key.finish(), value)
}

fn decode_quotas(key: &mut Reader<'_>, value: Option<Reader<'_>>) -> Result<CatalogRecord, String> {
    let mut owner = Owner::new();
    for _ in 0..key.count()? {
        let part = key.string()?;
        let part = Part::of(part).ok_or_else(|| format!("quotas of a {part}"))?;
        let name = match key.i8()? {
            0 => None,
            _ => Some(key.string()?.into()),
        };
        owner.insert(part, name);
    }
    let mut limits = Limits::new();
    if let Some(mut value) = value {
        for _ in 0..value.count()? {
            let quota = value.string()?;
            let quota = Quota::of(quota).ok_or_else(|| format!("a quota {quota}"))?;
            let limit = f64::from_bits(value.i64()?.cast_unsigned());
            limits.insert(quota, Limit(limit));
        }
    }
    Ok(CatalogRecord::Quotas { owner, limits })
}

impl Record for CatalogRecord {
    fn encode(&self) -> (Bytes, Option<Bytes>) {
        let keyed = |kind, id: &TopicId| {
            let mut key = Writer::new(kind);
            key.uuid(*id);
            key.finish()
        };
        match self {
            Self::Topic(topic) => (keyed(TOPIC, &topic.id), Some(topic.encode())),
            Self::Deleted { id, partitions } => {
                let mut value = Writer::new(VERSION);
                value.i32(*partitions);
                (keyed(DELETED, id), Some(value.finish()))
            }
            Self::Forgotten { id } => (keyed(DELETED, id), None),
            Self::BrokerConfig { scope, name, value } => {
                let mut key = Writer::new(BROKER_CONFIG);
                key.i32(scope.number()).string(name);
                let value = value.as_ref().map(|text| {
                    let mut value = Writer::new(VERSION);
                    value.string(text);
                    value.finish()
                });
                (key.finish(), value)
            }
            Self::GroupConfig { group, configs } => encode_named(GROUP_CONFIG, group, configs),
            Self::ClientMetrics { name, configs } => encode_named(CLIENT_METRICS, name, configs),
            Self::Redrive { id, job } => {
                let mut key = Writer::new(REDRIVE);
                key.i64(*id);
                let value = job.as_ref().map(|job| {
                    let mut value = Writer::new(VERSION);
                    job.write(&mut value);
                    value.finish()
                });
                (key.finish(), value)
            }
            Self::Quotas { owner, limits } => encode_quotas(owner, limits),
            Self::ProducerIds { end } => {
                let mut value = Writer::new(VERSION);
                value.i64(*end);
                (Writer::new(PRODUCER_IDS).finish(), Some(value.finish()))
            }
        }
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, String> {
        let mut key = Reader::new(key);
        let kind = key.i16()?;
        let mut value = value.map(Reader::new);
        if let Some(value) = &mut value {
            let version = value.i16()?;
            if version != VERSION {
                return Err(format!(
                    "a catalog record of type {kind} in version {version}"
                ));
            }
        }
        let record = match (kind, value) {
            (TOPIC, Some(mut value)) => Self::Topic(TopicRecord::decode(key.uuid()?, &mut value)?),
            (DELETED, None) => Self::Forgotten { id: key.uuid()? },
            (DELETED, Some(mut value)) => Self::Deleted {
                id: key.uuid()?,
                partitions: value.i32()?,
            },
            (BROKER_CONFIG, value) => Self::BrokerConfig {
                scope: BrokerScope::of_number(key.i32()?),
                name: key.string()?.into(),
                value: value
                    .map(|mut value| value.string().map(str::to_owned))
                    .transpose()?,
            },
            (GROUP_CONFIG, value) => Self::GroupConfig {
                group: key.string()?.into(),
                configs: configs_or_none(value)?,
            },
            (CLIENT_METRICS, value) => Self::ClientMetrics {
                name: key.string()?.into(),
                configs: configs_or_none(value)?,
            },
            (REDRIVE, value) => {
                let id = key.i64()?;
                let job = value.map(|mut value| Job::read(id, &mut value));
                let job = job.transpose()?.map(Arc::new);
                Self::Redrive { id, job }
            }
            (QUOTAS, value) => decode_quotas(&mut key, value)?,
            (PRODUCER_IDS, Some(mut value)) => Self::ProducerIds { end: value.i64()? },
            (kind, _) => return Err(format!("a catalog record of type {kind}")),
        };
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> TopicRecord {
        TopicRecord {
            id: TopicId::from_u128(0x0102),
            name: "ab".into(),
            partitions: 3,
            internal: true,
            configs: [("k".into(), "vv".into())].into(),
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let (key, value) = CatalogRecord::Topic(example()).encode();
        assert_eq!(
            key[..],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]
        );
        let expected = [
            &[0, 0, 0, 2][..],
            b"ab",
            &[0, 0, 0, 3, 1, 0, 0, 0, 1, 0, 1],
            b"k",
            &[0, 2],
            b"vv",
        ];
        assert_eq!(value.unwrap()[..], expected.concat());
    }

    #[test]
    fn every_record_survives_the_way_through_bytes() {
        let id = TopicId::from_u128(9);
        let (scope, name) = (BrokerScope::Node(4), "log.retention.ms".to_owned());
        let records = [
            CatalogRecord::Topic(example()),
            CatalogRecord::Deleted { id, partitions: 7 },
            CatalogRecord::Forgotten { id },
            CatalogRecord::BrokerConfig {
                scope,
                name: name.clone(),
                value: Some("5".into()),
            },
            CatalogRecord::BrokerConfig {
                scope: BrokerScope::Cluster,
                name,
                value: None,
            },
            CatalogRecord::GroupConfig {
                group: "workers".into(),
                configs: example().configs,
            },
            CatalogRecord::GroupConfig {
                group: "workers".into(),
                configs: BTreeMap::new(),
            },
            CatalogRecord::ClientMetrics {
                name: "slow".into(),
                configs: example().configs,
            },
            CatalogRecord::ClientMetrics {
                name: "slow".into(),
                configs: BTreeMap::new(),
            },
            CatalogRecord::Redrive {
                id: 3,
                job: Some(Arc::new(super::super::redrive_job::example())),
            },
            CatalogRecord::Redrive { id: 3, job: None },
            CatalogRecord::Quotas {
                owner: [(Part::User, None), (Part::ClientId, Some("c".into()))].into(),
                limits: [(Quota::ProducerByteRate, Limit(1.5))].into(),
            },
            CatalogRecord::Quotas {
                owner: [(Part::Ip, Some("10.0.0.1".into()))].into(),
                limits: Limits::new(),
            },
            CatalogRecord::ProducerIds { end: 4000 },
        ];
        for record in records {
            let (key, value) = record.encode();
            assert_eq!(
                CatalogRecord::decode(&key, value.as_deref()),
                Ok(Some(record))
            );
        }
    }

    #[test]
    fn bytes_cut_anywhere_are_an_error_and_never_a_panic() {
        let (key, value) = CatalogRecord::Topic(example()).encode();
        let value = value.unwrap();
        for cut in 0..value.len() {
            assert!(
                CatalogRecord::decode(&key, Some(&value[..cut])).is_err(),
                "{cut}"
            );
        }
        for cut in 0..key.len() {
            assert!(
                CatalogRecord::decode(&key[..cut], Some(&value)).is_err(),
                "{cut}"
            );
        }
        let newer = [&[0, 1], &value[2..]].concat();
        assert!(CatalogRecord::decode(&key, Some(&newer)).is_err());
    }
}

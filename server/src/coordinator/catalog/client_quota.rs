//! Quotas of clients: who has one, of what, and which of them counts for a client.
//!
//! As in Kafka a quota belongs to a user, a client id or both, each by name or as the default for
//! all who have none of their own; or to an address. The most specific one counts alone (KIP-55).

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ratel_protocol::ErrorCode;

use crate::error::{Refusal, cut};

/// The longest name of a user or client id that can have a quota, in bytes.
const NAME_BYTES_MAX: usize = 4096;
/// So much of a client's name tells its rate from that of others, in bytes.
const HELD_NAME_BYTES_MAX: usize = 255;
/// Owners of quotas at most.
pub const OWNERS_MAX: usize = 10_000;

/// What kind of owner a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A user.
    User,
    /// A client id.
    ClientId,
    /// An address.
    Ip,
}

impl Part {
    const ALL: [Self; 3] = [Self::User, Self::ClientId, Self::Ip];

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ClientId => "client-id",
            Self::Ip => "ip",
        }
    }

    /// The part of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quota {
    /// Bytes of Produce requests a second.
    ProducerByteRate,
    /// Bytes of answers to Fetch a second.
    ConsumerByteRate,
    /// Part of a thread's time, in percent.
    RequestPercentage,
    /// Partitions made and deleted a second.
    ControllerMutationRate,
    /// New connections a second from an address.
    ConnectionCreationRate,
}

impl Quota {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ProducerByteRate,
        Self::ConsumerByteRate,
        Self::RequestPercentage,
        Self::ControllerMutationRate,
        Self::ConnectionCreationRate,
    ];

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
            Self::ControllerMutationRate => "controller_mutation_rate",
            Self::ConnectionCreationRate => "connection_creation_rate",
        }
    }

    /// The quota of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quota| quota.name() == name)
    }

    /// The largest whole number it takes; `None` if it takes fractions.
    fn whole_max(self) -> Option<f64> {
        match self {
            Self::ProducerByteRate | Self::ConsumerByteRate => Some(i64::MAX as f64),
            Self::ConnectionCreationRate => Some(f64::from(i32::MAX)),
            Self::RequestPercentage | Self::ControllerMutationRate => None,
        }
    }

    fn check(self, value: f64) -> Result<(), Refusal> {
        let name = self.name();
        if value.is_nan() || value <= 0.0 {
            return invalid(format!("The quota {name}={value} must be above 0."));
        }
        match self.whole_max() {
            Some(max) if value > max => {
                invalid(format!("The quota {name}={value} must be at most {max}."))
            }
            Some(_) if (value % 1.0).abs() > 1e-6 => {
                invalid(format!("The quota {name}={value} must be a whole number."))
            }
            _ => Ok(()),
        }
    }
}

/// How much of something is allowed: above 0. Equal if the bits are.
#[derive(Debug, Clone, Copy)]
pub struct Limit(pub f64);

impl PartialEq for Limit {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Limit {}

/// Who a quota belongs to: the parts of the name, `None` for the default.
pub type Owner = BTreeMap<Part, Option<Arc<str>>>;

/// An owner's quotas.
pub type Limits = BTreeMap<Quota, Limit>;

/// Changes that are asked for to one owner's quotas, as they came.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaChange {
    /// The parts of the name: what kind each is, and which; `None` for the default.
    pub owner: Vec<(String, Option<String>)>,
    /// The quotas by name; `None` takes one away.
    pub limits: Vec<(String, Option<f64>)>,
}

/// All quotas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientQuotas {
    owners: BTreeMap<Owner, Limits>,
}

impl ClientQuotas {
    /// Everybody who has quotas.
    pub fn owners(&self) -> impl Iterator<Item = (&Owner, &Limits)> {
        self.owners.iter()
    }

    /// Put an owner's quotas in the place of those that are there; none take the owner out.
    pub fn put(&mut self, owner: &Owner, limits: &Limits) {
        if limits.is_empty() {
            self.owners.remove(owner);
        } else {
            self.owners.insert(owner.clone(), limits.clone());
        }
    }

    /// Whether anybody has a quota of this.
    #[must_use]
    pub fn has(&self, quota: Quota) -> bool {
        self.owners
            .values()
            .any(|limits| limits.contains_key(&quota))
    }

    /// An owner's quotas, if it has any.
    #[must_use]
    pub fn of(&self, owner: &Owner) -> Option<&Limits> {
        self.owners.get(owner)
    }

    /// The quota that counts for a client, and whose it is.
    #[must_use]
    pub fn limit(&self, quota: Quota, user: &str, client_id: &str) -> Option<(&Owner, Limit)> {
        let (user, client): (Arc<str>, Arc<str>) = (user.into(), client_id.into());
        let users = [Some(Some(user.clone())), Some(None), None];
        let clients = [Some(Some(client.clone())), Some(None), None];
        for of_user in &users {
            for of_client in &clients {
                let parts = [(Part::User, of_user), (Part::ClientId, of_client)];
                let parts = parts.into_iter();
                let owner: Owner = parts
                    .filter_map(|(part, name)| Some((part, name.clone()?)))
                    .collect();
                let found = self.owners.get_key_value(&owner);
                if let Some((owner, limits)) = found
                    && let Some(limit) = limits.get(&quota)
                {
                    return Some((owner, *limit));
                }
            }
        }
        None
    }

    /// The quota of new connections that counts for an address, and whose it is.
    #[must_use]
    pub fn limit_of_address(&self, ip: IpAddr) -> Option<(&Owner, Limit)> {
        let names = [Some(Arc::from(ip.to_string())), None];
        names.into_iter().find_map(|name| {
            let owner = Owner::from([(Part::Ip, name)]);
            let (owner, limits) = self.owners.get_key_value(&owner)?;
            Some((owner, *limits.get(&Quota::ConnectionCreationRate)?))
        })
    }

    /// What a change makes of an owner's quotas.
    ///
    /// # Errors
    /// INVALID_REQUEST for an owner that cannot be, a quota that such an owner cannot have, one
    /// that is named twice or a value that cannot be; POLICY_VIOLATION for one owner too many.
    pub fn changed(&self, change: &QuotaChange) -> Result<(Owner, Limits), Refusal> {
        let mut names = HashSet::new();
        if let Some((twice, _)) = change.limits.iter().find(|(name, _)| !names.insert(name)) {
            return invalid(format!("The quota {} is changed twice.", cut(twice)));
        }
        let owner = owner(&change.owner)?;
        let known = self.of(&owner);
        let mut limits = known.cloned().unwrap_or_default();
        let of_address = owner.contains_key(&Part::Ip);
        for (name, value) in &change.limits {
            let quota = Quota::of(name);
            // What is not there may be taken away, whatever it is called.
            let Some(value) = value else {
                quota.and_then(|quota| limits.remove(&quota));
                continue;
            };
            let fits = |quota: &Quota| (*quota == Quota::ConnectionCreationRate) == of_address;
            let Some(quota) = quota.filter(fits) else {
                let name = cut(name);
                return invalid(format!("There is no quota {name} of such an owner."));
            };
            quota.check(*value)?;
            limits.insert(quota, Limit(*value));
        }
        if known.is_none() && !limits.is_empty() && self.owners.len() >= OWNERS_MAX {
            let message = format!("There are quotas of {OWNERS_MAX} users, clients and addresses.");
            return Err(Refusal::new(ErrorCode::PolicyViolation, message));
        }
        Ok((owner, limits))
    }
}

/// Who is held together to a quota of this owner: the parts of the client's name that the owner
/// has.
#[must_use]
pub fn held(owner: &Owner, user: &str, client_id: &str) -> Owner {
    let parts = owner.keys().map(|part| {
        let name = match part {
            Part::User => user,
            _ => client_id,
        };
        let end = name.floor_char_boundary(HELD_NAME_BYTES_MAX);
        (*part, Some(name[..end].into()))
    });
    parts.collect()
}

fn owner(parts: &[(String, Option<String>)]) -> Result<Owner, Refusal> {
    let mut owner = Owner::new();
    for (kind, name) in parts {
        let Some(part) = Part::of(kind) else {
            let kind = cut(kind);
            return invalid(format!(
                "A quota belongs to a user, client-id or ip, not a {kind}."
            ));
        };
        match name.as_deref() {
            Some("") => return invalid(format!("A {kind} with an empty name has no quota.")),
            Some(name) if name.len() > NAME_BYTES_MAX => {
                return invalid(format!("The name is longer than {NAME_BYTES_MAX} bytes."));
            }
            _ => {}
        }
        let name = match (name.as_deref(), part) {
            (Some(name), Part::Ip) => Some(address(name)?.into()),
            (name, _) => name.map(Arc::from),
        };
        owner.insert(part, name);
    }
    if owner.is_empty() {
        return invalid("A quota belongs to somebody: a user, client-id or ip.");
    }
    if owner.contains_key(&Part::Ip) && owner.len() > 1 {
        return invalid("A quota of an address is not one of a user or client-id, too.");
    }
    Ok(owner)
}

/// An address as it is compared with those of clients, however it was written.
fn address(name: &str) -> Result<String, Refusal> {
    match name.parse::<IpAddr>() {
        Ok(ip) => Ok(ip.to_canonical().to_string()),
        Err(_) => invalid(format!("{} is not an address.", cut(name))),
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Refusal> {
    let message: String = message.into();
    Err(Refusal::new(ErrorCode::InvalidRequest, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(owner: &[(&str, Option<&str>)], limits: &[(&str, Option<f64>)]) -> QuotaChange {
        let owner = owner.iter();
        let limits = limits.iter();
        QuotaChange {
            owner: owner
                .map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned)))
                .collect(),
            limits: limits
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect(),
        }
    }

    fn with(changes: &[QuotaChange]) -> ClientQuotas {
        let mut quotas = ClientQuotas::default();
        for change in changes {
            let (owner, limits) = quotas.changed(change).expect("a good change");
            quotas.put(&owner, &limits);
        }
        quotas
    }

    const RATE: &str = "producer_byte_rate";

    #[test]
    fn kip_55_the_most_specific_quota_counts() {
        let (user, client) = (("user", Some("u")), ("client-id", Some("c")));
        let (any_user, any_client) = (("user", None), ("client-id", None));
        let precedence: [&[(&str, Option<&str>)]; 8] = [
            &[user, client],
            &[user, any_client],
            &[user],
            &[any_user, client],
            &[any_user, any_client],
            &[any_user],
            &[client],
            &[any_client],
        ];
        let held = [2, 2, 1, 2, 2, 1, 1, 1];
        for (first, held) in held.into_iter().enumerate() {
            let levels = precedence.iter().enumerate().skip(first);
            let changes: Vec<_> = levels
                .map(|(level, owner)| change(owner, &[(RATE, Some(1.0 + level as f64))]))
                .collect();
            let quotas = with(&changes);
            let (owner, limit) = quotas
                .limit(Quota::ProducerByteRate, "u", "c")
                .expect("one");
            assert_eq!(limit, Limit(1.0 + first as f64));
            let rate = super::held(owner, "u", "c");
            assert_eq!(rate.len(), held, "level {first}");
            assert!(rate.values().all(Option::is_some));
            assert_eq!(quotas.limit(Quota::ConsumerByteRate, "u", "c"), None);
        }
    }

    #[test]
    fn quotas_change_one_by_one_and_go() {
        let owner = [("client-id", Some("c"))];
        let both = [(RATE, Some(5.0)), ("request_percentage", Some(0.5))];
        let quotas = with(&[change(&owner, &both), change(&owner, &[(RATE, Some(6.0))])]);
        let (_, limits) = quotas.owners().next().expect("an owner");
        assert_eq!(limits.len(), 2);
        assert_eq!(limits[&Quota::ProducerByteRate], Limit(6.0));
        let gone = [
            (RATE, None),
            ("request_percentage", None),
            ("unknown", None),
        ];
        let (owner, limits) = quotas.changed(&change(&owner, &gone)).expect("taken away");
        let mut after = quotas.clone();
        after.put(&owner, &limits);
        assert_eq!(after, ClientQuotas::default());
        assert!(quotas.has(Quota::ProducerByteRate) && !after.has(Quota::ProducerByteRate));
    }

    #[test]
    fn what_cannot_be_is_invalid() {
        let client = [("client-id", Some("c"))];
        let ip = [("ip", Some("10.0.0.1"))];
        let good = [(RATE, Some(1.0))];
        let rate = [("connection_creation_rate", Some(1.0))];
        let bad = [
            change(&[], &good),
            change(&[("group", Some("g"))], &good),
            change(&[("user", Some(""))], &good),
            change(&[("ip", Some("not an address"))], &rate),
            change(&[client[0], ip[0]], &good),
            change(&ip, &good),
            change(&client, &rate),
            change(&client, &[("nothing", Some(1.0))]),
            change(&client, &[(RATE, Some(0.0))]),
            change(&client, &[(RATE, Some(-1.0))]),
            change(&client, &[(RATE, Some(f64::NAN))]),
            change(&client, &[(RATE, Some(1.5))]),
            change(&client, &[(RATE, Some(1e30))]),
            change(&client, &[(RATE, Some(1.0)), (RATE, None)]),
        ];
        for change in bad {
            let refusal = ClientQuotas::default()
                .changed(&change)
                .expect_err("refused");
            assert_eq!(refusal.code, ErrorCode::InvalidRequest, "{change:?}");
        }
        for (owner, limits) in [(ip, rate), ([("ip", None)], rate), (client, good)] {
            let change = change(&owner, &limits);
            ClientQuotas::default().changed(&change).expect("taken");
        }
    }

    #[test]
    fn an_address_is_one_owner_however_it_is_written() {
        let rate = |limit| [("connection_creation_rate", Some(limit))];
        let quotas = with(&[
            change(&[("ip", Some("0:0:0::1"))], &rate(1.0)),
            change(&[("ip", Some("::1"))], &rate(2.0)),
            change(&[("ip", Some("::ffff:10.0.0.1"))], &rate(3.0)),
        ]);
        let owners = quotas
            .owners()
            .map(|(owner, _)| owner[&Part::Ip].as_deref());
        let owners: Vec<_> = owners.collect();
        assert_eq!(owners, [Some("10.0.0.1"), Some("::1")]);
    }
}

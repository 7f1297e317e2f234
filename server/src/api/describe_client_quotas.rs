//! DescribeClientQuotas (key 48), versions 0 to 1: the quotas of users, client ids and addresses.
//!
//! Each component of the filter names a kind of owner and which of them: 0 the one of this name, 1
//! the default, 2 any. An owner may have more parts to its name than the filter, unless it is
//! strict.
//! - v1: flexible

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ratel_protocol::messages::describe_client_quotas_request::ComponentData;
use ratel_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use ratel_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::{Api, Context, Later};
use crate::coordinator::catalog::client_quota::{Limits, Owner, Part};
use crate::error::Refusal;

pub struct DescribeClientQuotas;

/// Match the name that is given.
const EXACT: i8 = 0;
/// Match the default.
const DEFAULT: i8 = 1;
/// Match whoever has this part in its name.
const ANY: i8 = 2;

/// Which owners are asked for: of each kind the one of this name, `None` the default, or any.
type Filter = BTreeMap<Part, Wanted>;

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Exactly(Option<StrBytes>),
    Any,
}

impl Api for DescribeClientQuotas {
    type Request = DescribeClientQuotasRequest;
    const KEY: ApiKey = ApiKey::DescribeClientQuotas;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(cx: Context, request: DescribeClientQuotasRequest) -> Later {
        let response = DescribeClientQuotasResponse::default().with_error_message(None);
        cx.ready(&match filter(&request.components) {
            Ok(filter) => {
                let quotas = cx.broker.catalog.view.quotas();
                let owners = quotas.owners();
                let found = owners.filter(|(owner, _)| matches(owner, &filter, request.strict));
                let entries = found.map(|(owner, limits)| entry(owner, limits));
                response.with_entries(Some(entries.collect()))
            }
            Err(refusal) => response
                .with_error_code(refusal.code.code())
                .with_error_message(refusal.message)
                .with_entries(None),
        })
    }
}

fn filter(components: &[ComponentData]) -> Result<Filter, Refusal> {
    let invalid = |message: &str| Refusal::new(ErrorCode::InvalidRequest, message.to_owned());
    let mut filter = Filter::new();
    for component in components {
        if component.entity_type.is_empty() {
            return Err(invalid("A component of the filter names no kind of owner."));
        }
        let part = Part::of(&component.entity_type).ok_or_else(|| {
            let kind: String = component.entity_type.chars().take(100).collect();
            let message = format!("There are no quotas of a {kind}.");
            Refusal::new(ErrorCode::UnsupportedVersion, message)
        })?;
        let wanted = match (component.match_type, &component._match) {
            (EXACT, Some(name)) => Wanted::Exactly(Some(name.clone())),
            (DEFAULT, None) => Wanted::Exactly(None),
            (ANY, None) => Wanted::Any,
            (EXACT, None) => return Err(invalid("An exact match has a name.")),
            (DEFAULT | ANY, Some(_)) => return Err(invalid("Only an exact match has a name.")),
            _ => {
                return Err(invalid(
                    "A match is exact, of the default, or any (0 to 2).",
                ));
            }
        };
        if filter.insert(part, wanted).is_some() {
            return Err(invalid("A kind of owner stands in the filter twice."));
        }
    }
    if filter.contains_key(&Part::Ip) && filter.len() > 1 {
        return Err(invalid("An address has no user and no client-id."));
    }
    Ok(filter)
}

fn matches(owner: &Owner, filter: &Filter, strict: bool) -> bool {
    (!strict || owner.len() == filter.len())
        && filter.iter().all(|(part, wanted)| match wanted {
            Wanted::Any => owner.contains_key(part),
            Wanted::Exactly(name) => owner.get(part).map(Option::as_deref) == Some(name.as_deref()),
        })
}

fn entry(owner: &Owner, limits: &Limits) -> EntryData {
    let parts = owner.iter().map(|(part, name)| {
        let name = name.as_ref().map(|name| name.to_string().into());
        EntityData::default()
            .with_entity_type(StrBytes::from_static_str(part.name()))
            .with_entity_name(name)
    });
    let values = limits.iter().map(|(quota, limit)| {
        ValueData::default()
            .with_key(StrBytes::from_static_str(quota.name()))
            .with_value(limit.0)
    });
    EntryData::default()
        .with_entity(parts.collect())
        .with_values(values.collect())
}

#[cfg(test)]
mod tests;

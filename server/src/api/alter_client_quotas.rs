//! AlterClientQuotas (key 49), versions 0 to 1: give users, client ids and addresses quotas, or
//! take them away.
//!
//! Each owner has an outcome of its own. A change is durable and in force when the answer goes
//! out; `validate_only` changes nothing.
//! - v1: flexible

use std::ops::RangeInclusive;

use ratel_protocol::ApiKey;
use ratel_protocol::messages::alter_client_quotas_request::EntryData as Asked;
use ratel_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use ratel_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};

use super::{Api, Context, Later};
use crate::coordinator::catalog::client_quota::QuotaChange;

pub struct AlterClientQuotas;

impl Api for AlterClientQuotas {
    type Request = AlterClientQuotasRequest;
    const KEY: ApiKey = ApiKey::AlterClientQuotas;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(cx: Context, request: AlterClientQuotasRequest) -> Later {
        let changes = request.entries.iter().map(change).collect();
        let altering = cx
            .broker
            .catalog
            .alter_quotas(changes, request.validate_only);
        Later::wait(async move {
            let outcomes = altering.await.into_iter();
            let entries = request.entries.into_iter().zip(outcomes);
            let entries = entries.map(|(entry, outcome)| {
                let owner = entry.entity.into_iter().map(|part| {
                    EntityData::default()
                        .with_entity_type(part.entity_type)
                        .with_entity_name(part.entity_name)
                });
                let answer = EntryData::default()
                    .with_entity(owner.collect())
                    .with_error_message(None);
                match outcome {
                    Ok(()) => answer,
                    Err(refusal) => answer
                        .with_error_code(refusal.code.code())
                        .with_error_message(refusal.message),
                }
            });
            cx.answer(&AlterClientQuotasResponse::default().with_entries(entries.collect()))
        })
    }
}

fn change(entry: &Asked) -> QuotaChange {
    let owner = entry.entity.iter().map(|part| {
        let name = part.entity_name.as_ref().map(ToString::to_string);
        (part.entity_type.to_string(), name)
    });
    let limits = entry.ops.iter().map(|op| {
        let value = (!op.remove).then_some(op.value);
        (op.key.to_string(), value)
    });
    QuotaChange {
        owner: owner.collect(),
        limits: limits.collect(),
    }
}

//! AlterConfigs (key 33), versions 0 to 2: replace the whole configuration of a topic, or what was
//! altered of a broker's.
//!
//! A key that the request does not name goes back to its default. Changes are durable and in force
//! when the answer goes out. `validate_only` changes nothing.
//! - v2: flexible

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ratel_protocol::messages::alter_configs_request::AlterableConfig;
use ratel_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use ratel_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::{Api, Context, Later};
use crate::config_resource;
use crate::coordinator::catalog::alter::Changes;
use crate::error::{Refusal, cut};

pub struct AlterConfigs;

impl Api for AlterConfigs {
    type Request = AlterConfigsRequest;
    const KEY: ApiKey = ApiKey::AlterConfigs;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(cx: Context, request: AlterConfigsRequest) -> Later {
        let asked = request.resources.into_iter();
        let asked = asked.map(|resource| {
            (
                resource.resource_type,
                resource.resource_name,
                changes(&resource.configs),
            )
        });
        let begun = config_resource::begin(&cx.broker, asked.collect(), request.validate_only);
        Later::wait(async move {
            let mut responses = Vec::with_capacity(begun.len());
            for (kind, name, outcome) in begun {
                let response = AlterConfigsResourceResponse::default()
                    .with_resource_type(kind)
                    .with_resource_name(name);
                responses.push(match outcome.await {
                    Ok(()) => response.with_error_message(None),
                    Err(refusal) => response
                        .with_error_code(refusal.code.code())
                        .with_error_message(refusal.message),
                });
            }
            cx.answer(&AlterConfigsResponse::default().with_responses(responses))
        })
    }
}

fn changes(configs: &[AlterableConfig]) -> Result<Changes, Refusal> {
    let mut all = BTreeMap::new();
    for config in configs {
        let Some(value) = &config.value else {
            let message = format!("The configuration {} is given no value.", cut(&config.name));
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        };
        if all
            .insert(config.name.to_string(), value.trim().to_owned())
            .is_some()
        {
            let name = cut(&config.name);
            let message = format!("The configuration {name} is changed twice in one request.");
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
    }
    Ok(Changes::Replace(all))
}

//! IncrementalAlterConfigs (key 44), versions 0 to 1: change single keys of a topic's or broker's
//! configuration.
//!
//! Operations: 0 sets, 1 takes the value away, 2 adds to a list (once, however often), 3 takes off
//! a list. Changes are durable and in force when the answer goes out. `validate_only` changes
//! nothing.
//! - v1: flexible

use std::ops::RangeInclusive;

use ratel_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use ratel_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use ratel_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::{Api, Context, Later};
use crate::config_resource;
use crate::coordinator::catalog::alter::{Changes, Op};
use crate::error::Refusal;

pub struct IncrementalAlterConfigs;

impl Api for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;
    const KEY: ApiKey = ApiKey::IncrementalAlterConfigs;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(cx: Context, request: IncrementalAlterConfigsRequest) -> Later {
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
            cx.answer(&IncrementalAlterConfigsResponse::default().with_responses(responses))
        })
    }
}

fn changes(configs: &[AlterableConfig]) -> Result<Changes, Refusal> {
    let each = configs.iter().map(|config| {
        let op = match config.config_operation {
            0 => Op::Set,
            1 => Op::Delete,
            2 => Op::Append,
            3 => Op::Subtract,
            other => {
                let message = format!("There is no operation {other} on a configuration.");
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
        };
        Ok((
            config.name.to_string(),
            op,
            config.value.as_ref().map(ToString::to_string),
        ))
    });
    Ok(Changes::Each(each.collect::<Result<_, _>>()?))
}

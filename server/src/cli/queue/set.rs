//! `ratel queue set`, `pause` and `resume`: a queue's configuration, which it may have before it is
//! there.

use clap::Args;
use ratel_protocol::messages::IncrementalAlterConfigsRequest;
use ratel_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use serde_json::json;

use super::super::Failure;
use super::super::client::{Client, ServerFlags, check, text};
use super::super::output::List;
use super::super::topic::GROUP;

/// What is done with a configuration (KIP-339).
const SET: i8 = 0;
const DELETE: i8 = 1;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ratel queue set jobs share.record.lock.duration.ms=60000
  ratel queue set jobs errors.deadletterqueue.topic.name=jobs.dead
  ratel queue set jobs --unset queue.release.backoff.ms

`ratel queue describe` shows what is set; a wrong value is answered with what it may be.")]
pub(in crate::cli) struct Set {
    /// The queue: the share group's id
    #[arg(value_parser = super::named)]
    queue: String,
    /// What to set
    #[arg(value_name = "KEY=VALUE", value_parser = parse_pair)]
    pairs: Vec<(String, String)>,
    /// What goes back to the server's default; may be given often
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    #[command(flatten)]
    server: ServerFlags,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("give it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) fn set(set: &Set) -> Result<(), Failure> {
    let set_now = set
        .pairs
        .iter()
        .map(|(key, value)| (&**key, Some(&**value)));
    let unset = set.unset.iter().map(|key| (&**key, None));
    let changes: Vec<_> = set_now.chain(unset).collect();
    if changes.is_empty() {
        return Err(Failure::unusable(format!(
            "there is nothing to change of {}: give KEY=VALUE, or --unset KEY",
            set.queue
        )));
    }
    let mut client = Client::connect(&set.server)?;
    configure(&mut client, &set.queue, &changes)?;
    let mut list = List::new(&["queue", "key", "value"]);
    for (key, value) in changes {
        list.row(vec![json!(set.queue), json!(key), json!(value)]);
    }
    list.print(set.server.output)
}

/// Lease nothing for now, or lease again.
pub(super) fn pause(queue: &str, paused: bool, flags: &ServerFlags) -> Result<(), Failure> {
    let value = if paused { "true" } else { "false" };
    let mut client = Client::connect(flags)?;
    configure(&mut client, queue, &[("queue.paused", Some(value))])?;
    let mut list = List::new(&["queue", "paused"]);
    list.row(vec![json!(queue), json!(paused)]);
    list.print(flags.output)
}

/// Set configuration of a queue, which need not be there yet; what has no value goes back to the
/// server's default. All of it, or nothing.
pub(super) fn configure(
    client: &mut Client,
    queue: &str,
    changes: &[(&str, Option<&str>)],
) -> Result<(), Failure> {
    let configs = changes.iter().map(|(key, value)| {
        AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(if value.is_some() { SET } else { DELETE })
            .with_value(value.map(text))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(GROUP.kind)
        .with_resource_name(text(queue))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    for answer in client.send(1, &request)?.responses {
        check(answer.error_code, queue, answer.error_message.as_ref())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse_pair;

    #[test]
    fn a_pair_has_a_key_and_may_have_any_value() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(parse_pair("a=b=c"), pair("a", "b=c"));
        assert_eq!(parse_pair("a="), pair("a", ""));
        assert!(parse_pair("a").is_err());
        assert!(parse_pair("=b").is_err());
    }
}

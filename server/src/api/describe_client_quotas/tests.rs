//! Quotas through their APIs, and what a client that is above one is told.

use ratel_protocol::messages::alter_client_quotas_request as alter;
use ratel_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};

use super::*;
use crate::api::testing::Bench;
use crate::config::Config;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn change(owner: &[(&str, Option<&str>)], limits: &[(&str, Option<f64>)]) -> alter::EntryData {
    let parts = owner.iter().map(|(kind, name)| {
        alter::EntityData::default()
            .with_entity_type(text(kind))
            .with_entity_name(name.map(text))
    });
    let ops = limits.iter().map(|(key, value)| {
        alter::OpData::default()
            .with_key(text(key))
            .with_value(value.unwrap_or_default())
            .with_remove(value.is_none())
    });
    alter::EntryData::default()
        .with_entity(parts.collect())
        .with_ops(ops.collect())
}

async fn alter(bench: &Bench, version: i16, entries: Vec<alter::EntryData>) -> Vec<i16> {
    let request = AlterClientQuotasRequest::default().with_entries(entries);
    codes(&bench.send(version, &request).await)
}

fn codes(response: &AlterClientQuotasResponse) -> Vec<i16> {
    let entries = response.entries.iter();
    entries.map(|entry| entry.error_code).collect()
}

/// Owners and their quotas as text, or the error.
async fn describe(
    bench: &Bench,
    filter: &[(&str, i8, Option<&str>)],
    strict: bool,
) -> Result<Vec<String>, i16> {
    let components = filter.iter().map(|(kind, how, name)| {
        ComponentData::default()
            .with_entity_type(text(kind))
            .with_match_type(*how)
            .with_match(name.map(text))
    });
    let request = DescribeClientQuotasRequest::default()
        .with_components(components.collect())
        .with_strict(strict);
    let response = bench.send(1, &request).await;
    if response.error_code != 0 {
        assert_eq!(response.entries, None);
        return Err(response.error_code);
    }
    let entries = response.entries.unwrap_or_default().into_iter();
    let shown = entries.map(|entry| {
        let parts = entry.entity.iter().map(|part| {
            let name = part.entity_name.as_deref().unwrap_or("<default>");
            format!("{}={name}", &*part.entity_type)
        });
        let values = entry.values.iter();
        let values = values.map(|value| format!("{}={}", &*value.key, value.value));
        parts.chain(values).collect::<Vec<_>>().join(" ")
    });
    Ok(shown.collect())
}

#[tokio::test]
async fn quotas_are_kept_and_found_by_filters() {
    let bench = Bench::started(Config::default()).await;
    let rate = [("producer_byte_rate", Some(5.0))];
    let entries = vec![
        change(&[("client-id", Some("a"))], &rate),
        change(&[("client-id", None)], &[("consumer_byte_rate", Some(7.0))]),
        change(&[("user", Some("u")), ("client-id", Some("a"))], &rate),
        change(
            &[("ip", Some("10.0.0.1"))],
            &[("connection_creation_rate", Some(3.0))],
        ),
        change(
            &[("client-id", Some("b"))],
            &[("producer_byte_rate", Some(0.0))],
        ),
        change(&[("client-id", Some("c"))], &rate),
        change(&[("client-id", Some("c"))], &rate),
    ];
    assert_eq!(alter(&bench, 0, entries).await, [0, 0, 0, 0, 42, 42, 42]);

    let a = "client-id=a producer_byte_rate=5".to_owned();
    let default = "client-id=<default> consumer_byte_rate=7".to_owned();
    let both = "user=u client-id=a producer_byte_rate=5".to_owned();
    let ip = "ip=10.0.0.1 connection_creation_rate=3".to_owned();
    let all = describe(&bench, &[], false).await.expect("all");
    assert_eq!(all.len(), 4);
    let named = [("client-id", EXACT, Some("a"))];
    assert_eq!(describe(&bench, &named, true).await, Ok(vec![a.clone()]));
    assert_eq!(
        describe(&bench, &named, false).await,
        Ok(vec![both.clone(), a])
    );
    let any = [("client-id", ANY, None)];
    assert_eq!(
        describe(&bench, &any, false).await.map(|all| all.len()),
        Ok(3)
    );
    let by_default = [("client-id", DEFAULT, None)];
    assert_eq!(describe(&bench, &by_default, true).await, Ok(vec![default]));
    let both_any = [("client-id", ANY, None), ("user", ANY, None)];
    assert_eq!(describe(&bench, &both_any, true).await, Ok(vec![both]));
    let addresses = [("ip", ANY, None)];
    assert_eq!(describe(&bench, &addresses, true).await, Ok(vec![ip]));

    let gone = change(&[("client-id", None)], &[("consumer_byte_rate", None)]);
    assert_eq!(alter(&bench, 1, vec![gone]).await, [0]);
    assert_eq!(describe(&bench, &by_default, true).await, Ok(vec![]));
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_is_refused() {
    let bench = Bench::new();
    for (filter, code) in [
        (vec![("", ANY, None)], 42),
        (vec![("group", ANY, None)], 35),
        (vec![("user", EXACT, None)], 42),
        (vec![("user", DEFAULT, Some("u"))], 42),
        (vec![("user", ANY, Some("u"))], 42),
        (vec![("user", 3, None)], 42),
        (vec![("user", ANY, None), ("user", ANY, None)], 42),
        (vec![("user", ANY, None), ("ip", ANY, None)], 42),
    ] {
        assert_eq!(
            describe(&bench, &filter, false).await,
            Err(code),
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn validation_changes_nothing() {
    let bench = Bench::started(Config::default()).await;
    let rate = [("producer_byte_rate", Some(5.0))];
    let entries = vec![change(&[("client-id", Some("a"))], &rate)];
    let request = AlterClientQuotasRequest::default()
        .with_entries(entries)
        .with_validate_only(true);
    assert_eq!(codes(&bench.send(1, &request).await), [0]);
    assert_eq!(describe(&bench, &[], false).await, Ok(vec![]));
}

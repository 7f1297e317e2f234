use super::gauges::GAUGES_MAX;
use super::*;
use crate::coordinator::catalog::client_quota;

fn all(quotas: &[(Owner, Quota, f64)]) -> ClientQuotas {
    let view = Arc::new(View::default());
    let mut all = client_quota::ClientQuotas::default();
    for (owner, quota, limit) in quotas {
        let mut limits = all.of(owner).cloned().unwrap_or_default();
        limits.insert(*quota, Limit(*limit));
        all.put(owner, &limits);
    }
    view.put_quotas(Arc::new(all));
    ClientQuotas::new(view, &Config::default())
}

fn quotas(owner: Owner, quota: Quota, limit: f64) -> ClientQuotas {
    all(&[(owner, quota, limit)])
}

fn client(name: Option<&str>) -> Owner {
    Owner::from([(Part::ClientId, name.map(Into::into))])
}

fn user(name: Option<&str>) -> Owner {
    Owner::from([(Part::User, name.map(Into::into))])
}

fn both(user_name: Option<&str>, client_name: Option<&str>) -> Owner {
    let mut owner = user(user_name);
    owner.extend(client(client_name));
    owner
}

#[test]
fn clients_of_a_default_quota_have_a_rate_each() {
    let quotas = quotas(client(None), Quota::ProducerByteRate, 100.0);
    assert_eq!(quotas.produced(Some("a"), || (2000, 0)), 10_000);
    assert_eq!(quotas.produced(Some("b"), || (1000, 0)), 0);
    assert_eq!(quotas.produced(None, || (1000, 0)), 0);
    assert_eq!(quotas.produced(Some("a"), || (0, 0)), 10_000);
    let unasked = || -> (usize, i64) { panic!("there is no quota of that") };
    assert_eq!(quotas.fetched(Some("a"), unasked), 0);
    assert_eq!(quotas.fetch_bytes_max(Some("a")), usize::MAX);
    assert!(!quotas.measures_requests());
    assert_eq!(quotas.mutates(Some("a"), i32::MAX, 0, true), Ok(()));
    assert_eq!(quotas.connected(IpAddr::from([10, 0, 0, 1]), 0), 0);
}

#[test]
fn all_clients_of_a_user_share_a_rate() {
    let owner = user(Some(ANONYMOUS));
    let quotas = quotas(owner, Quota::ConsumerByteRate, 100.0);
    assert_eq!(quotas.fetched(Some("a"), || (1000, 0)), 0);
    assert_eq!(quotas.fetched(Some("b"), || (1000, 0)), 10_000);
    assert_eq!(quotas.fetch_bytes_max(Some("c")), 1000);
}

/// KIP-55: of all owners that a client fits, the first of these counts alone, for each kind of
/// quota. Everybody is the user ANONYMOUS, who can have a quota by that name.
#[test]
fn kip_55_each_level_counts_over_those_below_it() {
    let me = Some(ANONYMOUS);
    let levels = [
        both(me, Some("c")),
        both(me, None),
        user(me),
        both(None, Some("c")),
        both(None, None),
        user(None),
        client(Some("c")),
        client(None),
    ];
    let strangers = [
        both(Some("u"), Some("c")),
        both(Some("u"), None),
        user(Some("u")),
        both(me, Some("d")),
        client(Some("d")),
    ];
    // Whether "c" shares its gauge with "d" at each level.
    let shared = [false, false, true, false, false, true, false, false];
    for (first, level) in levels.iter().enumerate() {
        let limit = |level: usize| 10.0 * (level + 1) as f64;
        let mut kept = Vec::new();
        for quota in [
            Quota::ProducerByteRate,
            Quota::ConsumerByteRate,
            Quota::RequestPercentage,
            Quota::ControllerMutationRate,
        ] {
            let below = levels.iter().enumerate().skip(first);
            kept.extend(below.map(|(level, owner)| (owner.clone(), quota, limit(level))));
            kept.extend(strangers.iter().map(|owner| (owner.clone(), quota, 1e9)));
        }
        let quotas = all(&kept);
        let rate = limit(first);
        // Ten seconds' worth is within each rate, five seconds' more is not.
        let bytes = |seconds: f64| (rate * seconds) as usize;
        assert_eq!(quotas.produced(Some("c"), || (bytes(15.0), 0)), 5000);
        assert_eq!(quotas.fetched(Some("c"), || (bytes(15.0), 0)), 5000);
        assert_eq!(quotas.fetch_bytes_max(Some("c")), bytes(10.0), "{level:?}");
        let us = |seconds: f64| (rate * seconds * 1e4) as u64;
        assert_eq!(quotas.worked(Some("c"), us(10.5), 0), 500, "{level:?}");
        assert_eq!(quotas.worked(Some("c"), us(15.0), 0), 1000, "one sample");
        let partitions = (rate * 12.0) as i32;
        assert_eq!(quotas.mutates(Some("c"), partitions, 0, true), Ok(()));
        assert_eq!(quotas.mutates(Some("c"), 1, 0, true), Err(1000));
        // Who shares the gauge is too fast with it, too.
        if shared[first] {
            assert_eq!(quotas.produced(Some("e"), || (0, 0)), 5000, "{level:?}");
        } else {
            assert_eq!(quotas.produced(Some("e"), || (0, 0)), 0, "{level:?}");
        }
    }
}

#[test]
fn kip_612_an_address_has_its_own_quota_or_the_default() {
    let ip = |name: Option<&str>| Owner::from([(Part::Ip, name.map(Into::into))]);
    let quota = Quota::ConnectionCreationRate;
    let quotas = all(&[
        (ip(None), quota, 1.0),
        (ip(Some("10.0.0.1")), quota, 2.0),
        (ip(Some("::1")), quota, 3.0),
    ]);
    for (address, burst) in [
        ("10.0.0.1", 20),
        ("::ffff:10.0.0.2", 10),
        ("10.0.0.3", 10),
        ("0:0::1", 30),
    ] {
        let address: IpAddr = address.parse().expect("an address");
        for _ in 0..burst {
            assert_eq!(quotas.connected(address, 0), 0, "{address}");
        }
        // The longest wait is one sample; who is refused does not count.
        for _ in 0..100 {
            let wait_ms = quotas.connected(address, 0);
            assert!((1..=1000).contains(&wait_ms), "{address}: {wait_ms}");
        }
        assert_eq!(quotas.connected(address, 11_000), 0, "{address}");
    }
    let mapped: IpAddr = "10.0.0.2".parse().expect("an address");
    assert_eq!(quotas.connected(mapped, 11_000), 0);
    assert_eq!(quotas.rates.clients().len(), 4, "one for each address");
}

#[test]
fn what_was_not_made_is_put_back() {
    let quotas = quotas(client(None), Quota::ControllerMutationRate, 1.0);
    assert_eq!(quotas.mutates(Some("a"), 20, 0, true), Ok(()));
    assert_eq!(quotas.mutates(Some("a"), 1, 0, true), Err(9000));
    assert_eq!(quotas.mutates(Some("b"), 20, 0, false), Err(9000));
    quotas.put_back(Some("a"), 9, 0);
    assert_eq!(quotas.mutates(Some("a"), 1, 0, true), Ok(()));
}

#[test]
fn clients_beyond_the_limit_share_the_rate_of_their_quota() {
    let quotas = quotas(client(None), Quota::ProducerByteRate, 100.0);
    for number in 0..GAUGES_MAX {
        assert_eq!(quotas.produced(Some(&number.to_string()), || (1, 0)), 0);
    }
    assert_eq!(quotas.produced(Some("a"), || (1000, 0)), 0);
    assert_eq!(quotas.produced(Some("b"), || (1000, 0)), 10_000);
    assert_eq!(quotas.produced(Some("7"), || (999, 0)), 0, "it has its own");
    assert_eq!(quotas.rates.clients().len(), GAUGES_MAX + 1);
    // Those of which nothing is heard any more make room.
    assert_eq!(quotas.produced(Some("a"), || (1000, 20_000)), 0);
    assert_eq!(quotas.produced(Some("b"), || (1000, 20_000)), 0);
    assert_eq!(quotas.rates.clients().len(), 2);
}

#[test]
fn a_long_name_is_not_kept_whole() {
    let quotas = quotas(client(None), Quota::ProducerByteRate, 100.0);
    let name = "ä".repeat(16_000);
    assert_eq!(quotas.produced(Some(&name), || (2000, 0)), 10_000);
    let kept = quotas.rates.clients();
    let kept = kept
        .iter()
        .map(|owner| owner.values().flatten().map(|name| name.len()).sum());
    assert_eq!(kept.collect::<Vec<usize>>(), [254], "whole letters");
}

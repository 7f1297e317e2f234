//! The table as a whole: every row answers every request in a way that its clients can read.

use std::time::Duration;

use bytes::Bytes;
use ratel_protocol::schema::answers::read_answer;
use ratel_protocol::schema::generate::{self, Random};
use ratel_protocol::throttle;
use ratel_storage::{Durability, Origin};

use super::testing::{Bench, NOW_MS, answer, batch};
use super::{Answer, ROUTES, Route};
use crate::config::Config;

/// Requests made by chance for each row and version.
const SEEDS: u64 = 25;

/// The answer's bytes behind the length; `None` if there is none to give.
fn bytes(answer: Answer) -> Option<Bytes> {
    let frame: Bytes = match answer {
        Answer::Body(bytes) => bytes,
        Answer::Pieces(pieces) => {
            let pieces = pieces
                .iter()
                .map(|piece| piece.to_bytes().expect("a readable piece"));
            pieces.collect::<Vec<Bytes>>().concat().into()
        }
        Answer::Nothing | Answer::Close => return None,
    };
    let (length, rest) = frame.split_at(4);
    let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
    assert_eq!(usize::try_from(length), Ok(rest.len()), "the length prefix");
    Some(frame.slice(4..))
}

async fn ask(
    bench: &Bench,
    route: &'static Route,
    version: i16,
    body: Option<Vec<u8>>,
) -> Result<(), String> {
    let body = body.ok_or("no schema")?;
    let handled = route
        .handle(bench.context(route.key, version), body.into())
        .await
        .map_err(|error| error.to_string())?;
    // Time is paused, so whatever waits for a deadline gets there at once; what waits for
    // somebody else's request is let go.
    match tokio::time::timeout(Duration::from_secs(3600), answer(handled)).await {
        Err(_) => Ok(()),
        Ok(answer) => match bytes(answer) {
            None => Ok(()),
            Some(frame) => {
                let said = read_answer(route.key, version, 7, frame.clone())?;
                check_throttle(route, version, frame, &format!("{said:?}"))
            }
        },
    }
}

/// An answer whose throttle time is raised says that, and else what it said before.
fn check_throttle(route: &Route, version: i16, answer: Bytes, said: &str) -> Result<(), String> {
    const THROTTLE_MS: i32 = 0x0123_4567;
    let length = i32::try_from(answer.len()).map_err(|error| error.to_string())?;
    let mut frame = [&length.to_be_bytes()[..], &answer].concat();
    let raised = throttle::raise(route.key, version, &mut frame, THROTTLE_MS);
    let now = Bytes::from(frame).slice(4..);
    let now = format!("{:?}", read_answer(route.key, version, 7, now)?);
    // Versions that cannot say it are read as if they said 0.
    let expected = match raised {
        true => said.replacen(
            "throttle_time_ms: 0",
            &format!("throttle_time_ms: {THROTTLE_MS}"),
            1,
        ),
        false => said.to_owned(),
    };
    if now != expected {
        return Err(format!("raised, it says {now} and not {expected}"));
    }
    let newest = version == route.version_max;
    match raised || !newest || !said.contains("throttle_time_ms") {
        true => Ok(()),
        false => Err("its throttle time cannot be raised".to_owned()),
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_encodes_at_every_advertised_version() {
    let bench = Bench::new();
    for name in ["t", "u"] {
        let topic = bench.topic(name, 3);
        let log = bench.broker.partition(&topic, 0).expect("it is open");
        let batch = batch(&["one", "two"]);
        log.append(&batch, Origin::Client, Durability::Written, NOW_MS)
            .await
            .expect("written");
    }
    for route in ROUTES {
        for version in route.version_min..=route.version_max {
            for seed in 0..SEEDS {
                let body = generate::body(route.key, version, &mut Random::new(seed));
                if let Err(why) = ask(&bench, route, version, body).await {
                    panic!("{:?} v{version} seed {seed}: {why}", route.key);
                }
            }
        }
    }
}

/// A name may be as long as the wire takes it, and what is said of it must fit into a string again.
#[tokio::test(start_paused = true)]
async fn long_names_are_answered_at_every_advertised_version() {
    let with_catalog = Bench::started(Config::default()).await;
    let with_groups = Bench::with_groups(Config::default()).await;
    for mut bench in [with_catalog, with_groups] {
        bench.client_id = Some("c".repeat(i16::MAX as usize).into());
        for route in ROUTES {
            for version in route.version_min..=route.version_max {
                for seed in 0..SEEDS {
                    let body = generate::long_body(route.key, version, &mut Random::new(seed));
                    if let Err(why) = ask(&bench, route, version, body).await {
                        let why: String = why.chars().take(1000).collect();
                        panic!("{:?} v{version} seed {seed}: {why}", route.key);
                    }
                }
            }
        }
    }
}

/// `docs/compatibility.md` lists the rows of the table, and no others.
#[test]
fn the_documented_versions_are_those_of_the_table() {
    let text = include_str!("../../../docs/compatibility.md");
    let documented = text.lines().filter(|line| {
        let key = line
            .strip_prefix("| ")
            .and_then(|line| line.split(' ').next());
        key.is_some_and(|key| key.parse::<i16>().is_ok())
    });
    let spoken = ROUTES.iter().map(|route| {
        let versions = match (route.version_min, route.version_max) {
            (min, max) if min == max => min.to_string(),
            (min, max) => format!("{min}–{max}"),
        };
        let name = format!("{:?}", route.key);
        let name = name.strip_suffix("Key").unwrap_or(&name);
        format!("| {} | {name} | {versions} |", route.key as i16)
    });
    assert_eq!(documented.collect::<Vec<_>>(), spoken.collect::<Vec<_>>());
}

//! The table as a whole: every row answers every request in a way that its clients can read.

use std::time::Duration;

use bytes::Bytes;
use ratel_protocol::schema::answers::check_answer;
use ratel_protocol::schema::generate::{self, Random};
use ratel_storage::{Durability, Origin};

use super::testing::{Bench, NOW_MS, answer, batch};
use super::{Answer, ROUTES, Route};

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

async fn ask(bench: &Bench, route: &'static Route, version: i16, seed: u64) -> Result<(), String> {
    let body = generate::body(route.key, version, &mut Random::new(seed));
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
            Some(frame) => check_answer(route.key, version, 7, frame),
        },
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
                if let Err(why) = ask(&bench, route, version, seed).await {
                    panic!("{:?} v{version} seed {seed}: {why}", route.key);
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

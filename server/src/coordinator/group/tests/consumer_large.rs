//! What changes of a large consumer group cost, in records: no more than what moves.

use std::collections::BTreeMap;

use ratel_storage::TopicId;
use uuid::Uuid;

use super::bench::Bench;
use super::consumer::{beat, join};
use super::share::topic;
use crate::coordinator::group::{ConsumerHeartbeat, Event, Reply};

const T: TopicId = Uuid::from_u128(0x0a);
const MEMBERS: usize = 1000;

/// Members by name, with the epoch of each and what it holds.
type Members = BTreeMap<String, (i32, BTreeMap<TopicId, Vec<i32>>)>;

fn speak(bench: &mut Bench, members: &mut Members, name: &str, event: ConsumerHeartbeat) {
    let Ok(Reply::ConsumerBeat(told)) = bench.consumer_beat(event) else {
        panic!("{name} is told something");
    };
    let member = members.entry(name.to_owned()).or_default();
    member.0 = told.epoch;
    if let Some(assignment) = told.assignment {
        member.1 = (*assignment).clone();
    }
}

/// All members speak, a few times: everybody has what it is to have.
fn settle(bench: &mut Bench, members: &mut Members) {
    for _ in 0..4 {
        for (name, (epoch, held)) in members.clone() {
            let mut event = beat(&name, epoch);
            event.owned = Some(held);
            speak(bench, members, &name, event);
        }
    }
}

#[test]
fn h_5_in_a_group_of_a_thousand_a_newcomer_costs_what_moves_to_it() {
    let mut bench = Bench::new();
    let mut members = Members::new();
    let found = vec![topic("t", 1, Some((T, 2 * 1001)))];
    let add = |bench: &mut Bench, members: &mut Members, number: usize| {
        let name = format!("m{number:04}");
        let mut event = join(&name, &["t"]);
        event.found.clone_from(&found);
        speak(bench, members, &name, event);
    };
    for number in 0..MEMBERS {
        add(&mut bench, &mut members, number);
    }
    settle(&mut bench, &mut members);
    let held = |members: &Members| -> usize {
        let all = members.values();
        all.map(|(_, held)| held.values().map(Vec::len).sum::<usize>())
            .sum()
    };
    assert_eq!(held(&members), 2002, "each partition has one holder");
    let before = bench.log.len();
    add(&mut bench, &mut members, MEMBERS);
    let joined = bench.log.len() - before;
    assert!(
        joined < 10,
        "{joined} records for who joins and who gives up"
    );
    settle(&mut bench, &mut members);
    assert_eq!(held(&members), 2002);
    // Each of the others takes the new epoch, and two give something up first.
    let settled = bench.log.len() - before - joined;
    assert!(
        settled <= MEMBERS + 10,
        "{settled} records until all is at rest"
    );
    settle(&mut bench, &mut members);
    assert_eq!(
        bench.log.len(),
        before + joined + settled,
        "then nothing more"
    );
    let gone = Event::ConsumerHeartbeat(beat("m0000", -1));
    assert!(bench.ask(gone).is_ok());
}

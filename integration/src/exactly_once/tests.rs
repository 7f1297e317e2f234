use super::*;

/// Four ids in two transactions, and a third that was aborted; everything as it should be.
fn sound() -> Readings {
    let record = |output, offset, id, attempt: &str, doomed| {
        let value = Seen::value(id, attempt, doomed);
        Seen::parse(output, 0, offset, &value).unwrap()
    };
    let mut readings = Readings {
        ids: 4,
        ..Readings::default()
    };
    for output in 0..OUTPUTS {
        readings.everything.extend([
            record(output, 0, 0, "a-1", false),
            record(output, 1, 1, "a-1", false),
            record(output, 3, 2, "b-1", true),
            record(output, 5, 2, "b-2", false),
            record(output, 6, 3, "b-2", false),
        ]);
    }
    let kept = readings.everything.iter().filter(|seen| !seen.doomed);
    readings.committed = kept.cloned().collect();
    readings.live = readings.committed[..2].to_vec();
    readings
}

fn broken(change: impl FnOnce(&mut Readings)) -> Vec<Anomaly> {
    let mut readings = sound();
    change(&mut readings);
    check(&readings)
}

fn torn(attempt: &str) -> Anomaly {
    Anomaly::Torn {
        attempt: attempt.into(),
    }
}

#[test]
fn what_is_sound_passes() {
    assert_eq!(check(&sound()), []);
}

#[test]
fn a_lost_record_is_caught_and_so_is_a_lost_transaction() {
    let found = broken(|it| {
        it.committed.remove(3);
        it.everything
            .retain(|seen| (seen.output, seen.id) != (0, 3));
    });
    assert_eq!(found, [Anomaly::Lost { id: 3, output: 0 }, torn("b-2")]);
    let found = broken(|it| {
        it.committed.retain(|seen| seen.attempt != "b-2");
        it.everything.retain(|seen| seen.attempt != "b-2");
    });
    let lost = |id, output| Anomaly::Lost { id, output };
    let all = [lost(2, 0), lost(2, 1), lost(3, 0), lost(3, 1)];
    assert_eq!(found[..4], all);
}

#[test]
fn a_doubled_record_is_caught() {
    let found = broken(|it| {
        for output in 0..OUTPUTS {
            let value = Seen::value(1, "c-1", false);
            let again = Seen::parse(output, 0, 9, &value).unwrap();
            it.committed.push(again.clone());
            it.everything.push(again);
        }
    });
    let doubled = |output| Anomaly::Doubled { id: 1, output };
    assert_eq!(found, [doubled(0), doubled(1)]);
}

#[test]
fn a_torn_transaction_is_caught() {
    let found = broken(|it| {
        it.committed
            .retain(|seen| (seen.output, seen.offset) != (1, 0))
    });
    assert_eq!(found, [Anomaly::Lost { id: 0, output: 1 }, torn("a-1")]);
    // Each id is there once, but by halves of two transactions.
    let found = broken(|it| {
        for seen in it.committed.iter_mut().chain(&mut it.everything) {
            if (seen.output, seen.id, seen.doomed) == (1, 3, false) {
                seen.attempt = "c-1".into();
            }
        }
    });
    assert_eq!(found, [torn("b-2"), torn("c-1")]);
}

#[test]
fn an_aborted_record_that_is_seen_is_caught() {
    let found = broken(|it| {
        let doomed: Vec<_> = it.everything.iter().filter(|seen| seen.doomed).collect();
        let doomed: Vec<_> = doomed.into_iter().cloned().collect();
        it.committed.extend(doomed);
    });
    let seen = |one: &&Anomaly| matches!(one, Anomaly::AbortedButSeen(_));
    assert_eq!(found.iter().filter(seen).count(), 2, "{found:?}");
}

#[test]
fn what_was_seen_too_early_is_caught() {
    let found = broken(|it| it.live.push(it.everything[2].clone()));
    assert!(matches!(&found[..], [Anomaly::Precommitted(seen)] if seen.offset == 3));
}

#[test]
fn a_reading_of_all_that_ends_early_is_caught() {
    let found = broken(|it| {
        it.everything
            .retain(|seen| (seen.output, seen.offset) != (1, 6));
    });
    assert!(matches!(&found[..], [Anomaly::Unread(seen)] if seen.offset == 6));
}

#[test]
fn what_nobody_put_in_is_caught() {
    let found = broken(|it| it.ids = 3);
    assert_eq!(found.len(), 2);
    assert!(matches!(&found[0], Anomaly::Phantom(seen) if seen.id == 3));
}

#[test]
fn a_run_that_shows_nothing_is_caught() {
    let found = broken(|it| it.everything = it.committed.clone());
    assert_eq!(found, [Anomaly::NothingAborted]);
    let found = broken(|it| it.live.clear());
    assert_eq!(found, [Anomaly::NothingSeenOnTheWay]);
}

#[test]
fn other_values_are_not_ours() {
    for value in ["", "1", "1 a", "x a keep", "1 a perhaps"] {
        assert_eq!(Seen::parse(0, 0, 0, value), None, "{value:?}");
    }
}

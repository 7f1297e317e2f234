//! A clean history passes; each kind of violation, made by the smallest change, is caught, and
//! nothing else is reported with it than what follows from it.

use super::{Cause, Delivery, Kind, Letter, OPEN, Op, QueueHistory, Said, Standing, Terms, Word};
use super::{MemberNumber, journal};
use crate::history::{Outcome, Span};

const MS: u64 = 1000;
const LOCK_MS: u64 = 1000;

fn between(begin_ms: u64, end_ms: u64) -> Span {
    Span {
        begin_us: begin_ms * MS,
        end_us: end_ms * MS,
    }
}

fn send(value: u64, at_ms: u64, offset: i64) -> Op {
    Op::Send {
        partition: 0,
        value,
        span: between(at_ms, at_ms + 5),
        outcome: Outcome::Acked(offset),
    }
}

fn joined(member: MemberNumber, at_ms: u64) -> Op {
    Op::Joined {
        member,
        span: between(at_ms, at_ms),
    }
}

/// Offsets with the values 100 and on.
fn fetch(member: MemberNumber, at_ms: u64, given: &[(i64, i16)]) -> Op {
    let given = given.iter().map(|&(offset, count)| Delivery {
        partition: 0,
        offset,
        count,
        value: 100 + offset.unsigned_abs(),
    });
    Op::Fetch {
        member,
        span: between(at_ms, at_ms + 10),
        answer: Some(given.collect()),
    }
}

fn lost(member: MemberNumber, at_ms: u64) -> Op {
    Op::Fetch {
        member,
        span: between(at_ms, at_ms + 10),
        answer: None,
    }
}

fn say(member: MemberNumber, at_ms: u64, offset: i64, word: Word) -> Op {
    Op::Ack {
        member,
        partition: 0,
        words: vec![(offset, word)],
        span: between(at_ms, at_ms + 5),
        said: Said::Held,
    }
}

fn refused(op: Op) -> Op {
    match op {
        Op::Ack {
            member,
            partition,
            words,
            span,
            ..
        } => Op::Ack {
            member,
            partition,
            words,
            span,
            said: Said::Refused(121),
        },
        other => other,
    }
}

fn down(at_ms: u64) -> Op {
    Op::Down {
        begin_us: at_ms * MS,
        gone_us: (at_ms + 2) * MS,
    }
}

fn letter(offset: i64, count: i16, cause: Cause) -> Letter {
    Letter {
        partition: 0,
        offset,
        count,
        cause,
        value: Some(100 + offset.unsigned_abs()),
    }
}

/// Five records: 0 accepted, 1 released and accepted by another, 2 rejected, 3 delivered until
/// the limit of 2, 4 renewed and accepted.
fn clean() -> QueueHistory {
    let mut ops: Vec<Op> = (0..5).map(|nth| send(100 + nth, 10, nth as i64)).collect();
    ops.extend([
        joined(1, 1),
        joined(2, 1),
        fetch(1, 100, &[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]),
        say(1, 200, 0, Word::Accept),
        say(1, 210, 1, Word::Release),
        say(1, 220, 2, Word::Reject),
        say(1, 230, 3, Word::Release),
        fetch(2, 300, &[(1, 2), (3, 2)]),
        say(2, 400, 1, Word::Accept),
        say(2, 410, 3, Word::Release),
        say(1, 900, 4, Word::Renew),
        say(1, 1500, 4, Word::Accept),
    ]);
    QueueHistory {
        terms: Terms {
            lock_us: LOCK_MS * MS,
            limit: 2,
        },
        ops,
        letters: vec![letter(2, 1, Cause::Rejected), letter(3, 2, Cause::Limit)],
        finally: [(
            0,
            Standing {
                start: 5,
                end: 5,
                left: 0,
            },
        )]
        .into(),
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut QueueHistory), expected: &[Kind]) {
    let mut history = clean();
    change(&mut history);
    let found = history.check();
    let mut kinds: Vec<Kind> = found.iter().map(|anomaly| anomaly.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, expected, "{found:#?}");
}

/// Change the one op that is as this one.
fn change(history: &mut QueueHistory, from: &Op, to: Op) {
    let place = history.ops.iter_mut().find(|op| *op == from);
    *place.expect("the history has it") = to;
}

fn drop_op(history: &mut QueueHistory, gone: &Op) {
    let before = history.ops.len();
    history.ops.retain(|op| op != gone);
    assert_eq!(history.ops.len(), before - 1);
}

#[test]
fn a_clean_history_passes() {
    check(|_| {}, &[]);
}

#[test]
fn a_journal_says_what_was_done() {
    let is_workers = |op: &&Op| !matches!(op, Op::Send { .. });
    let mut ops: Vec<Op> = clean().ops.iter().filter(is_workers).cloned().collect();
    ops.push(lost(7, 50));
    ops.push(refused(say(7, 60, 3, Word::Accept)));
    ops.push(Op::Left {
        member: 7,
        at_us: 70,
    });
    let mut text = String::new();
    for (op, number) in ops.iter().zip(1..) {
        if let Op::Fetch { member, span, .. } = op {
            // As it is before the answer.
            let open = Op::Fetch {
                member: *member,
                span: Span {
                    end_us: OPEN,
                    ..*span
                },
                answer: None,
            };
            text.push_str(&open.line(number));
        }
        text.push_str(&op.line(number));
    }
    text.push_str("99 fetch 7 1");
    assert_eq!(journal::read(&text), Ok(ops));
    assert!(journal::read("1 nothing 7\n").is_err());
}

#[test]
fn what_was_open_at_a_workers_death_ends_then() {
    let mut ops = [lost(1, 5), fetch(1, 20, &[])];
    if let Op::Fetch { span, .. } = &mut ops[0] {
        span.end_us = OPEN;
    }
    journal::close(&mut ops, 77);
    let ends = ops.iter().map(|op| match op {
        Op::Fetch { span, .. } => span.end_us,
        _ => 0,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [5 * MS, 30 * MS]);
}

#[test]
fn a_value_that_was_not_sent_is_a_phantom() {
    check(
        |history| {
            change(history, &send(104, 10, 4), send(104, 10, 5));
            history
                .ops
                .extend([fetch(2, 2000, &[(5, 1)]), say(2, 2100, 5, Word::Accept)]);
        },
        // What lies at 5 says that it is 105, and nobody sent that.
        &[Kind::Phantom],
    );
}

#[test]
fn a_send_that_comes_to_nobody_is_undelivered() {
    check(
        |history| history.ops.push(send(105, 20, 5)),
        &[Kind::Undelivered],
    );
}

#[test]
fn a_record_without_an_end_is_unfinished() {
    let accepts = say(1, 1500, 4, Word::Accept);
    check(|history| drop_op(history, &accepts), &[Kind::Unfinished]);
    check(
        |history| {
            history.letters.pop();
        },
        &[Kind::Unfinished],
    );
    // Nobody knows whether it held, but the queue is empty.
    check(
        |history| {
            if let Some(Op::Ack { said, .. }) = history.ops.last_mut() {
                *said = Said::Unknown;
            }
        },
        &[],
    );
}

#[test]
fn a_queue_that_holds_something_has_something_left_over() {
    for (start, left) in [(4, 1), (4, 0), (5, 1)] {
        let standing = Standing {
            start,
            end: 5,
            left,
        };
        check(
            |history| {
                history.finally.insert(0, standing);
            },
            &[Kind::LeftOver],
        );
    }
}

#[test]
fn a_delivery_after_a_confirmed_end_is_caught() {
    let again = fetch(2, 500, &[(0, 2)]);
    check(
        |history| history.ops.push(again),
        &[Kind::DeliveredAfterEnd],
    );
    let rejected = fetch(2, 500, &[(2, 2)]);
    check(
        |history| history.ops.push(rejected),
        &[Kind::DeliveredAfterEnd],
    );
    // One that was asked for before, and counts what was leased behind it.
    let long = Op::Fetch {
        member: 2,
        span: between(150, 250),
        answer: Some(vec![Delivery {
            partition: 0,
            offset: 0,
            count: 2,
            value: 100,
        }]),
    };
    check(|history| history.ops.push(long), &[Kind::DeliveredAfterEnd]);
    // What was accepted stays accepted when the server dies.
    let death = [down(3000), joined(3, 3100), fetch(3, 3200, &[(0, 1)])];
    check(
        |history| history.ops.extend(death),
        &[Kind::DeliveredAfterEnd],
    );
}

#[test]
fn two_leases_at_once_are_caught() {
    let gives = fetch(2, 300, &[(1, 2), (3, 2)]);
    let twice = fetch(2, 300, &[(1, 2), (3, 2), (4, 2)]);
    check(
        |history| change(history, &gives, twice),
        &[Kind::DeliveredAfterEnd, Kind::DoubleLease, Kind::ForeignAck],
    );
    // Once the lock ran out, it is another's; the renewal is refused then, and the acceptance.
    check(
        |history| {
            history.ops.truncate(history.ops.len() - 2);
            history.ops.extend([
                fetch(2, 1150, &[(4, 2)]),
                refused(say(1, 1200, 4, Word::Renew)),
                say(2, 1300, 4, Word::Accept),
            ]);
        },
        &[],
    );
    // What a member leased is free when it is gone, before the lock runs out.
    check(
        |history| {
            history.ops.truncate(history.ops.len() - 2);
            let left = Op::Left {
                member: 1,
                at_us: 600 * MS,
            };
            let rest = [fetch(2, 610, &[(4, 2)]), say(2, 700, 4, Word::Accept)];
            history.ops.push(left);
            history.ops.extend(rest);
        },
        &[],
    );
}

#[test]
fn counts_go_up_by_one() {
    let gives = fetch(2, 300, &[(1, 2), (3, 2)]);
    let same = fetch(2, 300, &[(1, 1), (3, 2)]);
    check(
        |history| change(history, &gives, same),
        &[Kind::CountRepeated],
    );
    check(
        |history| {
            history.terms.limit = 3;
            change(history, &gives, fetch(2, 300, &[(1, 3), (3, 2)]));
            history.letters[1] = letter(3, 3, Cause::Limit);
            history.ops.push(fetch(2, 500, &[(3, 3)]));
        },
        &[Kind::CountSkipped],
    );
    // An answer that was lost explains it.
    check(
        |history| {
            history.terms.limit = 3;
            change(history, &gives, fetch(2, 300, &[(1, 3), (3, 2)]));
            history.letters[1] = letter(3, 3, Cause::Limit);
            history.ops.extend([fetch(2, 500, &[(3, 3)]), lost(9, 280)]);
        },
        &[],
    );
}

#[test]
fn a_death_of_the_server_may_repeat_a_count_that_was_not_written_down() {
    let death = |count| {
        [
            send(105, 1600, 5),
            fetch(2, 1700, &[(5, 1)]),
            down(1750),
            joined(3, 1800),
            fetch(3, 1900, &[(5, count)]),
            say(3, 1950, 5, Word::Accept),
        ]
    };
    let with = |history: &mut QueueHistory, ops: [Op; 6]| {
        history.ops.extend(ops);
        let standing = history.finally.get_mut(&0).expect("there is one queue");
        (standing.start, standing.end) = (6, 6);
    };
    check(|history| with(history, death(1)), &[]);
    check(|history| with(history, death(2)), &[]);
    check(
        |history| {
            with(history, death(1));
            history.ops.push(say(2, 1720, 5, Word::Release));
        },
        &[Kind::CountRepeated],
    );
}

#[test]
fn a_delivery_beyond_the_limit_is_caught() {
    let more = fetch(1, 500, &[(3, 3)]);
    check(|history| history.ops.push(more), &[Kind::OverLimit]);
}

#[test]
fn a_refusal_of_what_was_leased_is_caught() {
    let accepts = say(2, 400, 1, Word::Accept);
    check(
        |history| change(history, &accepts, refused(accepts.clone())),
        &[Kind::Unfinished, Kind::FalseRefusal],
    );
    // A second word on the same is refused with good reason, and so is a late one.
    let again = refused(say(2, 450, 1, Word::Accept));
    check(|history| history.ops.push(again), &[]);
}

#[test]
fn a_word_on_anothers_lease_is_caught() {
    check(
        |history| history.ops.push(say(1, 350, 1, Word::Release)),
        &[Kind::ForeignAck],
    );
}

#[test]
fn what_is_rejected_has_its_letter_and_nothing_else_has() {
    check(
        |history| {
            history.letters.remove(0);
        },
        &[Kind::Unfinished, Kind::LostLetter],
    );
    check(
        |history| history.letters.push(letter(4, 1, Cause::Rejected)),
        &[Kind::PhantomLetter, Kind::DeadAfterAccept],
    );
    check(
        |history| history.letters[1] = letter(3, 1, Cause::Limit),
        &[Kind::PhantomLetter],
    );
    check(
        |history| history.letters[0].value = Some(7),
        &[Kind::Unfinished, Kind::WrongLetter],
    );
    check(
        |history| history.letters[0].value = None,
        &[Kind::Unfinished, Kind::WrongLetter],
    );
}

#[test]
fn a_letter_comes_twice_only_if_the_server_died() {
    let twice = |history: &mut QueueHistory| history.letters.push(letter(2, 1, Cause::Rejected));
    check(twice, &[Kind::RepeatedLetter]);
    check(
        |history| {
            twice(history);
            history.ops.push(down(2000));
        },
        &[],
    );
    // Then the reason may have been forgotten too.
    check(
        |history| {
            history.letters.push(letter(2, 1, Cause::Limit));
            history.ops.push(down(2000));
        },
        &[],
    );
}

#[test]
fn what_the_log_dropped_is_delivered_to_nobody() {
    let cut = Op::Cut {
        partition: 0,
        offset: 5,
        span: between(2000, 2010),
    };
    check(|history| history.ops.push(cut.clone()), &[]);
    check(
        |history| {
            history.terms.limit = 3;
            history.letters[1] = letter(3, 3, Cause::Limit);
            history.ops.extend([cut, fetch(1, 2100, &[(3, 3)])]);
        },
        &[Kind::BelowStart],
    );
}

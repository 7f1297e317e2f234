//! A clean history passes; each kind of violation, made by the smallest change, is caught, and
//! nothing else is reported with it than what follows from it.

use super::{History, Kind, Op, Outcome, Span};

fn at(begin_us: u64) -> Span {
    Span {
        begin_us,
        end_us: begin_us + 5,
    }
}

fn send(value: u64, begin_us: u64, offset: i64) -> Op {
    let outcome = Outcome::Acked(offset);
    Op::Send {
        producer: 1,
        partition: 0,
        value,
        span: at(begin_us),
        outcome,
    }
}

fn poll(records: &[(i64, u64)], begin_us: u64) -> Op {
    let records = records.to_vec();
    Op::Poll {
        consumer: 1,
        assignment: 0,
        partition: 0,
        records,
        span: at(begin_us),
    }
}

/// Three records, acknowledged, read, committed and left as they were.
fn clean() -> History {
    History {
        ops: vec![
            send(100, 10, 0),
            send(101, 20, 1),
            send(102, 30, 2),
            poll(&[(0, 100), (1, 101)], 40),
            poll(&[(2, 102)], 50),
            Op::HighWatermark {
                partition: 0,
                offset: 2,
                span: at(26),
            },
            Op::HighWatermark {
                partition: 0,
                offset: 3,
                span: at(60),
            },
            Op::Commit {
                partition: 0,
                offset: 2,
                span: at(62),
            },
            Op::Commit {
                partition: 0,
                offset: 3,
                span: at(70),
            },
            Op::Committed {
                partition: 0,
                offset: 3,
                span: at(80),
            },
        ],
        finally: [(0, vec![(0, 100), (1, 101), (2, 102)])].into(),
    }
}

fn kinds(history: &History) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = history
        .check()
        .into_iter()
        .map(|anomaly| anomaly.kind)
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

#[track_caller]
fn check(change: impl FnOnce(&mut History), expected: &[Kind]) {
    let mut history = clean();
    change(&mut history);
    assert_eq!(kinds(&history), expected);
}

#[test]
fn a_clean_history_passes() {
    check(|_| {}, &[]);
}

#[test]
fn an_unknown_send_may_be_there_or_not() {
    let unknown = |value| Op::Send {
        producer: 2,
        partition: 0,
        value,
        span: at(90),
        outcome: Outcome::Unknown,
    };
    check(|history| history.ops.push(unknown(103)), &[]);
    check(
        |history| {
            history.ops.extend([unknown(103), poll(&[(3, 103)], 95)]);
            history.finally.get_mut(&0).unwrap().push((3, 103));
        },
        &[],
    );
}

#[test]
fn two_values_at_one_offset_are_inconsistent() {
    check(
        |history| {
            history.ops[2] = send(103, 30, 2);
            history.ops.push(Op::Send {
                producer: 2,
                partition: 0,
                value: 102,
                span: at(30),
                outcome: Outcome::Unknown,
            });
        },
        &[Kind::InconsistentOffset, Kind::LostWrite],
    );
}

#[test]
fn one_value_at_two_offsets_is_a_duplicate() {
    check(
        |history| {
            history.finally.get_mut(&0).unwrap().push((3, 102));
            history.ops.push(poll(&[(3, 102)], 90));
        },
        &[Kind::Duplicate],
    );
}

#[test]
fn a_value_that_was_refused_is_a_phantom() {
    check(
        |history| {
            history.finally.get_mut(&0).unwrap().push((3, 103));
            history.ops.push(poll(&[(3, 103)], 90));
            history.ops.push(Op::Send {
                producer: 1,
                partition: 0,
                value: 103,
                span: at(35),
                outcome: Outcome::Failed,
            });
        },
        &[Kind::Phantom],
    );
}

#[test]
fn an_acknowledged_value_that_is_gone_is_lost() {
    check(
        |history| {
            history.finally.get_mut(&0).unwrap().pop();
        },
        &[Kind::LostWrite],
    );
}

#[test]
fn a_hole_in_the_offsets_is_a_gap() {
    check(
        |history| {
            history.ops.push(send(104, 90, 4));
            history.ops.push(Op::Poll {
                consumer: 2,
                assignment: 0,
                partition: 0,
                records: vec![(4, 104)],
                span: at(95),
            });
            history.finally.get_mut(&0).unwrap().push((4, 104));
        },
        &[Kind::Gap],
    );
}

#[test]
fn a_later_send_that_lies_before_an_earlier_one_is_nonmonotonic() {
    check(
        |history| {
            let overlapping = Span {
                begin_us: 10,
                end_us: 25,
            };
            let other = Span {
                begin_us: 12,
                end_us: 25,
            };
            let acked = |value, span, offset| Op::Send {
                producer: 1,
                partition: 0,
                value,
                span,
                outcome: Outcome::Acked(offset),
            };
            history.ops[0] = acked(101, overlapping, 1);
            history.ops[1] = acked(100, other, 0);
        },
        &[Kind::NonmonotonicSend],
    );
}

#[test]
fn a_send_that_lies_before_one_acknowledged_earlier_breaks_real_time() {
    check(
        |history| {
            history.ops[0] = send(101, 10, 1);
            history.ops[1] = Op::Send {
                producer: 2,
                partition: 0,
                value: 100,
                span: at(20),
                outcome: Outcome::Acked(0),
            };
        },
        &[Kind::RealtimeOrder],
    );
}

#[test]
fn a_record_left_out_between_two_polls_is_a_skip() {
    check(
        |history| history.ops[3] = poll(&[(0, 100)], 40),
        &[Kind::PollSkip, Kind::Unseen],
    );
}

#[test]
fn an_offset_given_twice_is_a_nonmonotonic_poll() {
    check(
        |history| history.ops[4] = poll(&[(1, 101), (2, 102)], 50),
        &[Kind::NonmonotonicPoll],
    );
}

#[test]
fn a_high_watermark_below_an_acknowledged_record_is_stale() {
    check(
        |history| {
            history.ops[5] = Op::HighWatermark {
                partition: 0,
                offset: 1,
                span: at(26),
            }
        },
        &[Kind::StaleHighWatermark],
    );
}

#[test]
fn a_high_watermark_that_goes_back_is_regressed() {
    check(
        |history| {
            history.ops.push(Op::HighWatermark {
                partition: 0,
                offset: 5,
                span: at(50),
            });
        },
        &[Kind::RegressedHighWatermark],
    );
}

#[test]
fn a_commit_that_reads_back_as_an_older_one_is_lost() {
    let read = |offset| Op::Committed {
        partition: 0,
        offset,
        span: at(80),
    };
    check(|history| history.ops[9] = read(2), &[Kind::OffsetCommit]);
    check(|history| history.ops[9] = read(-1), &[Kind::OffsetCommit]);
    check(|history| history.ops[9] = read(7), &[Kind::OffsetCommit]);
}

#[test]
fn a_record_that_came_to_nobody_is_unseen() {
    check(|history| drop(history.ops.remove(4)), &[Kind::Unseen]);
}

//! Workers in the time of a test's own, on a server that may break a rule. Each request takes a
//! while, so that what the history knows is as vague as it is over a wire.

use std::collections::BTreeMap;

use ratel_integration::Random;
use ratel_integration::history::{Outcome, Span, Value};
use ratel_integration::queue_history::{
    Delivery, MemberNumber, Op, QueueHistory, Said, Terms, Word,
};
use ratel_integration::queue_worker::is_poison;
use ratel_server::coordinator::share::{AckType, Mode, QueueConfig};

use crate::server::{Break, Server};

const LOCK_US: u64 = 1_000_000;
const LIMIT: i16 = 4;
const WORKERS: usize = 5;
/// How often something happens in one run.
const STEPS: usize = 6000;

#[derive(Debug, Clone, Copy)]
struct InHand {
    word: Word,
    due_us: u64,
}

/// A worker, as one member after another.
#[derive(Debug, Default)]
struct Worker {
    number: MemberNumber,
    /// Its last request had its answer.
    free_us: u64,
    hand: BTreeMap<i64, InHand>,
}

impl Worker {
    fn id(&self) -> String {
        format!("worker-{}", self.number)
    }
}

pub struct World {
    server: Server,
    random: Random,
    now_us: u64,
    workers: Vec<Worker>,
    members: MemberNumber,
    sent: Value,
    /// Records at the end of the log that nobody was promised.
    unsafe_tail: u64,
    /// Whether anything is sent with acks=all.
    is_promised: bool,
    ops: Vec<Op>,
}

/// One run from a seed: its history, and how often the rule was broken.
pub fn run(seed: u64, broken: Option<Break>) -> (QueueHistory, u64) {
    let config = QueueConfig {
        lock_duration_ms: (LOCK_US / 1000).cast_signed(),
        delivery_count_limit: LIMIT,
        release_backoff_ms: 20,
        release_backoff_max_ms: 100,
        dead_letters: true,
        ..QueueConfig::default()
    };
    let mut world = World {
        server: Server::new(config, broken),
        random: Random(seed),
        now_us: 1_000_000,
        workers: Vec::new(),
        members: 0,
        sent: 0,
        unsafe_tail: 0,
        is_promised: true,
        ops: Vec::new(),
    };
    for _ in 0..WORKERS {
        let worker = world.joined();
        world.workers.push(worker);
    }
    for _ in 0..STEPS {
        world.step(true);
    }
    world.drain();
    let finally = [(0, world.server.standing())].into();
    let history = QueueHistory {
        terms: Terms {
            lock_us: LOCK_US,
            limit: LIMIT,
        },
        letters: world.server.letters(),
        ops: world.ops,
        finally,
    };
    (history, world.server.broke)
}

impl World {
    fn step(&mut self, may_die: bool) {
        let pause_us = 1000 + self.random.below(7000);
        self.pass(pause_us);
        match self.random.below(1000) {
            0..200 => self.send(),
            200..203 if may_die => self.server_dies(),
            203..205 => self.cut(),
            205..207 => {
                let one = self.one();
                let worker = self.left(one);
                self.workers[one] = worker;
            }
            207..210 => {
                // Stopped for longer than its leases last.
                let (one, lasts_us) = (self.one(), LOCK_US / 2 + self.random.below(LOCK_US));
                self.workers[one].free_us = self.now_us + lasts_us;
            }
            chance => {
                let one = self.one();
                if self.workers[one].free_us > self.now_us {
                    return;
                }
                if chance % 2 == 0 {
                    self.fetch(one);
                } else {
                    self.speak(one);
                }
            }
        }
    }

    fn one(&mut self) -> usize {
        self.random.below(WORKERS as u64) as usize
    }

    fn pass(&mut self, us: u64) {
        self.now_us += us;
        self.server.pass(self.now_us);
    }

    /// A request that the server takes up now, of a worker that was free.
    fn span(&mut self, free_us: u64) -> Span {
        let begin_us = self.now_us - self.random.below(5000);
        Span {
            begin_us: begin_us.max(free_us),
            end_us: self.now_us + 1 + self.random.below(5000),
        }
    }

    fn joined(&mut self) -> Worker {
        self.members += 1;
        let span = Span {
            begin_us: self.now_us,
            end_us: self.now_us,
        };
        self.ops.push(Op::Joined {
            member: self.members,
            span,
        });
        Worker {
            number: self.members,
            free_us: self.now_us,
            hand: BTreeMap::new(),
        }
    }

    /// A worker loses its connection and makes another.
    fn left(&mut self, one: usize) -> Worker {
        let member = self.workers[one].number;
        let at_us = self.now_us;
        self.ops.push(Op::Left { member, at_us });
        let id = self.workers[one].id();
        self.server.leave(&id);
        self.joined()
    }

    /// With acks=all, or with acks=1, which promises nothing when the power goes.
    fn send(&mut self) {
        let span = self.span(0);
        let values: Vec<Value> = (self.sent..=self.sent + self.random.below(5)).collect();
        self.sent += values.len() as u64;
        let is_safe = self.is_promised && self.random.percent(80);
        let first = self.server.append(&values);
        self.unsafe_tail = if is_safe {
            0
        } else {
            self.unsafe_tail + values.len() as u64
        };
        for (value, offset) in values.into_iter().zip(first..) {
            let outcome = if is_safe {
                Outcome::Acked(offset)
            } else {
                Outcome::Unknown
            };
            self.ops.push(Op::Send {
                partition: 0,
                value,
                span,
                outcome,
            });
        }
    }

    fn fetch(&mut self, one: usize) {
        let span = self.span(self.workers[one].free_us);
        let (id, member) = (self.workers[one].id(), self.workers[one].number);
        let records = 1 + self.random.below(20) as usize;
        let mode = match self.random.percent(50) {
            true => Mode::RecordLimit,
            false => Mode::BatchOptimized,
        };
        let given = self.server.acquire(&id, records, mode);
        let is_lost = self.random.percent(1);
        let mut deliveries = Vec::new();
        for range in given {
            for offset in range.first.get()..=range.last.get() {
                deliveries.push(Delivery {
                    partition: 0,
                    offset,
                    count: range.delivery_count,
                    value: self.server.value(offset),
                });
            }
        }
        if !is_lost {
            for delivery in &deliveries {
                if let Some(in_hand) = self.decide(delivery) {
                    self.workers[one].hand.insert(delivery.offset, in_hand);
                }
            }
        }
        self.workers[one].free_us = span.end_us;
        self.ops.push(Op::Fetch {
            member,
            span,
            answer: (!is_lost).then_some(deliveries),
        });
        if is_lost {
            self.workers[one] = self.left(one);
        }
    }

    fn decide(&mut self, delivery: &Delivery) -> Option<InHand> {
        let soon_us = self.now_us + self.random.below(100_000);
        let (word, due_us) = match self.random.below(100) {
            0..85 if is_poison(delivery.value) => (Word::Release, soon_us),
            _ if is_poison(delivery.value) => return None,
            0..70 => (Word::Accept, soon_us),
            70..82 => (Word::Release, soon_us),
            82..86 => (Word::Reject, soon_us),
            86..92 => (Word::Renew, self.now_us + LOCK_US * 6 / 10),
            92..96 => (Word::Accept, self.now_us + LOCK_US * 12 / 10),
            _ => return None,
        };
        Some(InHand { word, due_us })
    }

    /// Say one thing of one or more records.
    fn speak(&mut self, one: usize) {
        let worker = &mut self.workers[one];
        let due = worker
            .hand
            .iter()
            .find(|(_, hand)| hand.due_us <= self.now_us);
        let Some(word) = due.map(|(_, hand)| hand.word) else {
            return;
        };
        let mut words = Vec::new();
        worker.hand.retain(|offset, hand| {
            let is_said = hand.word == word && hand.due_us <= self.now_us;
            if is_said {
                words.push((*offset, word));
            }
            !is_said
        });
        if word == Word::Renew {
            for (offset, _) in &words {
                let hand = InHand {
                    word: Word::Accept,
                    due_us: self.now_us + LOCK_US / 2,
                };
                worker.hand.insert(*offset, hand);
            }
        }
        self.say(one, words);
    }

    fn say(&mut self, one: usize, words: Vec<(i64, Word)>) {
        let span = self.span(self.workers[one].free_us);
        let (id, member) = (self.workers[one].id(), self.workers[one].number);
        let kinds: Vec<(i64, AckType)> =
            words.iter().map(|(at, word)| (*at, kind(*word))).collect();
        let answer = self.server.acknowledge(&id, &kinds);
        let is_lost = self.random.percent(1);
        let said = match answer {
            _ if is_lost => Said::Unknown,
            Ok(()) => Said::Held,
            Err(code) => Said::Refused(code.code()),
        };
        self.workers[one].free_us = span.end_us;
        self.ops.push(Op::Ack {
            member,
            partition: 0,
            words,
            span,
            said,
        });
        if is_lost {
            self.workers[one] = self.left(one);
        }
    }

    /// A process that is killed, or a power cut, which takes the end of the log with it.
    fn server_dies(&mut self) {
        let is_power_cut = self.random.percent(50);
        if is_power_cut {
            // Let there be something to lose, and workers who did it.
            self.is_promised = false;
            (0..60).for_each(|_| self.step(false));
            self.is_promised = true;
        }
        let lost = if is_power_cut { self.unsafe_tail } else { 0 };
        // All requests have their answers.
        self.pass(10_000);
        let begin_us = self.now_us;
        self.pass(1000);
        self.server.die(lost as usize);
        self.unsafe_tail -= lost;
        if lost > 0 {
            self.ops.push(Op::Torn {
                partition: 0,
                offset: self.server.end(),
                at_us: self.now_us,
            });
        }
        let gone_us = self.now_us;
        self.ops.push(Op::Down { begin_us, gone_us });
        self.pass(30_000);
        for one in 0..WORKERS {
            self.workers[one] = self.joined();
        }
    }

    fn cut(&mut self) {
        let offset = self.server.end() - self.random.below(60) as i64 - self.unsafe_tail as i64;
        if offset <= 0 {
            return;
        }
        let span = self.span(0);
        self.server.cut(offset);
        self.ops.push(Op::Cut {
            partition: 0,
            offset,
            span,
        });
    }

    /// One worker that does nothing wrong does the rest.
    fn drain(&mut self) {
        self.pass(10_000);
        for one in 0..WORKERS {
            self.workers[one] = self.left(one);
        }
        let mut last_us = self.now_us;
        // Under a broken rule it may never be done.
        for _ in 0..1000 {
            self.pass(50_000);
            let before = self.ops.len();
            self.fetch(0);
            self.workers[0].hand.clear();
            let given = match self.ops.get(before) {
                Some(Op::Fetch {
                    answer: Some(given),
                    ..
                }) => given.clone(),
                _ => continue,
            };
            self.pass(10_000);
            if !given.is_empty() {
                last_us = self.now_us;
                let words = given.iter().map(|given| (given.offset, Word::Accept));
                self.say(0, words.collect());
            }
            if self.now_us - last_us > 2 * LOCK_US {
                break;
            }
        }
    }
}

fn kind(word: Word) -> AckType {
    match word {
        Word::Accept => AckType::Accept,
        Word::Release => AckType::Release,
        Word::Reject => AckType::Reject,
        Word::Renew => AckType::Renew,
    }
}

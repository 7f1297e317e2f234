//! A worker of a queue that does whatever a worker may do, and writes it down: accepts, releases,
//! rejects, renews, holds leases too long, forgets them, closes its session, drops its
//! connection. It takes no care of itself: who runs it stops and kills it.

mod member;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

pub use member::unpack;
use member::{Ask, Member, Words};

use crate::Random;
use crate::history::Value;
use crate::queue_history::{Delivery, MemberNumber, Op, Word};

/// How often a member tells that it lives, microseconds.
const BEAT_US: u64 = 1_000_000;
/// How long a worker waits before it connects again.
const RECONNECT: Duration = Duration::from_millis(20);

/// Now, on the clock that all processes of this machine share, microseconds.
#[must_use]
pub fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let parts = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    match parts {
        (Ok(seconds), Ok(nanoseconds)) => seconds * 1_000_000 + nanoseconds / 1000,
        _ => 0,
    }
}

/// One record of so many is poison: no worker ever does it.
const POISON: Value = 40;

/// Whether no worker ever accepts it.
#[must_use]
pub fn is_poison(value: Value) -> bool {
    value.is_multiple_of(POISON)
}

/// What a worker works at.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server.
    pub server: SocketAddr,
    /// The share group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Its id.
    pub topic_id: Uuid,
    /// Its partitions, of which all are read.
    pub partitions: i32,
    /// How long leases last, microseconds.
    pub lock_us: u64,
    /// The number of the first member; those behind it follow.
    pub first_member: MemberNumber,
    /// What chance follows from.
    pub seed: u64,
}

impl Settings {
    /// As words of a command line.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        vec![
            self.server.to_string(),
            self.group.clone(),
            self.topic.clone(),
            self.topic_id.to_string(),
            self.partitions.to_string(),
            self.lock_us.to_string(),
            self.first_member.to_string(),
            self.seed.to_string(),
        ]
    }

    /// From words of a command line; `None` if they are not what [`words`](Self::words) makes.
    #[must_use]
    pub fn of(words: &[String]) -> Option<Self> {
        let [server, group, topic, id, partitions, lock, first, seed] = words else {
            return None;
        };
        Some(Self {
            server: server.parse().ok()?,
            group: group.clone(),
            topic: topic.clone(),
            topic_id: id.parse().ok()?,
            partitions: partitions.parse().ok()?,
            lock_us: lock.parse().ok()?,
            first_member: first.parse().ok()?,
            seed: seed.parse().ok()?,
        })
    }
}

/// Where a worker writes down what it does. Each line is one write, so a killed worker's last
/// line is there as a whole or not at all.
pub struct Journal {
    file: File,
    lines: u64,
}

impl Journal {
    /// A new one.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            lines: 0,
        })
    }

    fn note(&mut self, op: &Op) -> io::Result<u64> {
        self.lines += 1;
        self.replace(self.lines, op)?;
        Ok(self.lines)
    }

    fn replace(&mut self, number: u64, op: &Op) -> io::Result<()> {
        self.file.write_all(op.line(number).as_bytes())
    }
}

/// A record in hand: what is to be said of it, and when.
#[derive(Debug, Clone, Copy)]
struct InHand {
    word: Word,
    due_us: u64,
    /// Said when the lock has run out, so nothing else is said with it.
    late: bool,
}

/// A worker.
pub struct Worker {
    settings: Settings,
    journal: Journal,
    random: Random,
    next_member: MemberNumber,
}

impl Worker {
    /// One that writes into this journal.
    #[must_use]
    pub fn new(settings: Settings, journal: Journal) -> Self {
        Self {
            random: Random(settings.seed),
            next_member: settings.first_member,
            settings,
            journal,
        }
    }

    /// Work for ever.
    ///
    /// # Errors
    /// A journal that cannot be written.
    pub async fn work(mut self) -> io::Result<()> {
        let settings = self.settings.clone();
        loop {
            if let Some(mut member) = self.join(&settings).await {
                // However it ends, the connection goes with it.
                let _ = self.serve(&mut member).await;
                member.leave(&mut self.journal)?;
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    /// Accept all that comes, until nothing came for this long.
    ///
    /// # Errors
    /// A journal that cannot be written, or a server that goes away.
    pub async fn drain(mut self, quiet_us: u64) -> io::Result<()> {
        let settings = self.settings.clone();
        let mut member = loop {
            if let Some(member) = self.join(&settings).await {
                break member;
            }
            tokio::time::sleep(RECONNECT).await;
        };
        let ask = Ask {
            records: 500,
            wait_ms: 200,
            mode: 0,
            batch_size: 500,
            max_bytes: 1 << 20,
        };
        let (mut last_us, mut beat_us) = (now_us(), now_us());
        while now_us() - last_us < quiet_us {
            let none = Words::new();
            let given = member.fetch(ask, &none, &mut self.journal, &mut self.random);
            let accept = |given: &Delivery| ((given.partition, given.offset), Word::Accept);
            let words: Words = given.await?.iter().map(accept).collect();
            if !words.is_empty() {
                last_us = now_us();
                let said = member.acknowledge(&words, false, &mut self.journal, &mut self.random);
                said.await?;
            }
            if now_us() - beat_us > BEAT_US {
                member.beat().await?;
                beat_us = now_us();
            }
        }
        member.leave(&mut self.journal)
    }

    async fn join<'a>(&mut self, settings: &'a Settings) -> Option<Member<'a>> {
        let number = self.next_member;
        self.next_member += 1;
        let member = Member::join(settings, number, &mut self.journal).await;
        member.ok().flatten()
    }

    /// Be this member until its connection breaks, or it has had enough.
    async fn serve(&mut self, member: &mut Member<'_>) -> io::Result<()> {
        let mut hand: BTreeMap<(i32, i64), InHand> = BTreeMap::new();
        let mut beat_us = now_us();
        loop {
            let (words, late) = self.due(&mut hand);
            for (key, word) in late {
                let word = Words::from([(key, word)]);
                let said = member.acknowledge(&word, false, &mut self.journal, &mut self.random);
                said.await?;
            }
            let renews = words.values().any(|word| *word == Word::Renew);
            let none = Words::new();
            let carried = if renews || self.random.percent(50) {
                if !words.is_empty() {
                    let said =
                        member.acknowledge(&words, false, &mut self.journal, &mut self.random);
                    said.await?;
                }
                if self.random.percent(3) && !words.is_empty() {
                    // Once more: it leases none of them any longer.
                    let said =
                        member.acknowledge(&words, false, &mut self.journal, &mut self.random);
                    said.await?;
                }
                &none
            } else {
                &words
            };
            let ask = self.ask();
            let given = member.fetch(ask, carried, &mut self.journal, &mut self.random);
            for delivery in given.await? {
                if let Some(in_hand) = self.decide(&delivery) {
                    hand.insert((delivery.partition, delivery.offset), in_hand);
                }
            }
            if now_us() - beat_us > BEAT_US {
                member.beat().await?;
                beat_us = now_us();
            }
            match self.random.below(400) {
                0 => {
                    let (words, _) = self.due(&mut hand);
                    let words = words.into_iter().filter(|(_, word)| *word != Word::Renew);
                    let words = words.collect();
                    return member
                        .acknowledge(&words, true, &mut self.journal, &mut self.random)
                        .await;
                }
                1 | 2 => return Ok(()),
                _ => {}
            }
        }
    }

    fn ask(&mut self) -> Ask {
        let random = &mut self.random;
        Ask {
            records: 1 + random.below(20) as i32,
            wait_ms: 20 + random.below(200) as i32,
            mode: random.below(2) as i8,
            batch_size: 1 + random.below(20) as i32,
            // Sometimes less than what is leased, so that the rest is given back.
            max_bytes: if random.percent(10) { 200 } else { 1 << 16 },
        }
    }

    /// What is to be said now: together, and each by itself.
    fn due(&mut self, hand: &mut BTreeMap<(i32, i64), InHand>) -> (Words, Words) {
        let (now_us, lock_us) = (now_us(), self.settings.lock_us);
        let (mut together, mut late) = (Words::new(), Words::new());
        let mut renewed = Vec::new();
        hand.retain(|key, in_hand| {
            if in_hand.due_us > now_us {
                return true;
            }
            let words = if in_hand.late {
                &mut late
            } else {
                &mut together
            };
            words.insert(*key, in_hand.word);
            if in_hand.word == Word::Renew {
                renewed.push(*key);
            }
            false
        });
        for key in renewed {
            // Past the end that the lease had at first.
            let due_us = now_us + lock_us * (2 + self.random.below(6)) / 10;
            let word = if self.random.percent(40) {
                Word::Renew
            } else {
                Word::Accept
            };
            let late = false;
            hand.insert(key, InHand { word, due_us, late });
        }
        (together, late)
    }

    /// What is to become of a record; `None` to forget it.
    fn decide(&mut self, delivery: &Delivery) -> Option<InHand> {
        let (now_us, lock_us) = (now_us(), self.settings.lock_us);
        let chance = self.random.below(100);
        let soon_us = now_us + self.random.below(150_000);
        let (word, due_us, late) = match chance {
            0..15 if is_poison(delivery.value) => return None,
            _ if is_poison(delivery.value) => (Word::Release, soon_us, false),
            0..70 => (Word::Accept, soon_us, false),
            70..82 => (Word::Release, soon_us, false),
            82..85 => (Word::Reject, soon_us, false),
            85..92 => (Word::Renew, now_us + lock_us * 6 / 10, false),
            92..96 => (Word::Accept, now_us + lock_us * 12 / 10, true),
            _ => return None,
        };
        Some(InHand { word, due_us, late })
    }
}

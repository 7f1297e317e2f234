//! One run: producers and workers at work, and what is done to them and to the server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ratel_integration::history::{Outcome, Span, Value};
use ratel_integration::queue_history::{OPEN, Op, QueueHistory, Terms, journal};
use ratel_integration::queue_worker::{Journal, Settings, Worker, now_us};
use ratel_integration::{Random, RawClient, ServerProcess};
use rustix::process::{Pid, Signal, kill_process};

use crate::wire;

const TOPIC: &str = "jobs";
const GROUP: &str = "workers";
const DEAD: &str = "jobs.dead";
const PARTITIONS: usize = 2;
const PRODUCERS: u64 = 2;
const WORKERS: usize = 5;
/// Members of one worker process at most.
const MEMBERS: u32 = 100_000;
const LOCK_US: u64 = 1_000_000;
const LIMIT: i16 = 4;
/// How long the last worker waits for what may still come back.
const QUIET_US: u64 = LOCK_US + 1_500_000;

/// What producers and the disturber share.
struct Shared {
    server: SocketAddr,
    sent: AtomicBool,
    /// The last offset that was acknowledged, of each partition.
    last: [AtomicI64; PARTITIONS],
}

/// Some hundred records a second until told to stop.
async fn produce(shared: Arc<Shared>, number: u64, mut random: Random) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut sequence: Value = 0;
    let mut client = None;
    while !shared.sent.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(10 + random.below(20))).await;
        let connected = match client.take() {
            Some(connected) => Ok(connected),
            None => RawClient::try_connect(shared.server).await,
        };
        let Ok(mut connected) = connected else {
            continue;
        };
        let partition = random.below(PARTITIONS as u64) as i32;
        let values: Vec<Value> = (0..=random.below(6))
            .map(|nth| ((sequence + nth) * PRODUCERS) + number)
            .collect();
        sequence += values.len() as u64;
        let begin_us = now_us();
        let answer = wire::produce(&mut connected, TOPIC, partition, &values).await;
        let span = Span {
            begin_us,
            end_us: now_us(),
        };
        let first = match answer {
            Ok(answer) => {
                client = Some(connected);
                answer.ok()
            }
            Err(_) => None,
        };
        if let Some(first) = first {
            let last = first + values.len() as i64 - 1;
            shared.last[partition as usize].fetch_max(last, Ordering::Relaxed);
        }
        for (value, nth) in values.into_iter().zip(0..) {
            ops.push(Op::Send {
                partition,
                value,
                span,
                outcome: first.map_or(Outcome::Unknown, |first| Outcome::Acked(first + nth)),
            });
        }
    }
    ops
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A worker process.
struct Running {
    child: Child,
    journal: PathBuf,
    /// Until when it is stopped.
    stopped: Option<Instant>,
}

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kill it, and have what it did.
    fn kill(mut self) -> Vec<Op> {
        let killed_us = now_us();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let gone_us = now_us();
        let text = std::fs::read_to_string(&self.journal).unwrap();
        let mut ops = journal::read(&text).unwrap();
        journal::close(&mut ops, gone_us);
        let last = ops.iter().rev().find_map(|op| match op {
            Op::Joined { member, .. } => Some(*member),
            _ => None,
        });
        ops.extend(last.map(|member| Op::Left {
            member,
            at_us: killed_us,
        }));
        ops
    }
}

/// Does its worst.
struct Disturber<'a> {
    root: &'a Path,
    server: ServerProcess,
    shared: Arc<Shared>,
    settings: Settings,
    random: Random,
    workers: Vec<Running>,
    started: u32,
    ops: Vec<Op>,
}

impl Disturber<'_> {
    fn start_worker(&mut self) {
        self.started += 1;
        let journal = self.root.join(format!("worker-{}", self.started));
        let settings = Settings {
            first_member: self.started * MEMBERS,
            seed: self.random.below(u64::MAX),
            ..self.settings.clone()
        };
        let child = Command::new(env!("CARGO_BIN_EXE_queue-worker"))
            .arg(&journal)
            .args(settings.words())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.workers.push(Running {
            child,
            journal,
            stopped: None,
        });
    }

    fn disturb(&mut self) {
        match self.random.below(100) {
            0..15 => self.server_goes(false),
            15..20 => self.server_goes(true),
            20..45 => {
                let one = self.random.below(WORKERS as u64) as usize;
                let killed = self.workers.swap_remove(one);
                self.ops.extend(killed.kill());
                self.start_worker();
            }
            45..70 => self.stop_worker(),
            70..74 => self.cut(),
            _ => {}
        }
    }

    fn server_goes(&mut self, cleanly: bool) {
        let begin_us = now_us();
        if cleanly {
            self.server.stop();
        } else {
            self.server.kill();
        }
        let gone_us = now_us();
        self.ops.push(Op::Down { begin_us, gone_us });
        self.server.restart();
    }

    /// Stop a worker for longer than its leases last.
    fn stop_worker(&mut self) {
        let one = self.random.below(WORKERS as u64) as usize;
        let lasts = LOCK_US / 2 + self.random.below(LOCK_US);
        let worker = &mut self.workers[one];
        if worker.stopped.is_none() {
            worker.signal(Signal::STOP);
            worker.stopped = Some(Instant::now() + Duration::from_micros(lasts));
        }
    }

    fn wake_workers(&mut self) {
        for worker in &mut self.workers {
            if worker.stopped.is_some_and(|until| until <= Instant::now()) {
                worker.signal(Signal::CONT);
                worker.stopped = None;
            }
        }
    }

    fn cut(&mut self) {
        let partition = self.random.below(PARTITIONS as u64) as usize;
        let last = self.shared.last[partition].load(Ordering::Relaxed);
        let offset = last - self.random.below(100) as i64;
        let partition = partition as i32;
        if offset <= 0 {
            return;
        }
        let begin_us = now_us();
        let done = runtime().block_on(wire::cut(self.shared.server, TOPIC, partition, offset));
        let end_us = if done { now_us() } else { OPEN };
        self.ops.push(Op::Cut {
            partition,
            offset,
            span: Span { begin_us, end_us },
        });
    }

    fn work(&mut self, seconds: u64) {
        for _ in 0..WORKERS {
            self.start_worker();
        }
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            let pause_us = 50_000 + self.random.below(500_000);
            thread::sleep(Duration::from_micros(pause_us));
            self.wake_workers();
            self.disturb();
        }
        while let Some(worker) = self.workers.pop() {
            self.ops.extend(worker.kill());
        }
    }

    /// Let one worker that does nothing wrong do the rest.
    fn drain(&mut self) {
        let journal = self.root.join("drain");
        let settings = Settings {
            first_member: (self.started + 1) * MEMBERS,
            ..self.settings.clone()
        };
        let worker = Worker::new(settings, Journal::create(&journal).unwrap());
        runtime().block_on(worker.drain(QUIET_US)).unwrap();
        let text = std::fs::read_to_string(&journal).unwrap();
        self.ops.extend(journal::read(&text).unwrap());
    }
}

/// Run for so long, and tell all that was done and what was left.
pub fn record(root: &Path, seconds: u64, seed: u64) -> QueueHistory {
    let server = ServerProcess::start(root);
    let address = server.addr();
    let topic_id = runtime().block_on(async {
        let settings = [
            ("share.auto.offset.reset", "earliest"),
            ("share.record.lock.duration.ms", "1000"),
            ("share.delivery.count.limit", "4"),
            ("queue.release.backoff.ms", "20"),
            ("queue.release.backoff.max.ms", "100"),
            ("errors.deadletterqueue.topic.name", DEAD),
        ];
        wire::configure_group(address, GROUP, &settings).await;
        wire::create_topic(address, DEAD, 1).await;
        wire::create_topic(address, TOPIC, PARTITIONS as i32).await
    });
    let mut random = Random(seed);
    let shared = Arc::new(Shared {
        server: address,
        sent: AtomicBool::new(false),
        last: Default::default(),
    });
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|number| {
            let (shared, random) = (shared.clone(), Random(random.below(u64::MAX)));
            thread::spawn(move || runtime().block_on(produce(shared, number, random)))
        })
        .collect();
    let mut disturber = Disturber {
        root,
        server,
        shared: shared.clone(),
        settings: Settings {
            server: address,
            group: GROUP.to_owned(),
            topic: TOPIC.to_owned(),
            topic_id,
            partitions: PARTITIONS as i32,
            lock_us: LOCK_US,
            first_member: 0,
            seed: 0,
        },
        random,
        workers: Vec::new(),
        started: 0,
        ops: Vec::new(),
    };
    disturber.work(seconds);
    shared.sent.store(true, Ordering::Relaxed);
    for producer in producers {
        disturber.ops.extend(producer.join().unwrap());
    }
    disturber.drain();
    let (letters, finally) = runtime().block_on(async {
        let finally = wire::standings(address, GROUP).await;
        (wire::letters(address, DEAD, TOPIC, GROUP).await, finally)
    });
    QueueHistory {
        terms: Terms {
            lock_us: LOCK_US,
            limit: LIMIT,
        },
        ops: disturber.ops,
        letters,
        finally,
    }
}

//! Exactly once under fire: workers consume, transform and produce in transactions while they and
//! the server are killed with -9 (T-7, T-14, T-15). What came out is held against what went in, by
//! the rules of `ratel_integration::exactly_once`; at the end no transaction is left hanging.
//!
//! `EOS_IDS` is how many ids go through (20,000), `EOS_SEED` the seed, which every run prints.
//! Kills come by the clock, and with more ids transactions are larger: so a million ids meet
//! hundreds of kills, and not tens of thousands of them.
//! `EOS_SERVER` names another server instead, which is not killed: so the test itself was tried on
//! Apache Kafka.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says why, and prints its seed"
)]

#[path = "exactly_once/outputs.rs"]
mod outputs;
#[path = "exactly_once/workers.rs"]
mod workers;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ratel_integration::exactly_once::{Anomaly, check};
use ratel_integration::{Random, ServerProcess};

use outputs::Live;
use workers::Workers;

/// No run of 20,000 ids needs this long; more ids have more time.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long transactions may stay open whose workers were killed.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How many ids one transaction takes at most: a million is through in a quarter of an hour.
fn records(ids: u64) -> u64 {
    (ids / 200).clamp(100, 250)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// The server under test: ours, to be killed, or another.
enum Server {
    Ours(Box<ServerProcess>),
    Other(SocketAddr),
}

impl Server {
    fn start(root: &std::path::Path) -> Self {
        match std::env::var("EOS_SERVER") {
            Ok(other) => Self::Other(other.parse().unwrap()),
            Err(_) => {
                let settings = [(
                    "transaction.abort.timed.out.transaction.cleanup.interval.ms",
                    "1000",
                )];
                Self::Ours(Box::new(ServerProcess::start_with(root, &settings)))
            }
        }
    }

    fn addr(&self) -> SocketAddr {
        match self {
            Self::Ours(server) => server.addr(),
            Self::Other(addr) => *addr,
        }
    }

    /// Whether it was killed, and started again.
    fn kill(&mut self, down: Duration) -> bool {
        let Self::Ours(server) = self else {
            return false;
        };
        server.kill();
        std::thread::sleep(down);
        server.restart();
        true
    }
}

#[test]
fn t_14_t_15_every_id_comes_out_once_while_server_and_workers_are_killed() {
    let ids = setting("EOS_IDS", 20_000);
    let seed = setting("EOS_SEED", u64::from(std::process::id()));
    eprintln!("exactly once: EOS_IDS={ids} EOS_SEED={seed}");
    let root = tempfile::tempdir().unwrap();
    let mut server = Server::start(root.path());
    let mut random = Random(seed);
    outputs::create(server.addr());
    outputs::fill(server.addr(), ids);

    let live = Live::start(server.addr());
    let mut workers = Workers::start(server.addr(), records(ids), &mut random);
    let deadline = Instant::now() + PATIENCE + Duration::from_millis(5 * ids);
    let (mut worker_kills, mut server_kills) = (0, 0);
    // Fire until most is through, then peace until all is.
    loop {
        std::thread::sleep(Duration::from_millis(300 + random.below(700)));
        let done = outputs::progress(server.addr());
        if done >= ids {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{done} of {ids} ids are done, and time is up"
        );
        workers.revive(&mut random);
        if random.percent(50) {
            worker_kills += u32::from(workers.kill_one(&mut random));
        }
        if random.percent(30) {
            let down = Duration::from_millis(random.below(500));
            server_kills += u32::from(server.kill(down));
        }
    }
    workers.stop();
    outputs::wait_until_decided(server.addr(), TRANSACTION_TIMEOUT + Duration::from_secs(30));
    let readings = outputs::read_all(server.addr(), ids, live.stop());
    let found = check(&readings);
    eprintln!(
        "exactly once: {ids} ids, {} records, {} aborted, {} seen on the way, {worker_kills} \
         workers and {server_kills} servers killed, lives {:?}",
        readings.everything.len(),
        readings.everything.len() - readings.committed.len(),
        readings.live.len(),
        workers.lives(),
    );
    let shown: Vec<&Anomaly> = found.iter().take(20).collect();
    assert!(found.is_empty(), "{} anomalies: {shown:#?}", found.len());
    assert!(
        worker_kills > 0,
        "a run in which nobody dies proves nothing"
    );
    let is_ours = matches!(server, Server::Ours(_));
    assert!(!is_ours || server_kills > 0, "the server was not killed");
}

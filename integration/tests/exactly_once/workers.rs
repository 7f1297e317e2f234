//! The workers: processes with three clients' libraries, each under a name of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ratel_integration::Random;

use crate::outputs::{GROUP, INPUT, OUTPUTS};

/// One worker through its lives.
struct Worker {
    /// Its transactional id and group instance.
    name: &'static str,
    command: Vec<PathBuf>,
    child: Option<Child>,
    lives: u32,
}

/// All of them.
pub struct Workers {
    server: SocketAddr,
    /// How many ids one transaction takes at most.
    records: u64,
    workers: Vec<Worker>,
}

impl Workers {
    /// Two workers with librdkafka, and one each with the Java client and franz-go where their
    /// languages are at hand (`scripts/clients.sh install`).
    pub fn start(server: SocketAddr, records: u64, random: &mut Random) -> Self {
        let ours = PathBuf::from(env!("CARGO_BIN_EXE_exactly-once-worker"));
        let mut commands = vec![
            ("librdkafka-1", Some(vec![ours.clone()])),
            ("librdkafka-2", Some(vec![ours])),
            ("java", java()),
            ("franz-go", franz_go()),
        ];
        let workers = commands.drain(..).filter_map(|(name, command)| {
            Some(Worker {
                name,
                command: command?,
                child: None,
                lives: 0,
            })
        });
        let workers = workers.collect();
        let mut workers = Self {
            server,
            records,
            workers,
        };
        workers.revive(random);
        workers
    }

    /// Start again who has ended.
    pub fn revive(&mut self, random: &mut Random) {
        for worker in &mut self.workers {
            let ended = match &mut worker.child {
                Some(child) => child.try_wait().unwrap().is_some(),
                None => true,
            };
            if ended {
                worker.lives += 1;
                let seed = random.below(1 << 32);
                worker.child = Some(worker.spawn(self.server, seed, self.records));
            }
        }
    }

    /// Kill one with -9. False if it was gone already.
    pub fn kill_one(&mut self, random: &mut Random) -> bool {
        let one = random.below(self.workers.len() as u64);
        let worker = &mut self.workers[usize::try_from(one).unwrap()];
        worker.kill()
    }

    /// Kill all of them: what they left open must end by itself.
    pub fn stop(&mut self) {
        for worker in &mut self.workers {
            worker.kill();
        }
    }

    /// How often each was started.
    pub fn lives(&self) -> Vec<(&'static str, u32)> {
        let workers = self.workers.iter();
        workers.map(|worker| (worker.name, worker.lives)).collect()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Worker {
    fn spawn(&self, server: SocketAddr, seed: u64, records: u64) -> Child {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        command.arg(server.to_string()).args([GROUP, INPUT]);
        command.args(OUTPUTS).arg(self.name);
        command.args([seed, records].map(|it| it.to_string()));
        let quiet = std::env::var_os("EOS_LOUD").is_none();
        let err = || {
            if quiet {
                Stdio::null()
            } else {
                Stdio::inherit()
            }
        };
        command.stdin(Stdio::null()).stdout(err()).stderr(err());
        command.spawn().unwrap()
    }

    fn kill(&mut self) -> bool {
        let Some(mut child) = self.child.take() else {
            return false;
        };
        let lived = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        lived
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Whether a client's folder under `.work/clients` can be had here.
fn install(client: &str) -> Option<PathBuf> {
    let mut command = Command::new(root().join("scripts/clients.sh"));
    let status = command.args(["install", client]).status().unwrap();
    assert!(
        status.success() || std::env::var_os("CI").is_none(),
        "{client} cannot be installed here"
    );
    let folder = root().join(".work/clients").join(client);
    status.success().then_some(folder)
}

fn java() -> Option<Vec<PathBuf>> {
    let folder = install("java")?;
    let source = root().join("integration/tests/exactly_once/ExactlyOnceWorker.java");
    let classes = folder.join("exactly-once");
    let jars = folder.join("lib/*");
    let status = Command::new("javac")
        .args([Path::new("-cp"), &jars, Path::new("-d"), &classes, &source])
        .status();
    assert!(
        status.unwrap().success(),
        "the Java worker does not compile"
    );
    let mut path = jars.into_os_string();
    path.push(":");
    path.push(&classes);
    let words = ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp"];
    let mut command: Vec<PathBuf> = words.map(PathBuf::from).to_vec();
    command.extend([path.into(), "ExactlyOnceWorker".into()]);
    Some(command)
}

fn franz_go() -> Option<Vec<PathBuf>> {
    let program = install("franz-go")?.join("exactly-once");
    let status = Command::new("go")
        .args(["build", "-mod=readonly", "-o"])
        .arg(&program)
        .arg("../../exactly_once/franz-go/main.go")
        .current_dir(root().join("integration/tests/clients/franz-go"))
        .status();
    assert!(status.unwrap().success(), "the Go worker does not compile");
    Some(vec![program])
}

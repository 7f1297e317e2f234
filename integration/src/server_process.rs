//! The real binary as a child of the test.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a start may take before the test gives up.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an orderly stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// The path of the binary under test: `RATEL_BIN`, or `ratel` beside this test's own program.
///
/// # Panics
/// If there is no such file, with the command that builds it.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::var_os("RATEL_BIN").map_or_else(beside_this_test, PathBuf::from);
    assert!(
        path.is_file(),
        "there is no {}: build it first (cargo build -p ratel-server), or name it in RATEL_BIN",
        path.display()
    );
    path
}

/// A test runs as `target/<profile>/deps/<name>`; the binary lies one directory up.
fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let deps = test.parent().expect("a program lies in a directory");
    deps.parent().unwrap_or(deps).join("ratel")
}

/// A `ratel serve` as a child process, on one data directory and one port for all its lives.
///
/// Dropping it kills it.
pub struct ServerProcess {
    child: Option<Child>,
    root: PathBuf,
    addr: SocketAddr,
    http_addr: SocketAddr,
    settings: Vec<(String, String)>,
    wrapper: Vec<String>,
    /// From the start of the process to its line `ratel ready`.
    pub ready: Duration,
}

impl ServerProcess {
    /// Start on `root`, which gets the data (`data/`), the configuration (`server.properties`)
    /// and what the server logs (`server.log`).
    ///
    /// # Panics
    /// If it is not ready within 30 s.
    #[must_use]
    pub fn start(root: &Path) -> Self {
        Self::start_with(root, &[])
    }

    /// Start with these settings of `server.properties` besides the listener and the directory.
    ///
    /// # Panics
    /// If it is not ready within 30 s.
    #[must_use]
    pub fn start_with(root: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_under(root, settings, &[])
    }

    /// Start behind a command such as `["prlimit", "--nofile=256"]`.
    ///
    /// # Panics
    /// If it is not ready within 30 s.
    #[must_use]
    pub fn start_under(root: &Path, settings: &[(&str, &str)], wrapper: &[&str]) -> Self {
        let mut server = Self {
            child: None,
            root: root.to_owned(),
            addr: free_address(),
            http_addr: free_address(),
            settings: owned_pairs(settings),
            wrapper: wrapper.iter().map(|&word| word.to_owned()).collect(),
            ready: Duration::ZERO,
        };
        server.launch();
        server
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where metrics and health answer.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.root.join("data")
    }

    /// What the server has logged so far, in all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.root.join("server.log")).unwrap_or_default()
    }

    /// The process id while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// How the process ended, if it has by itself.
    ///
    /// # Panics
    /// If the system cannot say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child
            .as_mut()
            .and_then(|child| child.try_wait().expect("a child of ours can be waited for"))
    }

    /// Kill it with -9 and wait until it is gone.
    pub fn kill(&mut self) {
        self.end_with(Signal::KILL);
    }

    /// Ask it to stop (SIGTERM) and wait until it has.
    ///
    /// # Panics
    /// If it is still there after 20 s, or there was nothing to stop.
    pub fn stop(&mut self) -> ExitStatus {
        self.end_with(Signal::TERM)
            .expect("a server that runs can be stopped")
    }

    /// Start again on the same directory and port, after [`kill`](Self::kill) or
    /// [`stop`](Self::stop).
    ///
    /// # Panics
    /// If it still runs, or is not ready within 30 s.
    pub fn restart(&mut self) {
        assert!(
            self.child.is_none(),
            "stop or kill the server before it is started again"
        );
        self.launch();
    }

    fn end_with(&mut self, signal: Signal) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        // A failure means that it ended by itself; the wait below tells how.
        let _ = kill_process(Pid::from_child(&child), signal);
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("a child of ours can be waited for") {
                return Some(status);
            }
            if began.elapsed() > STOP_TIMEOUT {
                let _ = child.kill();
                panic!("the server does not stop within {STOP_TIMEOUT:?} of {signal:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn launch(&mut self) {
        std::fs::create_dir_all(&self.root).expect("the test's directory can be made");
        let properties = self.root.join("server.properties");
        std::fs::write(&properties, self.properties()).expect("the configuration can be written");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.root.join("server.log"))
            .expect("the server's log can be written");
        let mut words = self
            .wrapper
            .iter()
            .map(Into::into)
            .collect::<Vec<std::ffi::OsString>>();
        words.extend([
            binary().into(),
            "serve".into(),
            "--config".into(),
            properties.into(),
        ]);
        let began = Instant::now();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", words[0].display()));
        let stdout = child.stdout.take().expect("its output was asked for");
        self.child = Some(child);
        let (sender, ready) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, so that the server never waits for a reader.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.trim() == "ratel ready" {
                    let _ = sender.send(Instant::now());
                }
            }
        });
        match ready.recv_timeout(READY_TIMEOUT) {
            Ok(at) => self.ready = at.duration_since(began),
            Err(_) => panic!("the server does not get ready; its log:\n{}", self.log()),
        }
    }

    fn properties(&self) -> String {
        let mut text = format!(
            "listeners=PLAINTEXT://{}\nhttp.listen={}\nlog.dirs={}\n",
            self.addr,
            self.http_addr,
            self.data_dir().display()
        );
        for (key, value) in &self.settings {
            text.push_str(&format!("{key}={value}\n"));
        }
        text
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn owned_pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// An address on loopback that nobody listens on now. The same one serves all lives of a server,
/// so that clients find it again.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("loopback has a free port")
}

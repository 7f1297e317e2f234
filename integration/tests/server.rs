//! The real binary as a person or a supervisor meets it: its screen, its signals, its exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ratel_integration::{ServerProcess, binary};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustix::process::{Pid, Signal, kill_process};

/// A command that sees nothing of the environment that the tests run in.
fn ratel(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("TMPDIR", dir)
        .stdin(Stdio::null());
    command
}

fn output(dir: &Path, arguments: &[&str]) -> Output {
    ratel(dir, arguments).output().expect("the binary runs")
}

#[track_caller]
fn check_fails(output: &Output, code: i32, sentence: &str) {
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).as_ref()
        ),
        (Some(code), format!("ratel: {sentence}\n").as_str())
    );
}

/// A server on ports of the system's choice, and the banner it printed.
struct Started {
    child: Child,
    stdout: BufReader<ChildStdout>,
    banner: Vec<String>,
}

impl Started {
    fn new(dir: &Path, arguments: &[&str]) -> Self {
        let ports = [
            "--listeners=PLAINTEXT://127.0.0.1:0",
            "--http-listen=127.0.0.1:0",
        ];
        let mut command = ratel(dir, arguments);
        command
            .args(ports)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut banner = Vec::new();
        while banner.last().is_none_or(|line| line != "ratel ready") {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).expect("stdout is text");
            assert!(read > 0, "the server ended after {banner:?}");
            banner.push(line.trim_end().to_owned());
        }
        Self {
            child,
            stdout,
            banner,
        }
    }

    fn line(&self, name: &str) -> &str {
        let line = self.banner.iter().find_map(|line| line.strip_prefix(name));
        line.expect("the banner has this line").trim()
    }

    fn address(&self) -> SocketAddr {
        let address = self.line("listening").strip_prefix("PLAINTEXT ");
        address
            .expect("the listener's name")
            .parse()
            .expect("an address")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    /// The exit code and everything on stderr, within five seconds.
    fn end(mut self) -> (Option<i32>, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(6), "it does not stop");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut rest = String::new();
        self.stdout
            .read_to_string(&mut rest)
            .expect("stdout is text");
        assert_eq!(rest, "", "nothing follows the banner on stdout");
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().expect("it was asked for");
        stderr.read_to_string(&mut log).expect("stderr is text");
        (status.code(), log)
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it accepts");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

#[test]
fn serve_alone_is_durable_and_says_what_it_does() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = Started::new(temporary.path(), &["serve"]);
    let data = temporary
        .path()
        .canonicalize()
        .expect("a path")
        .join("ratel-data");
    assert_eq!(server.banner.len(), 9, "{:?}", server.banner);
    assert_eq!(
        server.banner[0],
        format!("ratel {}", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(server.line("data"), data.display().to_string());
    assert_eq!(
        server.line("durability"),
        "acks=all is answered after a sync of the disk"
    );
    assert!(server.line("node").starts_with("1 of cluster "));
    assert!(data.is_dir());
    let http = server.line("http").strip_prefix("http://").expect("a URL");
    let http = http
        .split('/')
        .next()
        .expect("a host")
        .parse()
        .expect("an address");
    let ready = get(http, "/readyz");
    assert!(
        ready.ends_with("{\"reasons\":[],\"status\":\"ok\"}"),
        "{ready}"
    );
    assert!(get(http, "/metrics").contains("\nkafka_brokers 1\n"));
    server.signal(Signal::TERM);
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON off a terminal");
        assert_eq!(line["level"], "INFO", "{line}");
    }
}

#[test]
fn an_empty_directory_is_ready_in_under_300_ms() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = ServerProcess::start(temporary.path());
    println!("from exec to `ratel ready`: {:?}", server.ready);
    // Ten times what it takes on a quiet machine: other tests share this one.
    assert!(
        server.ready < Duration::from_millis(300),
        "{:?}",
        server.ready
    );
}

#[test]
fn an_idle_client_does_not_keep_the_server_from_stopping() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = Started::new(temporary.path(), &["serve"]);
    let idle = TcpStream::connect(server.address()).expect("it accepts");
    let began = Instant::now();
    server.signal(Signal::INT);
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    drop(idle);
}

#[test]
fn dev_keeps_its_data_only_while_it_runs() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = Started::new(temporary.path(), &["dev", "--durability", "relaxed"]);
    let data = server.line("data").to_owned();
    let dir = data
        .strip_suffix(" (goes when the server stops)")
        .expect("it says so");
    assert!(Path::new(dir).starts_with(temporary.path()) && Path::new(dir).is_dir());
    assert!(server.line("durability").starts_with("RELAXED: "));
    server.signal(Signal::TERM);
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(!Path::new(dir).exists());
}

#[test]
fn a_second_server_is_refused_by_name() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = Started::new(temporary.path(), &["serve"]);
    let second = output(temporary.path(), &["serve"]);
    check_fails(
        &second,
        1,
        &format!(
            "the data directory ratel-data is in use by another server (process {}); stop it, or \
             give this one another log.dirs",
            server.child.id()
        ),
    );
    server.signal(Signal::KILL);
    let (code, _) = server.end();
    assert_eq!(code, None, "it was killed");
}

#[test]
fn what_cannot_be_used_is_one_sentence_and_exit_code_2() {
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = temporary.path();
    check_fails(
        &output(dir, &["serve", "--set", "num.partitons=3"]),
        2,
        "there is no key num.partitons (--set); did you mean num.partitions?",
    );
    check_fails(
        &output(dir, &["serve", "--config", "nowhere.properties"]),
        2,
        "cannot read the configuration file nowhere.properties: No such file or directory (os \
         error 2)",
    );
    check_fails(
        &output(dir, &["serve", "--log-level", "loud"]),
        2,
        "log.level=loud is neither a level (off, error, warn, info, debug, trace) nor a list such \
         as info,ratel_server::net=debug",
    );
    check_fails(
        &ratel(dir, &["config", "print"])
            .env("KAFKA_NUM_PARTITIONS", "none")
            .output()
            .expect("the binary runs"),
        2,
        "num.partitions=none (KAFKA_NUM_PARTITIONS) is not a whole number, or too large for one; \
         give a whole number from 1 to 2147483647",
    );
    assert_eq!(output(dir, &["nothing"]).status.code(), Some(2));
    assert_eq!(
        std::fs::read_dir(dir).expect("listed").count(),
        0,
        "nothing was written"
    );
}

#[test]
fn a_port_in_use_and_a_foreign_directory_are_exit_code_1() {
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = temporary.path();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("an address").to_string();
    check_fails(
        &output(dir, &["serve", "--http-listen", &address, "--log-dir", "a"]),
        1,
        &format!(
            "cannot listen on {address} (http.listen): another program does; stop it, or give \
             http.listen another port"
        ),
    );
    std::fs::create_dir(dir.join("kafka")).expect("made");
    std::fs::write(dir.join("kafka/meta.properties"), "version=1\n").expect("written");
    check_fails(
        &output(dir, &["serve", "--log-dir", "kafka"]),
        1,
        "kafka is a data directory of Apache Kafka (it holds meta.properties), whose format this \
         server does not take over; give another log.dirs and copy topics with a client",
    );
}

#[test]
fn config_print_shows_values_with_their_sources() {
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = temporary.path();
    std::fs::write(
        dir.join("a.toml"),
        "num_partitions = 2\n[log]\ndirs = \"/x\"\n",
    )
    .expect("written");
    let printed = ratel(dir, &["config", "print", "--output", "json"])
        .env("RATEL_CONFIG", "a.toml")
        .env("RATEL_LOG_DIRS", "/y")
        .args(["--set", "node.id=7"])
        .output()
        .expect("the binary runs");
    let values: serde_json::Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let value = |key: &str, value: &str, source: &str| {
        let row = [("key", key), ("value", value), ("source", source)];
        serde_json::json!(std::collections::BTreeMap::from(row))
    };
    assert_eq!(
        values,
        serde_json::json!([
            value("broker.id", "7", "flag"),
            value("log.dir", "/y", "environment"),
            value("log.dirs", "/y", "environment"),
            value("node.id", "7", "flag"),
            value("num.partitions", "2", "file"),
        ])
    );
    let effective = output(dir, &["config", "print", "--effective"]);
    let effective = String::from_utf8(effective.stdout).expect("text");
    let words: Vec<Vec<_>> = effective
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(
        words.contains(&vec!["log.retention.hours", "168", "default"]),
        "{effective}"
    );
}

/// The limit of descriptors is raised to what the system grants.
#[test]
fn descriptors_are_raised_to_the_hard_limit() {
    let temporary = tempfile::tempdir().expect("a directory");
    let wrapper = ["prlimit", "--nofile=128:512"];
    let server = ServerProcess::start_under(temporary.path(), &[], &wrapper);
    let pid = server.id().expect("it runs");
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .expect("a line");
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[3..5], ["512", "512"], "{line}");
}

/// A write that fails for another reason than a lack of room is the end: here the limit on the
/// size of files, which the system reports as EFBIG once its signal is ignored.
#[test]
fn dc_5_a_failed_write_ends_the_process_within_a_second() {
    let temporary = tempfile::tempdir().expect("a directory");
    let wrapper = ["prlimit", "--fsize=65536", "env", "--ignore-signal=XFSZ"];
    let mut server = ServerProcess::start_under(temporary.path(), &[], &wrapper);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", server.addr().to_string())
        .set("message.timeout.ms", "3000")
        .create()
        .expect("a producer");
    let value = vec![b'x'; 100_000];
    let record = BaseRecord::<(), _>::to("t").payload(&value);
    producer.send(record).expect("queued");
    let began = Instant::now();
    let status = loop {
        producer.poll(Duration::from_millis(20));
        if let Some(status) = server.ended() {
            break status;
        }
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "it does not end: {}",
            server.log()
        );
    };
    println!(
        "ended {:?} after the record was given to the producer",
        began.elapsed()
    );
    let log = server.log();
    assert_eq!(status.code(), Some(1), "{log}");
    let errors: Vec<_> = log
        .lines()
        .filter(|line| line.contains("\"ERROR\""))
        .collect();
    assert_eq!(errors.len(), 1, "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

fn produce_some(server: &ServerProcess) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", server.addr().to_string())
        .set("batch.num.messages", "1")
        .create()
        .expect("a producer");
    for number in 0..10 {
        let value = format!("value {number}");
        let record = BaseRecord::<(), _>::to("t").partition(0).payload(&value);
        producer.send(record).expect("queued");
    }
    producer.flush(Duration::from_secs(10)).expect("delivered");
}

/// The segment that holds the values.
fn segment_of_values(data: &Path) -> std::path::PathBuf {
    let logs = std::fs::read_dir(data.join("topics")).expect("listed");
    let segments = logs.map(|dir| dir.expect("a log").path().join(format!("{:020}.log", 0)));
    segments
        .filter(|segment| segment.is_file())
        .find(|segment| {
            let bytes = std::fs::read(segment).expect("read");
            bytes.windows(7).any(|window| window == b"value 5")
        })
        .expect("the segment is there")
}

#[test]
fn the_doctor_finds_damage_and_cuts_it_when_asked() {
    let temporary = tempfile::tempdir().expect("a directory");
    let mut server = ServerProcess::start(temporary.path());
    produce_some(&server);
    let data = server.data_dir();
    let dir = data.to_str().expect("a plain path").to_owned();
    let busy = output(temporary.path(), &["doctor", &dir]);
    let pid = server.id().expect("it runs");
    check_fails(
        &busy,
        2,
        &format!("a server uses {dir} (process {pid}); stop it first, then look again"),
    );
    server.stop();

    let healthy = output(temporary.path(), &["doctor", &dir]);
    let said = String::from_utf8_lossy(&healthy.stdout).into_owned();
    assert_eq!(healthy.status.code(), Some(0), "{said}");
    assert!(said.starts_with("healthy: "), "{said}");
    assert!(said.ends_with("; last stop clean\n"), "{said}");

    let segment = segment_of_values(&data);
    let mut bytes = std::fs::read(&segment).expect("read");
    let at = bytes
        .windows(7)
        .position(|window| window == b"value 5")
        .expect("it is there");
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).expect("written");

    let damaged = output(temporary.path(), &["doctor", &dir, "--output", "json"]);
    assert_eq!(damaged.status.code(), Some(1));
    let findings: serde_json::Value = serde_json::from_slice(&damaged.stdout).expect("JSON");
    let damage = findings.as_array().expect("a list").iter();
    assert_eq!(
        damage
            .filter(|finding| finding["severity"] == "damage")
            .count(),
        1,
        "{findings}"
    );

    let repaired = output(temporary.path(), &["doctor", &dir, "--repair"]);
    let said = String::from_utf8_lossy(&repaired.stdout).into_owned();
    assert_eq!(repaired.status.code(), Some(0), "{said}");
    let again = output(temporary.path(), &["doctor", &dir]);
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert_eq!(again.status.code(), Some(0), "{said}");
    server.restart();
    assert!(get(server.http_addr(), "/readyz").starts_with("HTTP/1.0 200"));
}

#[test]
fn the_doctor_refuses_what_is_no_data_directory() {
    let temporary = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(temporary.path().join("empty")).expect("made");
    check_fails(
        &output(temporary.path(), &["doctor", "empty"]),
        2,
        "empty is no data directory of this server (it holds no ratel.identity)",
    );
    let missing = output(temporary.path(), &["doctor"]);
    check_fails(
        &missing,
        1,
        "cannot use the data directory ratel-data: No such file or directory (os error 2)",
    );
}

/// Run a verb against a server and give what it printed.
#[track_caller]
fn ask(server: &ServerProcess, arguments: &[&str]) -> String {
    let dir = server.data_dir();
    let done = ratel(&dir, arguments)
        .env("RATEL_SERVER", server.addr().to_string())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8(done.stdout).expect("text");
    let complained = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(
        (done.status.code(), complained.as_str()),
        (Some(0), ""),
        "{said}"
    );
    said
}

/// The words of each line.
fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| line.split_whitespace().collect())
        .collect()
}

#[test]
fn topics_and_groups_can_be_looked_at_and_changed_from_the_command_line() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = ServerProcess::start(temporary.path());
    let made = ask(
        &server,
        &["topic", "create", "t", "-p", "2", "-s", "retention.ms=9000"],
    );
    assert_eq!(words(&made)[1][..2], ["t", "2"]);
    produce_some(&server);
    commit_four(&server);

    let listed = ask(&server, &["topic", "ls"]);
    assert_eq!(words(&listed).len(), 2, "{listed}");
    assert_eq!(words(&listed)[1][..2], ["t", "2"]);
    assert!(ask(&server, &["topic", "ls", "--all"]).contains("__consumer_offsets"));
    let described = ask(&server, &["topic", "describe", "t"]);
    let expected = "PARTITION LEADER START END RECORDS\n0 1 0 10 10\n1 1 0 0 0\n\n\
        KEY VALUE\nretention.ms 9000";
    assert_eq!(words(&described), words(expected));

    assert_eq!(
        words(&ask(&server, &["group", "ls"])),
        words("GROUP STATE PROTOCOL\ng Empty")
    );
    let described = ask(&server, &["group", "describe", "g", "--output", "json"]);
    let described: serde_json::Value = serde_json::from_str(&described).expect("JSON");
    let expected = serde_json::json!([
        {"topic": "t", "partition": 0, "committed": 4, "end": 10, "lag": 6}
    ]);
    assert_eq!(described, expected);

    assert_eq!(
        words(&ask(&server, &["topic", "rm", "t"]))[1],
        ["t", "removed"]
    );
    let flag = format!("--server={}", server.addr());
    check_fails(
        &output(temporary.path(), &["topic", "describe", "t", &flag]),
        1,
        "t: UnknownTopicOrPartition",
    );
    check_fails(
        &output(temporary.path(), &["group", "describe", "nobody", &flag]),
        1,
        "there is no group nobody",
    );
}

/// Group `g` has come to offset 4 of the first partition.
fn commit_four(server: &ServerProcess) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", server.addr().to_string())
        .set("group.id", "g")
        .create()
        .expect("a consumer");
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset("t", 0, Offset::Offset(4))
        .expect("an offset");
    consumer
        .commit(&offsets, CommitMode::Sync)
        .expect("committed");
}

#[test]
fn a_second_signal_ends_the_server_at_once_and_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(dir.path());
    let sent = 100;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", server.addr().to_string())
        .set("acks", "all")
        .create()
        .unwrap();
    for number in 0..sent {
        let value = format!("{number}");
        producer
            .send(BaseRecord::<(), _>::to("kept").payload(&value))
            .unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
    assert_eq!(producer.in_flight_count(), 0);

    // Both signals are there before the server can look at either.
    let pid = Pid::from_raw(i32::try_from(server.id().unwrap()).unwrap()).unwrap();
    for signal in [Signal::STOP, Signal::INT] {
        kill_process(pid, signal).unwrap();
    }
    let stopping = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        kill_process(pid, Signal::CONT).unwrap();
    });
    let status = server.stop();
    stopping.join().unwrap();
    assert_eq!(status.code(), Some(1), "{}", server.log());
    assert!(server.log().contains("ended at once by a second signal"));

    server.restart();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", server.addr().to_string())
        .set("group.id", "g")
        .create()
        .unwrap();
    let (first, end) = consumer
        .fetch_watermarks("kept", 0, Duration::from_secs(20))
        .unwrap();
    assert_eq!((first, end), (0, sent));
}

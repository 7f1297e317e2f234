use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ratel_storage::batch::BatchBuilder;
use ratel_storage::disk::{Disk, Open};
use ratel_storage::disk_memory::{Call, Errno, Fault, MemoryDisk};
use ratel_storage::{Durability, Origin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Server;
use crate::clock::SystemClock;
use crate::config::{Config, Listener};
use crate::loggers::Loggers;

pub(crate) fn config(dir: &Path) -> Config {
    Config {
        listeners: vec![listener("PLAINTEXT", "127.0.0.1", 0)],
        log_dir: dir.to_owned(),
        http_listen: Some(([127, 0, 0, 1], 0).into()),
        shutdown_timeout_ms: 200,
        ..Config::default()
    }
}

fn listener(name: &str, host: &str, port: u16) -> Listener {
    Listener {
        name: name.to_owned(),
        host: host.to_owned(),
        port,
        advertised: None,
    }
}

#[track_caller]
fn refused(outcome: Result<Server, super::StartError>) -> String {
    match outcome {
        Ok(_) => panic!("the server started"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn an_empty_directory_is_ready_soon_and_keeps_its_identity() {
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = temporary.path().join("new/data");
    let server = Server::start(config(&dir)).await.expect("it starts");
    println!("ready in {} us", server.ready_us());
    assert!(server.ready_us() < 300_000, "{} us", server.ready_us());
    let identity = server.identity().clone();
    assert_eq!(&*server.broker().cluster_id, identity.cluster_id);
    server.shutdown().await.expect("it stops");

    let server = Server::start(config(&dir)).await.expect("it starts again");
    assert_eq!(server.identity(), &identity);
    server.shutdown().await.expect("it stops");
}

#[tokio::test]
async fn the_bound_port_is_known_and_put_into_the_configuration() {
    let temporary = tempfile::tempdir().expect("a directory");
    let mut config = config(temporary.path());
    config.listeners.push(listener("OUTSIDE", "", 0));
    let server = Server::start(config).await.expect("it starts");
    let addresses = server.addresses().to_vec();
    let [(inside, first), (outside, second)] = &addresses[..] else {
        panic!("two listeners: {addresses:?}")
    };
    assert_eq!((&**inside, &**outside), ("PLAINTEXT", "OUTSIDE"));
    assert!(first.port() != 0 && second.port() != 0 && second.ip().is_unspecified());
    let configured: Vec<_> = server
        .broker()
        .config
        .listeners
        .iter()
        .map(|l| l.port)
        .collect();
    assert_eq!(configured, [first.port(), second.port()]);
    // An ApiVersions v0 request: length, key 18, version 0, correlation 7, no client id.
    let mut stream = TcpStream::connect(first).await.expect("it accepts");
    let request = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    stream.write_all(&request).await.expect("sent");
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await.expect("answered");
    assert_eq!(answer[4..], [0, 0, 0, 7, 0, 0]);
    server.shutdown().await.expect("it stops");
    assert!(
        TcpStream::connect(first).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_second_server_on_the_directory_is_refused() {
    let temporary = tempfile::tempdir().expect("a directory");
    let first = Server::start(config(temporary.path()))
        .await
        .expect("it starts");
    assert_eq!(
        refused(Server::start(config(temporary.path())).await),
        format!(
            "the data directory {} is in use by another server (process {}); stop it, or give \
             this one another log.dirs",
            temporary.path().display(),
            std::process::id()
        )
    );
    drop(first);
    let again = Server::start(config(temporary.path())).await;
    again
        .expect("the first is gone, as by a crash")
        .shutdown()
        .await
        .expect("it stops");
}

#[tokio::test]
async fn a_foreign_directory_is_refused_and_left_as_it_is() {
    let temporary = tempfile::tempdir().expect("a directory");
    std::fs::write(temporary.path().join("photo.jpg"), "x").expect("written");
    let sentence = refused(Server::start(config(temporary.path())).await);
    assert!(
        sentence.ends_with(
            "holds photo.jpg, which is not this server's; give an empty or new directory as \
             log.dirs"
        ),
        "{sentence}"
    );
    let names: Vec<_> = std::fs::read_dir(temporary.path())
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["photo.jpg"]);
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = taken.local_addr().expect("an address");
    let temporary = tempfile::tempdir().expect("a directory");

    let mut http = config(&temporary.path().join("a"));
    http.http_listen = Some(address);
    assert_eq!(
        refused(Server::start(http).await),
        format!(
            "cannot listen on {address} (http.listen): another program does; stop it, or give \
             http.listen another port"
        )
    );

    let mut kafka = config(&temporary.path().join("b"));
    kafka.listeners[0].port = address.port();
    assert_eq!(
        refused(Server::start(kafka).await),
        format!(
            "cannot listen on PLAINTEXT://{address} (listeners): another program does; stop it, \
             or give listeners another port"
        )
    );
}

#[tokio::test]
async fn many_servers_run_in_one_process() {
    let temporary = tempfile::tempdir().expect("a directory");
    let mut servers = Vec::new();
    for name in ["a", "b", "c"] {
        let started = Server::start(config(&temporary.path().join(name))).await;
        servers.push(started.expect("it starts"));
    }
    let mut ids: Vec<_> = servers
        .iter()
        .map(|s| s.identity().cluster_id.clone())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    for server in servers {
        server.shutdown().await.expect("it stops");
    }
}

#[tokio::test]
async fn a_server_runs_on_a_disk_in_memory() {
    let disk = MemoryDisk::new();
    let start = || {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        Server::start_on(
            config(Path::new("memory")),
            disk,
            Arc::new(SystemClock::new()),
            Loggers::default(),
        )
    };
    let server = start().await.expect("it starts");
    let identity = server.identity().clone();
    server.shutdown().await.expect("it stops");
    assert!(disk.open(Path::new(super::IDENTITY), Open::Read).is_ok());
    let server = start().await.expect("it starts again");
    assert_eq!(server.identity(), &identity);
}

/// A failed sync is the end of the server, and everybody hears why (the process then exits).
#[tokio::test]
async fn dc_5_a_failed_sync_ends_the_server_with_a_sentence() {
    let memory = MemoryDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let clock = Arc::new(SystemClock::new());
    let server =
        Server::start_on(config(Path::new("memory")), disk, clock, Loggers::default()).await;
    let server = server.expect("it starts");
    let broker = server.broker();
    let topic = broker
        .catalog
        .create_automatically("t")
        .await
        .expect("a topic");
    let partition = broker.partition(&topic, 0).expect("its log");

    memory.fail(Fault::nth(Call::Sync, 1, Errno::IO));
    let mut builder = BatchBuilder::new(0);
    builder.record(None, Some(b"value"));
    let batch = builder.build().expect("a batch");
    let appended = partition
        .append(&batch, Origin::Client, Durability::Synced, 0)
        .await;
    assert!(appended.is_err(), "{appended:?}");

    let why = tokio::time::timeout(Duration::from_secs(1), server.failed()).await;
    let why = why.expect("it says so at once");
    assert!(why.contains("could not be synced"), "{why}");
    for path in ["/healthz", "/readyz"] {
        let http = server.http_address().expect("http is on");
        let (status, body) = crate::http::tests::get(http, path).await;
        assert_eq!(status, 503);
        assert!(body.contains(&why), "{body}");
    }
}

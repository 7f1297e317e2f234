//! A network on port 0 whose rows are made for the test: each Heartbeat row answers as the
//! request's group id tells it to.

use std::io::IoSlice;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use ratel_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use ratel_protocol::{ApiKey, WireError};
use ratel_storage::disk::{Disk, File, Open, OsDisk};
use ratel_storage::disk_memory::MemoryDisk;
use ratel_storage::{FileRange, Slice};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Buffers, Network, bind};
use crate::api::{self, Answer, Api, Context, Later, Route};
use crate::broker::{Broker, testing};
use crate::config::{self, Config};
use crate::metrics::Rejection;
use crate::quota::SMALL_BYTES;

mod quotas;

/// The ports of servers, one for each parked future that lives.
static PARKED: Mutex<Vec<u16>> = Mutex::new(Vec::new());

struct Parked(u16);

impl Parked {
    fn new(port: u16) -> Self {
        PARKED.lock().expect("no panic under it").push(port);
        Self(port)
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let mut parked = PARKED.lock().expect("no panic under it");
        let place = parked.iter().position(|port| *port == self.0);
        parked.swap_remove(place.expect("it was put there"));
    }
}

/// Obeys the group id: `park <ms>`, `mute <ms>`, `mute-later <ms>` (for an hour), `age` (answered
/// with how long ago the request was read, in ms), `work <ms>`, `work-later <ms>`, `panic`,
/// `nothing`, `close`, `big <bytes>`,
/// `file <bytes>`, `memory <bytes>`;
/// anything else is answered at once with the request's generation as error code.
struct Obedient;

impl Api for Obedient {
    type Request = HeartbeatRequest;
    const KEY: ApiKey = ApiKey::Heartbeat;
    const VERSIONS: RangeInclusive<i16> = 0..=3;

    async fn handle(cx: Context, request: HeartbeatRequest) -> Later {
        let code = i16::try_from(request.generation_id).unwrap_or(-1);
        let body = HeartbeatResponse::default().with_error_code(code);
        let mut words = request.group_id.split(' ');
        let command = words.next().unwrap_or_default();
        let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        match command {
            "park" => {
                let parked = Parked::new(cx.session.local.port());
                Later::wait(async move {
                    sleep(Duration::from_millis(number)).await;
                    drop(parked);
                    cx.answer(&body)
                })
            }
            "mute" => {
                cx.mute(i32::try_from(number).expect("small"));
                cx.ready(&body)
            }
            "mute-later" => Later::wait(async move {
                sleep(Duration::from_millis(number)).await;
                cx.mute(3_600_000);
                cx.answer(&body)
            }),
            "age" => {
                let now_ms = cx.broker.clock.now().monotonic_ms;
                let age_ms = i16::try_from(now_ms - cx.received.monotonic_ms);
                cx.ready(&body.with_error_code(age_ms.expect("small")))
            }
            "work" => {
                std::thread::sleep(Duration::from_millis(number));
                cx.ready(&body)
            }
            "work-later" => Later::wait(async move {
                std::thread::sleep(Duration::from_millis(number));
                cx.answer(&body)
            }),
            "panic" => panic!("asked for"),
            "nothing" => Later::Ready(Answer::Nothing),
            "close" => Later::Ready(Answer::Close),
            "big" => {
                let mut frame = BytesMut::zeroed(4 + usize::try_from(number).expect("small"));
                let length = i32::try_from(number).expect("small");
                frame[..4].copy_from_slice(&length.to_be_bytes());
                Later::Ready(Answer::Pieces(vec![Slice::Bytes(frame.freeze())]))
            }
            "file" | "memory" => {
                let file = if command == "file" {
                    &*ON_DISK
                } else {
                    &*IN_MEMORY
                };
                Later::Ready(pieces(file, usize::try_from(number).expect("small")))
            }
            _ => cx.ready(&body),
        }
    }
}

const FILE_BYTES: usize = 6 << 20;

static ON_DISK: LazyLock<Arc<dyn File>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // The file stays open, so its directory may go.
    numbered(&OsDisk::new(directory.path().to_owned()))
});
static IN_MEMORY: LazyLock<Arc<dyn File>> = LazyLock::new(|| numbered(&MemoryDisk::new()));

/// A file that no byte can be missing from or twice in without it being seen.
fn content() -> Vec<u8> {
    (0u32..)
        .flat_map(u32::to_be_bytes)
        .take(FILE_BYTES)
        .collect()
}

fn numbered(disk: &dyn Disk) -> Arc<dyn File> {
    let file = disk
        .open(Path::new("file"), Open::Create)
        .expect("it can be made");
    file.write_at(&[IoSlice::new(&content())], 0)
        .expect("written");
    file
}

/// An answer whose body is two ranges of a file of this length each, from 3 and from 5 on, with
/// bytes around them.
fn pieces(file: &Arc<dyn File>, len: usize) -> Answer {
    let range = |position| {
        Slice::File(FileRange {
            file: file.clone(),
            position,
            len,
        })
    };
    let mut head = BytesMut::new();
    head.put_i32(i32::try_from(2 * len + 9).expect("small"));
    head.put_slice(b"one");
    let between = Slice::Bytes(Bytes::from_static(b"two"));
    let end = Slice::Bytes(Bytes::from_static(b"end"));
    let head = Slice::Bytes(head.freeze());
    Answer::Pieces(vec![head, range(3), between, range(5), end])
}

static ROWS: [Route; 1] = [Route::of::<Obedient>()];

fn router(key: i16, version: i16) -> Result<&'static Route, WireError> {
    if key == ApiKey::Heartbeat as i16 && (0..=3).contains(&version) {
        Ok(&ROWS[0])
    } else {
        api::route(key, version)
    }
}

struct Server {
    broker: Arc<Broker>,
    address: std::net::SocketAddr,
    shutdown: watch::Sender<bool>,
    network: Arc<Network>,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(config: Config) -> Self {
        let broker = testing::broker(config);
        let (shutdown, receiver) = watch::channel(false);
        let network = Arc::new(Network::new(broker.clone(), receiver).with_router(router));
        let listener =
            bind(([127, 0, 0, 1], 0).into(), Buffers::of(&broker.config)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let serving = tokio::spawn({
            let network = network.clone();
            async move { network.serve(listener, "PLAINTEXT".into()).await }
        });
        Self {
            broker,
            address,
            shutdown,
            network,
            serving,
        }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.expect("accepts"))
    }

    /// Wait until so many requests are parked here.
    async fn parks(&self, wanted: usize) {
        for _ in 0..5000 {
            let here = |port: &&u16| **port == self.address.port();
            if PARKED
                .lock()
                .expect("no panic under it")
                .iter()
                .filter(here)
                .count()
                == wanted
            {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("there were never {wanted} parked requests");
    }

    /// Wait until `reason` was counted.
    async fn rejected(&self, reason: Rejection) {
        for _ in 0..500 {
            if self.broker.metrics.rejections(reason) > 0 {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{} was never counted", reason.label());
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("still open");
    }

    /// The next frame, or `None` when the server closed the connection.
    async fn receive(&mut self) -> Option<Bytes> {
        let read = async {
            let length = self.0.read_i32().await.ok()?;
            let mut frame = BytesMut::zeroed(usize::try_from(length).expect("not negative"));
            self.0.read_exact(&mut frame).await.ok()?;
            Some(frame.freeze())
        };
        timeout(Duration::from_secs(10), read)
            .await
            .expect("an answer or the end")
    }

    /// The correlation id and error code of the next Heartbeat answer.
    async fn beat(&mut self) -> (i32, i16) {
        let mut frame = self.receive().await.expect("an answer");
        let correlation_id = frame.get_i32();
        let body = HeartbeatResponse::decode(&mut frame, 0).expect("decodes");
        (correlation_id, body.error_code)
    }

    async fn is_closed(&mut self) -> bool {
        self.receive().await.is_none()
    }
}

fn frame(key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.put_i32(i32::try_from(8 + 2 + body.len()).expect("small"));
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(correlation_id);
    frame.put_i16(-1);
    frame.extend_from_slice(body);
    frame
}

fn beat(correlation_id: i32, command: &str) -> Vec<u8> {
    let mut body = BytesMut::new();
    HeartbeatRequest::default()
        .with_group_id(StrBytes::from_string(command.into()).into())
        .with_generation_id(correlation_id)
        .encode(&mut body, 0)
        .expect("encodes");
    frame(ApiKey::Heartbeat as i16, 0, correlation_id, &body)
}

#[tokio::test]
async fn requests_are_answered_in_order_however_they_arrive() {
    let server = Server::start(Config::default()).await;
    let mut client = server.connect().await;
    let mut bytes = Vec::new();
    for id in 0..200 {
        bytes.extend(beat(id, "answer"));
    }
    // In one write, then byte by byte across the frames' borders.
    client.send(&bytes).await;
    for id in 0..200 {
        assert_eq!(client.beat().await, (id, i16::try_from(id).expect("small")));
    }
    client.0.set_nodelay(true).expect("open");
    for byte in beat(7, "answer").iter().chain(&beat(8, "answer")) {
        client.send(&[*byte]).await;
    }
    assert_eq!(client.beat().await, (7, 7));
    assert_eq!(client.beat().await, (8, 8));
}

#[tokio::test]
async fn net_9_a_parked_request_holds_answers_back_but_not_the_handling() {
    let server = Server::start(Config::default()).await;
    let mut client = server.connect().await;
    let mut bytes = beat(1, "park 300");
    bytes.extend(beat(2, "answer"));
    bytes.extend(beat(3, "nothing"));
    bytes.extend(beat(4, "close"));
    client.send(&bytes).await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(client.beat().await, (1, 1));
    assert_eq!(client.beat().await, (2, 2));
    assert!(client.is_closed().await, "what stood before it was sent");
}

#[tokio::test]
async fn kip_219_a_client_that_is_to_be_silent_is_answered_and_then_not_listened_to() {
    let server = Server::start(Config::default()).await;
    let mut client = server.connect().await;
    let mut bytes = beat(1, "mute 400");
    bytes.extend(beat(2, "answer"));
    let began = std::time::Instant::now();
    client.send(&bytes).await;
    assert_eq!(client.beat().await, (1, 1));
    // Another client is not concerned.
    let mut other = server.connect().await;
    other.send(&beat(3, "answer")).await;
    assert_eq!(other.beat().await, (3, 3));
    assert_eq!(client.beat().await, (2, 2));
    assert!(began.elapsed() >= Duration::from_millis(390));

    client.send(&beat(4, "mute 3600000")).await;
    assert_eq!(client.beat().await, (4, 4));
    client.send(&beat(5, "answer")).await;
    server.shutdown.send_replace(true);
    assert!(client.is_closed().await, "a stop waits for nobody");
}

#[tokio::test]
async fn kip_219_the_time_of_silence_is_not_the_clients() {
    let config = Config {
        frame_timeout_ms: 100,
        connections_max_idle_ms: 200,
        ..Config::default()
    };
    let server = Server::start(config).await;
    let mut client = server.connect().await;
    let mut bytes = beat(1, "mute 500");
    bytes.extend(beat(2, "age"));
    let (begin, end) = (&beat(3, "mute 500")[..9], &beat(3, "mute 500")[9..]);
    bytes.extend(begin);
    client.send(&bytes).await;
    assert_eq!(client.beat().await, (1, 1));
    let (id, age_ms) = client.beat().await;
    assert!(id == 2 && age_ms < 250, "{age_ms} ms");
    client.send(end).await;
    assert_eq!(client.beat().await, (3, 3));
    // Neither a part of a frame nor a quiet connection is held against a client that is muted.
    client.send(begin).await;
    sleep(Duration::from_millis(300)).await;
    client.send(end).await;
    assert_eq!(client.beat().await, (3, 3));
}

#[tokio::test]
async fn kip_219_what_a_silent_client_sends_takes_no_memory() {
    const BYTES: usize = 16 << 20;
    let server = Server::start(Config::default()).await;
    let mut client = server.connect().await;
    client.send(&beat(1, "mute 3600000")).await;
    assert_eq!(client.beat().await, (1, 1));
    let (_, mut write) = client.0.into_split();
    let frame = frame(ApiKey::Produce as i16, 9, 2, &vec![0; BYTES]);
    let sending = tokio::spawn(async move { write.write_all(&frame).await.map(|()| write) });
    sleep(Duration::from_millis(500)).await;
    assert!(!sending.is_finished(), "it stays where it is");
    let used = server.network.budget().used();
    assert!(used <= 2 << 20, "{used} bytes");
    sending.abort();
}

#[tokio::test]
async fn kip_219_a_silent_client_keeps_nobody_from_going_beyond_the_budget() {
    let config = Config {
        memory_request_bytes: 1 << 20,
        ..Config::default()
    };
    let server = Server::start(config).await;
    let garbage = |bytes| frame(ApiKey::Produce as i16, 9, 2, &vec![0xff; bytes]);
    let mut silent = server.connect().await;
    silent.send(&beat(1, "mute-later 300")).await;
    silent.send(&garbage(2 << 20)[..900 << 10]).await;
    assert_eq!(silent.beat().await, (1, 1));
    silent.send(&[0xff; 1000]).await;
    assert!(!server.network.budget().has_room(SMALL_BYTES));
    let mut other = server.connect().await;
    other.send(&garbage(200 << 10)).await;
    assert!(other.is_closed().await, "it was read whole, and refused");
}

#[tokio::test]
async fn ranges_of_files_arrive_whole_and_in_order() {
    let server = Server::start(Config::default()).await;
    let mut client = server.connect().await;
    let content = content();
    for command in ["file", "memory"] {
        for len in [0, 1, 16_383, 16_384, 300_000, 5 << 20] {
            let mut bytes = beat(1, &format!("{command} {len}"));
            bytes.extend(beat(2, "answer"));
            client.send(&bytes).await;
            // A slow start, so that the socket is full more than once.
            sleep(Duration::from_millis(5)).await;
            let frame = client.receive().await.expect("an answer");
            let ranges = [&content[3..3 + len], &content[5..5 + len]];
            let expected = [b"one", ranges[0], b"two", ranges[1], b"end"].concat();
            assert!(frame == expected, "{command} {len}");
            assert_eq!(client.beat().await, (2, 2), "what follows is in its place");
        }
    }
    assert_eq!(server.network.budget().used(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_parked_request_along() {
    let server = Server::start(Config::default()).await;
    let mut client = server.connect().await;
    client.send(&beat(1, "park 60000")).await;
    server.parks(1).await;
    drop(client);
    server.parks(0).await;
    assert_eq!(server.network.budget().used(), 0);
}

#[tokio::test]
async fn a_panic_costs_one_connection() {
    let server = Server::start(Config::default()).await;
    let mut healthy = server.connect().await;
    healthy.send(&beat(1, "answer")).await;
    assert_eq!(healthy.beat().await, (1, 1));

    let mut unlucky = server.connect().await;
    unlucky.send(&beat(1, "panic")).await;
    assert!(unlucky.is_closed().await);
    server.rejected(Rejection::Panic).await;

    healthy.send(&beat(2, "answer")).await;
    assert_eq!(healthy.beat().await, (2, 2));
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_work_and_then_closes() {
    let server = Server::start(Config::default()).await;
    let mut busy = server.connect().await;
    let mut idle = server.connect().await;
    busy.send(&beat(5, "park 200")).await;
    server.parks(1).await;
    server.shutdown.send(true).expect("somebody listens");
    assert_eq!(busy.beat().await, (5, 5));
    assert!(busy.is_closed().await);
    assert!(idle.is_closed().await);
    server.serving.await.expect("ends by itself");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn net_1_absurd_lengths_close_the_connection() {
    let server = Server::start(Config::default()).await;
    for length in [i32::MAX, -1, i32::MIN, 0, 7, 104_857_601] {
        let mut client = server.connect().await;
        client.send(&length.to_be_bytes()).await;
        assert!(client.is_closed().await, "{length}");
    }
    // Only Produce may be as large as socket.request.max.bytes.
    let mut client = server.connect().await;
    let mut head = Vec::new();
    head.put_i32(104_857_600);
    head.put_i16(ApiKey::Metadata as i16);
    client.send(&head).await;
    assert!(client.is_closed().await);
    assert_eq!(
        server.broker.metrics.rejections(Rejection::FrameTooLarge),
        7
    );
}

#[tokio::test]
async fn net_4_what_is_unknown_or_does_not_parse_closes_the_connection() {
    let server = Server::start(Config::default()).await;
    let refused = [
        frame(999, 0, 1, &[]),
        frame(-1, 0, 1, &[]),
        frame(ApiKey::Produce as i16, 2, 1, &[]),
        frame(ApiKey::Heartbeat as i16, 4, 1, &[]),
        frame(ApiKey::Heartbeat as i16, 0, 1, &[0xff; 3]),
    ];
    for bytes in refused {
        let mut client = server.connect().await;
        client.send(&bytes).await;
        assert!(client.is_closed().await, "{bytes:?}");
    }
    assert_eq!(server.broker.metrics.rejections(Rejection::Malformed), 5);
}

#[tokio::test]
async fn connections_above_the_limits_are_closed() {
    let limits = |max_connections, max_connections_per_ip| Config {
        max_connections,
        max_connections_per_ip,
        ..Config::default()
    };
    let address = std::net::IpAddr::from([127, 0, 0, 1]);
    let overridden = Config {
        max_connections_per_ip_overrides: config::PerAddress([(address, 2)].into()),
        ..limits(10, 10)
    };
    let cases = [
        (limits(2, 10), Rejection::MaxConnections),
        (limits(10, 2), Rejection::MaxConnectionsPerIp),
        (overridden, Rejection::MaxConnectionsPerIp),
    ];
    for (config, reason) in cases {
        let server = Server::start(config).await;
        let first = server.connect().await;
        let mut second = server.connect().await;
        second.send(&beat(1, "answer")).await;
        assert_eq!(second.beat().await, (1, 1));
        assert!(server.connect().await.is_closed().await);
        server.rejected(reason).await;
        // A place that is given back can be taken again.
        drop(first);
        timeout(Duration::from_secs(5), async {
            loop {
                let mut third = server.connect().await;
                let _ = third.0.write_all(&beat(1, "answer")).await;
                if third.receive().await.is_some() {
                    break;
                }
            }
        })
        .await
        .expect("a place is free again");
    }
}

#[tokio::test]
async fn a_client_that_dawdles_is_closed() {
    let config = Config {
        frame_timeout_ms: 50,
        write_timeout_ms: 50,
        connections_max_idle_ms: 400,
        ..Config::default()
    };
    let server = Server::start(config).await;
    let mut slow = server.connect().await;
    slow.send(&beat(1, "answer")[..9]).await;
    assert!(slow.is_closed().await);
    server.rejected(Rejection::FrameTimeout).await;

    let mut deaf = server.connect().await;
    deaf.send(&beat(1, "big 30000000")).await;
    server.rejected(Rejection::WriteTimeout).await;
    assert_eq!(server.broker.metrics.rejections(Rejection::Idle), 0);

    let mut idle = server.connect().await;
    assert!(idle.is_closed().await);
    server.rejected(Rejection::Idle).await;
    assert_eq!(server.network.budget().used(), 0);
}

fn listener(properties: &[(&str, &str)]) -> tokio::net::TcpListener {
    let mut config = Config::default();
    for (name, value) in properties {
        let key = config::key(name).expect("it is a key");
        key.write(&mut config, value)
            .expect("it may have this value");
    }
    bind(([127, 0, 0, 1], 0).into(), Buffers::of(&config)).expect("a free port")
}

#[tokio::test]
async fn connections_have_the_buffers_that_the_configuration_names() {
    let listener = listener(&[
        ("socket.send.buffer.bytes", "40000"),
        ("socket.receive.buffer.bytes", "50000"),
    ]);
    let address = listener.local_addr().expect("bound");
    let _client = TcpStream::connect(address).await.expect("accepts");
    let (accepted, _) = listener.accept().await.expect("accepts");
    let socket = SockRef::from(&accepted);
    // Linux doubles what it is told.
    let send = socket.send_buffer_size().expect("it has one");
    assert!([40_000, 80_000].contains(&send), "{send}");
    let receive = socket.recv_buffer_size().expect("it has one");
    assert!([50_000, 100_000].contains(&receive), "{receive}");
}

#[tokio::test]
async fn buffers_of_minus_one_are_left_to_the_system() {
    let untouched = TcpSocket::new_v4().expect("a socket");
    let listener = listener(&[
        ("socket.send.buffer.bytes", "-1"),
        ("socket.receive.buffer.bytes", "-1"),
    ]);
    let socket = SockRef::from(&listener);
    assert_eq!(
        socket.send_buffer_size().ok(),
        untouched
            .send_buffer_size()
            .ok()
            .map(|bytes| bytes as usize)
    );
    assert_eq!(
        socket.recv_buffer_size().ok(),
        untouched
            .recv_buffer_size()
            .ok()
            .map(|bytes| bytes as usize)
    );
}

//! One connection to a broker under test.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an answer may take before a test counts it as missing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// One connection: typed requests at any version, whole frames, or plain bytes.
///
/// [`send`](Self::send) is the everyday way. For pipelining, [`post`](Self::post) several requests
/// and then [`receive`](Self::receive) their answers in the same order. What a test of hostile
/// input needs is below: frames and bytes.
pub struct RawClient {
    stream: TcpStream,
    correlation_id: i32,
    /// The ids that are owed an answer, oldest first.
    owed: std::collections::VecDeque<i32>,
    /// Sent in the header of each request.
    pub client_id: Option<StrBytes>,
}

impl RawClient {
    /// Connect.
    ///
    /// # Panics
    /// If nothing accepts.
    pub async fn connect(addr: SocketAddr) -> Self {
        match Self::try_connect(addr).await {
            Ok(client) => client,
            Err(error) => panic!("no connection to {addr}: {error}"),
        }
    }

    /// Connect, or say why not.
    ///
    /// # Errors
    /// Whatever the system says.
    pub async fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            correlation_id: 0,
            owed: std::collections::VecDeque::new(),
            client_id: Some(StrBytes::from_static_str("raw")),
        })
    }

    /// Send a request at this version and return its answer.
    ///
    /// # Panics
    /// If the connection closes, the answer does not parse, or none comes within 30 s.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        match self.try_send(version, request).await {
            Ok(response) => response,
            Err(error) => panic!("API key {} v{version}: {error}", R::KEY),
        }
    }

    /// [`send`](Self::send) for a request that may fail, as when the broker is being killed.
    ///
    /// # Errors
    /// A closed connection, a time-out, or an answer that does not parse.
    pub async fn try_send<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> io::Result<R::Response> {
        self.try_post(version, request).await?;
        self.try_receive::<R>(version).await
    }

    /// Send a request without waiting: its answer comes by [`receive`](Self::receive), in order.
    ///
    /// # Panics
    /// If it does not encode or cannot be written.
    pub async fn post<R: Request>(&mut self, version: i16, request: &R) {
        if let Err(error) = self.try_post(version, request).await {
            panic!("API key {} v{version} is not sent: {error}", R::KEY);
        }
    }

    /// [`post`](Self::post) for a connection that may be gone.
    ///
    /// # Errors
    /// A closed connection.
    ///
    /// # Panics
    /// If the request holds what this version cannot say: a bug of the test.
    pub async fn try_post<R: Request>(&mut self, version: i16, request: &R) -> io::Result<()> {
        let frame = self.encode(version, request);
        self.owed.push_back(self.correlation_id);
        self.send_frame(&frame).await
    }

    /// The oldest answer that is owed, which was asked for with this version.
    ///
    /// # Panics
    /// If the connection closes, the answer does not parse, or none comes within 30 s.
    pub async fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        match self.try_receive::<R>(version).await {
            Ok(response) => response,
            Err(error) => panic!("answer to API key {} v{version}: {error}", R::KEY),
        }
    }

    /// [`receive`](Self::receive) for an answer that may not come.
    ///
    /// # Errors
    /// A closed connection, a time-out, another request's answer, or one that does not parse.
    pub async fn try_receive<R: Request>(&mut self, version: i16) -> io::Result<R::Response> {
        let expected = self
            .owed
            .pop_front()
            .ok_or_else(|| invalid("no answer is owed"))?;
        let mut frame = self
            .receive_frame()
            .await?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        if frame.len() < 4 {
            return Err(invalid("an answer without a correlation id"));
        }
        let correlation_id = frame.get_i32();
        if correlation_id != expected {
            return Err(invalid(&format!(
                "answer {correlation_id}, expected {expected}"
            )));
        }
        decode_body::<R>(version, &mut frame).map_err(|why| invalid(&why))
    }

    /// The frame of a request, header included and length prefix left out; takes the next
    /// correlation id.
    ///
    /// # Panics
    /// If the request holds what this version cannot say.
    pub fn encode<R: Request>(&mut self, version: i16, request: &R) -> Bytes {
        self.correlation_id += 1;
        let mut frame = BytesMut::with_capacity(256);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(self.client_id.clone());
        let encoded = header
            .encode(&mut frame, R::header_version(version))
            .and_then(|()| request.encode(&mut frame, version));
        if let Err(error) = encoded {
            panic!("API key {} v{version} does not encode: {error}", R::KEY);
        }
        frame.freeze()
    }

    /// Send a frame: its length, then the bytes as they are.
    ///
    /// # Errors
    /// A closed connection.
    ///
    /// # Panics
    /// If it is longer than 2 GiB.
    pub async fn send_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        let length = i32::try_from(frame.len()).expect("a test sends less than 2 GiB");
        let mut bytes = BytesMut::with_capacity(4 + frame.len());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(frame);
        self.send_bytes(&bytes).await
    }

    /// Send bytes as they are.
    ///
    /// # Errors
    /// A closed connection.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next frame without its length; `None` if the broker closed the connection.
    ///
    /// # Errors
    /// A connection that breaks inside a frame, or a time-out after 30 s.
    pub async fn receive_frame(&mut self) -> io::Result<Option<Bytes>> {
        match tokio::time::timeout(ANSWER_TIMEOUT, self.read_frame()).await {
            Ok(read) => read,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }

    /// Whether the broker closes this connection within 30 s, sending nothing more.
    pub async fn is_closed(&mut self) -> bool {
        matches!(self.receive_frame().await, Ok(None))
            || matches!(self.stream.read_u8().await, Err(error)
                if error.kind() == io::ErrorKind::ConnectionReset)
    }

    /// The socket itself, for what is not foreseen here.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    async fn read_frame(&mut self) -> io::Result<Option<Bytes>> {
        let mut prefix = [0u8; 4];
        let read = self.stream.read(&mut prefix).await?;
        if read == 0 {
            return Ok(None);
        }
        self.stream.read_exact(&mut prefix[read..]).await?;
        let length = usize::try_from(i32::from_be_bytes(prefix))
            .map_err(|_| invalid("an answer of negative length"))?;
        let mut frame = BytesMut::zeroed(length);
        self.stream.read_exact(&mut frame).await?;
        Ok(Some(frame.freeze()))
    }
}

/// Decode an answer that follows the correlation id, and hold it to its whole length.
fn decode_body<R: Request>(version: i16, frame: &mut Bytes) -> Result<R::Response, String> {
    if R::Response::header_version(version) >= 1 {
        match frame.try_get_u8() {
            Ok(0) => {}
            Ok(tags) => return Err(format!("{tags} tags in the header of an answer")),
            Err(_) => return Err("the header ends early".into()),
        }
    }
    let response = R::Response::decode(frame, version).map_err(|error| error.to_string())?;
    if frame.is_empty() {
        Ok(response)
    } else {
        Err(format!("{} bytes are left behind the answer", frame.len()))
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

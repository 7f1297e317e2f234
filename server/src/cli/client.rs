//! A connection to a server, as any client has it: one request at a time.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use clap::Args;
use ratel_protocol::messages::RequestHeader;
use ratel_protocol::{ApiKey, Decodable, Encodable, ErrorCode, HeaderVersion, Request, StrBytes};

use super::Failure;
use super::output::Output;

/// How long to wait for a connection, and for each answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer that is taken, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Which server, and how to print what it says.
#[derive(Debug, Args)]
pub(super) struct ServerFlags {
    /// The server to ask
    #[arg(long, short = 'b', value_name = "HOST:PORT", env = "RATEL_SERVER")]
    #[arg(default_value = "127.0.0.1:9092")]
    server: String,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    pub(super) output: Output,
}

/// A connection.
pub(super) struct Client {
    server: String,
    stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    /// Connect to the server that the flags name.
    pub(super) fn connect(flags: &ServerFlags) -> Result<Self, Failure> {
        let server = flags.server.clone();
        let stream = connect(&server).map_err(|error| {
            Failure::failed(format!(
                "cannot connect to {server}: {error}; is a server running there? (--server names \
                 another)"
            ))
        })?;
        Ok(Self {
            server,
            stream,
            correlation_id: 0,
        })
    }

    /// Send a request at this version and wait for its answer.
    pub(super) fn send<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, Failure> {
        self.try_send(version, request)?.ok_or_else(|| {
            let key = ApiKey::try_from(R::KEY)
                .map_or_else(|()| R::KEY.to_string(), |key| format!("{key:?}"));
            Failure::failed(format!(
                "{} closed the connection, as a server does that does not know {key} in version \
                 {version}",
                self.server
            ))
        })
    }

    /// [`Self::send`] for what not every server has. `None` if it closed the connection instead
    /// of answering, as a server does with a request that it does not know; nothing more can be
    /// sent then.
    pub(super) fn try_send<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<Option<R::Response>, Failure> {
        match self.exchange(version, request) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if is_closed(&error) => Ok(None),
            Err(error) => Err(Failure::failed(format!(
                "{} does not answer as it should: {error}",
                self.server
            ))),
        }
    }

    fn exchange<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("ratel")));
        let mut frame = BytesMut::new();
        header
            .encode(&mut frame, R::header_version(version))
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|error| io::Error::other(error.to_string()))?;
        let length = i32::try_from(frame.len()).map_err(io::Error::other)?;
        self.stream.write_all(&length.to_be_bytes())?;
        self.stream.write_all(&frame)?;
        let mut answer = self.receive()?;
        if answer.try_get_i32() != Ok(self.correlation_id) {
            return Err(io::Error::other("it answers another request"));
        }
        if <R::Response as HeaderVersion>::header_version(version) >= 1
            && answer.try_get_u8() != Ok(0)
        {
            return Err(io::Error::other("the answer's header does not parse"));
        }
        R::Response::decode(&mut answer, version)
            .map_err(|error| io::Error::other(error.to_string()))
    }

    fn receive(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length))
            .ok()
            .filter(|length| *length <= ANSWER_BYTES_MAX)
            .ok_or_else(|| io::Error::other("it does not speak Kafka's protocol"))?;
        let mut answer = Vec::new();
        // Grows with what comes, not with what is announced.
        let read = (&mut self.stream)
            .take(length as u64)
            .read_to_end(&mut answer)?;
        if read < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer.into())
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn connect(server: &str) -> io::Result<TcpStream> {
    let mut failure = io::Error::other("the host has no address");
    for address in server.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The refusal that an error code is, with the server's own sentence if it gave one.
pub(super) fn check(code: i16, what: &str, message: Option<&StrBytes>) -> Result<(), Failure> {
    let Some(error) = ErrorCode::try_from_code(code) else {
        return Ok(());
    };
    let sentence = match message {
        Some(message) if !message.is_empty() => format!("{what}: {message} ({error:?})"),
        _ => format!("{what}: {error:?}"),
    };
    Err(Failure::failed(sentence))
}

/// Text for a request.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::thread;

    use ratel_protocol::messages::QueueAdminRequest;

    use super::{Client, ServerFlags};
    use crate::cli::output::Output;

    /// A connection to a server that closes every connection once it has read a request.
    fn closing() -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = listener.local_addr().expect("its address").to_string();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let read = stream.and_then(|mut stream| stream.read(&mut [0; 1024]));
                read.expect("a request");
            }
        });
        let output = Output::Table;
        Client::connect(&ServerFlags { server, output }).expect("a connection")
    }

    #[test]
    fn net_4_a_server_that_does_not_know_a_request_closes_and_that_is_said() {
        let answer = closing().try_send(0, &QueueAdminRequest::default());
        assert_eq!(answer.expect("no failure"), None);
        let failure = closing().send(0, &QueueAdminRequest::default());
        let sentence = failure.expect_err("no answer").sentence;
        let sentence = sentence.expect("a sentence");
        assert!(
            sentence.contains("does not know QueueAdmin in version 0"),
            "{sentence}"
        );
    }
}

//! A broker in the process of the test.

use std::net::SocketAddr;
use std::sync::Arc;

use ratel_server::broker::Broker;
use ratel_server::config::{Config, Listener};
use ratel_server::start::Server;
use tempfile::TempDir;

type Change = Box<dyn Fn(&mut Config) + Send + Sync>;

/// A real broker in this process: on a port of the system's choice, in a temporary directory
/// that goes when this does, and without the HTTP listener.
pub struct TestBroker {
    server: Option<Server>,
    directory: TempDir,
    change: Change,
}

impl TestBroker {
    /// Start with Kafka's defaults, but for the wait before a group's first rebalance, which is 0.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Start with a configuration that `change` has had in its hands. Each restart asks it anew.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_with(change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        let mut broker = Self {
            server: None,
            directory: tempfile::tempdir().expect("a temporary directory can be made"),
            change: Box::new(change),
        };
        broker.launch().await;
        broker
    }

    /// Where clients connect. Another one after each restart.
    ///
    /// # Panics
    /// Between [`crash`](Self::crash) and [`restart`](Self::restart).
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server().address()
    }

    /// What the handlers use.
    ///
    /// # Panics
    /// Between [`crash`](Self::crash) and [`restart`](Self::restart).
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        self.server().broker()
    }

    /// Where the data lies.
    #[must_use]
    pub fn data_dir(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Stop in order, if it runs, and start again on the same directory.
    ///
    /// # Panics
    /// If it does not stop or start.
    pub async fn restart(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown().await.expect("the server closes its logs");
        }
        self.launch().await;
    }

    /// End it as a crash of the process would: nothing is drained, no mark of a clean stop.
    pub fn crash(&mut self) {
        self.server = None;
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the broker runs")
    }

    async fn launch(&mut self) {
        let mut config = Config {
            listeners: vec![Listener {
                name: "PLAINTEXT".into(),
                host: "127.0.0.1".into(),
                port: 0,
                advertised: None,
            }],
            log_dir: self.directory.path().to_owned(),
            http_listen: None,
            group_initial_rebalance_delay_ms: 0,
            ..Config::default()
        };
        (self.change)(&mut config);
        match Server::start(config).await {
            Ok(server) => self.server = Some(server),
            Err(error) => panic!("the broker does not start: {error}"),
        }
    }
}

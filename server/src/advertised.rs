//! What clients are told to connect to (M-4): one address per listener, the same for Metadata,
//! FindCoordinator and DescribeCluster.

use std::net::{IpAddr, SocketAddr};

use crate::config::{Config, Listener};
use crate::net::Session;

/// Where this server can be reached by whoever came in as `session` did.
///
/// `advertised.listeners` if it names the listener; else the host the listener was given; a
/// wildcard host is of no use to a client, so it gets the address that it connected to.
#[must_use]
pub fn endpoint(config: &Config, session: &Session) -> (String, u16) {
    config
        .listeners
        .iter()
        .find(|listener| *listener.name == *session.listener)
        .map_or_else(
            || (host(session.local.ip()), session.local.port()),
            |listener| listener_endpoint(listener, session.local),
        )
}

fn listener_endpoint(listener: &Listener, local: SocketAddr) -> (String, u16) {
    if let Some(advertised) = &listener.advertised {
        return advertised.clone();
    }
    let name = listener.host.trim_matches(['[', ']']);
    let is_wildcard = name.is_empty()
        || name
            .parse()
            .is_ok_and(|address: IpAddr| address.is_unspecified());
    // The port of the connection's own end is the bound one, also when the system chose it.
    if is_wildcard {
        (host(local.ip()), local.port())
    } else {
        (name.to_owned(), local.port())
    }
}

/// An address as clients write it: an IPv4 address that came in by an IPv6 socket as IPv4.
fn host(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &str, advertised: Option<(&str, u16)>, local: &str) -> (String, u16) {
        let config = Config {
            listeners: vec![Listener {
                name: "PLAINTEXT".into(),
                host: host.into(),
                port: 0,
                advertised: advertised.map(|(host, port)| (host.to_owned(), port)),
            }],
            ..Config::default()
        };
        let session = Session {
            connection: 0,
            peer: "10.0.0.9:50000".parse().expect("an address"),
            local: local.parse().expect("an address"),
            listener: "PLAINTEXT".into(),
            muted_until_ms: std::sync::atomic::AtomicI64::default(),
        };
        endpoint(&config, &session)
    }

    #[test]
    fn m_4_the_advertised_address_is_what_clients_are_told() {
        let told = ask("0.0.0.0", Some(("log.example", 19092)), "10.0.0.1:9092");
        assert_eq!(told, ("log.example".to_owned(), 19092));
    }

    #[test]
    fn m_4_without_one_it_is_the_listeners_host_and_bound_port() {
        let told = ask("localhost", None, "127.0.0.1:40123");
        assert_eq!(told, ("localhost".to_owned(), 40123));
    }

    #[test]
    fn m_4_a_wildcard_answers_the_address_that_the_client_connected_to() {
        let expected = ("10.0.0.1".to_owned(), 9092);
        assert_eq!(ask("0.0.0.0", None, "10.0.0.1:9092"), expected);
        assert_eq!(ask("", None, "10.0.0.1:9092"), expected);
        assert_eq!(ask("::", None, "[::ffff:10.0.0.1]:9092"), expected);
        assert_eq!(
            ask("[::]", None, "[fd00::1]:9092"),
            ("fd00::1".to_owned(), 9092)
        );
    }
}

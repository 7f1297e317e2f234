//! What a server says when it is ready: a few plain lines on stdout, and the last one stable, so
//! that a program can wait for it.

use std::fmt::Write;

use crate::cli::logging::escaped;
use crate::config::DurabilityMode;
use crate::start::Server;

/// The banner of a server that is ready `ready_us` after its process began.
pub(super) fn banner(server: &Server, is_temporary: bool, ready_us: u64) -> String {
    let config = &server.broker().config;
    let listeners: Vec<_> = server
        .addresses()
        .iter()
        .map(|(name, address)| format!("{name} {address}"))
        .collect();
    let http = server.http_address().map_or_else(
        || "off".to_owned(),
        |address| format!("http://{address}/metrics, /healthz, /readyz"),
    );
    let dir = std::path::absolute(&config.log_dir).unwrap_or_else(|_| config.log_dir.clone());
    let dir = dir.display();
    let identity = server.identity();
    Lines {
        listeners: listeners.join(", "),
        http,
        data: if is_temporary {
            format!("{dir} (goes when the server stops)")
        } else {
            dir.to_string()
        },
        durability: config.durability,
        node: format!("{} of cluster {}", identity.node_id, identity.cluster_id),
        ready_ms: ready_us.div_ceil(1000),
    }
    .text()
}

struct Lines {
    listeners: String,
    http: String,
    data: String,
    durability: DurabilityMode,
    node: String,
    ready_ms: u64,
}

impl Lines {
    fn text(&self) -> String {
        let durability = match self.durability {
            DurabilityMode::Contract => "acks=all is answered after a sync of the disk",
            DurabilityMode::Relaxed => {
                "RELAXED: acks=all is answered without a sync; a power cut loses what was \
                 acknowledged"
            }
        };
        let ready = format!("in {} ms", self.ready_ms);
        let lines = [
            ("listening", self.listeners.as_str()),
            ("http", &self.http),
            ("data", &self.data),
            ("durability", durability),
            ("security", "none: whoever can connect may do everything"),
            ("node", &self.node),
            ("ready", &ready),
        ];
        let mut text = format!("ratel {}\n", env!("CARGO_PKG_VERSION"));
        for (name, value) in lines {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{name:<11} {}", escaped(value));
        }
        text.push_str("ratel ready\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{DurabilityMode, Lines};

    fn lines(durability: DurabilityMode) -> Lines {
        Lines {
            listeners: "PLAINTEXT 127.0.0.1:9092, OUTSIDE 0.0.0.0:9093".to_owned(),
            http: "http://127.0.0.1:8080/metrics, /healthz, /readyz".to_owned(),
            data: "/srv/a\nb".to_owned(),
            durability,
            node: "1 of cluster wLqZ0V8fSsqXJwqkJm3yhA".to_owned(),
            ready_ms: 12,
        }
    }

    #[test]
    fn the_banner_is_eight_lines_and_the_last_is_stable() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            lines(DurabilityMode::Contract).text(),
            format!(
                "ratel {version}\n\
                 listening   PLAINTEXT 127.0.0.1:9092, OUTSIDE 0.0.0.0:9093\n\
                 http        http://127.0.0.1:8080/metrics, /healthz, /readyz\n\
                 data        /srv/a\\nb\n\
                 durability  acks=all is answered after a sync of the disk\n\
                 security    none: whoever can connect may do everything\n\
                 node        1 of cluster wLqZ0V8fSsqXJwqkJm3yhA\n\
                 ready       in 12 ms\n\
                 ratel ready\n"
            )
        );
    }

    #[test]
    fn relaxed_durability_is_said_loudly() {
        let text = lines(DurabilityMode::Relaxed).text();
        assert!(text.contains(
            "durability  RELAXED: acks=all is answered without a sync; a power cut loses what was \
             acknowledged\n"
        ));
    }
}

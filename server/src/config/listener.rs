//! `listeners` and the keys that go with it.

use super::key::Setting;
use super::{Config, Kind, split_list};

/// One place to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name (`PLAINTEXT`).
    pub name: String,
    /// The host or address to bind; empty or `0.0.0.0` is every one.
    pub host: String,
    /// The port to bind; 0 lets the system choose (the bound one is advertised then).
    pub port: u16,
    /// `advertised.listeners`: what Metadata answers; `None` is the bound address, or for a
    /// wildcard the one that the client connected to.
    pub advertised: Option<(String, u16)>,
}

impl Listener {
    /// Whether it listens on every address, so that no address can be advertised from it alone.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::" | "*")
    }
}

impl Setting for Vec<Listener> {
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, String> {
        let listeners = endpoints(text)?;
        if listeners.is_empty() {
            return Err("names no listener; give one such as PLAINTEXT://127.0.0.1:9092".into());
        }
        for (place, listener) in listeners.iter().enumerate() {
            let twice = |other: &&Listener| {
                other.name == listener.name
                    || (other.port == listener.port
                        && other.port != 0
                        && other.host == listener.host)
            };
            if let Some(other) = listeners[..place].iter().find(twice) {
                return Err(format!(
                    "has {} and {} on one name or one address; give each its own",
                    other.name, listener.name
                ));
            }
        }
        Ok(listeners)
    }

    fn text(&self) -> Option<String> {
        let parts: Vec<_> = self
            .iter()
            .map(|listener| format!("{}://{}:{}", listener.name, listener.host, listener.port))
            .collect();
        Some(parts.join(","))
    }
}

fn endpoints(text: &str) -> Result<Vec<Listener>, String> {
    split_list(text).map(endpoint).collect()
}

fn endpoint(text: &str) -> Result<Listener, String> {
    let wrong =
        || format!("has {text:?}, which is not NAME://host:port; for example PLAINTEXT://:9092");
    let (name, address) = text.split_once("://").ok_or_else(wrong)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| {
        format!("has {text:?}, whose port is not a whole number from 0 to 65535; give such a port")
    })?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if name.is_empty() || (bare.is_none() && host.contains(':')) || host.contains('/') {
        return Err(wrong());
    }
    Ok(Listener {
        name: name.to_ascii_uppercase(),
        host: bare.unwrap_or(host).to_owned(),
        port,
        advertised: None,
    })
}

/// Bring the keys of listeners together: drop the controllers', check protocols, put in what is
/// advertised.
///
/// Gives the name of the key that is wrong, and why.
pub(super) fn resolve(config: &mut Config) -> Result<(), (&'static str, String)> {
    let controllers: Vec<_> = config
        .controller_listener_names
        .iter()
        .flat_map(|names| split_list(names))
        .map(str::to_ascii_uppercase)
        .collect();
    config
        .listeners
        .retain(|listener| !controllers.contains(&listener.name));
    if config.listeners.is_empty() {
        return Err((
            "listeners",
            "has none but listeners of controllers, which are not opened; add one such as \
             PLAINTEXT://:9092"
                .to_owned(),
        ));
    }
    for listener in &config.listeners {
        check_protocol(config, &listener.name)?;
    }
    let Some(advertised) = &config.advertised_listeners else {
        return Ok(());
    };
    for endpoint in endpoints(advertised).map_err(|why| ("advertised.listeners", why))? {
        if controllers.contains(&endpoint.name) {
            continue;
        }
        if endpoint.is_wildcard() {
            let why = format!(
                "advertises {} on every address, which no client can connect to; give a host name \
                 or address, or leave the listener out",
                endpoint.name
            );
            return Err(("advertised.listeners", why));
        }
        let same = |listener: &&mut Listener| listener.name == endpoint.name;
        let Some(listener) = config.listeners.iter_mut().find(same) else {
            let why = format!(
                "advertises {}, which is not among listeners; add it there or remove it here",
                endpoint.name
            );
            return Err(("advertised.listeners", why));
        };
        listener.advertised = Some((endpoint.host, endpoint.port));
    }
    Ok(())
}

fn check_protocol(config: &Config, name: &str) -> Result<(), (&'static str, String)> {
    let protocol = split_list(&config.listener_security_protocol_map)
        .filter_map(|pair| pair.split_once(':'))
        .find(|(of, _)| of.trim().eq_ignore_ascii_case(name))
        .map(|(_, protocol)| protocol.trim());
    match protocol {
        Some("PLAINTEXT") => Ok(()),
        Some(protocol) => Err((
            "listeners",
            format!(
                "has {name}, which speaks {protocol}; only PLAINTEXT is spoken so far: map {name} \
                 to PLAINTEXT in listener.security.protocol.map or remove it"
            ),
        )),
        None => Err((
            "listeners",
            format!(
                "has {name}, whose protocol is not known; add {name}:PLAINTEXT to \
                 listener.security.protocol.map"
            ),
        )),
    }
}

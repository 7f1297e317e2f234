//! Binding addresses.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

use super::StartError;
use crate::config::Listener;
use crate::net::{self, Buffers};

/// Bind the address of a listener.
pub(super) async fn kafka(
    listener: &Listener,
    buffers: Buffers,
) -> Result<TcpListener, StartError> {
    let port = listener.port;
    let bound = match listener.host.as_str() {
        // Every address, of IPv6 too where the machine has it.
        "" | "*" => net::bind((Ipv6Addr::UNSPECIFIED, port).into(), buffers).or_else(|error| {
            if error.kind() == io::ErrorKind::AddrInUse {
                return Err(error);
            }
            net::bind((Ipv4Addr::UNSPECIFIED, port).into(), buffers)
        }),
        host => match first_address(host, port).await {
            Ok(address) => net::bind(address, buffers),
            Err(error) => Err(error),
        },
    };
    bound.map_err(|error| StartError::Bind {
        key: "listeners",
        address: format!("{}://{}:{port}", listener.name, listener.host),
        error,
    })
}

/// Bind the address of metrics and health.
pub(super) fn http(address: SocketAddr, buffers: Buffers) -> Result<TcpListener, StartError> {
    net::bind(address, buffers).map_err(|error| StartError::Bind {
        key: "http.listen",
        address: address.to_string(),
        error,
    })
}

/// The address of a host name, of IPv4 if it has one.
async fn first_address(host: &str, port: u16) -> io::Result<SocketAddr> {
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or(addresses.first())
        .copied()
        .ok_or_else(|| io::Error::other("the host name has no address"))
}

//! Whom a server on loopback answers to.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuse a request whose `Host` is no name of loopback: a browser sent it for a page that had
/// its own name point here (DNS rebinding).
pub(super) async fn check(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let is_local = host.is_none_or(|host| host.to_str().is_ok_and(is_loopback));
    if is_local {
        next.run(request).await
    } else {
        let sentence = "this server listens on loopback and answers to localhost alone\n";
        (StatusCode::FORBIDDEN, sentence).into_response()
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

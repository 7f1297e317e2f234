//! Whether the server lives, and whether it is ready for clients.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Site;

/// Why the server should be started again: a failure that it does not get over (DC5).
pub(super) fn live(site: &Site) -> Vec<String> {
    site.failure.borrow().iter().cloned().collect()
}

/// Why clients should not be sent here: whatever ends the server, a recovery that goes on, and
/// what the log complains of (a full disk, damaged partitions).
pub(super) fn ready(site: &Site) -> Vec<String> {
    let mut reasons = live(site);
    if *site.stopping.borrow() {
        reasons.push("stopping: the server was asked to stop".to_owned());
    }
    match site.broker.get() {
        None => reasons.push("recovery: the logs are being opened".to_owned()),
        Some(broker) => {
            reasons.extend(broker.engine.complaints());
            reasons.extend(broker.catalog.complaint());
            reasons.extend(broker.groups.complaints());
            reasons.extend(broker.transactions.complaints());
            reasons.extend(broker.shares.complaints());
        }
    }
    reasons
}

/// 200 without reasons, 503 with them; either way as JSON.
pub(super) fn answer(reasons: Vec<String>) -> Response {
    let (code, status) = if reasons.is_empty() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    };
    (code, Json(json!({ "status": status, "reasons": reasons }))).into_response()
}

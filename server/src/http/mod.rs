//! HTTP for those who run the server: `/metrics`, `/healthz`, `/readyz`.
//!
//! It reads the same [`Broker`] handles as the handlers of Kafka's protocol, so it can do nothing
//! that they cannot. It answers from the first moment of a start, so that a recovery that takes
//! long can be watched.

mod cleaner;
mod exposition;
mod health;
mod host;
mod lag;
mod metrics;
mod queues;
mod transactions;
mod visit;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ratel_storage::disk::Disk;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::broker::Broker;
use crate::clock::Clock;

/// What the pages are made from.
pub struct Site {
    /// The broker, once it is at work.
    pub broker: OnceLock<Arc<Broker>>,
    /// The disk that the data lies on.
    pub disk: Arc<dyn Disk>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When the server began to start, in microseconds of the clock.
    pub began_us: u64,
    /// Why the server can no longer be relied upon, once that is so (DC5).
    pub failure: watch::Receiver<Option<String>>,
    /// Whether the server is on its way to an orderly end.
    pub stopping: watch::Receiver<bool>,
}

/// Answer requests until `shutdown` turns true or its sender goes.
pub async fn serve(listener: TcpListener, site: Arc<Site>, mut shutdown: watch::Receiver<bool>) {
    let stop = async move {
        let _ = shutdown.wait_for(|down| *down).await;
    };
    let is_local = listener
        .local_addr()
        .is_ok_and(|address| address.ip().is_loopback());
    let served = axum::serve(visit::Visits::new(listener), router(site, is_local))
        .with_graceful_shutdown(stop)
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the HTTP server ended");
    }
}

fn router(site: Arc<Site>, is_local: bool) -> Router {
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(|| async { (StatusCode::NOT_FOUND, "try /metrics, /healthz or /readyz\n") })
        .with_state(site);
    if is_local {
        router.layer(middleware::from_fn(host::check))
    } else {
        router
    }
}

/// How much `/metrics` tells.
#[derive(Debug, Default, Deserialize)]
struct Detail {
    /// `partition`: series for each partition instead of one for each topic.
    detail: Option<String>,
}

async fn metrics_page(State(site): State<Arc<Site>>, Query(detail): Query<Detail>) -> Response {
    let by_partition = match detail.detail.as_deref() {
        None | Some("topic") => false,
        Some("partition") => true,
        Some(_) => {
            let sentence = "detail is topic or partition\n";
            return (StatusCode::BAD_REQUEST, sentence).into_response();
        }
    };
    let page = metrics::page(&site, by_partition).await;
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], page).into_response()
}

async fn healthz(State(site): State<Arc<Site>>) -> Response {
    health::answer(health::live(&site))
}

async fn readyz(State(site): State<Arc<Site>>) -> Response {
    health::answer(health::ready(&site))
}

#[cfg(test)]
pub(crate) mod tests;

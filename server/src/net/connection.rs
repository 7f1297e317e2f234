//! One connection: a reader and a writer that take turns in one task.
//!
//! A request is handled as soon as it is here, also while the answers of earlier ones are still
//! waited for, and answers leave in the order of the requests (NET-9). Frames that are here
//! already are handled before anything is written, so that their answers leave together.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::reader::Reader;
use super::writer::{Queued, Writer};
use super::{Closed, Router, Session, down};
use crate::broker::Broker;
use crate::metrics::Rejection;
use crate::quota::Budget;

/// What happened last.
enum Step {
    Handled(Queued),
    Ended,
    Wrote,
    Shutdown,
}

/// Serve a connection to its end.
pub async fn run(
    mut stream: TcpStream,
    session: Arc<Session>,
    broker: Arc<Broker>,
    budget: Arc<Budget>,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
) {
    let peer = session.peer;
    let (read, write) = stream.split();
    let mut writer = Writer::new(write, &broker);
    let mut reader = Reader::new(read, session, broker.clone(), budget, router);
    let closed = match serve(&mut reader, &mut writer, &mut shutdown).await {
        Ok(()) => return,
        Err(closed) => closed,
    };
    if let Some(reason) = closed.rejection() {
        broker.metrics.rejected(reason);
        if reason == Rejection::WriteTimeout {
            // What it did not take would stay in the kernel for minutes, megabytes of it.
            let _ = stream.set_zero_linger();
        }
    }
    tracing::debug!(%peer, %closed, "connection closed");
}

async fn serve(
    reader: &mut Reader<'_>,
    writer: &mut Writer<'_>,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<(), Closed> {
    let shutdown = down(shutdown);
    tokio::pin!(shutdown);
    loop {
        let reading = writer.has_room();
        let step = if reading && reader.has_frame() {
            tokio::select! {
                biased;
                read = reader.next() => handled(read?),
                wrote = writer.advance(), if writer.has_work() => wrote.map(|()| Step::Wrote)?,
                () = &mut shutdown => Step::Shutdown,
            }
        } else {
            tokio::select! {
                biased;
                wrote = writer.advance(), if writer.has_work() => wrote.map(|()| Step::Wrote)?,
                read = reader.next_or_hang_up(reading) => handled(read?),
                () = &mut shutdown => Step::Shutdown,
            }
        };
        match step {
            Step::Handled(queued) => writer.push(queued),
            Step::Wrote => {}
            Step::Ended => return writer.flush_ready().await,
            Step::Shutdown => return writer.drain().await,
        }
    }
}

fn handled(read: Option<Queued>) -> Step {
    read.map_or(Step::Ended, Step::Handled)
}

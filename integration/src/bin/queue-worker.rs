//! A worker of a queue as a process of its own, so that a test can stop and kill it:
//! `queue-worker JOURNAL SERVER GROUP TOPIC TOPIC_ID PARTITIONS LOCK_US FIRST_MEMBER SEED`.

use std::path::Path;
use std::process::ExitCode;

use ratel_integration::queue_worker::{Journal, Settings, Worker};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((journal, rest)) = words.split_first() else {
        return ExitCode::from(2);
    };
    let (Some(settings), Ok(journal)) = (Settings::of(rest), Journal::create(Path::new(journal)))
    else {
        return ExitCode::from(2);
    };
    match Worker::new(settings, journal).work().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

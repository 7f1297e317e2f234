//! The threads that clean compacted logs (C-1).
//!
//! Threads of their own at a lower priority: a cleaning reads and writes whole segments and may
//! compress, and nobody waits for it.

mod throttle;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ratel_storage::{CleaningRules, Pace};
use tokio::sync::{mpsc, watch};

use crate::broker::Broker;
use crate::start::cleaner::throttle::Throttle;

/// How often it is looked whether threads are missing, and how long a sleep lasts at most before
/// it is looked whether to end.
const LOOK: Duration = Duration::from_millis(250);

/// A lower priority than whoever answers clients, and no lower than needed: on a machine that has
/// too much to do, a thread of the lowest comes to nothing, and logs grow.
const NICE: i32 = 5;

/// Keep as many threads as `log.cleaner.threads` says until `stopped` turns true, and wait for
/// them.
pub(super) async fn run(broker: Arc<Broker>, mut stopped: watch::Receiver<bool>) {
    let (ended, mut endings) = mpsc::unbounded_channel::<usize>();
    let mut running: Vec<usize> = Vec::new();
    let throttle = Arc::new(Mutex::new(Throttle::default()));
    loop {
        let wanted = threads(&broker);
        for number in (0..wanted)
            .filter(|number| !running.contains(number))
            .collect::<Vec<_>>()
        {
            let worker = Worker {
                broker: broker.clone(),
                stopped: stopped.clone(),
                throttle: throttle.clone(),
                number,
            };
            let ended = Ended(number, ended.clone());
            let thread = std::thread::Builder::new()
                .name(format!("ratel-cleaner-{number}"))
                .spawn(move || {
                    let _ended = ended;
                    worker.work();
                });
            match thread {
                Ok(_) => running.push(number),
                Err(error) => tracing::warn!("no thread to clean logs: {error}"),
            }
        }
        tokio::select! {
            ending = endings.recv() => running.retain(|number| Some(*number) != ending),
            () = tokio::time::sleep(LOOK) => {}
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
    }
    while !running.is_empty() {
        let ending = endings.recv().await;
        running.retain(|number| Some(*number) != ending);
    }
}

/// How many threads there should be now: none while cleaning is off.
fn threads(broker: &Broker) -> usize {
    let brokers = broker.catalog.brokers();
    let config = brokers.effective();
    match config.log_cleaner_enable {
        true => config.log_cleaner_threads,
        false => 0,
    }
}

/// Says that a thread has ended, however it did: a stop waits for it.
struct Ended(usize, mpsc::UnboundedSender<usize>);

impl Drop for Ended {
    fn drop(&mut self) {
        // Nobody listens once the server has stopped without waiting.
        let _ = self.1.send(self.0);
    }
}

struct Worker {
    broker: Arc<Broker>,
    stopped: watch::Receiver<bool>,
    /// That of all threads.
    throttle: Arc<Mutex<Throttle>>,
    number: usize,
}

impl Worker {
    fn goes_on(&self) -> bool {
        !*self.stopped.borrow() && self.number < threads(&self.broker)
    }

    fn work(&self) {
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!("logs are cleaned at the usual priority: {error}");
        }
        while self.goes_on() {
            if !self.clean() {
                self.rest();
            }
        }
    }

    /// Clean the filthiest log, if one is due.
    fn clean(&self) -> bool {
        let broker = &self.broker;
        let brokers = broker.catalog.brokers();
        let config = brokers.effective();
        let threads = config.log_cleaner_threads.max(1);
        let began_us = broker.clock.monotonic_us();
        let rules = CleaningRules {
            map_bytes: config.log_cleaner_dedupe_buffer_size / threads,
            pace: &|bytes| self.pace(bytes),
        };
        let outcome = broker.engine.clean(&rules, broker.clock.now().wall_ms);
        let now_us = broker.clock.monotonic_us();
        match outcome {
            Ok(None) => false,
            Ok(Some(done)) => {
                tracing::info!(
                    partition = %done.partition, to = %done.to, freed_bytes = done.freed_bytes,
                    "cleaned"
                );
                broker.metrics.cleaner.cleaned(&done, began_us, now_us);
                true
            }
            Err(error) => {
                if self.goes_on() {
                    tracing::warn!("a log could not be cleaned: {error}");
                    broker.metrics.cleaner.failed();
                }
                false
            }
        }
    }

    /// A cleaning has read or written so many bytes.
    fn pace(&self, bytes: u64) -> Pace {
        if *self.stopped.borrow() {
            return Pace::End;
        }
        let brokers = self.broker.catalog.brokers();
        let rate = brokers.effective().log_cleaner_io_max_bytes_per_second;
        let now_us = self.broker.clock.monotonic_us();
        let wait_us = {
            let throttle = self.throttle.lock();
            let mut throttle = throttle.unwrap_or_else(PoisonError::into_inner);
            throttle.take(bytes, rate, now_us)
        };
        if wait_us == 0 {
            return Pace::On;
        }
        std::thread::sleep(Duration::from_micros(wait_us).min(LOOK));
        Pace::Wait
    }

    /// Wait for `log.cleaner.backoff.ms`, as it is set at every moment of the wait: a shorter one
    /// need not wait for the end of the longer.
    fn rest(&self) {
        let began_us = self.broker.clock.monotonic_us();
        while self.goes_on() {
            let rest_us = u64::try_from(self.backoff_ms())
                .unwrap_or(0)
                .saturating_mul(1000);
            let rested_us = self.broker.clock.monotonic_us().saturating_sub(began_us);
            if rested_us >= rest_us {
                return;
            }
            std::thread::sleep(Duration::from_micros(rest_us - rested_us).min(LOOK));
        }
    }

    fn backoff_ms(&self) -> i64 {
        let brokers = self.broker.catalog.brokers();
        // Without a pause at all a thread would do nothing but look.
        brokers.effective().log_cleaner_backoff_ms.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_has_ended_too() {
        let (sender, mut endings) = mpsc::unbounded_channel();
        let ended = Ended(3, sender);
        let thread = std::thread::spawn(move || {
            let _ended = ended;
            panic!("as a broken cleaning would");
        });
        assert!(thread.join().is_err());
        assert_eq!(endings.try_recv(), Ok(3));
    }
}

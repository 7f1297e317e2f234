//! Transactions, one after another, by librdkafka.
//!
//! `transactions`: each of `producers` has a transactional id of its own and commits transactions
//! of `records` records for `seconds`; the latency is from a transaction's begin to its commit
//! acknowledged. With `count`, each producer commits so many instead. Of every `abort_every`
//! transactions one is aborted and not counted; 0 aborts none.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use crate::{Arguments, Fault, Process, histogram, payload, quantiles};

const WAIT: Duration = Duration::from_secs(60);
/// How often a producer looks for acknowledgements.
const LOOK: Duration = Duration::from_micros(100);

/// What one producer does.
struct Plan {
    records: u64,
    count: u64,
    warm: Duration,
    time: Duration,
    abort_every: u64,
    payload: Vec<u8>,
}

/// What one producer did.
struct Done {
    committed: u64,
    latencies: Histogram<u64>,
}

pub fn run(arguments: &Arguments, server: &Process) -> Result<Value, Fault> {
    let producers = arguments.number("producers", 1)?.max(1);
    let plan = Plan {
        records: arguments.number("records", 1)?.max(1),
        count: arguments.number("count", 0)?,
        warm: Duration::from_millis(arguments.number("warm_ms", 500)?),
        time: Duration::from_secs(arguments.number("seconds", 5)?),
        abort_every: arguments.number("abort_every", 0)?,
        payload: payload(usize::try_from(arguments.number("bytes", 100)?)?),
    };
    let made = (0..producers).map(|number| begin(arguments, number));
    let made = made.collect::<Result<Vec<_>, _>>()?;
    let before = (server.cpu_s(), Process::this().cpu_s());
    let began = Instant::now();
    let done = thread::scope(|scope| {
        let threads: Vec<_> = made
            .iter()
            .map(|producer| {
                scope.spawn(|| work(arguments, producer, &plan).map_err(|e| e.to_string()))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a producer does not panic"))
            .collect::<Result<Vec<_>, String>>()
    })?;
    let elapsed = began.elapsed().as_secs_f64();
    let seconds = match plan.count {
        0 => plan.time.as_secs_f64(),
        _ => elapsed,
    };
    let mut latencies = histogram();
    for one in &done {
        latencies.add(&one.latencies)?;
    }
    let committed = done.iter().map(|one| one.committed).sum::<u64>();
    Ok(json!({
        "transactions": committed,
        "seconds": seconds,
        "transactions_per_second": committed as f64 / seconds,
        "records_per_second": (committed * plan.records) as f64 / seconds,
        "latency": quantiles(&latencies),
        "server_cores": (server.cpu_s() - before.0) / elapsed,
        "client_cores": (Process::this().cpu_s() - before.1) / elapsed,
    }))
}

fn begin(arguments: &Arguments, number: u64) -> Result<BaseProducer, Fault> {
    let producer: BaseProducer = arguments
        .client()
        .set(
            "transactional.id",
            format!("{}-{number}", arguments.topic()),
        )
        .set("linger.ms", "0")
        .set("queue.buffering.max.messages", "100000")
        .create()?;
    producer.init_transactions(WAIT)?;
    Ok(producer)
}

fn work(arguments: &Arguments, producer: &BaseProducer, plan: &Plan) -> Result<Done, Fault> {
    let mut done = Done {
        committed: 0,
        latencies: histogram(),
    };
    let epoch = Instant::now();
    let is_over = |turn: u64| match plan.count {
        0 => epoch.elapsed() >= plan.warm + plan.time,
        count => turn >= count,
    };
    let mut turn = 0;
    while !is_over(turn) {
        turn += 1;
        let began = Instant::now();
        producer.begin_transaction()?;
        for _ in 0..plan.records {
            let record = BaseRecord::<(), [u8]>::to(arguments.topic()).payload(&plan.payload);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        flush(producer);
        if plan.abort_every > 0 && turn % plan.abort_every == 0 {
            producer.abort_transaction(WAIT)?;
            continue;
        }
        producer.commit_transaction(WAIT)?;
        if plan.count > 0 || epoch.elapsed() >= plan.warm {
            done.committed += 1;
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            done.latencies.saturating_record(micros);
        }
    }
    Ok(done)
}

/// Wait until all that was sent is acknowledged. The client's own flush looks every 100 ms only.
fn flush(producer: &BaseProducer) {
    loop {
        producer.poll(Duration::ZERO);
        if producer.in_flight_count() == 0 {
            return;
        }
        thread::sleep(LOOK);
    }
}

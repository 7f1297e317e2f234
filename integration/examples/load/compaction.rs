//! Modes for compacted topics. What cleans them is the server: nothing is measured here.
//!
//! - `compaction-fill`: make a topic that is not cleaned yet, and write `records` to `keys` keys,
//!   each in turn but in no order. Keys: topic, records, keys, bytes, codec, segment_bytes.
//! - `compaction-begin`: let the topic be cleaned from now on. Keys: topic.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use ratel_integration::RawClient;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::{Arguments, Fault, finish, keyless, payload, producer, rate, send};

/// A resource of type topic.
const TOPIC: i8 = 2;
/// Keys are taken in steps of this, a prime: each once before any comes again.
const STEP: u64 = 2_654_435_761;

fn runtime() -> Result<Runtime, Fault> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Fill a topic.
pub fn fill(arguments: &Arguments) -> Result<Value, Fault> {
    let (records, keys) = (
        arguments.number("records", 1_000_000)?,
        arguments.number("keys", 500_000)?.max(1),
    );
    let bytes = arguments.number("bytes", 100)?;
    create(arguments)?;
    let producer = producer(arguments, false)?;
    // Each value is another part of it.
    let text = payload(1 << 16);
    let bytes_max = text.len() - usize::try_from(bytes)?.min(text.len());
    let began = Instant::now();
    for number in 0..records {
        let key = format!("key-{:012}", number.wrapping_mul(STEP) % keys);
        let from = (number as usize).wrapping_mul(31) % bytes_max.max(1);
        let value = &text[from..from + usize::try_from(bytes)?];
        let record = keyless(arguments.topic(), value, began).key(&key);
        send(&producer, record)?;
        if number % 256 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    finish(&producer, Duration::from_secs(180))?;
    Ok(rate(records, bytes, began.elapsed()))
}

fn create(arguments: &Arguments) -> Result<(), Fault> {
    let admin: AdminClient<_> = arguments.client().create()?;
    let topic = NewTopic::new(arguments.topic(), 1, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        // More than all of a log is never new.
        .set("min.cleanable.dirty.ratio", "1")
        .set(
            "segment.bytes",
            arguments.text("segment_bytes", "104857600"),
        );
    for result in runtime()?.block_on(admin.create_topics([&topic], &AdminOptions::new()))? {
        result.map_err(|(topic, code)| format!("creating {topic}: {code}"))?;
    }
    Ok(())
}

/// Begin to clean.
pub fn begin(arguments: &Arguments) -> Result<Value, Fault> {
    let server: SocketAddr = arguments.text("servers", "127.0.0.1:9092").parse()?;
    let entry = AlterableConfig::default()
        .with_name("min.cleanable.dirty.ratio".into())
        .with_value(Some("0".into()));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(arguments.topic().to_owned().into())
        .with_configs(vec![entry]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = runtime()?.block_on(async {
        let mut client = RawClient::try_connect(server).await?;
        client.try_send(1, &request).await
    })?;
    match answer.responses.iter().find(|one| one.error_code != 0) {
        Some(refused) => Err(format!("refused: {refused:?}").into()),
        None => Ok(json!({ "topic": arguments.topic() })),
    }
}

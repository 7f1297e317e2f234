//! What it costs to read requests: the walk over untrusted bytes, and the decoding behind it.
//! `cargo bench -p ratel-integration --bench decode`

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, MetadataRequest, ProduceRequest};
use kafka_protocol::protocol::{Decodable, Request, StrBytes};
use ratel_protocol::{ApiKey, request, schema};

fn encode<R: Request>(request: &R, version: i16) -> Bytes {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).expect("it encodes");
    body.freeze()
}

fn produce(partitions: i32, bytes: usize) -> ProduceRequest {
    let records = Bytes::from(vec![0; bytes]);
    let partition = |index| {
        PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(records.clone()))
    };
    let topic = TopicProduceData::default()
        .with_name(StrBytes::from_static_str("benchmark").into())
        .with_partition_data((0..partitions).map(partition).collect());
    ProduceRequest::default().with_topic_data(vec![topic])
}

fn fetch(partitions: i32) -> FetchRequest {
    let partition = |index| FetchPartition::default().with_partition(index);
    let topic = FetchTopic::default()
        .with_topic(StrBytes::from_static_str("benchmark").into())
        .with_partitions((0..partitions).map(partition).collect());
    FetchRequest::default().with_topics(vec![topic])
}

fn metadata(topics: usize) -> MetadataRequest {
    let topic = |number| {
        let name = StrBytes::from_string(format!("topic-{number}"));
        MetadataRequestTopic::default().with_name(Some(name.into()))
    };
    MetadataRequest::default().with_topics(Some((0..topics).map(topic).collect()))
}

fn bench<R: Request + Decodable>(c: &mut Criterion, name: &str, version: i16, request: &R) {
    let key = ApiKey::try_from(R::KEY).expect("a known key");
    let body = encode(request, version);
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("walk", |b| {
        b.iter(|| schema::check(key, version, &body));
    });
    group.bench_function("codec", |b| {
        b.iter(|| R::decode(&mut body.clone(), version).map(drop));
    });
    group.bench_function("both", |b| {
        b.iter(|| request::decode::<R>(key, version, &mut body.clone()).map(drop));
    });
    group.finish();
}

fn decode(c: &mut Criterion) {
    bench(
        c,
        "produce v9, 1 partition of 1 MiB",
        9,
        &produce(1, 1 << 20),
    );
    bench(
        c,
        "produce v9, 16 partitions of 16 KiB",
        9,
        &produce(16, 16 << 10),
    );
    bench(c, "fetch v12, 1 partition", 12, &fetch(1));
    bench(c, "fetch v12, 1000 partitions", 12, &fetch(1000));
    bench(c, "metadata v12, 1000 topics", 12, &metadata(1000));
}

criterion_group!(benches, decode);
criterion_main!(benches);

use ratel_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use ratel_protocol::messages::{
    AddOffsetsToTxnRequest, EndTxnRequest, GroupId, InitProducerIdRequest, OffsetFetchRequest,
    ProducerId, TransactionalId,
};

use ratel_storage::OPEN_TRANSACTIONS_MAX;

use super::*;
use crate::api::testing::Bench;
use crate::config::Config;
use crate::coordinator::group::CommitOffset;

type Who = (i64, i16);

async fn bench() -> Bench {
    let bench = Bench::with_transactions(Config::default()).await;
    let made = bench.broker.catalog.create_automatically("t").await;
    made.expect("a topic");
    bench
}

fn id() -> TransactionalId {
    TransactionalId(text("x"))
}

async fn producer(bench: &Bench) -> Who {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(id()))
        .with_transaction_timeout_ms(60_000);
    loop {
        let answer = bench.send(4, &request).await;
        match answer.error_code {
            0 => return (answer.producer_id.0, answer.producer_epoch),
            51 => tokio::task::yield_now().await,
            code => panic!("no producer: {code}"),
        }
    }
}

async fn join(bench: &Bench, who: Who) -> i16 {
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(id())
        .with_producer_id(ProducerId(who.0))
        .with_producer_epoch(who.1)
        .with_group_id(GroupId(text("g")));
    bench.send(3, &request).await.error_code
}

async fn end(bench: &Bench, version: i16, who: Who, committed: bool) -> Who {
    let request = EndTxnRequest::default()
        .with_transactional_id(id())
        .with_producer_id(ProducerId(who.0))
        .with_producer_epoch(who.1)
        .with_committed(committed);
    let answer = bench.send(version, &request).await;
    assert_eq!(answer.error_code, 0);
    match version {
        ..5 => who,
        5.. => (answer.producer_id.0, answer.producer_epoch),
    }
}

fn request(who: Who, offsets: &[(&str, i32, i64)]) -> TxnOffsetCommitRequest {
    let topics = offsets.iter().map(|(topic, index, offset)| {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(*index)
            .with_committed_offset(*offset);
        TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(vec![partition])
    });
    TxnOffsetCommitRequest::default()
        .with_transactional_id(id())
        .with_group_id(GroupId(text("g")))
        .with_producer_id(ProducerId(who.0))
        .with_producer_epoch(who.1)
        .with_topics(topics.collect())
}

async fn codes(bench: &Bench, version: i16, request: &TxnOffsetCommitRequest) -> Vec<i16> {
    let response = bench.send(version, request).await;
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|found| found.error_code).collect()
}

async fn commit(bench: &Bench, version: i16, who: Who, offset: i64) -> i16 {
    codes(bench, version, &request(who, &[("t", 0, offset)])).await[0]
}

/// The committed offset and the error, for who wants it stable.
async fn fetched(bench: &Bench) -> (i64, i16) {
    let topic = ratel_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic::default()
        .with_name(TopicName(text("t")))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_topics(Some(vec![topic]))
        .with_require_stable(true);
    let answer = bench.send(7, &request).await;
    let found = &answer.topics[0].partitions[0];
    (found.committed_offset, found.error_code)
}

/// Markers are written behind the answer of EndTxn.
async fn decided(bench: &Bench) -> i64 {
    loop {
        match fetched(bench).await {
            (-1, 88) => tokio::task::yield_now().await,
            (offset, 0) => return offset,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn t_14_offsets_count_once_the_transaction_is_committed() {
    for version in TxnOffsetCommit::VERSIONS {
        let bench = bench().await;
        let mut who = producer(&bench).await;
        for (offset, committed, then) in [(5, true, 5), (9, false, 5), (7, true, 7)] {
            if version < 5 {
                while join(&bench, who).await == 51 {
                    tokio::task::yield_now().await;
                }
            }
            assert_eq!(commit(&bench, version, who, offset).await, 0, "v{version}");
            assert_eq!(fetched(&bench).await, (-1, 88), "O-6");
            who = end(&bench, if version < 5 { 3 } else { 5 }, who, committed).await;
            assert_eq!(decided(&bench).await, then, "v{version}");
        }
    }
}

#[tokio::test]
async fn t_7_up_to_v4_the_partition_must_have_been_added() {
    let bench = bench().await;
    let who = producer(&bench).await;
    let expected = [48, 48, 48, 48, 120];
    for (version, code) in (0..5).zip(expected) {
        assert_eq!(commit(&bench, version, who, 5).await, code, "v{version}");
    }
    assert_eq!(join(&bench, who).await, 0);
    assert_eq!(commit(&bench, 4, who, 5).await, 0);
    assert_eq!(commit(&bench, 0, who, 6).await, 0, "it is open there");
}

#[tokio::test]
async fn t_14_errors_stand_where_they_belong() {
    let bench = bench().await;
    let who = producer(&bench).await;
    let asked = request(who, &[("t", 0, 5), ("t", 9, 5), ("u", 0, 5)]);
    let with = |topics: &[i16]| topics.to_vec();
    let empty = asked.clone().with_group_id(GroupId(text("")));
    assert_eq!(codes(&bench, 5, &empty).await, with(&[24, 3, 3]));
    let fenced = asked.clone().with_producer_epoch(who.1 - 1);
    assert_eq!(codes(&bench, 5, &fenced).await, with(&[47, 3, 3]));
    let stranger = asked.clone().with_producer_id(ProducerId(who.0 + 1));
    assert_eq!(codes(&bench, 5, &stranger).await, with(&[49, 3, 3]));
    let member = asked.clone().with_generation_id(3);
    assert_eq!(codes(&bench, 5, &member).await, with(&[22, 3, 3]));
    assert_eq!(codes(&bench, 5, &asked).await, with(&[0, 3, 3]));
    let member = member.with_member_id(text("m"));
    assert_eq!(codes(&bench, 5, &member).await, with(&[25, 3, 3]));
    let mut long = request(who, &[("t", 0, 5), ("t", 0, 6)]);
    long.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(4097)));
    assert_eq!(codes(&bench, 5, &long).await, with(&[12, 0]));
    let nothing = request(who, &[("u", 0, 5)]).with_group_id(GroupId(text("")));
    assert_eq!(codes(&bench, 5, &nothing).await, with(&[3]));
}

#[tokio::test]
async fn t_14_one_open_transaction_too_many_is_refused_and_the_groups_stay() {
    let bench = bench().await;
    let groups = &bench.broker.groups;
    let topic = bench.broker.catalog.view.topic("t").expect("a topic");
    let commit = |id: i64| {
        let offset = CommitOffset {
            topic: topic.name.clone(),
            topic_id: topic.id,
            partition: 0,
            offset: 0,
            leader_epoch: -1,
            metadata: "".into(),
        };
        let event = TransactionCommit {
            producer: Producer { id, epoch: 0 },
            verified_at: Some(Offset::new(i64::MAX)),
            commit: Commit {
                group: "g".into(),
                member: "".into(),
                instance: None,
                generation: -1,
                retention_ms: None,
                knows_group_id_not_found: false,
                offsets: vec![offset],
            },
        };
        groups.send("g", Event::TransactionCommit(event))
    };
    let last = i64::try_from(OPEN_TRANSACTIONS_MAX).expect("few");
    let opened: Vec<_> = (0..last).map(&commit).collect();
    for opened in opened {
        assert!(opened.await.is_ok());
    }
    let refused = commit(last).await;
    assert_eq!(refused.err(), Some(ErrorCode::CoordinatorLoadInProgress));
    assert_eq!(groups.complaints(), [""; 0]);
    assert!(commit(0).await.is_ok(), "it is open already");
}

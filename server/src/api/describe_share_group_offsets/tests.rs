use ratel_protocol::messages::GroupId;

use super::super::testing::queues::{accept, bench, starts};
use super::*;

fn asked(group: &str, topics: Option<&[(&str, &[i32])]>) -> AskedGroup {
    let topic = |(name, indexes): &(&str, &[i32])| {
        AskedTopic::default()
            .with_topic_name(TopicName(text(name)))
            .with_partitions(indexes.to_vec())
    };
    AskedGroup::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(topics.map(|topics| topics.iter().map(topic).collect()))
}

#[tokio::test]
async fn the_lag_is_what_is_not_done() {
    let (bench, topic) = bench().await;
    assert_eq!(starts(&bench, "g").await, [(0, 0, 3), (1, 0, 0)]);
    assert_eq!(accept(&bench, &topic, 1, 0).await, 0);
    assert_eq!(starts(&bench, "g").await, [(0, 1, 2), (1, 0, 0)]);
    let depth = Depth {
        start: ratel_storage::Offset::new(5),
        complete: 2,
        ..Depth::default()
    };
    assert_eq!(
        lag(&depth, 10),
        3,
        "what is done beyond the start is not counted"
    );
    assert_eq!(lag(&depth, 4), 0, "a log that was cut");
}

#[tokio::test]
async fn what_is_not_known_is_absent_and_no_error() {
    let (bench, topic) = bench().await;
    let groups = vec![
        asked("g", Some(&[("jobs", &[1, 7, -1]), ("nothing", &[0])])),
        asked("g", Some(&[])),
        asked("g", None),
        asked("g", None),
        asked("other", None),
        asked("other", Some(&[("jobs", &[0])])),
    ];
    for version in DescribeShareGroupOffsets::VERSIONS {
        let request = DescribeShareGroupOffsetsRequest::default().with_groups(groups.clone());
        let answer = bench.send(version, &request).await;
        let mut told = Vec::new();
        for group in &answer.groups {
            assert_eq!((group.error_code, &group.error_message), (0, &None));
            let topics = group.topics.iter().map(|topic| {
                let rows = topic.partitions.iter();
                let rows = rows.map(|row| (row.partition_index, row.start_offset, row.lag));
                let name: &str = &topic.topic_name;
                (name, topic.topic_id, rows.collect::<Vec<_>>())
            });
            let id: &str = &group.group_id;
            told.push((id, topics.collect::<Vec<_>>()));
        }
        let lag = |lag| if version == 0 { -1 } else { lag };
        let named = vec![(1, 0, lag(0)), (7, -1, -1), (-1, -1, -1)];
        let nothing = ("nothing", TopicId::nil(), vec![(0, -1, -1)]);
        let all = vec![(0, 0, lag(3)), (1, 0, lag(0))];
        let expected = [
            ("g", vec![("jobs", topic.id, named), nothing]),
            ("g", vec![]),
            ("g", vec![("jobs", topic.id, all)]),
            ("other", vec![]),
            ("other", vec![("jobs", topic.id, vec![(0, -1, -1)])]),
        ];
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn queues_of_a_topic_that_is_gone_are_not_told() {
    let (bench, topic) = bench().await;
    bench.delete(&topic);
    assert_eq!(starts(&bench, "g").await, []);
}

use bytes::{Bytes, BytesMut};
use std::sync::Arc;

use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use ratel_protocol::messages::fetch_response::{
    AbortedTransaction as CodecAborted, FetchableTopicResponse, PartitionData,
};
use ratel_protocol::messages::{FetchResponse, TopicName};
use ratel_protocol::{ApiKey, StrBytes};
use ratel_storage::disk::{Disk, Open, OsDisk};
use ratel_storage::{FileRange, TopicId};

use super::super::super::pieces::PIECE_BYTES;
use super::*;

fn joined(answer: Answer) -> Bytes {
    match answer {
        Answer::Body(bytes) => bytes,
        Answer::Pieces(pieces) => {
            let mut all = BytesMut::new();
            for piece in pieces {
                all.put(piece.to_bytes().expect("a readable piece"));
            }
            all.freeze()
        }
        other => panic!("not a frame: {other:?}"),
    }
}

/// The same answer as the codec writes it.
fn encoded(version: i16, correlation_id: i32, head: &Head, lines: &[Line]) -> Bytes {
    let topics = lines.chunk_by(|a, b| a.topic == b.topic).map(|lines| {
        let topic = FetchableTopicResponse::default();
        let topic = match &lines[0].topic {
            TopicKey::Id(id) => topic.with_topic_id(*id),
            TopicKey::Name(name) => {
                topic.with_topic(TopicName(StrBytes::from_string(name.to_string())))
            }
        };
        topic.with_partitions(
            lines
                .iter()
                .map(|line| {
                    let records = line.records.as_ref();
                    PartitionData::default()
                        .with_partition_index(line.index)
                        .with_error_code(line.code)
                        .with_high_watermark(line.offsets[0].get())
                        .with_last_stable_offset(line.offsets[1].get())
                        .with_log_start_offset(line.offsets[2].get())
                        .with_aborted_transactions(
                            head.read_committed
                                .then(|| line.aborted.iter().map(codec_aborted).collect()),
                        )
                        .with_records(Some(records.map_or_else(Bytes::new, |records| {
                            records.to_bytes().expect("readable records")
                        })))
                })
                .collect(),
        )
    });
    let response = FetchResponse::default()
        .with_throttle_time_ms(head.throttle_ms)
        .with_responses(topics.collect());
    let response = if version >= 7 {
        response
            .with_error_code(head.code)
            .with_session_id(head.session_id)
    } else {
        response
    };
    ratel_protocol::response::encode(ApiKey::Fetch, version, correlation_id, &response)
}

fn codec_aborted(one: &AbortedTransaction) -> CodecAborted {
    CodecAborted::default()
        .with_producer_id(one.producer_id.into())
        .with_first_offset(one.first_offset.get())
}

fn any_line(version: i16) -> impl Strategy<Value = Line> {
    let records = prop_oneof![
        3 => proptest::strategy::Just(None),
        6 => proptest::collection::vec(any::<u8>(), 1..300).prop_map(Some),
        1 => (PIECE_BYTES - 2..PIECE_BYTES + 300).prop_map(|len| Some(vec![7; len])),
    ];
    (
        0..3u8,
        any::<i32>(),
        any::<i16>(),
        any::<[i64; 3]>(),
        records,
        proptest::collection::vec(any::<[i64; 2]>(), 0..4),
    )
        .prop_map(
            move |(topic, index, code, offsets, records, aborted)| Line {
                topic: if version >= 13 {
                    TopicKey::Id(TopicId::from_u128(u128::from(topic) << 64))
                } else {
                    TopicKey::Name(Arc::from(
                        "a-topic".repeat(usize::from(topic) * 10).as_str(),
                    ))
                },
                index,
                code,
                offsets: offsets.map(Offset::new),
                records: records.map(|bytes| Slice::Bytes(bytes.into())),
                aborted: aborted
                    .into_iter()
                    .map(|[producer_id, first]| AbortedTransaction {
                        producer_id,
                        first_offset: Offset::new(first),
                        last_offset: Offset::ZERO,
                        stable_at_marker: Offset::ZERO,
                    })
                    .collect(),
            },
        )
}

proptest! {
    #[test]
    fn the_frame_is_what_the_codec_writes(
        (version, lines) in (4..=18i16).prop_flat_map(|version| {
            (proptest::strategy::Just(version), proptest::collection::vec(any_line(version), 0..9))
        }),
        correlation_id in any::<i32>(),
        code in any::<i16>(),
        session_id in any::<i32>(),
        throttle_ms in any::<i32>(),
        read_committed in any::<bool>(),
    ) {
        let head = Head { code, throttle_ms, session_id, read_committed };
        let expected = encoded(version, correlation_id, &head, &lines);
        assert_eq!(joined(frame(version, correlation_id, &head, &lines)), expected);
    }
}

fn line(records: Option<Slice>) -> Line {
    Line {
        topic: TopicKey::Name("t".into()),
        index: 0,
        code: 0,
        offsets: [Offset::new(5), Offset::new(5), Offset::ZERO],
        records,
        aborted: Vec::new(),
    }
}

const HEAD: Head = Head {
    code: 0,
    throttle_ms: 0,
    session_id: 0,
    read_committed: false,
};

#[test]
fn large_records_are_pieces_and_are_not_copied() {
    let records = Bytes::from(vec![1; PIECE_BYTES]);
    let lines = [
        line(Some(Slice::Bytes(records.clone()))),
        line(Some(Slice::Bytes(records.slice(..10)))),
    ];
    let Answer::Pieces(pieces) = frame(12, 1, &HEAD, &lines) else {
        panic!("expected pieces");
    };
    assert_eq!(pieces.len(), 3);
    let Slice::Bytes(second) = &pieces[1] else {
        panic!("expected bytes");
    };
    assert_eq!(second.as_ptr(), records.as_ptr());
}

#[test]
fn a_small_range_of_a_file_is_read_and_a_large_one_is_left_to_sendfile() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = OsDisk::new(dir.path().to_path_buf());
    let file = disk
        .open(std::path::Path::new("log"), Open::Create)
        .expect("a file");
    let bytes = vec![9; PIECE_BYTES];
    file.write_at(&[std::io::IoSlice::new(&bytes)], 0)
        .expect("written");
    let range = |len| {
        let file = file.clone();
        Slice::File(FileRange {
            file,
            position: 0,
            len,
        })
    };
    let look = |records| {
        let entry = Entry::new(TopicKey::Name("t".into()), 0, Offset::ZERO);
        let offsets = ratel_storage::Offsets::default();
        Line::new(
            &entry,
            Ok(Read {
                records: Some(records),
                offsets,
                aborted: Vec::new(),
                behind_active: false,
            }),
        )
    };
    assert!(matches!(
        look(range(PIECE_BYTES)).records,
        Some(Slice::File(_))
    ));
    let small = look(range(PIECE_BYTES - 1));
    assert!(matches!(&small.records, Some(Slice::Bytes(read)) if read.len() == PIECE_BYTES - 1));
    // A range that is not there is the disk's failure, in this partition alone.
    let gone = Slice::File(FileRange {
        file,
        position: 1 << 40,
        len: 10,
    });
    let gone = look(gone);
    assert_eq!((gone.code, gone.records.is_none()), (56, true));
}

#[test]
fn f_5_an_error_has_no_offsets() {
    let entry = Entry::new(TopicKey::Name("t".into()), 3, Offset::ZERO);
    let line = Line::new(&entry, Err(ErrorCode::OffsetOutOfRange));
    assert_eq!((line.index, line.code), (3, 1));
    assert_eq!(line.offsets, [Offset::new(-1); 3]);
    assert!(line.records.is_none());
}

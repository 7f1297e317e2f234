//! What bytes from the network can make the decoder allocate: a frame of 1 KiB at most 64 KiB,
//! whatever its key, version and content. This program's allocator counts.

#![allow(
    unsafe_code,
    reason = "a global allocator can only be written so; this one adds a count to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FetchRequest, MetadataRequest};
use kafka_protocol::protocol::{Request, StrBytes};
use ratel_protocol::ApiKey;
use ratel_protocol::schema::generate::{self, Random};
use ratel_server::api::{self, ROUTES};

struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    // A thread that is ending has no count any more, and needs none.
    let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + bytes));
}

// SAFETY: every call goes to the system's allocator with the arguments it came with; counting
// does not allocate (a constant thread local without a destructor).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes allocated (freed ones included) while the frame is decoded, and whether it was accepted.
fn decode(frame: &[u8]) -> (usize, bool) {
    let frame = Bytes::copy_from_slice(frame);
    let before = ALLOCATED.get();
    let accepted = api::check(frame).is_ok();
    (ALLOCATED.get() - before, accepted)
}

/// The first bytes of a frame of this row: a whole header without a client id.
fn head(key: ApiKey, version: i16) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend((key as i16).to_be_bytes());
    head.extend(version.to_be_bytes());
    head.extend(7i32.to_be_bytes());
    head.extend((-1i16).to_be_bytes());
    if key.request_header_version(version) >= 2 {
        head.push(0);
    }
    head
}

fn each_version() -> impl Iterator<Item = (ApiKey, i16)> {
    ROUTES.iter().flat_map(|route| {
        (route.version_min..=route.version_max).map(|version| (route.key, version))
    })
}

const FRAME: usize = 1024;
const ALLOWED: usize = 64 << 10;

#[test]
fn a_frame_of_1_kib_allocates_at_most_64_kib() {
    let mut most = (0, String::new());
    for (key, version) in each_version() {
        let mut frames = Vec::new();
        // All bytes alike: counts and lengths of every size, where every field is as short as can
        // be, and the same behind 4 bytes of a count.
        for byte in 0..=255u8 {
            frames.push(vec![byte; FRAME]);
        }
        for count in [2u32, 100, 200, 333, 500, 900, 1000] {
            for fill in [0, 1, 2] {
                let mut plain = count.to_be_bytes().to_vec();
                plain.resize(FRAME, fill);
                frames.push(plain);
                let mut compact = vec![(count & 0x7f) as u8 | 0x80, (count >> 7) as u8];
                compact.resize(FRAME, fill);
                frames.push(compact);
            }
        }
        // And what is legal, repeated until it is long enough, and broken.
        for seed in 0..40 {
            let mut random = Random::new(seed);
            let mut body = generate::body(key, version, &mut random).expect("it has a schema");
            for _ in 0..4 {
                body.resize(FRAME, 0);
                frames.push(body.clone());
                generate::damage(&mut body, &mut random);
            }
        }
        for body in frames {
            let mut frame = head(key, version);
            frame.extend(body);
            frame.truncate(FRAME);
            let (allocated, accepted) = decode(&frame);
            if allocated > most.0 {
                let start = &frame[..32];
                most = (
                    allocated,
                    format!("{key:?} v{version} {accepted} {start:02x?}"),
                );
            }
        }
    }
    assert!(most.0 <= ALLOWED, "{} bytes: {}", most.0, most.1);
    assert!(most.0 > 1024, "the counter counts: {} bytes", most.0);
}

/// The densest legal frames there are: every byte of them costs as much memory as it can.
#[test]
fn the_densest_legal_frames_stay_within_bounds() {
    // Metadata v9: a topic is a null name and no tags, 72 bytes of memory for 2.
    let topics = |tags: &[u8]| {
        let element = [&[0], tags].concat();
        let head = head(ApiKey::Metadata, 9);
        let count = (FRAME - head.len() - 6) / element.len();
        let length = count + 1;
        let mut frame = head;
        frame.push((length & 0x7f) as u8 | 0x80);
        frame.push((length >> 7) as u8);
        frame.extend(element.repeat(count));
        frame.extend([1, 0, 0, 0]);
        frame
    };
    let (allocated, accepted) = decode(&topics(&[0]));
    assert!(accepted && allocated <= ALLOWED, "{accepted} {allocated}");
    // The same with an unknown tag in each: those cost a tree each, and are too many.
    let (allocated, accepted) = decode(&topics(&[1, 5, 0]));
    assert!(!accepted && allocated <= ALLOWED, "{accepted} {allocated}");
}

#[test]
fn large_legal_requests_are_accepted_and_cost_what_they_hold() {
    let names = (0..10_000).map(|number| {
        let name = StrBytes::from_string(format!("topic-{number}"));
        MetadataRequestTopic::default().with_name(Some(name.into()))
    });
    let metadata = MetadataRequest::default().with_topics(Some(names.collect()));
    let partition = |index| FetchPartition::default().with_partition(index);
    let topic = FetchTopic::default().with_partitions((0..1000).map(partition).collect());
    let fetch = FetchRequest::default().with_topics(vec![topic]);
    for version in [1, 9, 12] {
        check_large(&encode(&metadata, version), 10_000 * 100);
    }
    for version in [4, 12, 17] {
        check_large(&encode(&fetch, version), 1000 * 120);
    }
}

fn check_large(frame: &[u8], allowed: usize) {
    let (allocated, accepted) = decode(frame);
    assert!(accepted && allocated <= allowed, "{accepted} {allocated}");
}

fn encode<R: Request>(request: &R, version: i16) -> Bytes {
    let key = ApiKey::try_from(R::KEY).expect("a known key");
    let mut frame = BytesMut::from(&head(key, version)[..]);
    request.encode(&mut frame, version).expect("it encodes");
    frame.freeze()
}

//! ShareFetch: sessions, limits and what is leased.

use kafka_protocol::messages::GroupId;
use ratel_protocol::messages::ShareFetchRequest as Request;
use ratel_protocol::messages::share_fetch_request::ForgottenTopic;
use uuid::Uuid;

use crate::worker::{Worker, ack, fetched, quiet, wanted};
use crate::world::{Carrier, Family, World, pause, scenarios};

pub fn families() -> Vec<Family> {
    vec![Family {
        name: "share_fetch",
        versions: 1..=2,
        carrier: Carrier::Fetch,
        scenarios: scenarios![
            since 2: acquire_mode_unknown,
            since 2: strict_max_records,
            since 2: renew_with_sizes,
            ;
            acks_at_the_first_epoch,
            no_session,
            wrong_epochs,
            session_replaced,
            closed,
            strange_ids,
            never_joined,
            unknown_topic_id,
            unknown_partition,
            nothing_wanted,
            two_topics,
            forgotten,
            named_twice,
            max_records,
            min_bytes,
            max_bytes,
            max_wait,
            batch_size,
            batch_size_over_batches,
            soft_max_records,
            delivery_counts,
            delivery_limit,
            disconnect,
            lock_runs_out,
            max_record_locks,
            max_record_locks_inside_a_batch,
            latest,
        ],
    }]
}

async fn acks_at_the_first_epoch(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    let topics = vec![fetched(world, "t", 0, &[ack(0, 9, &[1])])];
    worker
        .fetch(world, "acks", |request| request.with_topics(topics))
        .await;
    worker.epoch = 1;
    worker.more(world, "is there a session").await;
    worker.epoch = 0;
    worker.open(world).await;
}

async fn no_session(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    for epoch in [1, 7, i32::MAX, -1, -2, i32::MIN] {
        let topics = vec![wanted(world, "t", &[0])];
        let change = |request: Request| request.with_share_session_epoch(epoch).with_topics(topics);
        worker.fetch(world, &format!("epoch {epoch}"), change).await;
    }
}

async fn wrong_epochs(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    worker.open(world).await;
    for epoch in [2, i32::MAX, -2, i32::MIN] {
        let change = |request| quiet(request).with_share_session_epoch(epoch);
        worker.fetch(world, &format!("epoch {epoch}"), change).await;
    }
    worker.epoch = 1;
    worker.fetch(world, "right", quiet).await;
    worker.epoch = 1;
    worker.fetch(world, "repeated", quiet).await;
    worker.epoch = 2;
    worker.fetch(world, "goes on", quiet).await;
}

/// A second epoch 0 takes the place of the session, and its records stay with the member.
async fn session_replaced(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    worker.open(world).await;
    worker.epoch = 0;
    let topics = vec![wanted(world, "t", &[0])];
    let change = |request| quiet(request).with_topics(topics);
    worker.fetch(world, "again", change).await;
    let topics = vec![fetched(world, "t", 0, &[ack(0, 9, &[1])])];
    worker
        .fetch(world, "acks", |request| quiet(request).with_topics(topics))
        .await;
}

async fn closed(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    worker.open(world).await;
    let topics = vec![fetched(world, "t", 0, &[ack(0, 4, &[1])])];
    let change = |request| {
        quiet(request)
            .with_share_session_epoch(-1)
            .with_topics(topics)
    };
    worker.fetch(world, "close with acks", change).await;
    worker.close(world, "close again").await;
    pause(500).await;
    worker.open(world).await;
    let change = |request: Request| request.with_share_session_epoch(-1);
    worker.fetch(world, "close with sizes", change).await;
    pause(500).await;
    worker.open(world).await;
}

async fn strange_ids(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    let long = "m".repeat(37);
    for (name, member) in [("empty", Some("")), ("null", None), ("long", Some(&*long))] {
        let topics = vec![wanted(world, "t", &[0])];
        let member = member.map(|member| member.to_owned().into());
        let change = |request: Request| request.with_member_id(member).with_topics(topics);
        worker.fetch(world, &format!("{name} member"), change).await;
        worker.epoch = 0;
    }
    let topics = vec![wanted(world, "t", &[0])];
    let change = |request: Request| {
        quiet(request)
            .with_group_id(Some(GroupId::default()))
            .with_topics(topics)
    };
    worker.fetch(world, "empty group", change).await;
}

/// A member may fetch before it has joined, and from a group that nobody has joined.
async fn never_joined(world: &mut World) {
    Worker::with_records(world, &[10]).await;
    let mut other = Worker::stranger(world, "other").await;
    other.open(world).await;
}

async fn unknown_topic_id(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    let topics = vec![wanted(world, "missing", &[0])];
    worker
        .fetch(world, "open", |request| quiet(request).with_topics(topics))
        .await;
    worker.epoch = 0;
    worker.open(world).await;
    worker.epoch = 1;
    let topics = vec![fetched(world, "missing", 0, &[ack(0, 4, &[1])])];
    worker
        .fetch(world, "acks", |request| quiet(request).with_topics(topics))
        .await;
    worker.epoch = 0;
    let mut none = wanted(world, "t", &[0]);
    none.topic_id = Uuid::nil();
    worker
        .fetch(world, "no id", |request| {
            quiet(request).with_topics(vec![none])
        })
        .await;
    worker.epoch = 0;
    let topics = vec![wanted(world, "t", &[0]), wanted(world, "missing", &[0])];
    worker
        .fetch(world, "beside a known one", |request| {
            quiet(request).with_topics(topics)
        })
        .await;
}

async fn unknown_partition(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    let topics = vec![wanted(world, "t", &[0, 1, -1, i32::MAX])];
    worker
        .fetch(world, "open", |request| request.with_topics(topics))
        .await;
    worker.fetch(world, "again", quiet).await;
    for partition in [1, -1] {
        let topics = vec![fetched(world, "t", partition, &[ack(0, 4, &[1])])];
        let step = format!("acks of {partition}");
        worker
            .fetch(world, &step, |request| quiet(request).with_topics(topics))
            .await;
    }
}

async fn nothing_wanted(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    worker
        .fetch(world, "open", |request| request.with_max_wait_ms(200))
        .await;
    let topics = vec![wanted(world, "t", &[])];
    let change = |request: Request| request.with_max_wait_ms(200).with_topics(topics);
    worker
        .fetch(world, "a topic without partitions", change)
        .await;
    let topics = vec![wanted(world, "t", &[0])];
    worker
        .fetch(world, "added", |request| request.with_topics(topics))
        .await;
    worker
        .fetch(world, "nothing more", |request| {
            request.with_max_wait_ms(200)
        })
        .await;
}

async fn two_topics(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    world.make_topic("u", 2).await;
    world.produce("u", 1, 5).await;
    world.join("g", "m", &["t", "u"], 3).await;
    worker.open(world).await;
    let topics = vec![wanted(world, "u", &[1])];
    worker
        .fetch(world, "one added", |request| request.with_topics(topics))
        .await;
    let topics = vec![
        fetched(world, "t", 0, &[ack(0, 9, &[1])]),
        fetched(world, "u", 1, &[ack(0, 4, &[1])]),
    ];
    worker
        .fetch(world, "acks of both", |request| {
            quiet(request).with_topics(topics)
        })
        .await;
    let topics = vec![
        fetched(world, "t", 0, &[ack(3, 2, &[1])]),
        fetched(world, "u", 0, &[ack(0, 4, &[1])]),
    ];
    worker
        .fetch(world, "bad acks of both", |request| {
            quiet(request).with_topics(topics)
        })
        .await;
}

async fn forgotten(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    worker.open(world).await;
    let forget = |world: &World, topic: &str, partitions: &[i32]| {
        ForgottenTopic::default()
            .with_topic_id(world.topic_id(topic))
            .with_partitions(partitions.to_vec())
    };
    let topics = vec![forget(world, "t", &[0])];
    let change = |request| quiet(request).with_forgotten_topics_data(topics);
    worker.fetch(world, "forgets", change).await;
    world.produce("t", 0, 5).await;
    worker
        .fetch(world, "nothing is left", |request| {
            request.with_max_wait_ms(200)
        })
        .await;
    let topics = vec![fetched(world, "t", 0, &[ack(0, 4, &[1])])];
    worker
        .fetch(world, "acks bring it back", |request| {
            quiet(request).with_topics(topics)
        })
        .await;
    worker.more(world, "and it is read").await;
    let topics = vec![forget(world, "t", &[7]), forget(world, "missing", &[0])];
    let change = |request| quiet(request).with_forgotten_topics_data(topics);
    worker.fetch(world, "forgets what it had not", change).await;
    let (known, gone) = (
        vec![wanted(world, "t", &[0])],
        vec![forget(world, "t", &[0])],
    );
    world.produce("t", 0, 5).await;
    let change = |request: Request| {
        request
            .with_max_wait_ms(200)
            .with_topics(known)
            .with_forgotten_topics_data(gone)
    };
    worker.fetch(world, "wanted and forgotten", change).await;
}

async fn named_twice(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    worker.open(world).await;
    let topics = vec![wanted(world, "t", &[0, 0]), wanted(world, "t", &[0])];
    worker
        .fetch(world, "wanted", |request| {
            quiet(request).with_topics(topics)
        })
        .await;
    let topics = vec![
        fetched(world, "t", 0, &[ack(0, 4, &[1])]),
        fetched(world, "t", 0, &[ack(5, 9, &[1])]),
    ];
    worker
        .fetch(world, "acks", |request| quiet(request).with_topics(topics))
        .await;
    let topics = vec![fetched(world, "t", 0, &[ack(0, 9, &[1])])];
    worker
        .fetch(world, "acks again", |request| {
            quiet(request).with_topics(topics)
        })
        .await;
}

async fn max_records(world: &mut World) {
    let mut worker = Worker::with_records(world, &[3, 3, 3]).await;
    worker.open(world).await;
    worker.close(world, "close").await;
    for most in [0, -1, i32::MIN, 1, i32::MAX] {
        let topics = vec![wanted(world, "t", &[0])];
        let change = |request: Request| {
            request
                .with_max_records(most)
                .with_max_wait_ms(500)
                .with_topics(topics)
        };
        worker.fetch(world, &format!("{most}"), change).await;
        worker.close(world, "close").await;
        pause(200).await;
    }
}

async fn min_bytes(world: &mut World) {
    let mut worker = Worker::with_records(world, &[3, 3, 3]).await;
    for least in [0, -1, i32::MIN, 100_000, i32::MAX] {
        let topics = vec![wanted(world, "t", &[0])];
        let change = |request: Request| {
            request
                .with_min_bytes(least)
                .with_max_wait_ms(700)
                .with_topics(topics)
        };
        worker.fetch(world, &format!("{least}"), change).await;
        worker.close(world, "close").await;
        pause(200).await;
    }
}

async fn max_bytes(world: &mut World) {
    let mut worker = Worker::with_records(world, &[3, 3, 3]).await;
    for most in [0, -1, i32::MIN, 1, 120, 200, i32::MAX] {
        let topics = vec![wanted(world, "t", &[0])];
        let change = |request: Request| {
            request
                .with_max_bytes(most)
                .with_max_wait_ms(700)
                .with_topics(topics)
        };
        worker.fetch(world, &format!("{most}"), change).await;
        worker.close(world, "close").await;
        pause(200).await;
    }
}

async fn max_wait(world: &mut World) {
    let mut worker = Worker::with_records(world, &[3]).await;
    worker.open(world).await;
    for longest in [0, -1, i32::MIN] {
        let change = |request: Request| request.with_max_wait_ms(longest);
        worker.fetch(world, &format!("{longest}"), change).await;
    }
}

async fn batch_size(world: &mut World) {
    let mut worker = Worker::with_records(world, &[]).await;
    let mut first = 0;
    for size in [1, 3, 10, i32::MAX, 0, -1, i32::MIN] {
        world.produce("t", 0, 10).await;
        let topics = vec![wanted(world, "t", &[0])];
        let change = |request: Request| request.with_batch_size(size).with_topics(topics);
        worker.fetch(world, &size.to_string(), change).await;
        let topics = vec![fetched(world, "t", 0, &[ack(first, first + 9, &[1])])];
        worker
            .fetch(world, "done", |request| quiet(request).with_topics(topics))
            .await;
        first += 10;
    }
}

/// How ranges follow the batches of the log.
async fn batch_size_over_batches(world: &mut World) {
    let mut worker = Worker::with_records(world, &[]).await;
    let mut first = 0;
    for size in [1, 3, 5, 7, 500] {
        for count in [5, 2, 1, 7] {
            world.produce("t", 0, count).await;
        }
        let topics = vec![wanted(world, "t", &[0])];
        let change = |request: Request| {
            request
                .with_batch_size(size)
                .with_min_bytes(400)
                .with_topics(topics)
        };
        worker.fetch(world, &size.to_string(), change).await;
        let topics = vec![fetched(world, "t", 0, &[ack(first, first + 14, &[1])])];
        worker
            .fetch(world, "done", |request| quiet(request).with_topics(topics))
            .await;
        first += 15;
    }
}

async fn soft_max_records(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10, 10, 10]).await;
    let topics = vec![wanted(world, "t", &[0])];
    let change = |request: Request| request.with_max_records(15).with_topics(topics);
    worker.fetch(world, "fifteen of thirty", change).await;
    worker
        .fetch(world, "one more", |request| request.with_max_records(1))
        .await;
    worker
        .fetch(world, "none is left", |request| {
            request.with_max_wait_ms(200)
        })
        .await;
}

async fn strict_max_records(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10, 10, 10]).await;
    let topics = vec![wanted(world, "t", &[0])];
    let change = |request: Request| {
        request
            .with_share_acquire_mode(1)
            .with_max_records(15)
            .with_topics(topics)
    };
    worker.fetch(world, "fifteen of thirty", change).await;
    for (step, most) in [("one", 1), ("seven", 7), ("the rest", 500)] {
        let change = |request: Request| request.with_share_acquire_mode(1).with_max_records(most);
        worker.fetch(world, step, change).await;
    }
}

async fn acquire_mode_unknown(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    for mode in [2, -1, i8::MAX] {
        let topics = vec![wanted(world, "t", &[0])];
        let change = |request: Request| request.with_share_acquire_mode(mode).with_topics(topics);
        worker.fetch(world, &format!("mode {mode}"), change).await;
        worker.epoch = 0;
    }
}

async fn renew_with_sizes(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    worker.open(world).await;
    let sizes = [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [0; 4],
    ];
    for [wait, least, bytes, records] in sizes {
        let topics = vec![fetched(world, "t", 0, &[ack(0, 9, &[4])])];
        let change = |request: Request| {
            request
                .with_is_renew_ack(true)
                .with_max_wait_ms(wait)
                .with_min_bytes(least)
                .with_max_bytes(bytes)
                .with_max_records(records)
                .with_topics(topics)
        };
        let step = format!("wait {wait} least {least} bytes {bytes} records {records}");
        worker.fetch(world, &step, change).await;
    }
    let change = |request| quiet(request).with_is_renew_ack(true);
    worker.fetch(world, "without acks", change).await;
}

/// What is released comes again with a count that is one higher.
async fn delivery_counts(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    worker.open(world).await;
    let types = [1, 2, 1, 2, 3, 2, 0, 2, 2, 1];
    let topics = vec![fetched(world, "t", 0, &[ack(0, 9, &types)])];
    worker
        .fetch(world, "acks", |request| quiet(request).with_topics(topics))
        .await;
    worker.more(world, "released ones").await;
    worker.close(world, "close").await;
    pause(200).await;
    worker.open(world).await;
}

/// A record that was delivered as often as it may be comes no more.
async fn delivery_limit(world: &mut World) {
    let mut worker = Worker::configured(world, &[4], &[("share.delivery.count.limit", "2")]).await;
    worker.open(world).await;
    let topics = vec![fetched(world, "t", 0, &[ack(0, 3, &[2])])];
    worker
        .fetch(world, "release", |request| {
            quiet(request).with_topics(topics)
        })
        .await;
    for last in [
        "a last time",
        "another last time",
        "and another",
        "and one more",
    ] {
        worker.more(world, last).await;
    }
    worker.close(world, "close").await;
    pause(200).await;
    let topics = vec![wanted(world, "t", &[0])];
    let change = |request: Request| request.with_max_wait_ms(500).with_topics(topics);
    worker.fetch(world, "nothing is left", change).await;
}

/// A connection that ends gives back what its sessions had.
async fn disconnect(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    worker.open(world).await;
    drop(worker);
    pause(500).await;
    let mut other = Worker::stranger(world, "other").await;
    other.open(world).await;
}

async fn lock_runs_out(world: &mut World) {
    let short = [("share.record.lock.duration.ms", "1000")];
    let mut worker = Worker::configured(world, &[10], &short).await;
    worker.open(world).await;
    pause(2000).await;
    let topics = vec![fetched(world, "t", 0, &[ack(0, 9, &[1])])];
    worker
        .fetch(world, "too late", |request| {
            quiet(request).with_topics(topics)
        })
        .await;
    worker.more(world, "again").await;
}

/// So many records may be in flight: leased, or done behind one that is not.
async fn max_record_locks(world: &mut World) {
    let few = [("share.partition.max.record.locks", "100")];
    let mut worker = Worker::configured(world, &[50, 50, 50, 50], &few).await;
    worker.open(world).await;
    worker
        .fetch(world, "the limit is reached", |request| {
            request.with_max_wait_ms(200)
        })
        .await;
    let topics = vec![fetched(world, "t", 0, &[ack(50, 99, &[1])])];
    worker
        .fetch(world, "acks of the later ones", |request| {
            quiet(request).with_topics(topics)
        })
        .await;
    worker
        .fetch(world, "more", |request| request.with_max_wait_ms(200))
        .await;
    let topics = vec![fetched(world, "t", 0, &[ack(0, 49, &[1])])];
    worker
        .fetch(world, "acks of the first ones", |request| {
            quiet(request).with_topics(topics)
        })
        .await;
    worker
        .fetch(world, "the rest", |request| request.with_max_wait_ms(500))
        .await;
}

async fn max_record_locks_inside_a_batch(world: &mut World) {
    let few = [("share.partition.max.record.locks", "100")];
    let mut worker = Worker::configured(world, &[60, 60, 60], &few).await;
    worker.open(world).await;
}

/// A group begins at the end of the log unless it says otherwise.
async fn latest(world: &mut World) {
    world.make_topic("t", 1).await;
    world.produce("t", 0, 10).await;
    world.join("g", "m", &["t"], 1).await;
    let mut worker = Worker::stranger(world, "m").await;
    let topics = vec![wanted(world, "t", &[0])];
    let change = |request: Request| request.with_max_wait_ms(500).with_topics(topics);
    worker.fetch(world, "open", change).await;
    world.produce("t", 0, 3).await;
    worker.more(world, "what came since").await;
}

//! The assignor `range`: of each topic every reader gets a stretch of partitions, the first ones
//! one more if it does not come out even. Static members come first, by the name that outlives
//! their ids; so topics that are read alike and have as many partitions are cut alike.

use std::collections::BTreeMap;

use ratel_storage::TopicId;

use super::{Subscriber, classes};
use crate::coordinator::group::record::Assignment;

pub(super) fn assign(
    subscribers: &[Subscriber<'_>],
    topics: &BTreeMap<TopicId, i32>,
) -> Vec<Assignment> {
    let mut assigned = vec![Assignment::new(); subscribers.len()];
    for (mut readers, topics) in classes(subscribers, topics) {
        readers.sort_by_key(|reader| {
            let subscriber = &subscribers[*reader];
            let instance = subscriber.instance;
            (instance.is_none(), instance, subscriber.id)
        });
        for (topic, count) in topics {
            let mut left = count;
            let mut next = 0;
            for (place, reader) in readers.iter().enumerate() {
                let waiting = i32::try_from(readers.len() - place).unwrap_or(i32::MAX);
                let size = left / waiting + i32::from(left % waiting != 0);
                if size > 0 {
                    assigned[*reader].insert(topic, (next..next + size).collect());
                }
                (next, left) = (next + size, left - size);
            }
        }
    }
    assigned
}

//! An answer as a list of facts.

use std::collections::BTreeMap;
use std::fmt::Debug;

use kafka_protocol::ResponseError;

use super::text::{Shown, read};

/// Fields of which nobody says what they must be: times, texts, places and what is not known.
const LEFT_OUT: &[&str] = &[
    "throttle_time_ms",
    "unknown_tagged_fields",
    "log_dir",
    "usable_bytes",
    "total_bytes",
];
/// What a field of a text ends with.
const TEXT: &str = "error_message";
/// Fields that name an element of a list, so that the order of elements does not matter.
const NAMES: &[&str] = &[
    "topic_name",
    "topic",
    "name",
    "topic_id",
    "partition_index",
    "partition",
    "index",
    "group_id",
    "transactional_id",
    "member_id",
    "resource_name",
    "key",
    "api_key",
];

/// What stands in a name that this version does not have.
const NO_NAMES: &[&str] = &["", "None", "00000000-0000-0000-0000-000000000000"];
/// The length of an id as text.
const UUID_BYTES: usize = 36;
/// The length of an id in base64, as Kafka makes one for a member.
const SHORT_ID_BYTES: usize = 22;
/// What a server chooses or counts; that there is one says enough.
const IDS: &[&str] = &[
    "session_id",
    "cluster_id",
    "producer_id",
    "finalized_features_epoch",
];

/// The fields of an answer, each by its path, such as `responses[t].partitions[0].error_code`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(pub BTreeMap<String, String>);

impl Facts {
    /// Those of an answer. In its text the names are replaced first, in their order, so that ids
    /// which two servers chose get the same name.
    ///
    /// # Panics
    /// If the answer's `Debug` is not a derived one.
    #[must_use]
    pub fn of(answer: &impl Debug, names: &[(String, String)]) -> Self {
        let mut text = format!("{answer:?}");
        for (id, name) in names {
            text = text.replace(id, name);
        }
        let mut facts = Self::default();
        match read(&text) {
            Ok(shown) => facts.add("", &shown),
            Err(rest) => panic!("this is not read: {rest}"),
        }
        facts
    }

    /// What a field says, the first of this name that there is.
    #[must_use]
    pub fn value(answer: &impl Debug, field: &str) -> Option<String> {
        find(&read(&format!("{answer:?}")).ok()?, field)
    }

    /// A single one.
    #[must_use]
    pub fn one(path: &str, value: &str) -> Self {
        Self(BTreeMap::from([(path.to_owned(), value.to_owned())]))
    }

    fn add(&mut self, path: &str, shown: &Shown) {
        let value = match shown {
            Shown::Atom(text) if path.ends_with("error_code") => error_name(text),
            Shown::Atom(text) if is_id(path, text) => "some".to_owned(),
            Shown::Atom(text) if is_short_id(path, text) => "(id)".to_owned(),
            Shown::Atom(text) if is_now(text) => "now".to_owned(),
            Shown::Atom(text) if text.is_empty() => "\"\"".to_owned(),
            Shown::Atom(text) => without_chance(text),
            Shown::Bytes(bytes) if path.ends_with("records") => batches(bytes),
            Shown::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Shown::Fields(fields) => {
                for (name, value) in fields {
                    if LEFT_OUT.contains(&&**name) || name.ends_with(TEXT) {
                        continue;
                    }
                    let dot = if path.is_empty() { "" } else { "." };
                    self.add(&format!("{path}{dot}{name}"), value);
                }
                return;
            }
            Shown::List(elements) => match on_one_line(elements) {
                Some(line) => line,
                None => {
                    let names = names(elements);
                    for (name, element) in names.iter().zip(elements) {
                        self.add(&format!("{path}[{name}]"), element);
                    }
                    return;
                }
            },
        };
        self.0.insert(path.to_owned(), value);
    }
}

fn find(shown: &Shown, field: &str) -> Option<String> {
    match shown {
        Shown::Fields(fields) => fields.iter().find_map(|(name, value)| match value {
            Shown::Atom(text) if name == field => Some(text.clone()),
            other => find(other, field),
        }),
        Shown::List(elements) => elements.iter().find_map(|element| find(element, field)),
        Shown::Atom(_) | Shown::Bytes(_) => None,
    }
}

/// The id of a member as its server made it, without the part that is by chance.
fn without_chance(text: &str) -> String {
    let start = text.len().checked_sub(UUID_BYTES);
    match start.and_then(|start| text.split_at_checked(start)) {
        Some((front, id)) if front.is_empty() || front.ends_with('-') => {
            let is_by_chance = uuid::Uuid::try_parse(id).is_ok_and(|id| id.get_version_num() == 4);
            if is_by_chance {
                format!("{front}(id)")
            } else {
                text.to_owned()
            }
        }
        _ => text.to_owned(),
    }
}

/// Whether a number is a time within an hour of now.
fn is_now(text: &str) -> bool {
    let Ok(number) = text.parse::<u128>() else {
        return false;
    };
    let now = std::time::UNIX_EPOCH.elapsed();
    now.is_ok_and(|now| number.abs_diff(now.as_millis()) < 3_600_000)
}

fn is_id(path: &str, text: &str) -> bool {
    let is_of_one = IDS.iter().any(|name| path.ends_with(name));
    is_of_one && !["", "0", "-1", "None"].contains(&text)
}

/// Whether this is a member's whole id, by chance.
fn is_short_id(path: &str, text: &str) -> bool {
    let is_of_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    path.ends_with("member_id") && text.len() == SHORT_ID_BYTES && text.bytes().all(is_of_base64)
}

fn error_name(number: &str) -> String {
    match number.parse::<i16>().map(ResponseError::try_from_code) {
        Ok(Some(error)) => format!("{number} {error:?}"),
        _ => number.to_owned(),
    }
}

/// The whole batches of records, by their offsets.
fn batches(mut bytes: &[u8]) -> String {
    let mut shown = Vec::new();
    while let Some((head, _)) = bytes.split_at_checked(61) {
        let number = |at: usize| {
            let four = head.get(at..at + 4).and_then(|four| four.try_into().ok());
            i64::from(i32::from_be_bytes(four.unwrap_or_default()))
        };
        let eight = head.get(..8).and_then(|eight| eight.try_into().ok());
        let first = i64::from_be_bytes(eight.unwrap_or_default());
        let length = usize::try_from(number(8)).unwrap_or(usize::MAX);
        // One that is cut off counts for nothing.
        let Some(rest) = bytes.get(length.saturating_add(12)..) else {
            break;
        };
        shown.push(format!("{first}-{}", first + number(23)));
        bytes = rest;
    }
    format!("[{}]", shown.join(", "))
}

/// A list of plain values, or of ranges of acquired records.
fn on_one_line(elements: &[Shown]) -> Option<String> {
    let shown = elements.iter().map(|element| match element {
        Shown::Atom(text) => Some(text.clone()),
        Shown::Fields(fields) => {
            let value = |name: &str| {
                let found = fields.iter().find(|(field, _)| field == name);
                match found {
                    Some((_, Shown::Atom(value))) => Some(value),
                    _ => None,
                }
            };
            let (first, last) = (value("first_offset")?, value("last_offset")?);
            Some(format!("{first}-{last} x{}", value("delivery_count")?))
        }
        _ => None,
    });
    let shown: Option<Vec<String>> = shown.collect();
    Some(format!("[{}]", shown?.join(", ")))
}

/// What to call each element: by a field that all have and that differs, a resource's name with its
/// type, else by its place.
fn names(elements: &[Shown]) -> Vec<String> {
    let of_field = |field: &&str| -> Option<Vec<String>> {
        elements
            .iter()
            .map(|element| atom(element, field))
            .collect()
    };
    let of_resources = || -> Option<Vec<String>> {
        let of_one = |element: &Shown| {
            let (name, kind) = (
                atom(element, "resource_name")?,
                atom(element, "resource_type")?,
            );
            Some(format!("{name}/{kind}"))
        };
        elements.iter().map(of_one).collect()
    };
    let resources = std::iter::once_with(of_resources);
    let mut candidates = NAMES.iter().map(of_field).chain(resources).flatten();
    let found = candidates.find(|values| {
        let distinct: std::collections::BTreeSet<&String> = values.iter().collect();
        let is_said = |value: &String| !NO_NAMES.contains(&value.as_str());
        distinct.len() == values.len() && values.iter().any(is_said)
    });
    found.unwrap_or_else(|| (0..elements.len()).map(|place| place.to_string()).collect())
}

/// A plain field of an element.
fn atom(element: &Shown, field: &str) -> Option<String> {
    match element {
        Shown::Fields(fields) => match fields.iter().find(|(name, _)| name == field)? {
            (_, Shown::Atom(value)) => Some(without_chance(value)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ratel_protocol::messages::list_config_resources_response::ConfigResource;
    use ratel_protocol::messages::share_fetch_response::{
        AcquiredRecords, PartitionData, ShareFetchableTopicResponse,
    };
    use ratel_protocol::messages::{ListConfigResourcesResponse, ShareFetchResponse};
    use ratel_storage::BatchBuilder;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_a_server_makes_up_is_no_difference() {
        let base64 = "1kxks8a3TL6o0-8GlNNGZQ";
        assert!(is_short_id("member_id", base64));
        assert!(!is_short_id("name", base64));
        assert!(!is_short_id("member_id", "m1"));
        assert!(is_id("finalized_features_epoch", "2174"));
        assert!(!is_id("finalized_features_epoch", "0"));
    }

    #[test]
    fn an_answer_becomes_facts() {
        let mut records = Vec::new();
        for count in [3, 1] {
            let mut batch = BatchBuilder::new(0);
            for _ in 0..count {
                batch.record(None, Some(b"v"));
            }
            records.extend(batch.build().expect("records").bytes().iter());
        }
        records.extend_from_within(..70);
        let acquired = AcquiredRecords::default()
            .with_last_offset(2)
            .with_delivery_count(1);
        let partition = PartitionData::default()
            .with_partition_index(4)
            .with_error_code(6)
            .with_records(Bytes::from(records))
            .with_acquired_records(vec![acquired]);
        let id = Uuid::from_u128(7);
        let topic = ShareFetchableTopicResponse::default()
            .with_topic_id(id)
            .with_partitions(vec![partition]);
        let answer = ShareFetchResponse::default()
            .with_throttle_time_ms(5)
            .with_responses(vec![topic]);
        let facts = Facts::of(&answer, &[(id.to_string(), "t".to_owned())]);
        let of_partition = |field: &str| {
            let path = format!("responses[t].partitions[4].{field}");
            facts.0.get(&path).map(String::as_str)
        };
        assert_eq!(of_partition("error_code"), Some("6 NotLeaderOrFollower"));
        assert_eq!(of_partition("records"), Some("[0-2, 0-0]"));
        assert_eq!(of_partition("acquired_records"), Some("[0-2 x1]"));
        assert_eq!(of_partition("error_message"), None);
        assert_eq!(facts.0.get("error_code").map(String::as_str), Some("0"));
        assert_eq!(facts.0.get("throttle_time_ms"), None);
        assert_eq!(
            facts.0.get("node_endpoints").map(String::as_str),
            Some("[]")
        );
    }

    #[test]
    fn the_order_of_named_elements_does_not_matter() {
        let topics = |numbers: [u128; 2]| {
            let topics = numbers.map(|number| {
                ShareFetchableTopicResponse::default().with_topic_id(Uuid::from_u128(number))
            });
            Facts::of(
                &ShareFetchResponse::default().with_responses(topics.to_vec()),
                &[],
            )
        };
        assert_eq!(topics([1, 2]), topics([2, 1]));
        assert_ne!(topics([1, 2]), topics([2, 3]));
    }

    #[test]
    fn resources_of_one_name_are_told_by_their_types() {
        let resources = |kinds: [i8; 2]| {
            let resources = kinds.map(|kind| {
                ConfigResource::default()
                    .with_resource_name("1".into())
                    .with_resource_type(kind)
            });
            let answer = ListConfigResourcesResponse::default();
            Facts::of(&answer.with_config_resources(resources.to_vec()), &[])
        };
        assert_eq!(resources([4, 8]), resources([8, 4]));
        assert!(
            resources([4, 8])
                .0
                .contains_key("config_resources[1/8].resource_type")
        );
        assert_ne!(resources([4, 8]), resources([4, 2]));
    }
}

//! Requests by chance: well formed, with values that are good or on the edge of it.
//!
//! They are written as lines of a table, so that one that finds a difference can be put into a
//! table as it is. Each scenario begins with the same state and asks on in it. Left out is what
//! stops a server, waits, or touches what other scenarios have; and values of which
//! `docs/compatibility.md` says that nobody sends them.

use std::collections::BTreeMap;

use ratel_protocol::ApiKey;
use ratel_protocol::schema::{Field, Kind, of};

use super::script::{Script, read};
use crate::random::Random;

#[rustfmt::skip]
mod pools;

/// The first and last version of each API.
pub type Versions = BTreeMap<i16, (i16, i16)>;

/// Requests in one scenario.
const REQUESTS: u64 = 20;
/// Elements of an array.
const ELEMENTS_MAX: u64 = 3;
/// What a server shows to others only after a while.
const CHANGES: &[ApiKey] = &[
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::CreatePartitions,
    ApiKey::AlterConfigs,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterClientQuotas,
    ApiKey::EndTxn,
];
/// Fields that name an element, of which none is to be there twice.
const NAMES: &[&str] = &[
    "name",
    "topic",
    "partition_index",
    "partition",
    "index",
    "group_id",
    "resource_name",
    "member_id",
    "entity_type",
    "key",
];

/// What every scenario begins with.
const BEGINNING: &str = "\
topic t 2
topic u 1 cleanup.policy=compact
topic w 1
produce t 0 3
produce t 1 2
- | OffsetCommit/8 group_id=$g \
    topics=[{name=$t partitions=[{partition_index=0 committed_offset=2}]}]
- | JoinGroup/3 group_id=$h protocol_type=consumer \
    protocols=[{name=range metadata=m1}] -> m=member_id
- | SyncGroup/3 group_id=$h generation_id=1 member_id=%m assignments=[{member_id=%m assignment=xyz}]
- | ConsumerGroupHeartbeat/1 group_id=$c member_id=c1 member_epoch=0 \
    topic_partitions=[] subscribed_topic_names=[$t]
- | InitProducerId/4 transactional_id=$x -> p=producer_id
";

/// Scenarios of so many requests in all.
///
/// # Panics
/// If a request cannot be read, which a test rules out.
#[must_use]
pub fn scripts(seed: u64, count: u64, versions: &Versions) -> Vec<Script> {
    let scenarios = count.div_ceil(REQUESTS);
    let tables = (0..scenarios).map(|number| table(seed, number, versions));
    let scripts = tables.map(|table| match read(&table).map(|mut all| all.pop()) {
        Ok(Some(script)) => script,
        other => panic!("{other:?}: {table}"),
    });
    scripts.collect()
}

fn table(seed: u64, scenario: u64, versions: &Versions) -> String {
    let mut random = Random(seed.wrapping_mul(1_000_003).wrapping_add(scenario));
    let mut table = format!("== {seed}-{scenario} Metadata 0\n{BEGINNING}");
    let there: Vec<ApiKey> = pools::APIS
        .iter()
        .copied()
        .filter(|key| versions.contains_key(&(*key as i16)))
        .collect();
    for number in 0..REQUESTS {
        let Some(key) = pick(&mut random, &there) else {
            break;
        };
        let (first, last) = versions.get(&(*key as i16)).copied().unwrap_or_default();
        let (least, most) = pools::versions(*key);
        let (first, last) = (first.max(least), last.min(most));
        let version = first
            + i16::try_from(random.below(u64::try_from(last - first + 1).unwrap_or(1)))
                .unwrap_or(0);
        let mut maker = Maker {
            random: &mut random,
            api: *key,
            version,
            number,
        };
        let fields = maker.fields(of(*key).unwrap_or_default());
        table += &format!("{number:02} {key:?}/{version} | ~51 {key:?}/{version} {fields}\n");
        if CHANGES.contains(key) {
            table += "wait 200\n";
        }
    }
    table
}

fn pick<'a, T>(random: &mut Random, all: &'a [T]) -> Option<&'a T> {
    let place = random.below(all.len().max(1) as u64);
    all.get(usize::try_from(place).unwrap_or(0))
}

struct Maker<'a> {
    random: &'a mut Random,
    api: ApiKey,
    version: i16,
    number: u64,
}

impl Maker<'_> {
    fn fields(&mut self, schema: &[Field]) -> String {
        // A topic's id is that of its name, also where the version has only the one.
        let has_id = schema.iter().any(|field| field.name == "topic_id");
        let has_name = |name: &str| has_id && ["name", "topic"].contains(&name);
        let named = schema.iter().any(|field| has_name(field.name));
        let mut out = Vec::new();
        for field in schema.iter().filter(|field| field.tag.is_none()) {
            let is_in = field.is_in(self.version) || has_name(field.name);
            let by_name = field.name == "topic_id" && named;
            if !is_in || by_name || pools::is_left_out(self.api, field.name) {
                continue;
            }
            out.push(format!(
                "{}={}",
                field.name,
                self.value(field.name, &field.kind)
            ));
        }
        out.join(" ")
    }

    fn value(&mut self, name: &str, kind: &Kind) -> String {
        match kind {
            Kind::Array(element) => self.list(name, element),
            Kind::NullArray(element) => {
                match pools::may_be_null(self.api, name) && self.random.percent(30) {
                    true => "null".to_owned(),
                    false => self.list(name, element),
                }
            }
            Kind::Struct(schema) => format!("{{{}}}", self.fields(schema)),
            Kind::NullStruct(schema) => match self.random.percent(50) {
                true => "null".to_owned(),
                false => format!("{{{}}}", self.fields(schema)),
            },
            Kind::Bool => ["false", "true"][usize::from(self.random.percent(50))].to_owned(),
            _ => self.word(name),
        }
    }

    fn list(&mut self, name: &str, element: &Kind) -> String {
        let count = 1 + self.random.below(ELEMENTS_MAX);
        let count = if self.random.percent(10) { 0 } else { count };
        let (mut seen, mut out) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let value = self.value(name, element);
            let named = named(&value);
            if !seen.contains(&named) {
                seen.push(named);
                out.push(value);
            }
        }
        format!("[{}]", out.join(" "))
    }

    fn word(&mut self, name: &str) -> String {
        let pool = pools::of(self.api, name);
        let word = pick(self.random, pool).copied().unwrap_or("0");
        word.replace('~', &self.number.to_string())
    }
}

/// What names an element: of a struct its first field that does, else all of it.
fn named(value: &str) -> String {
    let inside = value.trim_start_matches('{');
    let first = inside.split(' ').find(|word| {
        let field = word.split('=').next().unwrap_or_default();
        NAMES.contains(&field)
    });
    first.unwrap_or(value).trim_end_matches('}').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::script::Line;
    use super::super::wire::{Names, body};
    use super::*;

    struct Plain;

    impl Names for Plain {
        fn text(&self, word: &str) -> String {
            match word.strip_prefix('%') {
                Some(_) => "1".to_owned(),
                None => word.to_owned(),
            }
        }
        fn id(&self, _: &str) -> [u8; 16] {
            [0; 16]
        }
    }

    fn all() -> Versions {
        let versions = |key: &ApiKey| {
            let key = *key as i16;
            let theirs = kafka_protocol::messages::ApiKey::try_from(key).expect("a key of Kafka's");
            let versions = theirs.valid_versions();
            (key, (versions.min, versions.max))
        };
        pools::APIS.iter().map(versions).collect()
    }

    #[test]
    fn every_request_can_be_written_and_follows_from_the_seed() {
        let made = scripts(7, 4000, &all());
        assert_eq!(made.len(), 200);
        assert_eq!(made, scripts(7, 4000, &all()));
        assert_ne!(made, scripts(8, 4000, &all()));
        let mut asked = std::collections::BTreeSet::new();
        for request in made.iter().flat_map(|script| &script.lines) {
            let Line::Request(request) = request else {
                continue;
            };
            let (name, version) = request.api.clone().expect("an API");
            let key = pools::APIS.iter().find(|key| format!("{key:?}") == name);
            let key = *key.unwrap_or_else(|| panic!("{name}"));
            let written = body(key, version.expect("a version"), &request.fields, &Plain);
            written.unwrap_or_else(|why| panic!("{}: {why}", request.text));
            asked.insert(name);
        }
        assert_eq!(asked.len(), pools::APIS.len());
    }
}

//! A request's bytes from the values of its fields, by the schema of all requests.

use ratel_protocol::ApiKey;
use ratel_protocol::schema::{Field, Kind, of};

use super::batch;
use super::script::{Fields, Value};

/// What the protocol takes for nothing where that is not 0.
const NOTHING: &[(&str, &str)] = &[
    ("replica_id", "-1"),
    ("current_leader_epoch", "-1"),
    ("last_fetched_epoch", "-1"),
    ("log_start_offset", "-1"),
    ("committed_leader_epoch", "-1"),
    ("retention_time_ms", "-1"),
    ("producer_id", "-1"),
    ("producer_epoch", "-1"),
    ("generation_id_or_member_epoch", "-1"),
    ("member_epoch", "-1"),
    ("session_epoch", "-1"),
    ("timeout_ms", "10000"),
    ("max_bytes", "1000000"),
    ("partition_max_bytes", "1000000"),
    ("rebalance_timeout_ms", "30000"),
    ("session_timeout_ms", "30000"),
    ("response_partition_limit", "2000"),
    ("transaction_timeout_ms", "60000"),
];

/// Gives words of a script their value: names of this run, ids, what was kept.
pub trait Names {
    /// The text.
    fn text(&self, word: &str) -> String;
    /// The id of a topic.
    fn id(&self, topic: &str) -> [u8; 16];
}

/// The body of a request.
///
/// # Errors
/// A field that this API has at no version, or a value that does not fit its kind.
pub fn body(
    key: ApiKey,
    version: i16,
    fields: &Fields,
    names: &dyn Names,
) -> Result<Vec<u8>, String> {
    let schema = of(key).ok_or("the schema is not known")?;
    let mut writer = Writer {
        out: Vec::new(),
        version,
        flexible: key.request_header_version(version) >= 2,
        names,
    };
    writer.fields(schema, fields)?;
    Ok(writer.out)
}

struct Writer<'a> {
    out: Vec<u8>,
    version: i16,
    flexible: bool,
    names: &'a dyn Names,
}

impl Writer<'_> {
    fn fields(&mut self, schema: &[Field], values: &Fields) -> Result<(), String> {
        for (name, _) in values {
            if !schema.iter().any(|field| field.name == name) {
                return Err(format!("there is no field {name}"));
            }
        }
        let version = self.version;
        for field in schema.iter().filter(|field| field.is_in(version)) {
            if field.tag.is_none() {
                self.field(field, values)?;
            }
        }
        if !self.flexible {
            return Ok(());
        }
        let mut tags = Vec::new();
        for field in schema.iter().filter(|field| field.is_in(version)) {
            let is_given = values.iter().any(|(name, _)| name == field.name);
            if let (Some(tag), true) = (field.tag, is_given) {
                let outside = std::mem::take(&mut self.out);
                self.field(field, values)?;
                tags.push((tag, std::mem::replace(&mut self.out, outside)));
            }
        }
        self.varint(tags.len());
        for (tag, value) in tags {
            self.varint(tag as usize);
            self.varint(value.len());
            self.out.extend(value);
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, values: &Fields) -> Result<(), String> {
        let given = values.iter().rev().find(|(name, _)| name == field.name);
        let sibling = || {
            // A topic's id goes with its name.
            let names = ["name", "topic", "topic_name"];
            let found = values.iter().find(|(name, _)| names.contains(&&**name));
            match found {
                Some((_, Value::Text(text))) if field.name == "topic_id" => {
                    let topic = text.strip_prefix('$').unwrap_or(text);
                    Some(Value::Text(format!("#{topic}")))
                }
                _ => None,
            }
        };
        let value = given.map(|(_, value)| value.clone()).or_else(sibling);
        let wrong = |why: String| format!("{}: {why}", field.name);
        match value {
            Some(value) => self.value(&field.kind, &value).map_err(wrong),
            None => self.nothing(field).map_err(wrong),
        }
    }

    fn nothing(&mut self, field: &Field) -> Result<(), String> {
        let text = |text: &str| Value::Text(text.to_owned());
        let usual = NOTHING.iter().find(|(name, _)| *name == field.name);
        let value = match &field.kind {
            Kind::NullStr | Kind::NullBytes | Kind::NullArray(_) | Kind::NullStruct(_) => {
                text("null")
            }
            Kind::Str | Kind::Bytes => text(""),
            Kind::Array(_) => Value::List(Vec::new()),
            Kind::Struct(_) => Value::Fields(Vec::new()),
            _ => text(usual.map_or("0", |(_, value)| value)),
        };
        self.value(&field.kind, &value)
    }

    fn value(&mut self, kind: &Kind, value: &Value) -> Result<(), String> {
        let is_null = *value == Value::Text("null".to_owned());
        match (kind, value) {
            (
                Kind::NullStr | Kind::NullBytes | Kind::NullArray(_) | Kind::NullStruct(_),
                Value::Text(_),
            ) if is_null => {
                self.null(kind);
                Ok(())
            }
            (Kind::Uuid, Value::Text(text)) => {
                let id = match text.strip_prefix('#') {
                    Some(topic) => self.names.id(topic),
                    None => [0; 16],
                };
                self.out.extend(id);
                Ok(())
            }
            (Kind::Str | Kind::NullStr, Value::Text(text)) => {
                let text = self.names.text(text);
                self.length(text.len(), 2);
                self.out.extend(text.as_bytes());
                Ok(())
            }
            (Kind::Bytes | Kind::NullBytes, value) => {
                let bytes = batch::bytes(value, self.names)?;
                self.length(bytes.len(), 4);
                self.out.extend(bytes);
                Ok(())
            }
            (Kind::Struct(schema), Value::Fields(fields)) => self.fields(schema, fields),
            (Kind::NullStruct(schema), Value::Fields(fields)) => {
                self.out.push(1);
                self.fields(schema, fields)
            }
            (Kind::Array(kind) | Kind::NullArray(kind), Value::List(values)) => {
                self.length(values.len(), 4);
                values.iter().try_for_each(|value| self.value(kind, value))
            }
            (_, Value::Text(text)) => self.number(kind, &self.names.text(text)),
            _ => Err(format!("{value:?} does not fit")),
        }
    }

    fn number(&mut self, kind: &Kind, text: &str) -> Result<(), String> {
        let bytes: usize = match kind {
            Kind::Bool | Kind::Int8 => 1,
            Kind::Int16 => 2,
            Kind::Int32 => 4,
            Kind::Int64 => 8,
            Kind::Float64 => {
                let number: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
                self.out.extend(number.to_be_bytes());
                return Ok(());
            }
            _ => return Err(format!("{text} does not fit")),
        };
        let number: i64 = match text {
            "true" => 1,
            "false" => 0,
            "max" => i64::MAX >> (64 - 8 * bytes),
            "min" => i64::MIN >> (64 - 8 * bytes),
            _ => text.parse().map_err(|_| format!("{text} is no number"))?,
        };
        self.out.extend(&number.to_be_bytes()[8 - bytes..]);
        Ok(())
    }

    fn null(&mut self, kind: &Kind) {
        match kind {
            Kind::NullStruct(_) => self.out.push(0xff),
            _ if self.flexible => self.out.push(0),
            Kind::NullStr => self.out.extend((-1i16).to_be_bytes()),
            _ => self.out.extend((-1i32).to_be_bytes()),
        }
    }

    /// A length, in so many bytes where the version is not flexible.
    fn length(&mut self, length: usize, bytes: usize) {
        if self.flexible {
            self.varint(length + 1);
        } else {
            let length = (length as u64).to_be_bytes();
            self.out.extend(&length[8 - bytes..]);
        }
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.push((value & 0x7f) as u8);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ratel_protocol::Decodable;
    use ratel_protocol::messages::{FetchRequest, MetadataRequest};

    use super::super::script::{self, Line};
    use super::*;

    struct Run;

    impl Names for Run {
        fn text(&self, word: &str) -> String {
            word.replace('$', "run-")
        }
        fn id(&self, topic: &str) -> [u8; 16] {
            [topic.as_bytes()[0]; 16]
        }
    }

    fn written(line: &str, key: ApiKey, version: i16) -> Result<Bytes, String> {
        let table = format!("== n A 1\na | {line}");
        let mut scripts = script::read(&table)?;
        match scripts.pop().and_then(|mut script| script.lines.pop()) {
            Some(Line::Request(request)) => {
                body(key, version, &request.fields, &Run).map(Bytes::from)
            }
            _ => Err("no request".to_owned()),
        }
    }

    #[test]
    fn what_is_written_is_what_the_codec_reads() {
        let line = "max_wait_ms=7 topics=[{topic=$t partitions=[{partition=1 fetch_offset=max}]}]";
        for version in 4..=18 {
            let mut bytes = written(line, ApiKey::Fetch, version).expect("it is written");
            let request = FetchRequest::decode(&mut bytes, version).expect("it is read");
            assert!(bytes.is_empty(), "v{version}");
            assert_eq!(request.max_wait_ms, 7);
            let topic = &request.topics[0];
            if version < 13 {
                assert_eq!(&*topic.topic.0, "run-t");
            } else {
                assert_eq!(topic.topic_id.as_bytes(), b"tttttttttttttttt");
            }
            assert_eq!(topic.partitions[0].fetch_offset, i64::MAX);
        }
        for (version, topics) in [(1, "null"), (9, "null"), (12, "[{name=$t}]")] {
            let line = format!("topics={topics}");
            let mut bytes = written(&line, ApiKey::Metadata, version).expect("it is written");
            let request = MetadataRequest::decode(&mut bytes, version).expect("it is read");
            assert_eq!(request.topics.is_none(), topics == "null");
        }
        for line in ["nonsense=1", "topics=1", "max_wait_ms=many"] {
            assert!(written(line, ApiKey::Fetch, 12).is_err(), "{line}");
        }
    }
}

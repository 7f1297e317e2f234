//! Record batches, good and bad, from a few words.
//!
//! `{n=2 value=v}` is a good batch of two records. What can be set: `n` records, each with `key`
//! and `value` (`null` for none), `size` bytes of value, the `time` of the first (`now` and a
//! distance, or a number) and `step` to the next; `pid`, `epoch`, `seq`; `attributes`, `base`,
//! `leader_epoch`, `magic`, `count`, `last` (offset delta), `max_time` of the header; `crc=bad`,
//! `cut` bytes at the end, `junk` bytes behind. A list is batches behind each other; a text is
//! itself, as bytes.

use std::time::{SystemTime, UNIX_EPOCH};

use super::script::{Fields, Value};
use super::wire::Names;

/// When records are from that say nothing of it: minutes ago, in whole hours.
const HOUR_MS: i64 = 3_600_000;

/// The bytes of a value.
///
/// # Errors
/// A word that says nothing here.
pub fn bytes(value: &Value, names: &dyn Names) -> Result<Vec<u8>, String> {
    match value {
        Value::Text(text) => Ok(names.text(text).into_bytes()),
        Value::List(all) => {
            let all: Result<Vec<_>, _> = all.iter().map(|value| bytes(value, names)).collect();
            Ok(all?.concat())
        }
        Value::Fields(fields) => batch(fields, names),
    }
}

struct Words<'a> {
    fields: &'a Fields,
    names: &'a dyn Names,
}

impl Words<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let found = self.fields.iter().rev().find(|(other, _)| other == name)?;
        match &found.1 {
            Value::Text(text) => Some(self.names.text(text)),
            _ => None,
        }
    }

    fn number(&self, name: &str, usual: i64) -> Result<i64, String> {
        match self.text(name) {
            None => Ok(usual),
            Some(text) => match text.strip_prefix("now") {
                Some("") => Ok(now_ms()),
                Some(apart) => apart
                    .parse::<i64>()
                    .map(|apart| now_ms() + apart)
                    .map_err(|_| format!("{name}={text}")),
                None => text.parse().map_err(|_| format!("{name}={text}")),
            },
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
    now - now % HOUR_MS
}

fn batch(fields: &Fields, names: &dyn Names) -> Result<Vec<u8>, String> {
    let words = Words { fields, names };
    let count = words.number("n", 1)?;
    let first = words.number("time", 1_700_000_000_000)?;
    let step = words.number("step", 1)?;
    let records = records(&words, count, step)?;
    let mut inner = Vec::new();
    let short = |number: i64| number.to_be_bytes();
    inner.extend(&short(words.number("attributes", 0)?)[6..]);
    inner.extend(&short(words.number("last", count - 1)?)[4..]);
    inner.extend(short(first));
    let max = first + step.max(0) * (count - 1).max(0);
    inner.extend(short(words.number("max_time", max)?));
    inner.extend(short(words.number("pid", -1)?));
    inner.extend(&short(words.number("epoch", -1)?)[6..]);
    inner.extend(&short(words.number("seq", -1)?)[4..]);
    inner.extend(&short(words.number("count", count)?)[4..]);
    inner.extend(records);
    let mut crc = crc32c::crc32c(&inner);
    if words.text("crc").is_some() {
        crc ^= 1;
    }
    let mut out = short(words.number("base", 0)?).to_vec();
    let length = i64::try_from(inner.len() + 9).map_err(|error| error.to_string())?;
    out.extend(&short(words.number("length", length)?)[4..]);
    out.extend(&short(words.number("leader_epoch", -1)?)[4..]);
    out.push(words.number("magic", 2)?.to_be_bytes()[7]);
    out.extend(crc.to_be_bytes());
    out.extend(inner);
    let cut = usize::try_from(words.number("cut", 0)?).map_err(|error| error.to_string())?;
    out.truncate(out.len().saturating_sub(cut));
    let junk = usize::try_from(words.number("junk", 0)?).map_err(|error| error.to_string())?;
    out.extend(std::iter::repeat_n(0, junk));
    Ok(out)
}

fn records(words: &Words<'_>, count: i64, step: i64) -> Result<Vec<u8>, String> {
    let size = usize::try_from(words.number("size", 0)?).map_err(|error| error.to_string())?;
    let key = words.text("key").filter(|key| key != "null");
    let value = words.text("value").unwrap_or_else(|| "value".to_owned());
    let value = (value != "null").then(|| value + &"x".repeat(size));
    let mut out = Vec::new();
    for number in 0..count {
        let mut record = vec![0];
        zigzag(&mut record, number * step);
        zigzag(&mut record, number);
        for part in [&key, &value] {
            match part {
                None => zigzag(&mut record, -1),
                Some(part) => {
                    zigzag(&mut record, i64::try_from(part.len()).unwrap_or(-1));
                    record.extend(part.as_bytes());
                }
            }
        }
        record.push(0);
        zigzag(&mut out, i64::try_from(record.len()).unwrap_or(-1));
        out.extend(record);
    }
    Ok(out)
}

fn zigzag(out: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push((left & 0x7f) as u8);
}

#[cfg(test)]
mod tests {
    use ratel_storage::Batch;

    use super::*;

    struct Plain;

    impl Names for Plain {
        fn text(&self, word: &str) -> String {
            word.to_owned()
        }
        fn id(&self, _: &str) -> [u8; 16] {
            [0; 16]
        }
    }

    fn parses(words: &[(&str, &str)]) -> bool {
        let fields = words
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Value::Text((*text).to_owned())));
        let made = bytes(&Value::Fields(fields.collect()), &Plain).expect("good words");
        Batch::parse(made.into(), 1 << 20).is_ok()
    }

    #[test]
    fn a_batch_is_good_unless_it_is_to_be_bad() {
        assert!(parses(&[("n", "3"), ("key", "k"), ("size", "200")]));
        assert!(parses(&[
            ("time", "now-5"),
            ("pid", "7"),
            ("epoch", "0"),
            ("seq", "0")
        ]));
        for bad in [("crc", "bad"), ("cut", "1"), ("magic", "1"), ("junk", "70")] {
            assert!(!parses(&[bad]), "{bad:?}");
        }
    }
}

//! A redrive as the catalog writes it down: which dead letters go home, and how far it has come.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ratel_storage::{Offset, TopicId};

use crate::coordinator::record::{Reader, Writer};

/// Which dead letters are meant: those that match all that is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The partition of the dead-letter topic.
    pub dead_partition: Option<i32>,
    /// The one offset of that partition.
    pub dead_offset: Option<i64>,
    /// The topic that they come from.
    pub topic: Option<String>,
    /// The partition that they come from.
    pub partition: Option<i32>,
    /// The first offset that they come from.
    pub first_offset: i64,
    /// The last offset that they come from.
    pub last_offset: i64,
    /// Why they were given up, in the words of their header.
    pub message: Option<String>,
    /// When they were given up at the earliest, ms since 1970.
    pub from_ms: i64,
    /// When they were given up at the latest, ms since 1970.
    pub to_ms: i64,
    /// Their key.
    pub key: Option<Bytes>,
    /// A header that they have.
    pub header: Option<String>,
    /// Its value; counts only with a header.
    pub header_value: Option<Bytes>,
}

impl Default for Filter {
    /// All of them.
    fn default() -> Self {
        Self {
            dead_partition: None,
            dead_offset: None,
            topic: None,
            partition: None,
            first_offset: 0,
            last_offset: i64::MAX,
            message: None,
            from_ms: i64::MIN,
            to_ms: i64::MAX,
            key: None,
            header: None,
            header_value: None,
        }
    }
}

/// Where a job stands. The numbers are those of QueueAdmin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// At work.
    Running = 0,
    /// At the end of what there was when it began.
    Done = 1,
    /// Stopped by somebody.
    Cancelled = 2,
    /// It could not go on.
    Failed = 3,
}

/// What a job reads of one partition of the dead-letter topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The partition's number.
    pub partition: i32,
    /// The first offset.
    pub start: Offset,
    /// The first offset that was not read yet.
    pub next: Offset,
    /// One past the last offset.
    pub end: Offset,
}

/// A redrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number, above that of every job before it.
    pub id: i64,
    /// The share group whose dead letters go home.
    pub group: Arc<str>,
    /// The dead-letter topic's name.
    pub topic_name: Arc<str>,
    /// Its id.
    pub topic: TopicId,
    /// Which of the letters.
    pub filter: Filter,
    /// The most records in a second; 0 for as fast as may be.
    pub rate: i32,
    /// Whether they are counted only.
    pub dry_run: bool,
    /// The producer of its copies, which no one else is.
    pub producer_id: i64,
    /// When it began, ms since 1970.
    pub started_ms: i64,
    /// When it ended, ms since 1970; -1 while it runs.
    pub ended_ms: i64,
    /// Where it stands.
    pub state: JobState,
    /// Why it failed, or what it passed by.
    pub message: Option<String>,
    /// Letters that match.
    pub matched: i64,
    /// Letters that are home.
    pub moved: i64,
    /// What it reads.
    pub stretches: Vec<Stretch>,
    /// How many copies stand in each target, by topic and partition: the next one's sequence.
    pub sent: BTreeMap<(TopicId, i32), i64>,
    /// Letters that match and cannot go home: partition and offset.
    pub skipped: Vec<(i32, Offset)>,
    /// Letters that are home and not read up to yet, since others of their step could not go:
    /// partition and offset.
    pub ahead: Vec<(i32, Offset)>,
    /// A server died while it was at work: more copies may stand than `sent` says.
    pub in_doubt: bool,
}

impl Job {
    /// Whether it is done with this place of the dead-letter topic and did not pass it by.
    #[must_use]
    pub fn is_past(&self, partition: i32, offset: Offset) -> bool {
        let within = |stretch: &Stretch| {
            stretch.partition == partition && (stretch.start..stretch.next).contains(&offset)
        };
        let place = (partition, offset);
        self.ahead.contains(&place)
            || self.stretches.iter().any(within) && !self.skipped.contains(&place)
    }

    /// Offsets that it reads in all.
    #[must_use]
    pub fn total(&self) -> i64 {
        let stretches = self.stretches.iter();
        stretches.map(|it| it.end.get() - it.start.get()).sum()
    }

    /// How many of them it has read.
    #[must_use]
    pub fn scanned(&self) -> i64 {
        let stretches = self.stretches.iter();
        stretches.map(|it| it.next.get() - it.start.get()).sum()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.string(&self.group).string(&self.topic_name);
        out.uuid(self.topic);
        self.filter.write(out);
        out.i32(self.rate).i8(i8::from(self.dry_run));
        out.i64(self.producer_id);
        out.i64(self.started_ms).i64(self.ended_ms);
        out.i8(self.state as i8);
        out.nullable_string(self.message.as_deref());
        out.i64(self.matched).i64(self.moved);
        out.count(self.stretches.len());
        for stretch in &self.stretches {
            out.i32(stretch.partition);
            for offset in [stretch.start, stretch.next, stretch.end] {
                out.i64(offset.get());
            }
        }
        out.count(self.sent.len());
        for ((topic, partition), count) in &self.sent {
            out.uuid(*topic);
            out.i32(*partition).i64(*count);
        }
        for places in [&self.skipped, &self.ahead] {
            out.count(places.len());
            for (partition, offset) in places {
                out.i32(*partition).i64(offset.get());
            }
        }
        out.i8(i8::from(self.in_doubt));
    }

    pub(super) fn read(id: i64, from: &mut Reader<'_>) -> Result<Self, String> {
        let group = from.string()?.into();
        let topic_name = from.string()?.into();
        let topic = from.uuid()?;
        let filter = Filter::read(from)?;
        Ok(Self {
            id,
            group,
            topic_name,
            topic,
            filter,
            rate: from.i32()?,
            dry_run: from.i8()? != 0,
            producer_id: from.i64()?,
            started_ms: from.i64()?,
            ended_ms: from.i64()?,
            state: match from.i8()? {
                0 => JobState::Running,
                1 => JobState::Done,
                2 => JobState::Cancelled,
                3 => JobState::Failed,
                other => return Err(format!("a redrive in state {other}")),
            },
            message: from.nullable_string()?.map(Into::into),
            matched: from.i64()?,
            moved: from.i64()?,
            stretches: each(from, |from| {
                Ok(Stretch {
                    partition: from.i32()?,
                    start: Offset::new(from.i64()?),
                    next: Offset::new(from.i64()?),
                    end: Offset::new(from.i64()?),
                })
            })?,
            sent: each(from, |from| Ok(((from.uuid()?, from.i32()?), from.i64()?)))?
                .into_iter()
                .collect(),
            skipped: each(from, |from| Ok((from.i32()?, Offset::new(from.i64()?))))?,
            ahead: each(from, |from| Ok((from.i32()?, Offset::new(from.i64()?))))?,
            in_doubt: from.i8()? != 0,
        })
    }
}

/// As many as a count in front says.
fn each<T>(
    from: &mut Reader<'_>,
    one: impl Fn(&mut Reader<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    (0..from.count()?).map(|_| one(from)).collect()
}

impl Filter {
    fn write(&self, out: &mut Writer) {
        out.i32(self.dead_partition.unwrap_or(-1));
        out.i64(self.dead_offset.unwrap_or(-1));
        out.nullable_string(self.topic.as_deref());
        out.i32(self.partition.unwrap_or(-1));
        out.i64(self.first_offset).i64(self.last_offset);
        out.nullable_string(self.message.as_deref());
        out.i64(self.from_ms).i64(self.to_ms);
        write_bytes(out, self.key.as_ref());
        out.nullable_string(self.header.as_deref());
        write_bytes(out, self.header_value.as_ref());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, String> {
        Ok(Self {
            dead_partition: Some(from.i32()?).filter(|number| *number >= 0),
            dead_offset: Some(from.i64()?).filter(|number| *number >= 0),
            topic: from.nullable_string()?.map(Into::into),
            partition: Some(from.i32()?).filter(|number| *number >= 0),
            first_offset: from.i64()?,
            last_offset: from.i64()?,
            message: from.nullable_string()?.map(Into::into),
            from_ms: from.i64()?,
            to_ms: from.i64()?,
            key: read_bytes(from)?,
            header: from.nullable_string()?.map(Into::into),
            header_value: read_bytes(from)?,
        })
    }
}

fn write_bytes(out: &mut Writer, bytes: Option<&Bytes>) {
    out.i8(i8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        out.bytes(bytes);
    }
}

fn read_bytes(from: &mut Reader<'_>) -> Result<Option<Bytes>, String> {
    match from.i8()? {
        0 => Ok(None),
        _ => Ok(Some(Bytes::copy_from_slice(from.bytes()?))),
    }
}

#[cfg(test)]
pub(crate) fn example() -> Job {
    Job {
        id: 3,
        group: "workers".into(),
        topic_name: "dead".into(),
        topic: TopicId::from_u128(7),
        filter: Filter {
            dead_partition: Some(1),
            dead_offset: Some(4),
            topic: Some("jobs".into()),
            partition: Some(0),
            key: Some(Bytes::from_static(b"k")),
            header: Some("colour".into()),
            ..Filter::default()
        },
        rate: 10,
        dry_run: false,
        producer_id: 1000,
        started_ms: 5,
        ended_ms: -1,
        state: JobState::Running,
        message: Some("why".into()),
        matched: 2,
        moved: 1,
        stretches: vec![Stretch {
            partition: 1,
            start: Offset::new(4),
            next: Offset::new(4),
            end: Offset::new(5),
        }],
        sent: [((TopicId::from_u128(9), 0), 1)].into(),
        skipped: vec![(1, Offset::new(3))],
        ahead: vec![(1, Offset::new(6))],
        in_doubt: true,
    }
}

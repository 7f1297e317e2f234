//! A classic group at one generation.
//!
//! ```text
//! key   | 00 02 | group |
//! value | version i16 | protocol type | generation i32 | protocol? | leader? |
//!       | state time i64 (v2+) | count i32 | members ... |
//! member| id | instance? (v3+) | client id | client host | rebalance timeout i32 (v1+) |
//!       | session timeout i32 | subscription | assignment |
//! ```
//!
//! Strings have an int16 length (`?`: -1 is null), byte fields and counts an int32 one. Version 3
//! is written, as Kafka does. Version 4 has the same fields in compact form and tags behind each
//! member and at the end.

use std::sync::Arc;

use bytes::Bytes;

use super::flexible;
use crate::coordinator::record::{Reader, Writer};

/// The version that is written.
const VERSION: i16 = 3;
/// The highest version that is understood.
const VERSION_MAX: i16 = 4;

/// A group at one generation, as it must outlive a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    /// `consumer`, `connect`, `sr` ...; empty for a group that never had members.
    pub protocol_type: Arc<str>,
    /// The generation.
    pub generation: i32,
    /// The protocol that was chosen; none in an empty group.
    pub protocol: Option<Arc<str>>,
    /// The leader's member id; none in an empty group.
    pub leader: Option<Arc<str>>,
    /// When the group came into this state (wall time, ms), or -1.
    pub state_timestamp_ms: i64,
    /// The members.
    pub members: Vec<MemberMetadata>,
}

/// A member at one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberMetadata {
    /// Its id.
    pub id: Arc<str>,
    /// The name of a static member.
    pub instance: Option<Arc<str>>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub client_host: Arc<str>,
    /// How long a rebalance waits for it, ms.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent, ms.
    pub session_timeout_ms: i32,
    /// Its metadata for the protocol that was chosen.
    pub subscription: Bytes,
    /// What the leader gave it.
    pub assignment: Bytes,
}

impl GroupMetadata {
    /// The value's bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new(VERSION);
        writer
            .string(&self.protocol_type)
            .i32(self.generation)
            .nullable_string(self.protocol.as_deref())
            .nullable_string(self.leader.as_deref())
            .i64(self.state_timestamp_ms)
            .count(self.members.len());
        for member in &self.members {
            writer
                .string(&member.id)
                .nullable_string(member.instance.as_deref())
                .string(&member.client_id)
                .string(&member.client_host)
                .i32(member.rebalance_timeout_ms)
                .i32(member.session_timeout_ms)
                .bytes(&member.subscription)
                .bytes(&member.assignment);
        }
        writer.finish()
    }

    /// The value of these bytes; `None` for a version of the future.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(value: &[u8]) -> Result<Option<Self>, String> {
        let mut reader = Reader::new(value);
        let version = reader.i16()?;
        if !(0..=VERSION_MAX).contains(&version) {
            return Ok(None);
        }
        let compact = version >= 4;
        let mut metadata = Self {
            protocol_type: flexible::string(&mut reader, compact)?.into(),
            generation: reader.i32()?,
            protocol: flexible::string_or_null(&mut reader, compact)?.map(Arc::from),
            leader: flexible::string_or_null(&mut reader, compact)?.map(Arc::from),
            state_timestamp_ms: if version >= 2 { reader.i64()? } else { -1 },
            members: Vec::new(),
        };
        for _ in 0..flexible::count(&mut reader, compact)? {
            metadata.members.push(decode_member(&mut reader, version)?);
        }
        if compact {
            flexible::tags(&mut reader, |_, _| Ok(()))?;
        }
        Ok(Some(metadata))
    }
}

fn decode_member(reader: &mut Reader<'_>, version: i16) -> Result<MemberMetadata, String> {
    let compact = version >= 4;
    let id = flexible::string(reader, compact)?.into();
    let instance = if version >= 3 {
        flexible::string_or_null(reader, compact)?.map(Arc::from)
    } else {
        None
    };
    let client_id = flexible::string(reader, compact)?.into();
    let client_host = flexible::string(reader, compact)?.into();
    let rebalance_timeout_ms = if version >= 1 { reader.i32()? } else { -1 };
    let session_timeout_ms = reader.i32()?;
    let member = MemberMetadata {
        id,
        instance,
        client_id,
        client_host,
        rebalance_timeout_ms: match rebalance_timeout_ms {
            -1 => session_timeout_ms,
            timeout_ms => timeout_ms,
        },
        session_timeout_ms,
        subscription: flexible::bytes(reader, compact)?,
        assignment: flexible::bytes(reader, compact)?,
    };
    if compact {
        flexible::tags(reader, |_, _| Ok(()))?;
    }
    Ok(member)
}

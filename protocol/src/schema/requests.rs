//! The table of requests: each field, in the order of the wire, with the versions that have it.
//!
//! A family of APIs is a file, an API is one row in it; what a row says is held against the codec
//! by a test that decodes requests made from it, at every version.

mod admin;
mod groups;
mod log;
mod queues;
mod security;
mod share;
mod transactions;

use crate::ApiKey;

use super::Field;

/// An array of structs, which are given by their fields.
macro_rules! list {
    ($($field:expr),+ $(,)?) => {
        $crate::schema::Kind::Array(&$crate::schema::Kind::Struct(&[$($field),+]))
    };
}

/// The same, or null.
macro_rules! null_list {
    ($($field:expr),+ $(,)?) => {
        $crate::schema::Kind::NullArray(&$crate::schema::Kind::Struct(&[$($field),+]))
    };
}

use {list, null_list};

type Row = (ApiKey, &'static [Field]);

const FAMILIES: &[&[Row]] = &[
    admin::ROWS,
    groups::ROWS,
    log::ROWS,
    queues::ROWS,
    security::ROWS,
    share::ROWS,
    transactions::ROWS,
];

const BY_KEY: [Option<&'static [Field]>; ApiKey::PLACES] = by_key(FAMILIES);

/// The fields of a request, if they are known here.
#[must_use]
pub const fn of(key: ApiKey) -> Option<&'static [Field]> {
    BY_KEY[key.place()]
}

const fn by_key(families: &[&[Row]]) -> [Option<&'static [Field]>; ApiKey::PLACES] {
    let mut by_key = [None; ApiKey::PLACES];
    let mut family = 0;
    while family < families.len() {
        let rows = families[family];
        let mut place = 0;
        while place < rows.len() {
            let (key, fields) = rows[place];
            assert!(by_key[key.place()].is_none(), "an API has two rows");
            by_key[key.place()] = Some(fields);
            place += 1;
        }
        family += 1;
    }
    by_key
}

//! From an outcome to a reply.

use serde::Serialize;

use super::operations::Outcome;
use crate::bindings::{
    BindingReply,
    payload::{Blob, Format, encode},
};

/// Writes an outcome in the format of its request.
pub(super) fn reply(format: Format, outcome: Outcome) -> BindingReply {
    match outcome {
        Outcome::Done => encode(format, &Empty {}),
        Outcome::Value(value) => encode(format, &ValueReply { value: Blob::from(&*value) }),
        Outcome::Integer(value) => encode(format, &ValueReply { value }),
        Outcome::Deleted(deleted) => encode(format, &DeletedReply { deleted }),
        Outcome::Exists(exists) => encode(format, &ExistsReply { exists }),
        Outcome::Values(entries) => {
            let values = entries.iter().map(|(key, value)| EntryReply { key, value: value.as_deref().map(Blob::from) });
            encode(format, &ValuesReply { values: values.collect() })
        }
        Outcome::Keys { keys, next } => encode(format, &KeysReply { keys, next }),
    }
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct ValueReply<T> {
    value: T,
}

#[derive(Serialize)]
struct DeletedReply {
    deleted: bool,
}

#[derive(Serialize)]
struct ExistsReply {
    exists: bool,
}

#[derive(Serialize)]
struct KeysReply {
    keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct ValuesReply<'a> {
    values: Vec<EntryReply<'a>>,
}

#[derive(Serialize)]
struct EntryReply<'a> {
    key: &'a str,
    value: Option<Blob<'a>>,
}

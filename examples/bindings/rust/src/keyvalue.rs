//! `keyvalue`: values under keys.

use rmpv::Value;
use wapc_guest::prelude::*;

use crate::host::{ask, lines, list, map, text, words};

/// `KEY VALUE`: keeps a value for ever, in place of what was there.
pub fn set(payload: &[u8]) -> CallResult {
    let [key, value] = words(payload)?;
    ask("keyvalue", "set", [("key", key.into()), ("value", value.as_bytes().into())])?;
    text("")
}

/// `KEY VALUE`: keeps a value for an hour; the error `conflict` where there is one already. So one of many takes a lock.
pub fn set_once(payload: &[u8]) -> CallResult {
    let [key, value] = words(payload)?;
    let request = [
        ("key", key.into()),
        ("value", value.as_bytes().into()),
        ("ttl", "1h".into()),
        ("only_if_absent", true.into()),
    ];
    ask("keyvalue", "set", request)?;
    text("")
}

/// `KEY`: answers its value, or the error `not_found`.
pub fn get(payload: &[u8]) -> CallResult {
    let [key] = words(payload)?;
    let answer = ask("keyvalue", "get", [("key", key.into())])?;
    Ok(answer.bytes("value")?.to_vec())
}

/// `KEY`: answers whether there is a value.
pub fn exists(payload: &[u8]) -> CallResult {
    let [key] = words(payload)?;
    text(ask("keyvalue", "exists", [("key", key.into())])?.bool("exists")?)
}

/// `KEY`: answers whether there was a value.
pub fn delete(payload: &[u8]) -> CallResult {
    let [key] = words(payload)?;
    text(ask("keyvalue", "delete", [("key", key.into())])?.bool("deleted")?)
}

/// `PREFIX`: answers all keys that begin so, a line each; asks for two at a time.
pub fn keys(payload: &[u8]) -> CallResult {
    let [prefix] = words(payload)?;
    let mut all = Vec::new();
    let mut after = Value::Nil;
    loop {
        let request = [("prefix", prefix.into()), ("limit", 2.into()), ("after", after)];
        let answer = ask("keyvalue", "keys", request)?;
        all.extend(answer.list("keys")?.iter().filter_map(Value::as_str).map(str::to_owned));
        match answer.get("next") {
            Some(next) if !next.is_nil() => after = next.clone(),
            _ => return lines(all),
        }
    }
}

/// `KEY BY`: adds a number and answers the sum; nobody else's addition is lost.
pub fn increment(payload: &[u8]) -> CallResult {
    let [key, by] = words(payload)?;
    let by: i64 = by.parse()?;
    text(ask("keyvalue", "increment", [("key", key.into()), ("by", by.into())])?.int("value")?)
}

/// `KEY EXPECTED VALUE`: keeps a value if the one that is there is as expected, else the error `conflict`.
pub fn compare_and_set(payload: &[u8]) -> CallResult {
    let [key, expected, value] = words(payload)?;
    let request = [("key", key.into()), ("expected", expected.as_bytes().into()), ("value", value.as_bytes().into())];
    ask("keyvalue", "compare_and_set", request)?;
    text("")
}

/// `KEY KEY`: answers `KEY=VALUE` in the order of the keys, a line each; without a value `KEY` alone.
pub fn get_many(payload: &[u8]) -> CallResult {
    let [first, second] = words(payload)?;
    let answer = ask("keyvalue", "get_many", [("keys", list([first.into(), second.into()]))])?;
    let mut all = Vec::new();
    for entry in answer.maps("values")? {
        let key = entry.text("key")?;
        all.push(match entry.get("value").and_then(Value::as_slice) {
            Some(value) => format!("{key}={}", String::from_utf8_lossy(value)),
            None => key.to_owned(),
        });
    }
    lines(all)
}

/// `KEY VALUE KEY VALUE`: keeps both or none.
pub fn set_many(payload: &[u8]) -> CallResult {
    let [first, one, second, two] = words(payload)?;
    let entries = [(first, one), (second, two)]
        .map(|(key, value)| map([("key", key.into()), ("value", value.as_bytes().into())]));
    ask("keyvalue", "set_many", [("entries", list(entries))])?;
    text("")
}

//! `blob`: objects under names.

use rmpv::Value;
use wapc_guest::prelude::*;

use crate::host::{ask, lines, text, words};

/// `NAME TEXT`: keeps an object, in place of what was there; nobody ever sees half of it.
pub fn put(payload: &[u8]) -> CallResult {
    let [name, data] = words(payload)?;
    let request = [("name", name.into()), ("data", data.as_bytes().into()), ("content_type", "text/plain".into())];
    ask("blob", "put", request)?;
    text("")
}

/// `NAME`: answers the object, or the error `not_found`.
pub fn get(payload: &[u8]) -> CallResult {
    let [name] = words(payload)?;
    let answer = ask("blob", "get", [("name", name.into())])?;
    Ok(answer.bytes("data")?.to_vec())
}

/// `NAME OFFSET LENGTH`: answers a part of the object.
pub fn get_part(payload: &[u8]) -> CallResult {
    let [name, offset, length] = words(payload)?;
    let (offset, length): (u64, u64) = (offset.parse()?, length.parse()?);
    let request = [("name", name.into()), ("offset", offset.into()), ("length", length.into())];
    let answer = ask("blob", "get", request)?;
    Ok(answer.bytes("data")?.to_vec())
}

/// `NAME`: answers the object's size, without reading it.
pub fn head(payload: &[u8]) -> CallResult {
    let [name] = words(payload)?;
    text(ask("blob", "head", [("name", name.into())])?.int("size")?)
}

/// `PREFIX`: answers `NAME SIZE` of all objects whose names begin so, a line each; asks for two at a time.
pub fn list(payload: &[u8]) -> CallResult {
    let [prefix] = words(payload)?;
    let mut all = Vec::new();
    let mut after = Value::Nil;
    loop {
        let request = [("prefix", prefix.into()), ("limit", 2.into()), ("after", after)];
        let answer = ask("blob", "list", request)?;
        for object in answer.maps("objects")? {
            all.push(format!("{} {}", object.text("name")?, object.int("size")?));
        }
        match answer.get("next") {
            Some(next) if !next.is_nil() => after = next.clone(),
            _ => return lines(all),
        }
    }
}

/// `NAME`: answers whether there was an object.
pub fn delete(payload: &[u8]) -> CallResult {
    let [name] = words(payload)?;
    text(ask("blob", "delete", [("name", name.into())])?.bool("deleted")?)
}

/// `FROM TO`: copies an object without fetching it.
pub fn copy(payload: &[u8]) -> CallResult {
    let [from, to] = words(payload)?;
    ask("blob", "copy", [("from", from.into()), ("to", to.into())])?;
    text("")
}

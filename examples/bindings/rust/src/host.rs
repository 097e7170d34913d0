//! Host calls with named fields, and what the functions of this guest have in common.

use rmpv::Value;
use wapc_guest::prelude::*;

/// Asks a binding with a map in MessagePack and reads its answer, which is one too.
pub fn ask<const FIELDS: usize>(
    binding: &str,
    operation: &str,
    request: [(&str, Value); FIELDS],
) -> HandlerResult<Answer> {
    send(binding, operation, map(request))
}

/// A map with these fields.
pub fn map<const FIELDS: usize>(fields: [(&str, Value); FIELDS]) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// A list of these.
pub fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}

fn send(binding: &str, operation: &str, request: Value) -> HandlerResult<Answer> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &request)?;
    let answer = host_call(binding, "", operation, &bytes)?;
    Ok(Answer(rmpv::decode::read_value(&mut answer.as_slice())?))
}

/// A map that was answered, or one of those in it.
pub struct Answer(Value);

impl Answer {
    /// The field, where it is there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let fields = self.0.as_map()?;
        fields.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
    }

    pub fn text(&self, name: &str) -> HandlerResult<&str> {
        self.as_type(name, Value::as_str)
    }

    pub fn bytes(&self, name: &str) -> HandlerResult<&[u8]> {
        self.as_type(name, Value::as_slice)
    }

    pub fn int(&self, name: &str) -> HandlerResult<i64> {
        self.as_type(name, Value::as_i64)
    }

    pub fn bool(&self, name: &str) -> HandlerResult<bool> {
        self.as_type(name, Value::as_bool)
    }

    pub fn list(&self, name: &str) -> HandlerResult<&Vec<Value>> {
        self.as_type(name, Value::as_array)
    }

    /// The names of the map's fields.
    pub fn names(&self, name: &str) -> HandlerResult<Vec<&str>> {
        let fields = self.as_type(name, Value::as_map)?;
        Ok(fields.iter().filter_map(|(key, _)| key.as_str()).collect())
    }

    /// The maps in a list.
    pub fn maps(&self, name: &str) -> HandlerResult<Vec<Answer>> {
        Ok(self.list(name)?.iter().cloned().map(Answer).collect())
    }

    fn as_type<'a, T>(&'a self, name: &str, read: fn(&'a Value) -> Option<T>) -> HandlerResult<T> {
        self.get(name).and_then(read).ok_or_else(|| format!("the answer has no such `{name}`").into())
    }
}

/// The words of a payload; the last one is all that is left.
pub fn words<const COUNT: usize>(payload: &[u8]) -> HandlerResult<[&str; COUNT]> {
    let words: Vec<&str> = std::str::from_utf8(payload)?.splitn(COUNT, ' ').collect();
    words.try_into().map_err(|_| format!("expected {COUNT} words").into())
}

/// An answer of this guest.
pub fn text(answer: impl ToString) -> CallResult {
    Ok(answer.to_string().into_bytes())
}

/// An answer of many lines.
pub fn lines(lines: Vec<String>) -> CallResult {
    Ok(lines.join("\n").into_bytes())
}

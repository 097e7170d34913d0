//! A value on its way between guests and databases, and how it looks in MessagePack and JSON.
//!
//! Types are kept: nothing is turned into text on the way that its format can express. JSON has no bytes, so they are
//! `{"$bytes": "base64"}` there, in both directions.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap,
};

use crate::bindings::payload::Blob;

/// The key that stands for bytes in JSON.
const BYTES: &str = "$bytes";

/// A parameter, or a column of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// A number with a fraction, of 64 bits.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
    /// An array, of values that are no arrays.
    List(Vec<Value>),
}

impl Value {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Float(_) => "a float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
        }
    }

    /// Bytes that it takes in an answer at least, in either format.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Int(_) => 1,
            Self::Float(_) => 3,
            Self::Text(text) => text.len() + 1,
            Self::Bytes(bytes) => bytes.len() + 2,
            Self::List(values) => values.iter().map(Self::weight).sum::<usize>() + 1,
        }
    }

    /// Bytes that it takes in memory.
    pub(super) fn size(&self) -> usize {
        let held = match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(values) => values.iter().map(Self::size).sum(),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => 0,
        };
        held + size_of::<Self>()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let readable = serializer.is_human_readable();
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            // JSON has no such numbers; a null would be a lie.
            Self::Float(value) if readable && !value.is_finite() => serializer.serialize_str(float_text(*value)),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Bytes(bytes) if readable => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(BYTES, &Blob::from(&**bytes))?;
                map.end()
            }
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(values) => values.serialize(serializer),
        }
    }
}

/// The name of a float that is no number or not finite, as PostgreSQL writes and reads it.
pub(super) fn float_text(value: f64) -> &'static str {
    match value {
        _ if value.is_nan() => "NaN",
        _ if value > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Seed { lists: true }.deserialize(deserializer)
    }
}

/// How a value is read; lists are taken only outermost, so that nothing nests.
#[derive(Clone, Copy)]
struct Seed {
    lists: bool,
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let readable = deserializer.is_human_readable();
        deserializer.deserialize_any(ValueVisitor { lists: self.lists, readable })
    }
}

struct ValueVisitor {
    lists: bool,
    readable: bool,
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a bool, a number, text, bytes")?;
        if self.readable {
            f.write_str(" as {\"$bytes\": \"base64\"}")?;
        }
        f.write_str(if self.lists { ", or a list of these" } else { "" })
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Int).map_err(|_large| {
            E::custom(format_args!("{value} is more than a signed integer of 64 bits holds; send it as text"))
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(Bytes::copy_from_slice(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        if !self.lists {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(Seed { lists: false })? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        if !self.readable {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        let Some(BYTES) = entries.next_key::<std::borrow::Cow<'_, str>>()?.as_deref() else {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        };
        // In JSON the bytes were decoded: there is nothing to share with.
        let bytes = entries.next_value::<Blob<'_>>()?.into_bytes(&Bytes::new());
        match entries.next_key::<de::IgnoredAny>()? {
            None => Ok(Value::Bytes(bytes)),
            Some(_) => Err(de::Error::custom("another key beside `$bytes`")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::bindings::payload::{Format, decode, encode};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        v: Vec<Value>,
    }

    fn all() -> Vec<Value> {
        vec![
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Int(9_007_199_254_740_993),
            Value::Float(1.0),
            Value::Float(-0.1),
            Value::Text("'; drop table t; --\u{0}ü".into()),
            Value::Bytes(Bytes::from_static(&[0, 255])),
            Value::List(vec![Value::Int(1), Value::Null, Value::Bytes(Bytes::new())]),
        ]
    }

    #[test]
    fn every_type_comes_back_as_it_was_in_both_formats() {
        for format in [Format::Json, Format::MessagePack] {
            let holder = Holder { v: all() };
            let written = encode(format, &holder).unwrap();
            assert_eq!(decode::<Holder>(&written).unwrap(), (holder, format));
            let weight: usize = all().iter().map(Value::weight).sum();
            assert!(weight <= written.len(), "{weight} is a lower bound of {}", written.len());
        }
    }

    #[test]
    fn json_tells_bytes_from_text_and_has_words_for_what_is_no_number() {
        let v = vec![Value::Bytes(Bytes::from_static(b"v")), Value::Text("dg==".into()), Value::Float(f64::NAN)];
        let written = encode(Format::Json, &Holder { v }).unwrap();
        assert_eq!(&*written, br#"{"v":[{"$bytes":"dg=="},"dg==","NaN"]}"#);
    }

    #[test]
    fn what_is_no_value_is_named() {
        for (payload, expected) in [
            (r#"{"v":[{"a":1}]}"#, "field `v[0]`: invalid type: map, expected null, a bool"),
            (r#"{"v":[1,{"$bytes":1}]}"#, "field `v[1].$bytes`: invalid type: integer"),
            (r#"{"v":[{"$bytes":"?"}]}"#, "not base64"),
            (r#"{"v":[{"$bytes":"","x":1}]}"#, "another key beside `$bytes`"),
            (r#"{"v":[{}]}"#, "invalid type: map"),
            (r#"{"v":[[[1]]]}"#, "invalid type: sequence"),
            (r#"{"v":[18446744073709551615]}"#, "more than a signed integer of 64 bits"),
        ] {
            let error = decode::<Holder>(payload.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("bad_request: ") && error.contains(expected), "{error} for {payload}");
        }
    }
}

//! What the `config` binding does: finds a value in the module's table.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::{
    bindings::{
        BindingReply,
        payload::{cut, decode, encode},
    },
    host::{HostCallError, HostErrorKind},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Get<'a> {
    #[serde(borrow)]
    key: Key<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct All {}

#[derive(Serialize)]
struct Found<'v> {
    value: &'v Value,
}

#[derive(Serialize)]
struct Whole<'v> {
    config: &'v Value,
}

/// Answers `get`.
pub(super) fn get(payload: &[u8], table: &Value) -> BindingReply {
    let (Get { key }, format) = decode::<Get<'_>>(payload)?;
    let value = match &key {
        Key::Path(path) => find(table, path.split('.')),
        Key::Parts(parts) => find(table, parts.iter().map(|part| &**part)),
    };
    match value {
        Some(value) => encode(format, &Found { value }),
        None => Err(not_found(&key)),
    }
}

/// Answers `all`.
pub(super) fn all(payload: &[u8], table: &Value) -> BindingReply {
    let (All {}, format) = decode::<All>(payload)?;
    encode(format, &Whole { config: table })
}

fn find<'v, 'k>(table: &'v Value, mut parts: impl Iterator<Item = &'k str>) -> Option<&'v Value> {
    parts.try_fold(table, |value, part| value.as_object()?.get(part))
}

fn not_found(key: &Key<'_>) -> HostCallError {
    let key = match key {
        Key::Path(path) => path.to_string(),
        Key::Parts(parts) => parts.join("."),
    };
    HostCallError::new(HostErrorKind::NotFound, format!("the module's configuration has no `{}`", cut(&key)))
}

/// The way to a value.
enum Key<'a> {
    /// Its parts, with dots between.
    Path(Cow<'a, str>),
    /// Its parts, which may have dots.
    Parts(Vec<Cow<'a, str>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> de::Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path such as \"a.b\", or a list of its parts")
    }

    fn visit_borrowed_str<E>(self, path: &'de str) -> Result<Key<'de>, E> {
        Ok(Key::Path(Cow::Borrowed(path)))
    }

    fn visit_str<E>(self, path: &str) -> Result<Key<'de>, E> {
        Ok(Key::Path(Cow::Owned(path.to_owned())))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut parts: A) -> Result<Key<'de>, A::Error> {
        let mut all = Vec::new();
        // Elements of type `Cow<str>` are owned; keys are short.
        while let Some(part) = parts.next_element::<String>()? {
            all.push(Cow::Owned(part));
        }
        if all.is_empty() { Err(de::Error::invalid_length(0, &self)) } else { Ok(Key::Parts(all)) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    fn table() -> Value {
        json!({
            "greeting": "hello",
            "limits": { "retries": 3, "ratio": 1.0, "deep": { "on": true, "big": i64::MIN } },
            "hosts": ["a", { "name": "b" }],
            "with.dots": { "x.y": 1 },
        })
    }

    fn asked(payload: &str) -> Result<String, String> {
        get(payload.as_bytes(), &table())
            .map(|reply| String::from_utf8(reply.to_vec()).unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_is_a_path_or_its_parts() {
        for (key, value) in [
            (r#""greeting""#, r#""hello""#),
            (r#""limits.retries""#, "3"),
            (r#""limits.ratio""#, "1.0"),
            (r#""limits.deep.on""#, "true"),
            (r#""hosts""#, r#"["a",{"name":"b"}]"#),
            (r#"["greeting"]"#, r#""hello""#),
            (r#"["with.dots","x.y"]"#, "1"),
            (r#"["limits","deep","big"]"#, "-9223372036854775808"),
        ] {
            assert_eq!(asked(&format!("{{\"key\":{key}}}")).unwrap(), format!("{{\"value\":{value}}}"), "{key}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found_and_named() {
        for (key, name) in [
            (r#""colour""#, "colour"),
            (r#""limits.colour""#, "limits.colour"),
            (r#""greeting.x""#, "greeting.x"),
            (r#""hosts.0""#, "hosts.0"),
            (r#""with.dots.x.y""#, "with.dots.x.y"),
            (r#""""#, ""),
            (r#"["limits","x"]"#, "limits.x"),
        ] {
            let error = asked(&format!("{{\"key\":{key}}}")).unwrap_err();
            assert_eq!(error, format!("not_found: the module's configuration has no `{name}`"));
        }
    }

    #[test]
    fn other_keys_are_bad_requests() {
        for (request, expected) in [
            (r#"{"key":1}"#, "field `key`: invalid type: integer `1`, expected a path such as \"a.b\""),
            (r#"{"key":[]}"#, "field `key`: invalid length 0"),
            (r#"{"key":["a",1]}"#, "field `key[1]`: invalid type: integer `1`, expected a string"),
            (r#"{}"#, "missing field `key`"),
            (r#"{"key":"a","default":1}"#, "unknown field `default`"),
        ] {
            let error = asked(request).unwrap_err();
            assert!(error.starts_with("bad_request: ") && error.contains(expected), "{error}");
        }
        assert!(all(br#"{"key":"a"}"#, &table()).unwrap_err().to_string().contains("unknown field `key`"));
    }

    #[test]
    fn types_stay_what_they_are_in_both_formats() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Config {
            config: rmpv_like::Any,
        }
        mod rmpv_like {
            /// Tells integers, floats and the rest apart, as MessagePack does.
            #[derive(Debug, PartialEq, serde::Deserialize)]
            #[serde(untagged)]
            pub(super) enum Any {
                Bool(bool),
                Int(i64),
                Float(f64),
                Text(String),
                List(Vec<Any>),
                Map(std::collections::BTreeMap<String, Any>),
            }
        }
        use rmpv_like::Any;
        let reply = all(b"", &table()).unwrap();
        let Config { config: Any::Map(map) } = rmp_serde::from_slice(&reply).unwrap() else { unreachable!() };
        let Some(Any::Map(limits)) = map.get("limits") else { unreachable!() };
        assert_eq!((limits.get("retries"), limits.get("ratio")), (Some(&Any::Int(3)), Some(&Any::Float(1.0))));
        let reply = all(b"{}", &table()).unwrap();
        let whole: Value = serde_json::from_slice(&reply).unwrap();
        assert_eq!(whole, json!({ "config": table() }));
    }
}

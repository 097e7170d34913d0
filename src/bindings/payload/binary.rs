//! Fields of bytes, in both formats: what always is bytes, and what mostly is text.

use std::borrow::Cow;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap as _};

/// Bytes in JSON: written with padding, read with or without, since encoders differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The key of bytes that are no text, in JSON.
const BASE64_KEY: &str = "base64";

/// A field of bytes: binary in MessagePack (a string is taken as its bytes), a base64 string in JSON.
///
/// Borrows from the payload where the format allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob<'a>(Cow<'a, [u8]>);

impl Blob<'_> {
    /// The bytes, sharing the memory of the payload out of which this was decoded.
    ///
    /// # Panics
    /// Where `payload` is not that payload.
    #[must_use]
    pub fn into_bytes(self, payload: &Bytes) -> Bytes {
        match self.0 {
            Cow::Borrowed(part) => payload.slice_ref(part),
            Cow::Owned(bytes) => bytes.into(),
        }
    }

    /// The bytes, out of whatever they were borrowed from.
    #[must_use]
    pub fn into_owned(self) -> Blob<'static> {
        Blob(Cow::Owned(self.0.into_owned()))
    }
}

impl From<Vec<u8>> for Blob<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }
}

impl AsRef<[u8]> for Blob<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> From<&'a [u8]> for Blob<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&BASE64.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Blob<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Base64Visitor).map(|bytes| Self(Cow::Owned(bytes)))
        } else {
            deserializer.deserialize_bytes(BytesVisitor { in_objects: false }).map(Self)
        }
    }
}

/// A field that mostly is text and may be any bytes: text or binary in MessagePack, in JSON text, or
/// `{"base64": "…"}` for what is no text. Unlike a [`Blob`], which is base64 in JSON whatever it holds.
///
/// Borrows from the payload where the format allows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content<'a>(Cow<'a, [u8]>);

impl Content<'_> {
    /// The bytes, sharing the memory of the payload out of which this was decoded.
    ///
    /// # Panics
    /// Where `payload` is not that payload.
    #[must_use]
    pub fn into_bytes(self, payload: &Bytes) -> Bytes {
        Blob(self.0).into_bytes(payload)
    }
}

impl AsRef<[u8]> for Content<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> From<&'a [u8]> for Content<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Content<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) if serializer.is_human_readable() => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(BASE64_KEY, &BASE64.encode(&self.0))?;
                map.end()
            }
            Err(_) => serializer.serialize_bytes(&self.0),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BytesVisitor { in_objects: true }).map(Self)
    }
}

struct Base64Visitor;

impl de::Visitor<'_> for Base64Visitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes as a base64 string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        BASE64.decode(text).map_err(|error| E::custom(format!("not base64: {error}")))
    }
}

/// Takes text and bytes.
struct BytesVisitor {
    /// Whether it also takes an object that stands for bytes.
    in_objects: bool,
}

impl<'de> de::Visitor<'de> for BytesVisitor {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = "a text, or bytes ({\"base64\": \"…\"} in JSON)";
        f.write_str(if self.in_objects { whole } else { "bytes" })
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(bytes))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text.as_bytes()))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(bytes.to_owned()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.as_bytes().to_owned()))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if !self.in_objects {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        let wrong = || de::Error::custom("bytes are an object with the one key `base64`");
        match map.next_key::<Cow<'_, str>>()? {
            Some(key) if key == BASE64_KEY => {}
            _ => return Err(wrong()),
        }
        let text: Cow<'_, str> = map.next_value()?;
        let bytes = BASE64.decode(&*text).map_err(|error| de::Error::custom(format!("not base64: {error}")))?;
        match map.next_key::<de::IgnoredAny>()? {
            None => Ok(Cow::Owned(bytes)),
            Some(_) => Err(wrong()),
        }
    }
}

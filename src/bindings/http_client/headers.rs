//! Headers of a request as a guest writes them: one value for a name, or several.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, de};

use crate::{
    bindings::payload::{bad_request, cut},
    host::HostCallError,
};

/// Headers of a request at most; servers refuse more.
const MAX_HEADERS: usize = 100;

/// Bytes of the names and values of a request's headers: as much as is read of an answer's head.
const MAX_BYTES: usize = 64 * 1024;

/// What says how a message is carried, which is the client's to say: that the guest cannot set it keeps one request from
/// passing for two. `Host` follows from the URL, which is what the link was held against.
const REFUSED: [&str; 12] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
    "proxy-authenticate",
];

/// Names and values in the order in which they were written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Headers(Vec<(String, String)>);

impl Headers {
    /// As they are sent.
    ///
    /// # Errors
    /// `bad_request` with the name of the header that cannot be.
    pub(super) fn check(self) -> Result<HeaderMap, HostCallError> {
        let bytes: usize = self.0.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > MAX_BYTES {
            let why = format!("field `headers`: {bytes} bytes, expected at most {MAX_BYTES}");
            return Err(bad_request(why));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in self.0 {
            let wrong = |why: &str| bad_request(format!("field `headers.{}`: {why}", cut(&name)));
            let known: HeaderName = name.parse().map_err(|error| wrong(&format!("{error}")))?;
            if REFUSED.contains(&known.as_str()) {
                return Err(wrong("it belongs to the connection, and is the client's to say"));
            }
            let value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_control| wrong("its value has a line end or another control character"))?;
            headers.append(known, value);
        }
        Ok(headers)
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> de::Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map from names to values")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some((name, Values(values))) = map.next_entry::<String, Values>()? {
            for value in values {
                if headers.len() == MAX_HEADERS {
                    return Err(de::Error::custom(format!("more than {MAX_HEADERS} headers")));
                }
                headers.push((name.clone(), value));
            }
        }
        Ok(Headers(headers))
    }
}

/// The values of one name.
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> de::Visitor<'de> for ValuesVisitor {
    type Value = Values;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Values, E> {
        Ok(Values(vec![value.to_owned()]))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Values, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element()? {
            if values.len() == MAX_HEADERS {
                return Err(de::Error::custom(format!("more than {MAX_HEADERS} values")));
            }
            values.push(value);
        }
        Ok(Values(values))
    }
}

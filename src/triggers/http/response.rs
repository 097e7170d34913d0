//! What a guest's answer means: a body as it is, or a map of status, headers and body.

use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::{Deserialize, Deserializer, de};

use crate::bindings::payload::{self, Content};

/// Type of an answer that nobody says anything about.
const ANY_BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Headers that belong to the connection or to how a body is sent, which are not the guest's to say.
const NOT_THE_GUESTS: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

/// What the daemon's own headers begin with.
const OWN: &str = "wapcd-";

/// Bytes of all headers that a guest may answer with: what the common clients take, and nothing that a worker would be
/// busy with for long.
const MAX_HEADERS: usize = 64 * 1024;

/// Bytes that a header takes besides its name and value, as HTTP/2 counts them.
const PER_HEADER: usize = 32;

/// The answer of a `raw` route: the guest's bytes.
pub(super) fn raw(body: Bytes, content_type: Option<&HeaderValue>, asked: &HeaderMap) -> Response<Full<Bytes>> {
    let content_type = content_type.cloned().unwrap_or_else(|| accepted(asked).unwrap_or(ANY_BYTES));
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The type that the caller accepts, where that is exactly one.
fn accepted(asked: &HeaderMap) -> Option<HeaderValue> {
    let mut sent = asked.get_all(ACCEPT).iter();
    let (value, None) = (sent.next()?, sent.next()) else { return None };
    let text = value.to_str().ok()?;
    let plain = text.split(';').next().unwrap_or_default().trim();
    let token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    let concrete = plain.split_once('/').is_some_and(|(kind, part)| token(kind) && token(part));
    if !concrete || text.contains(',') {
        return None;
    }
    // The usual header has nothing else, and is shared instead of copied.
    if plain.len() == text.len() { Some(value.clone()) } else { HeaderValue::from_str(plain).ok() }
}

/// What a guest answers on a route with `payload = "http"`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reply<'a> {
    status: Option<u16>,
    #[serde(borrow)]
    headers: Headers<'a>,
    #[serde(borrow)]
    body: Option<Content<'a>>,
}

/// Names with one or several values each, in the order of the map.
#[derive(Debug, Default)]
struct Headers<'a>(Vec<(Cow<'a, str>, Content<'a>)>);

/// The answer of an `http` route; the error says what is wrong with the guest's map. `owned` are headers that the guest
/// has no say in.
pub(super) fn of_map(answer: &Bytes, owned: impl Fn(&HeaderName) -> bool) -> Result<Response<Full<Bytes>>, String> {
    let (reply, _) = payload::decode::<Reply<'_>>(answer).map_err(|error| error.message)?;
    let status = reply.status.unwrap_or(200);
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|_| (200..=599).contains(&status))
        .ok_or_else(|| format!("field `status`: {status} is not from 200 to 599"))?;
    let body = reply.body.map(|body| body.into_bytes(answer)).unwrap_or_default();
    // What has no body in HTTP gets none, whatever the guest says.
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
    let mut response = Response::new(Full::new(if bodiless { Bytes::new() } else { body }));
    *response.status_mut() = status;
    let size: usize = reply.headers.0.iter().map(|(name, value)| name.len() + value.as_ref().len() + PER_HEADER).sum();
    if size > MAX_HEADERS {
        return Err(format!("field `headers`: {size} bytes are over the limit of {MAX_HEADERS}"));
    }
    for (name, value) in reply.headers.0 {
        let wrong = |why: &dyn std::fmt::Display| format!("field `headers`: {:?}: {why}", payload::cut(&name));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|error| wrong(&error))?;
        let value = HeaderValue::from_bytes(value.as_ref()).map_err(|error| wrong(&error))?;
        if NOT_THE_GUESTS.contains(&key.as_str()) || key.as_str().starts_with(OWN) || owned(&key) {
            continue;
        }
        response.headers_mut().try_append(key, value).map_err(|error| wrong(&error))?;
    }
    Ok(response)
}

impl<'de: 'a, 'a> Deserialize<'de> for Headers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> de::Visitor<'de> for HeadersVisitor {
    type Value = Headers<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map of names to a text or a list of texts")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut headers = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            let Values(values) = map.next_value()?;
            headers.extend(values.into_iter().map(|value| (name.clone(), value)));
        }
        Ok(Headers(headers))
    }
}

/// A text that is borrowed where it can be: serde alone copies every one inside of a map's keys.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// One value or several.
struct Values<'a>(Vec<Content<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Values<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> de::Visitor<'de> for ValuesVisitor {
    type Value = Values<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        self.visit_borrowed_bytes(text.as_bytes())
    }

    fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Values(vec![Content::from(bytes)]))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.visit_bytes(text.as_bytes())
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Values(vec![Content::from(bytes.to_owned())]))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Content::deserialize(de::value::MapAccessDeserializer::new(map)).map(|value| Values(vec![value]))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Values(values))
    }
}

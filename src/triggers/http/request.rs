//! What a guest gets of a request: its body, read within limits, or a map of all of it.

use std::{borrow::Cow, collections::BTreeMap, future::poll_fn, pin::pin, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{
    body::Body,
    header::{HeaderMap, HeaderValue, RETRY_AFTER},
    http::request::Parts,
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{answer::Peer, body::NoRoom, problem::Refusal};
use crate::{
    bindings::payload::{self, Blob, Content, Format},
    config::PayloadFormat,
    host::BoxError,
    web::{Kind, encoding},
};

/// Most that is reserved on the word of a `Content-Length`, before the bytes are there.
const RESERVE: u64 = 1 << 20;

/// Seconds after which a request that there was no room for is worth another try: what takes the room is gone after
/// seconds, or tens of them.
const CROWDED: HeaderValue = HeaderValue::from_static("5");

/// Bytes that a map has besides the body, the path and the headers: names of fields, lengths, the address.
const FRAME: usize = 256;

/// Bytes that each header takes besides its name and value, in either format.
const PER_HEADER: usize = 8;

/// Reads the whole body.
///
/// # Errors
/// It is larger than it may be, takes too long, or breaks off. One that is announced as too large is not begun.
pub(super) async fn body<B>(body: B, limit: u64, patience: Duration) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > limit {
        return Err(too_large(limit));
    }
    let mut gathering = pin!(gather(body, limit));
    // The usual small body came with its head, and needs neither a clock nor a timer.
    if let Poll::Ready(body) = poll_fn(|cx| Poll::Ready(gathering.as_mut().poll(cx))).await {
        return body;
    }
    // Boxed, since the future of every request would have room for it.
    Box::pin(tokio::time::timeout(patience, gathering)).await.unwrap_or_else(|_elapsed| {
        let text = format!("the request's body did not arrive within {} s", patience.as_secs_f64());
        Err(Refusal::new(Kind::BodyTimeout, text))
    })
}

async fn gather<B>(mut body: B, limit: u64) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let announced = body.size_hint().lower();
    let (mut single, mut whole) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error.into()))?;
        let Ok(piece) = frame.into_data() else { continue };
        if (single.len() + whole.len() + piece.len()) as u64 > limit {
            return Err(too_large(limit));
        }
        // The usual small body comes in one piece and is passed on as it is.
        if single.is_empty() && whole.is_empty() {
            single = piece;
            if body.is_end_stream() {
                break;
            }
            continue;
        }
        if whole.is_empty() {
            whole.reserve(usize::try_from(announced.min(RESERVE)).unwrap_or_default());
            whole.extend_from_slice(&single);
            single = Bytes::new();
        }
        whole.extend_from_slice(&piece);
    }
    Ok(if whole.is_empty() { single } else { whole.freeze() })
}

/// Bodies leave no room.
pub(super) fn crowded(why: &impl std::fmt::Display) -> Refusal {
    Refusal::new(Kind::Busy, why.to_string()).with(RETRY_AFTER, CROWDED)
}

fn broken(error: &BoxError) -> Refusal {
    if error.is::<NoRoom>() {
        return crowded(error);
    }
    Refusal::new(Kind::BadRequest, format!("the request's body broke off: {error}"))
}

fn too_large(limit: u64) -> Refusal {
    Refusal::new(Kind::PayloadTooLarge, format!("the request's body is over the limit of {limit} bytes"))
}

/// The value of a parameter, decoded.
///
/// # Errors
/// It is not percent-encoded UTF-8.
pub(super) fn decoded(value: &str) -> Result<Cow<'_, str>, Refusal> {
    if !value.contains('%') {
        return Ok(Cow::Borrowed(value));
    }
    encoding::decode(value)
        .map(Cow::Owned)
        .map_err(|error| Refusal::new(Kind::BadRequest, format!("the path is not percent-encoded UTF-8: {error}")))
}

/// The payload of `payload = "http"`: everything about the request.
#[derive(Serialize)]
struct Whole<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    query_params: BTreeMap<Cow<'a, str>, Vec<Cow<'a, str>>>,
    headers: Headers<'a>,
    params: Parameters<'a>,
    remote: Option<String>,
    scheme: &'static str,
    host: Option<&'a str>,
    body: Blob<'a>,
}

struct Headers<'a>(&'a HeaderMap);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.keys_len()))?;
        for name in self.0.keys() {
            map.serialize_entry(name.as_str(), &Values(self.0, name))?;
        }
        map.end()
    }
}

struct Values<'a>(&'a HeaderMap, &'a hyper::header::HeaderName);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values: Vec<_> = self.0.get_all(self.1).iter().map(|value| Content::from(value.as_bytes())).collect();
        values.serialize(serializer)
    }
}

struct Parameters<'a>(&'a matchit::Params<'a, 'a>);

impl Serialize for Parameters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
            // All of them were looked at before the body was read.
            map.serialize_entry(name, &decoded(value).unwrap_or_default())?;
        }
        map.end()
    }
}

/// Writes the map of a request.
///
/// # Errors
/// Not met: all of it has a form.
pub(super) fn whole(
    format: PayloadFormat,
    head: &Parts,
    parameters: &matchit::Params<'_, '_>,
    peer: &Peer,
    host: Option<&str>,
    body: &Bytes,
) -> Result<Bytes, Refusal> {
    let query = head.uri.query().unwrap_or_default();
    let mut query_params: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        query_params.entry(name).or_default().push(value);
    }
    let whole = Whole {
        method: head.method.as_str(),
        path: head.uri.path(),
        query,
        query_params,
        headers: Headers(&head.headers),
        params: Parameters(parameters),
        remote: peer.address.map(|address| address.to_string()),
        scheme: if peer.secure { "https" } else { "http" },
        host,
        body: Blob::from(&**body),
    };
    let headers: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + PER_HEADER).sum();
    let (format, body) = match format {
        PayloadFormat::MessagePack => (Format::MessagePack, body.len()),
        // Base64 makes four of three.
        PayloadFormat::Json => (Format::Json, body.len() / 3 * 4 + 4),
    };
    let size = body + headers + head.uri.path().len() + 3 * query.len() + FRAME;
    payload::encode_sized(format, &whole, size).map_err(|error| Refusal::new(Kind::Internal, error.to_string()))
}

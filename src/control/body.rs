//! Reads a request's body: bounded in bytes, in the time that a client may leave between two pieces of it, and in the time
//! for all of it.

use std::time::Duration;

use actix_web::{HttpRequest, http::header::CONTENT_LENGTH, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::problem::{Kind, Problem};

/// Most that is reserved on the word of a `Content-Length`, before the bytes are there.
const RESERVE: u64 = 1 << 20;

/// What a body may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Its bytes.
    pub(super) bytes: u64,
    /// The limit in words, for whoever is over it: so many bytes, and whose limit that is.
    pub(super) limit: String,
    /// How long the client may be silent inside it.
    pub(super) silence: Duration,
    /// How long it may take in all.
    pub(super) whole: Duration,
}

/// Reads the whole body.
///
/// # Errors
/// A problem where the body is larger than it may be, stalls, takes too long, or breaks off.
pub(super) async fn read(request: &HttpRequest, body: web::Payload, allowed: &Allowed) -> Result<Bytes, Problem> {
    let announced = announced_length(request);
    if announced.is_some_and(|length| length > allowed.bytes) {
        return Err(allowed.exceeded());
    }
    let pieces = gather(body, announced.unwrap_or_default(), allowed);
    tokio::time::timeout(allowed.whole, pieces).await.unwrap_or_else(|_elapsed| {
        let text = format!("the request's body did not arrive within {} s", allowed.whole.as_secs_f64());
        Err(Problem::new(Kind::BodyTimeout, text))
    })
}

async fn gather(mut body: web::Payload, announced: u64, allowed: &Allowed) -> Result<Bytes, Problem> {
    let mut whole = BytesMut::new();
    let mut single = Bytes::new();
    while let Some(piece) = next(&mut body, allowed.silence).await? {
        if (single.len() + whole.len() + piece.len()) as u64 > allowed.bytes {
            return Err(allowed.exceeded());
        }
        // The usual small body comes in one piece and is passed on as it is.
        if single.is_empty() && whole.is_empty() {
            single = piece;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(usize::try_from(announced.min(RESERVE)).unwrap_or_default());
            whole.extend_from_slice(&std::mem::take(&mut single));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(if whole.is_empty() { single } else { whole.freeze() })
}

async fn next(body: &mut web::Payload, silence: Duration) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(silence, body.next()).await {
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(None) => Ok(None),
        Ok(Some(Err(error))) => {
            Err(Problem::new(Kind::BadRequest, format!("the request's body broke off: {}", crate::host::chain(&error))))
        }
        Err(_elapsed) => Err(Problem::new(
            Kind::BodyTimeout,
            format!("nothing more of the request's body arrived for {} s", silence.as_secs_f64()),
        )),
    }
}

fn announced_length(request: &HttpRequest) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Allowed {
    fn exceeded(&self) -> Problem {
        Problem::new(Kind::PayloadTooLarge, format!("the request's body is over {}", self.limit))
    }
}

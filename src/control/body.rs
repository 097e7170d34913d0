//! Reads a request's body: bounded in bytes and in the time that a client may leave between two pieces of it.

use std::time::Duration;

use actix_web::{HttpRequest, http::header::CONTENT_LENGTH, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::problem::{Kind, Problem};

/// How long a client may be silent inside its body. A pipe behind `wapcctl call` may be slow, so this is generous;
/// a client that died without closing holds one of the server's connections for this long.
const SILENCE: Duration = Duration::from_secs(30);

/// Most that is reserved on the word of a `Content-Length`, before the bytes are there.
const RESERVE: u64 = 1 << 20;

/// Reads the whole body.
///
/// # Errors
/// A problem where the body is over `limit` bytes, stalls, or breaks off.
pub(super) async fn read(request: &HttpRequest, mut body: web::Payload, limit: u64) -> Result<Bytes, Problem> {
    let announced = announced_length(request);
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let mut whole = BytesMut::new();
    let mut single = Bytes::new();
    while let Some(piece) = next(&mut body).await? {
        if (single.len() + whole.len() + piece.len()) as u64 > limit {
            return Err(too_large(limit));
        }
        // The usual small body comes in one piece and is passed on as it is.
        if single.is_empty() && whole.is_empty() {
            single = piece;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(usize::try_from(announced.unwrap_or_default().min(RESERVE)).unwrap_or_default());
            whole.extend_from_slice(&std::mem::take(&mut single));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(if whole.is_empty() { single } else { whole.freeze() })
}

async fn next(body: &mut web::Payload) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(SILENCE, body.next()).await {
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(None) => Ok(None),
        Ok(Some(Err(error))) => {
            Err(Problem::new(Kind::BadRequest, format!("the request's body broke off: {}", crate::host::chain(&error))))
        }
        Err(_elapsed) => Err(Problem::new(
            Kind::BodyTimeout,
            format!("nothing more of the request's body arrived for {} s", SILENCE.as_secs()),
        )),
    }
}

fn announced_length(request: &HttpRequest) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limit: u64) -> Problem {
    Problem::new(
        Kind::PayloadTooLarge,
        format!("the request's body is over {limit} bytes, more than any module's limit allows"),
    )
}

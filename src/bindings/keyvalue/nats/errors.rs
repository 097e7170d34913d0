//! What an error of NATS means: for the guest, and for the circuit.

use async_nats::{
    RequestError, RequestErrorKind,
    jetstream::{self, ErrorCode},
};

use crate::{
    bindings::circuit::Failure,
    host::{HostCallError, HostErrorKind},
};

/// What says that there is no room.
const FULL: [ErrorCode; 4] = [
    ErrorCode::INSUFFICIENT_RESOURCES,
    ErrorCode::STORAGE_RESOURCES_EXCEEDED,
    ErrorCode::MEMORY_RESOURCES_EXCEEDED,
    ErrorCode::STREAM_STORE_FAILED,
];

/// The failure of a request that got no reply.
pub(super) fn unanswered(error: RequestError) -> Failure {
    match error.kind() {
        RequestErrorKind::MaxPayloadExceeded => {
            let why = "field `value`: over the server's `max_payload`";
            HostCallError::with_source(HostErrorKind::TooLarge, why, error).into()
        }
        // Nobody listens: the bucket, or JetStream, is gone. The rest is the connection's.
        _ => Failure::Server(Box::new(error)),
    }
}

/// The failure of a request that JetStream refused.
pub(super) fn refused(error: jetstream::Error) -> Failure {
    let code = error.error_code();
    if error.code() == 503 && !FULL.contains(&code) {
        return Failure::Server(Box::new(error));
    }
    let (kind, why) = if FULL.contains(&code) {
        (HostErrorKind::Unavailable, "the bucket is full")
    } else if code == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM {
        (HostErrorKind::TooLarge, "field `value`: over the bucket's limit")
    } else {
        (HostErrorKind::Internal, "JetStream answered with an error")
    };
    HostCallError::with_source(kind, why, error).into()
}

/// A reply that the request cannot have.
pub(super) fn strange(what: &str) -> Failure {
    Failure::Server(format!("the server's reply to {what} cannot be understood").into())
}

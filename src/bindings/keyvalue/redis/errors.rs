//! What an error of Redis means: for the guest, and for the circuit.

use redis::RedisError;

use crate::{
    bindings::{
        circuit::Failure,
        keyvalue::{
            key::Key,
            refusals::{NO_NUMBER, OVERFLOW, conflict},
        },
    },
    host::{HostCallError, HostErrorKind},
};

/// Codes with which a server says that it cannot serve anybody now.
const DOWN: [&str; 6] = ["LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOAUTH"];

/// Codes with which it says that it does not take this now, while others can be served.
const REFUSED: [&str; 6] = ["OOM", "READONLY", "MISCONF", "NOREPLICAS", "NOPERM", "MOVED"];

/// The failure of a request, for which the key stands that it was about.
pub(super) fn failure(key: Option<&Key>, error: RedisError) -> Failure {
    let code = error.code().unwrap_or_default();
    // Without a code the error is not the server's: the connection failed, or what came over it was no answer.
    if code.is_empty() || DOWN.contains(&code) {
        // Its causes say the same again.
        return Failure::Server(error.to_string().into());
    }
    let detail = error.detail().unwrap_or_default();
    let about = |why: &str| key.map(|key| conflict(key, why));
    let known = match code {
        "WRONGTYPE" => about("is no text or bytes, but some other type of Redis").or_else(|| {
            Some(HostCallError::new(HostErrorKind::Conflict, "one of the keys holds another type of Redis"))
        }),
        "ERR" if detail.contains("not an integer") => about(NO_NUMBER),
        "ERR" if detail.contains("would overflow") => about(OVERFLOW),
        _ => None,
    };
    known.unwrap_or_else(|| other(error)).into()
}

fn other(error: RedisError) -> HostCallError {
    // A script and a transaction tell the code of what failed inside them in their text.
    let text = error.to_string();
    let refused = REFUSED.iter().any(|code| text.contains(code));
    let kind = if refused { HostErrorKind::Unavailable } else { HostErrorKind::Internal };
    let why = if refused { "the server does not take it now" } else { "the server answered with an error" };
    HostCallError::new(kind, format!("{why}: {text}"))
}

/// An answer that the command cannot have.
pub(super) fn strange(command: &str) -> Failure {
    Failure::Server(format!("the server's answer to {command} cannot be understood").into())
}

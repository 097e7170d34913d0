//! From what went wrong on the way to a host to the error that the guest reads.
//!
//! Messages name the host and never the path, the query or the headers of a request, in which there may be secrets.

use std::error::Error;

use thiserror::Error;

use super::rules::not_allowed;
use crate::host::{HostCallError, HostErrorKind};

/// A host whose every address is one that the link does not list.
///
/// The guest is not told which: names of an internal network are not its to look up. The log has it, at debug.
#[derive(Debug, Error)]
#[error("the address of host `{host}` is {why}, and not among the `addresses` of the link")]
pub(super) struct Forbidden {
    pub(super) host: String,
    pub(super) why: &'static str,
}

/// What became of an exchange with that host that has no answer.
pub(super) fn of(error: reqwest::Error, place: &str) -> HostCallError {
    let error = error.without_url();
    if let Some(forbidden) = cause::<Forbidden>(&error) {
        return not_allowed(forbidden.to_string());
    }
    let (kind, why) = match () {
        () if error.is_connect() && error.is_timeout() => {
            (HostErrorKind::TimedOut, format!("host `{place}` took no connection within `connect_timeout`"))
        }
        () if error.is_timeout() => (HostErrorKind::TimedOut, format!("host `{place}` fell silent")),
        () if cause::<hyper::Error>(&error).is_some_and(is_too_large) => {
            (HostErrorKind::TooLarge, format!("the answer of host `{place}` has a larger head than is read"))
        }
        () if error.is_connect() => (HostErrorKind::Unavailable, format!("host `{place}` cannot be reached")),
        () => (HostErrorKind::Unavailable, format!("host `{place}` did not answer in full")),
    };
    HostCallError::with_source(kind, why, error)
}

/// Whether the head of an answer had too many headers or bytes. The client's library has a question for that, but only in
/// servers; its text is held by a test.
fn is_too_large(error: &hyper::Error) -> bool {
    error.is_parse() && error.to_string() == "message head is too large"
}

/// The first cause of that type.
fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

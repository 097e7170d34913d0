//! What an S3-compatible store refuses, and what that means: for the guest, and for the circuit.

use std::error::Error;

use thiserror::Error;

use super::super::store::Place;
use crate::{
    bindings::circuit::Failure,
    host::{BoxError, HostCallError, HostErrorKind, chain},
};

/// An answer that is no success.
#[derive(Debug, Clone, Error)]
#[error("the store answered {status}{}", describe(code, message))]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The word of S3 for it; empty where the answer has no body, as that to `HEAD`.
    pub(super) code: String,
    message: String,
}

fn describe(code: &str, message: &str) -> String {
    match (code, message) {
        ("", "") => String::new(),
        (code, "") => format!(" {code}"),
        (code, message) => format!(" {code} ({message})"),
    }
}

/// Bytes of a store's word that are repeated to a guest.
const LONGEST: usize = 200;

impl Refusal {
    /// Reads an error of S3: its code and message, and nothing else of what it tells.
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        Self { status, code: element(&body, "Code"), message: element(&body, "Message") }
    }

    /// The refusal among the causes of an error.
    pub(super) fn of(error: &object_store::Error) -> Option<&Self> {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(refusal) = error.downcast_ref() {
                return Some(refusal);
            }
            cause = error.source();
        }
        None
    }
}

fn element(body: &str, name: &str) -> String {
    let text = body
        .split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{name}>")))
        .map_or("", |(text, _)| text);
    let text: String = text.chars().filter(|char| !char.is_control()).collect();
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default().to_owned()
}

/// Why the store did not answer as it should: its refusal, or what failed on the way to it.
///
/// The client's own words repeat their causes, the address, and how long it took, which would make news of every try.
pub(super) fn why(error: object_store::Error) -> BoxError {
    if let Some(refusal) = Refusal::of(&error) {
        return refusal.clone().into();
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if error.is::<reqwest::Error>() {
            return chain(error).into();
        }
        cause = error.source();
    }
    error.into()
}

/// What a failed request for an object means.
pub(super) fn failure(error: object_store::Error, place: Option<&Place>) -> Failure {
    let Some(refusal) = Refusal::of(&error).cloned() else { return Failure::Server(why(error)) };
    let refused = |kind, text: &str| HostCallError::with_source(kind, text, refusal.clone()).into();
    match (refusal.status, &*refusal.code, place) {
        (404, "NoSuchBucket", _) => Failure::Server(refusal.into()),
        (404, _, Some(place)) => place.not_found().into(),
        (409 | 412, _, Some(place)) => place.conflict().into(),
        (401 | 403, ..) => refused(HostErrorKind::Unavailable, "the store refuses the daemon's request"),
        (400, "KeyTooLongError", _) => {
            refused(HostErrorKind::BadRequest, "the name is too long together with what the binding puts before it")
        }
        (413, ..) | (400, "EntityTooLarge", _) => {
            refused(HostErrorKind::TooLarge, "the object is too large for the store")
        }
        (501, ..) => refused(HostErrorKind::Internal, "the store does not know this kind of request"),
        (400 | 402 | 404..=428 | 430..=499, ..) => refused(HostErrorKind::Internal, "the store refuses the request"),
        _ => Failure::Server(refusal.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_the_word_of_the_store_and_nothing_of_the_request() {
        let body = b"<?xml?><Error><Code>SignatureDoesNotMatch</Code><Message>it does\nnot</Message>\
            <AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>";
        let refusal = Refusal::read(403, body);
        assert_eq!(refusal.to_string(), "the store answered 403 SignatureDoesNotMatch (it doesnot)");
        assert_eq!(Refusal::read(404, b"").to_string(), "the store answered 404");
        assert_eq!(Refusal::read(500, b"<Code>\xff").to_string(), "the store answered 500");
        assert_eq!(Refusal::read(500, format!("<Code>{}</Code>", "ä".repeat(500)).as_bytes()).code.len(), 200);
    }
}

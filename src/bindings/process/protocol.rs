//! What the daemon and the program say to each other: maps in MessagePack, as `docs/bindings/process.md` specifies them.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    bindings::{
        BindingCall,
        payload::{Blob, Format, cut, decode, encode},
    },
    host::{HostCallError, HostErrorKind},
};

/// The version of all this.
pub(super) const VERSION: u32 = 1;

/// Bytes of an error's text that a guest is shown; the rest is cut.
const MAX_TEXT: usize = 4 * 1024;

/// Bytes of a message that are not the guest's: names, numbers, and the text of an error.
pub(super) const OVERHEAD: u64 = 64 * 1024;

/// Kinds of errors that a program may answer; the others are the daemon's to say.
const KINDS: [HostErrorKind; 9] = [
    HostErrorKind::NotAllowed,
    HostErrorKind::NoSuchOperation,
    HostErrorKind::BadRequest,
    HostErrorKind::NotFound,
    HostErrorKind::Conflict,
    HostErrorKind::TooLarge,
    HostErrorKind::TimedOut,
    HostErrorKind::Unavailable,
    HostErrorKind::Internal,
];

#[derive(Serialize)]
struct Hello<'a> {
    hello: Greeting<'a>,
}

#[derive(Serialize)]
struct Greeting<'a> {
    protocol: u32,
    binding: &'a str,
    max_message: u32,
}

#[derive(Serialize)]
struct Request<'a> {
    id: u64,
    module: &'a str,
    instance: u64,
    call: u64,
    namespace: &'a str,
    operation: &'a str,
    payload: Blob<'a>,
    deadline_ms: u64,
}

#[derive(Serialize)]
struct Cancel {
    cancel: u64,
}

#[derive(Serialize)]
struct Ping {
    ping: u64,
}

/// The first message.
pub(super) fn hello(binding: &str, max_message: u32) -> Result<Bytes, HostCallError> {
    write(&Hello { hello: Greeting { protocol: VERSION, binding, max_message } })
}

/// A host call that has so much time left.
pub(super) fn request(id: u64, call: &BindingCall, left: Duration) -> Result<Bytes, HostCallError> {
    write(&Request {
        id,
        module: &call.caller.module,
        instance: call.caller.instance,
        call: call.caller.call,
        namespace: &call.namespace,
        operation: &call.operation,
        payload: Blob::from(&*call.payload),
        deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Nobody waits for that request any more.
pub(super) fn cancel(id: u64) -> Result<Bytes, HostCallError> {
    write(&Cancel { cancel: id })
}

/// Is the program well?
pub(super) fn ping(id: u64) -> Result<Bytes, HostCallError> {
    write(&Ping { ping: id })
}

fn write(message: &impl Serialize) -> Result<Bytes, HostCallError> {
    encode(Format::MessagePack, message)
}

/// What the program says.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// It takes calls, of these operations only if there are any.
    Ready { operations: Option<Vec<String>> },
    /// The answer to a request.
    Reply { id: u64, outcome: Result<Bytes, HostCallErrorText> },
    /// The answer to a ping.
    Pong(u64),
}

/// An error that the program answers.
#[derive(Debug, PartialEq)]
pub(super) struct HostCallErrorText {
    kind: HostErrorKind,
    message: String,
}

impl From<HostCallErrorText> for HostCallError {
    fn from(error: HostCallErrorText) -> Self {
        Self::new(error.kind, error.message)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    ready: Option<bool>,
    operations: Option<Vec<String>>,
    id: Option<u64>,
    #[serde(borrow)]
    ok: Option<Blob<'a>>,
    #[serde(borrow)]
    error: Option<ErrorText<'a>>,
    pong: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorText<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

/// Reads what the program says.
///
/// # Errors
/// What is wrong with it, and how it begins.
pub(super) fn read(message: &Bytes) -> Result<Said, String> {
    /// Bytes that are shown: the start of a line of text, or the first keys of a map.
    const SHOWN: usize = 64;
    let wrong = |why: &str| {
        let start = message.get(..SHOWN).unwrap_or(message).escape_ascii();
        format!("it wrote a message that is none: {why}; it begins with b\"{start}\"")
    };
    if !matches!(message.first(), Some(0x80..=0x8f | 0xde | 0xdf)) {
        return Err(wrong("expected a map in MessagePack"));
    }
    let (said, _) = decode::<Message<'_>>(message).map_err(|error| wrong(&error.message))?;
    match said {
        Message { ready: Some(true), operations, id: None, ok: None, error: None, pong: None } => {
            Ok(Said::Ready { operations })
        }
        Message { ready: None, operations: None, id: Some(id), ok: Some(ok), error: None, pong: None } => {
            Ok(Said::Reply { id, outcome: Ok(ok.into_bytes(message)) })
        }
        Message { ready: None, operations: None, id: Some(id), ok: None, error: Some(error), pong: None } => {
            Ok(Said::Reply { id, outcome: Err(error.into()) })
        }
        Message { ready: None, operations: None, id: None, ok: None, error: None, pong: Some(pong) } => {
            Ok(Said::Pong(pong))
        }
        _ => Err(wrong("expected `ready`, or `id` with `ok` or `error`, or `pong`")),
    }
}

impl From<ErrorText<'_>> for HostCallErrorText {
    fn from(error: ErrorText<'_>) -> Self {
        let message = match error.message.get(..error.message.floor_char_boundary(MAX_TEXT)) {
            Some(start) if start.len() < error.message.len() => format!("{start}…"),
            _ => error.message.clone().into_owned(),
        };
        match KINDS.into_iter().find(|kind| kind.as_str() == error.kind) {
            Some(kind) => Self { kind, message },
            None => Self { kind: HostErrorKind::Internal, message: format!("{}: {message}", cut(&error.kind)) },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use serde_json::{Value, json};

    use super::*;
    use crate::bindings::testing::call;

    fn said(message: &Value) -> Result<Said, String> {
        read(&rmp_serde::to_vec_named(message).unwrap().into())
    }

    #[test]
    fn requests_are_maps_with_the_facts_about_the_caller() {
        let call = call("locate", b"\x00\xff");
        let written = request(7, &call, Duration::from_millis(1500)).unwrap();
        assert_eq!(written[0], 0x88);
        assert!(written.windows(4).any(|part| part == b"\xc4\x02\x00\xff"), "the payload is binary: {written:?}");
        for (message, expected) in [
            (hello("geo", 10).unwrap(), json!({"hello": {"protocol": 1, "binding": "geo", "max_message": 10}})),
            (cancel(7).unwrap(), json!({"cancel": 7})),
            (ping(8).unwrap(), json!({"ping": 8})),
        ] {
            assert_eq!(rmp_serde::from_slice::<Value>(&message).unwrap(), expected);
        }
    }

    #[test]
    fn each_message_of_the_program_is_known_by_its_keys() {
        assert_eq!(said(&json!({"ready": true})).unwrap(), Said::Ready { operations: None });
        let operations = Some(vec!["a".to_owned()]);
        assert_eq!(said(&json!({"ready": true, "operations": ["a"]})).unwrap(), Said::Ready { operations });
        let outcome = Ok(Bytes::from_static(b"hi"));
        assert_eq!(said(&json!({"id": 1, "ok": "hi"})).unwrap(), Said::Reply { id: 1, outcome });
        assert_eq!(said(&json!({"pong": 3})).unwrap(), Said::Pong(3));
    }

    #[test]
    fn errors_have_a_stable_kind_or_are_internal() {
        let error =
            |kind: &str, message: &str| match said(&json!({"id": 1, "error": {"kind": kind, "message": message}})) {
                Ok(Said::Reply { outcome: Err(error), .. }) => HostCallError::from(error).to_string(),
                other => format!("{other:?}"),
            };
        assert_eq!(error("not_found", "no such town"), "not_found: no such town");
        assert_eq!(error("KeyError", "'x'"), "internal: KeyError: 'x'");
        let long = error("conflict", &"ü".repeat(5000));
        assert!(long.len() < 4200 && long.ends_with("ü…"), "{}", long.len());
    }

    #[test]
    fn what_is_no_message_is_told_with_its_start() {
        for (message, why) in [
            (json!({"id": 1}), "expected `ready`, or `id` with `ok` or `error`, or `pong`"),
            (json!({"ready": false}), "expected `ready`"),
            (json!({"id": 1, "ok": "", "error": {"kind": "a", "message": ""}}), "expected `ready`"),
            (json!({"id": -1, "ok": ""}), "field `id`"),
            (json!({"id": 1, "ok": 5}), "field `ok`"),
            (json!({"answer": 1}), "unknown field `answer`"),
            (json!([1]), "expected a map in MessagePack"),
            (json!({}), "expected `ready`"),
        ] {
            let error = said(&message).unwrap_err();
            assert!(error.starts_with("it wrote a message that is none: ") && error.contains(why), "{error}");
        }
        let error = read(&Bytes::from_static(b"{\"id\": 1}")).unwrap_err();
        assert!(error.ends_with("it begins with b\"{\\\"id\\\": 1}\""), "{error}");
        assert!(read(&Bytes::new()).unwrap_err().ends_with("it begins with b\"\""));
    }
}

//! What the `system` binding does: reads clocks, makes random bytes, says who asks.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime},
};

use rand::RngCore;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::rfc3339;
use crate::bindings::{
    BindingReply, Caller,
    payload::{Blob, bad_request, decode, encode},
};

/// Random bytes in one answer at most: keys and salts are far below, and the worker makes so many in some microseconds.
const MAX_RANDOM: usize = 64 * 1024;

/// Where `monotonic` counts from, one for the whole process.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Random {
    length: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfVersion {
    version: Option<u8>,
}

#[derive(Serialize)]
struct Now {
    unix_ms: u64,
    rfc3339: String,
}

#[derive(Serialize)]
struct Monotonic {
    ns: u64,
}

#[derive(Serialize)]
struct Bytes<'a> {
    bytes: Blob<'a>,
}

#[derive(Serialize)]
struct Identifier<'a> {
    uuid: &'a str,
}

#[derive(Serialize)]
struct Identity<'a> {
    module: &'a str,
    instance: u64,
    generation: u64,
    call: u64,
}

/// The wall clock.
pub(super) fn now(payload: &[u8]) -> BindingReply {
    let (Nothing {}, format) = decode(payload)?;
    // Before 1970 stands a clock that was never set.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    encode(format, &Now { unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX), rfc3339: rfc3339(since) })
}

/// The clock that never goes back.
pub(super) fn monotonic(payload: &[u8]) -> BindingReply {
    let (Nothing {}, format) = decode(payload)?;
    let start = *START;
    encode(format, &Monotonic { ns: nanoseconds(start.elapsed()) })
}

fn nanoseconds(time: Duration) -> u64 {
    // Reached after 584 years.
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Random bytes.
pub(super) fn random(payload: &[u8]) -> BindingReply {
    let (Random { length }, format) = decode(payload)?;
    if !(1..=MAX_RANDOM).contains(&length) {
        return Err(bad_request(format!("field `length`: {length}, expected 1 to {MAX_RANDOM}")));
    }
    let mut bytes = vec![0; length];
    rand::rng().fill_bytes(&mut bytes);
    encode(format, &Bytes { bytes: Blob::from(&*bytes) })
}

/// An identifier that nobody else has.
pub(super) fn uuid(payload: &[u8]) -> BindingReply {
    let (OfVersion { version }, format) = decode(payload)?;
    let uuid = match version {
        None | Some(4) => Uuid::new_v4(),
        Some(7) => Uuid::now_v7(),
        Some(other) => return Err(bad_request(format!("field `version`: {other} is neither 4 nor 7"))),
    };
    encode(format, &Identifier { uuid: uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) })
}

/// Who asks.
pub(super) fn identity(payload: &[u8], caller: &Caller) -> BindingReply {
    let (Nothing {}, format) = decode(payload)?;
    let Caller { module, instance, generation, call, .. } = caller;
    encode(format, &Identity { module, instance: *instance, generation: *generation, call: *call })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde_json::Value;

    use super::*;
    use crate::bindings::testing::call;

    fn json(reply: BindingReply) -> Value {
        serde_json::from_slice(&reply.unwrap()).unwrap()
    }

    #[test]
    fn now_is_between_before_and_after_and_says_the_same_twice() {
        let unix = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let before = unix().as_millis() as u64;
        let now = json(now(b"{}"));
        let (at, after) = (now["unix_ms"].as_u64().unwrap(), unix().as_millis() as u64);
        assert!(before <= at && at <= after);
        assert_eq!(now["rfc3339"], rfc3339(Duration::from_millis(at)));
    }

    #[test]
    fn monotonic_never_goes_back() {
        let ns = || json(monotonic(b"{}"))["ns"].as_u64().unwrap();
        let mut last = ns();
        for _ in 0..1000 {
            let next = ns();
            assert!(next >= last);
            last = next;
        }
    }

    #[test]
    fn random_bytes_have_the_length_that_was_asked_for_and_differ() {
        for length in [1, 32, MAX_RANDOM] {
            let bytes = json(random(format!("{{\"length\":{length}}}").as_bytes()));
            assert_eq!(STANDARD.decode(bytes["bytes"].as_str().unwrap()).unwrap().len(), length);
        }
        let two = [(); 2].map(|()| random(b"\x81\xa6length\x10").unwrap());
        assert_ne!(two[0], two[1]);
        for wrong in ["{\"length\":0}", "{\"length\":65537}", "{\"length\":-1}", "{}", "{\"length\":1.5}"] {
            assert!(random(wrong.as_bytes()).unwrap_err().to_string().starts_with("bad_request: "), "{wrong}");
        }
    }

    #[test]
    fn identifiers_are_of_the_version_that_was_asked_for_and_unique() {
        for (request, version) in [("", 4), ("{}", 4), ("{\"version\":4}", 4), ("{\"version\":7}", 7)] {
            let read = |reply: BindingReply| match request {
                "" => rmp_serde::from_slice::<Value>(&reply.unwrap()).unwrap(),
                _ => json(reply),
            };
            let two =
                [(); 2].map(|()| read(uuid(request.as_bytes()))["uuid"].as_str().unwrap().parse::<Uuid>().unwrap());
            assert_eq!(two[0].get_version_num(), version);
            assert_ne!(two[0], two[1]);
        }
        let error = uuid(b"{\"version\":1}").unwrap_err().to_string();
        assert_eq!(error, "bad_request: field `version`: 1 is neither 4 nor 7");
    }

    #[test]
    fn identity_is_that_of_the_caller() {
        let call = call("identity", "{}");
        let identity = json(identity(&call.payload, &call.caller));
        assert_eq!(identity, serde_json::json!({"module": "tester", "instance": 7, "generation": 1, "call": 42}));
    }

    #[test]
    fn fields_that_nobody_knows_are_refused() {
        let call = call("identity", b"{\"a\":1}");
        for reply in [now(&call.payload), monotonic(&call.payload), identity(&call.payload, &call.caller)] {
            let error = reply.unwrap_err().to_string();
            assert!(error.starts_with("bad_request: ") && error.contains("unknown field `a`"), "{error}");
        }
    }
}

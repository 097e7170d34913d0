//! Payloads with named fields: the one place that decides between MessagePack and JSON.
//!
//! The first byte of a request tells its format, and the reply uses the same: white space or `{` means JSON, a map's
//! marker means MessagePack, and an empty payload is an empty map in MessagePack. Only maps with known fields are
//! taken; whatever else a guest sends is `bad_request`, never a panic: nothing is allocated for a length that the
//! payload merely claims, and no request type nests.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::host::{HostCallError, HostErrorKind};

mod binary;

pub use self::binary::{Blob, Content};

/// What an empty payload stands for.
const EMPTY_MAP: &[u8] = &[0x80];

/// How a payload is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// MessagePack, maps with named fields.
    MessagePack,
    /// JSON, bytes as base64 strings.
    Json,
}

/// Reads a request and says in which format the reply is expected.
///
/// # Errors
/// `bad_request`, naming the field and what is wrong with it.
pub fn decode<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<(T, Format), HostCallError> {
    let payload = if payload.is_empty() { EMPTY_MAP } else { payload };
    match payload.first() {
        Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') => decode_json(payload).map(|request| (request, Format::Json)),
        Some(0x80..=0x8f | 0xde | 0xdf) => decode_msgpack(payload).map(|request| (request, Format::MessagePack)),
        other => Err(bad_request(format!(
            "expected a map in MessagePack or an object in JSON, found first byte {:#04x}",
            other.copied().unwrap_or_default()
        ))),
    }
}

/// Writes a reply in the format of its request.
///
/// # Errors
/// `internal`, which no reply type of this crate brings about.
pub fn encode<T: Serialize>(format: Format, reply: &T) -> Result<Bytes, HostCallError> {
    match format {
        Format::MessagePack => rmp_serde::to_vec_named(reply).map_err(unwritable),
        Format::Json => serde_json::to_vec(reply).map_err(unwritable),
    }
    .map(Bytes::from)
}

/// Writes a payload for a guest, of which the size is known roughly.
///
/// # Errors
/// `internal`, which no payload type of this crate brings about.
pub(crate) fn encode_sized<T: Serialize>(format: Format, payload: &T, size: usize) -> Result<Bytes, HostCallError> {
    let mut bytes = Vec::with_capacity(size);
    match format {
        Format::MessagePack => rmp_serde::encode::write_named(&mut bytes, payload).map_err(unwritable)?,
        Format::Json => serde_json::to_writer(&mut bytes, payload).map_err(unwritable)?,
    }
    Ok(bytes.into())
}

fn decode_json<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, HostCallError> {
    if payload.trim_ascii_start().first() != Some(&b'{') {
        return Err(bad_request("expected an object in JSON after the leading white space"));
    }
    serde_json::from_slice(payload).map_err(|error| {
        let mut again = serde_json::Deserializer::from_slice(payload);
        located(serde_path_to_error::deserialize::<_, T>(&mut again), error.to_string())
    })
}

fn decode_msgpack<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, HostCallError> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(payload);
    let request = T::deserialize(&mut deserializer).map_err(|error| {
        let mut again = rmp_serde::Deserializer::from_read_ref(payload);
        located(serde_path_to_error::deserialize::<_, T>(&mut again), error.to_string())
    })?;
    match <()>::deserialize(&mut deserializer) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(request),
        _ => Err(bad_request("bytes follow the map")),
    }
}

/// The error of a second reading that kept track of where it was; the first one keeps none, for its speed.
fn located<T, E: std::error::Error>(again: Result<T, serde_path_to_error::Error<E>>, reason: String) -> HostCallError {
    match again {
        Err(error) if error.path().iter().next().is_some() => {
            bad_request(format!("field `{}`: {}", cut(&error.path().to_string()), cut(&reason)))
        }
        _ => bad_request(cut(&reason)),
    }
}

/// The start of a text that a guest chose, so that an error stays readable.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    /// Bytes: a line or two.
    const ENOUGH: usize = 200;
    if text.len() <= ENOUGH {
        return Cow::Borrowed(text);
    }
    let start = text.get(..text.floor_char_boundary(ENOUGH)).unwrap_or_default();
    Cow::Owned(format!("{start}…"))
}

/// A request that is not what the operation takes.
pub(super) fn bad_request(why: impl Into<String>) -> HostCallError {
    HostCallError::new(HostErrorKind::BadRequest, why)
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> HostCallError {
    HostCallError::with_source(HostErrorKind::Internal, "the reply could not be written", error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample<'a> {
        #[serde(borrow)]
        key: Cow<'a, str>,
        #[serde(borrow)]
        value: Blob<'a>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<i64>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Optional {
        by: Option<i64>,
    }

    fn error(payload: &[u8]) -> String {
        decode::<Sample<'_>>(payload).unwrap_err().to_string()
    }

    #[test]
    fn answers_in_the_format_of_the_first_byte() {
        let (sample, format) = decode::<Sample<'_>>(b" \n{\"key\":\"k\",\"value\":\"dg==\"}").unwrap();
        assert_eq!((&*sample.key, &sample.value, format), ("k", &Blob::from(&b"v"[..]), Format::Json));
        assert_eq!(&*encode(format, &sample).unwrap(), br#"{"key":"k","value":"dg=="}"#);

        let packed = b"\x82\xa3key\xa1k\xa5value\xc4\x01v";
        let (sample, format) = decode::<Sample<'_>>(packed).unwrap();
        assert_eq!(format, Format::MessagePack);
        assert_eq!(&*encode(format, &sample).unwrap(), packed);
    }

    #[test]
    fn takes_an_empty_payload_as_an_empty_map_in_messagepack() {
        assert_eq!(decode::<Optional>(b"").unwrap(), (Optional { by: None }, Format::MessagePack));
        assert_eq!(error(b""), "bad_request: missing field `key`");
    }

    #[test]
    fn takes_a_string_for_bytes_in_messagepack_and_base64_without_padding_in_json() {
        let (sample, _) = decode::<Sample<'_>>(b"\x82\xa3key\xa1k\xa5value\xa1v").unwrap();
        assert_eq!(sample.value, Blob::from(&b"v"[..]));
        let (sample, _) = decode::<Sample<'_>>(b"{\"key\":\"\\u006b\",\"value\":\"dg\"}").unwrap();
        assert_eq!((&*sample.key, sample.value), ("k", Blob::from(&b"v"[..])));
    }

    #[test]
    fn shares_the_memory_of_the_payload() {
        let payload = Bytes::from_static(b"\x82\xa3key\xa1k\xa5value\xc4\x01v");
        let (sample, _) = decode::<Sample<'_>>(&payload).unwrap();
        assert!(matches!(sample.key, Cow::Borrowed(_)));
        assert_eq!(sample.value.into_bytes(&payload).as_ptr(), payload[15..].as_ptr());
    }

    #[test]
    fn names_the_field_and_the_reason() {
        for (payload, expected) in [
            (&b"{\"key\":1,\"value\":\"\"}"[..], "field `key`: invalid type: integer `1`, expected a string"),
            (b"{\"key\":\"k\",\"value\":\"?\"}", "field `value`: not base64"),
            (b"{\"key\":\"k\",\"colour\":1}", "unknown field `colour`, expected one of `key`, `value`, `by`"),
            (b"{\"key\":\"k\"}", "missing field `value`"),
            (b"{\"key\":\"k\",\"value\":\"\",\"by\":1.5}", "field `by`: invalid type: floating point `1.5`"),
            (b"{\"key\":\"k\",\"key\":\"k\"}", "duplicate field `key`"),
            (b"{\"key\":\"k\",\"value\":\"\"} {}", "trailing characters"),
            (b" [1]", "expected an object in JSON"),
            (b"\x82\xa3key\x01\xa5value\xc4\x00", "field `key`: invalid type: integer `1`"),
            (b"\x82\xa3key\xa1k\xa5value\x92\x01\x02", "field `value`: invalid type: sequence, expected bytes"),
            (b"\x81\xa6colour\x01", "unknown field `colour`"),
            (b"\x82\xa3key\xa1k\xa5value\xc4\x00\x00", "bytes follow the map"),
            (b"\x92\xa1k\xa1v", "expected a map in MessagePack or an object in JSON, found first byte 0x92"),
            (b"\xff\xff\xff", "found first byte 0xff"),
        ] {
            let error = error(payload);
            assert!(error.starts_with("bad_request: ") && error.contains(expected), "{error} for {payload:?}");
        }
    }

    #[test]
    fn claimed_lengths_and_deep_nesting_cost_nothing() {
        let deep = [b"\x81\xa3key".as_slice(), &[0x91; 100_000]].concat();
        let deep_json = [br#"{"key":"#.as_slice(), &[b'['; 100_000]].concat();
        for payload in [
            &b"\xdf\xff\xff\xff\xff"[..],
            b"\xdf\xff\xff\xff\xff\xa3key\xdb\xff\xff\xff\xff",
            b"\x82\xa3key\xa1k\xa5value\xc6\xff\xff\xff\xff",
            b"\x82\xdb\xff\xff\xff\xffkey",
            &deep,
            &deep_json,
        ] {
            let error = error(payload);
            assert!(error.starts_with("bad_request: ") && error.len() < 600, "{error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_and_never_panics(payload in prop::collection::vec(any::<u8>(), 0..200), start in 0usize..5) {
            let starts: [&[u8]; 5] = [b"", b"\x82\xa3key", b"\x83\xa3key\xa1k\xa5value", b"{\"key\":\"", b"\xdf"];
            let payload = [starts[start], &payload].concat();
            if let Err(error) = decode::<Sample<'_>>(&payload) {
                prop_assert_eq!(error.kind, HostErrorKind::BadRequest);
            }
        }

        #[test]
        fn what_is_written_is_read_back(key: String, value: Vec<u8>, by: Option<i64>) {
            let sample = Sample { key: Cow::Owned(key), value: Blob::from(value), by };
            for format in [Format::Json, Format::MessagePack] {
                let written = encode(format, &sample).unwrap();
                prop_assert_eq!(decode::<Sample<'_>>(&written).unwrap(), (Sample { ..sample.clone_owned() }, format));
            }
        }
    }

    impl Sample<'_> {
        fn clone_owned(&self) -> Sample<'static> {
            Sample {
                key: Cow::Owned(self.key.clone().into_owned()),
                value: self.value.clone().into_owned(),
                by: self.by,
            }
        }
    }
}

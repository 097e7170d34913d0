//! Reads `traceparent` (W3C Trace Context): the trace that a request belongs to.

use hyper::HeaderMap;

use crate::bindings::Trace;

/// Name of the header.
const TRACEPARENT: &str = "traceparent";
/// Bytes of version 00: `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits. Later versions may have more behind them.
const LENGTH: usize = 55;

/// The trace of a request; `None` also where the header is there twice or wrong, as the standard wants it.
pub(super) fn of(headers: &HeaderMap) -> Option<Trace> {
    let mut sent = headers.get_all(TRACEPARENT).iter();
    let (value, None) = (sent.next()?, sent.next()) else { return None };
    parse(value.to_str().ok()?)
}

fn parse(text: &str) -> Option<Trace> {
    let (fixed, more) = text.split_at_checked(LENGTH)?;
    let [version, id, parent, flags] = parts(fixed)?;
    let version = hex(version, 2)?;
    let known = if version == 0 { more.is_empty() } else { more.is_empty() || more.starts_with('-') };
    // Version 255 is forbidden.
    if version == 255 || !known {
        return None;
    }
    let id = hex(id, 32).filter(|id| *id != 0)?;
    let parent = u64::try_from(hex(parent, 16)?).ok().filter(|parent| *parent != 0)?;
    Some(Trace { id, parent, flags: u8::try_from(hex(flags, 2)?).ok()? })
}

fn parts(text: &str) -> Option<[&str; 4]> {
    let mut parts = text.split('-');
    let four = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(four)
}

/// Digits of which there are so many, in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(lower)).then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_example_of_the_standard_is_read() {
        let trace = parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((trace.parent, trace.flags), (0x00f0_67aa_0ba9_02b7, 1));
    }

    #[test]
    fn later_versions_may_say_more_and_version_00_may_not() {
        let more = |version: &str| format!("{version}-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes");
        assert!(parse(&more("cc")).is_some() && parse(&more("00")).is_none() && parse(&more("ff")).is_none());
        assert_eq!(parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what"), None);
    }

    #[test]
    fn what_is_wrong_is_as_if_it_were_not_there() {
        for wrong in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
            "+0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01ü",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}

//! Names for what is moved, where the name that it has is taken or too long. Pure.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    time::SystemTime,
};

/// Bytes of a name at most, on every file system that is common.
const LONGEST: usize = 255;

/// How many names are tried: each later one by a microsecond. Only somebody who makes names like these on purpose gets there.
const TRIES: usize = 100;

/// What is appended to the name of a file that failed for that of its error.
pub(super) const ERROR: &str = ".error";

/// The name followed by this, cut where both are too long together.
pub(super) fn with(name: &OsStr, ending: &str) -> OsString {
    let mut with = cut(name, LONGEST.saturating_sub(ending.len()));
    with.push(ending);
    with
}

/// At most so many bytes of a name, and not half a character where it has characters.
fn cut(name: &OsStr, room: usize) -> OsString {
    let bytes = name.as_bytes();
    if bytes.len() <= room {
        return name.to_owned();
    }
    let end = (0..=room).rev().find(|at| is_start(bytes, *at)).unwrap_or(room);
    OsString::from_vec(bytes.get(..end).unwrap_or_default().to_vec())
}

fn is_start(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|byte| byte & 0xc0 != 0x80)
}

/// Names under which a file can be kept, in the order in which they are tried: its own, then its own with the time. After
/// each there is still room for the name of its error.
pub(super) fn candidates(name: &OsStr, now: SystemTime) -> impl Iterator<Item = OsString> {
    let micros = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let name = name.to_owned();
    let first = cut(&name, LONGEST - ERROR.len());
    std::iter::once(first).chain((0..TRIES as u128).map(move |more| {
        let stamp = stamp(micros + more);
        with(&cut(&name, LONGEST - ERROR.len() - stamp.len()), &stamp)
    }))
}

/// A name that nobody looks at, for what is removed in a moment.
pub(super) fn hidden(name: &OsStr, now: SystemTime) -> OsString {
    let micros = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let mut hidden = OsString::from(".");
    hidden.push(name);
    with(&hidden, &stamp(micros))
}

/// A time as names have it, to the microsecond.
fn stamp(micros: u128) -> String {
    let time = i64::try_from(micros).ok().and_then(chrono::DateTime::from_timestamp_micros).unwrap_or_default();
    time.format(".%Y%m%dT%H%M%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;

    #[test]
    fn a_name_that_is_taken_gets_the_time() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_430_000_000_007);
        let names: Vec<_> = candidates(OsStr::new("a.csv"), now).take(3).collect();
        assert_eq!(names, ["a.csv", "a.csv.20261123T103320.000007Z", "a.csv.20261123T103320.000008Z"]);
        assert_eq!(hidden(OsStr::new("a"), now), ".a.20261123T103320.000007Z");
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_between_characters() {
        let long = "ä".repeat(127) + "x";
        for name in candidates(OsStr::new(&long), SystemTime::now()).take(2) {
            assert!(name.to_str().is_some_and(|name| name.starts_with("ää")), "{}", name.display());
            let error = with(&name, ERROR);
            assert!(error.len() <= LONGEST);
            assert_eq!(error.to_str().unwrap().strip_suffix(ERROR), name.to_str());
        }
        assert!(hidden(OsStr::new(&long), SystemTime::now()).len() <= LONGEST);
    }

    #[test]
    fn each_name_is_tried_once() {
        let mut names: Vec<_> = candidates(OsStr::new("a"), SystemTime::now()).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), count), (TRIES + 1, TRIES + 1));
    }
}

//! What entries are called in the bucket.
//!
//! `module.NAME.KEY`, `space.NAME.KEY` or `shared.KEY`. In NAME and KEY letters, digits, `-`, `_` and `/` stand for themselves, and every
//! other byte is `=` and two hexadecimal digits (`=2E` is a dot): JetStream allows little else, and dots, `*` and `>` mean something to
//! it. So every name is what it was made of and nothing else, and no choice of names lets one module reach another's keys.

use std::fmt::Write;

use crate::{
    bindings::keyvalue::key::{Key, Owner},
    host::{HostCallError, HostErrorKind},
};

/// Bytes of a line of the protocol that servers take: one more, and they end the connection, for everybody.
const LINE: usize = 4096;

/// Bytes of that line besides names: what is asked of which stream, where the reply goes, and sizes.
const BESIDES: usize = 256;

/// Makes subjects of keys.
pub(super) struct Names {
    /// `$KV.BUCKET.`
    prefix: String,
    stream: String,
    longest: usize,
}

impl Names {
    pub(super) fn new(bucket: &str) -> Self {
        let longest = LINE.saturating_sub(BESIDES + 2 * bucket.len());
        Self { prefix: format!("$KV.{bucket}."), stream: format!("KV_{bucket}"), longest }
    }

    /// The name of the stream.
    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    /// The subject of an entry.
    ///
    /// # Errors
    /// It would be longer than servers take.
    pub(super) fn of(&self, key: &Key) -> Result<String, HostCallError> {
        let mut subject = self.space(key);
        escape(key.name_bytes(), &mut subject);
        if subject.len() > self.longest {
            let (size, longest) = (subject.len(), self.longest);
            let why = format!(
                "field `key`: written as NATS takes it, it has {size} bytes, over the limit of {longest} bytes"
            );
            return Err(HostCallError::new(HostErrorKind::TooLarge, why));
        }
        Ok(subject)
    }

    /// What all subjects of the key's space begin with.
    pub(super) fn space(&self, key: &Key) -> String {
        let mut subject = String::with_capacity(self.prefix.len() + key.stored().len() + 16);
        subject.push_str(&self.prefix);
        let (kind, name) = match key.owner() {
            Owner::Shared => {
                subject.push_str("shared.");
                return subject;
            }
            Owner::Module(name) => ("module.", name),
            Owner::Space(name) => ("space.", name),
        };
        subject.push_str(kind);
        escape(name, &mut subject);
        subject.push('.');
        subject
    }

    /// The subject under which an entry is read.
    pub(super) fn reading(&self, subject: &str) -> String {
        format!("$JS.API.DIRECT.GET.{}.{subject}", self.stream)
    }
}

fn escape(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(out, "={byte:02X}").ok();
        }
    }
}

/// The guest's name for the key of which the end of a subject was made; `None` where it was made by somebody else.
pub(super) fn unescape(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'=' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail;
    }
    let name_of = String::from_utf8(bytes).ok()?;
    let mut again = String::with_capacity(name.len());
    escape(name_of.as_bytes(), &mut again);
    (again == name).then_some(name_of)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::bindings::{keyvalue::key::Scope, testing::call};

    #[test]
    fn a_subject_has_nothing_that_nats_does_not_allow_and_gives_back_its_key() {
        let names = Names::new("cache");
        for (key, expected) in [
            ("user/1", "user/1"),
            ("a.b", "a=2Eb"),
            ("*", "=2A"),
            (">", "=3E"),
            ("a b=c", "a=20b=3Dc"),
            ("ü", "=C3=BC"),
        ] {
            let subject = names.of(&Scope::of(&call("get", b"")).key(key)).unwrap();
            let end = subject.strip_prefix("$KV.cache.module.tester.").unwrap();
            assert_eq!((end, unescape(end).as_deref()), (expected, Some(key)));
        }
        for wrong in ["a.b", "=2", "=zz", "=FF", "=61", "=2e"] {
            assert_eq!(unescape(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_subject_that_would_end_the_connection_is_refused() {
        let names = Names::new("cache");
        let error = names.of(&Scope::of(&call("get", b"")).key(&"ü".repeat(700))).unwrap_err();
        assert!(error.to_string().starts_with("too_large: field `key`: "), "{error}");
        names.of(&Scope::of(&call("get", b"")).key(&"k".repeat(1024))).unwrap();
    }
}

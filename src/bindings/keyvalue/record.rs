//! What is stored under a key: the value and when it expires.
//!
//! In a database: one byte of version, the expiry in milliseconds since the Unix epoch in eight bytes (0: never), the
//! value. A version that this code does not know is an error for the call that meets it, never a guess.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Version of the stored form that is written.
const VERSION: u8 = 1;

/// Bytes before the value.
const HEADER: usize = 9;

/// A moment, in milliseconds since the Unix epoch.
pub(super) type Millis = u64;

/// A value and when it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) value: Bytes,
    /// `None`: never.
    pub(super) expires: Option<Millis>,
}

/// A stored record that cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum RecordError {
    #[error("a record of version {0} was written by another version of wapcd, expected version {VERSION}")]
    Version(u8),
    #[error("a record of {0} bytes is too short to be one")]
    Short(usize),
}

impl Record {
    /// Whether it is invisible at that moment.
    pub(super) fn expired(&self, now: Millis) -> bool {
        expired(self.expires, now)
    }

    /// The stored form.
    pub(super) fn write(&self) -> Bytes {
        let mut stored = BytesMut::with_capacity(HEADER + self.value.len());
        stored.put_u8(VERSION);
        stored.put_u64(self.expires.unwrap_or(0));
        stored.put_slice(&self.value);
        stored.freeze()
    }

    /// Reads the stored form.
    pub(super) fn read(stored: &[u8]) -> Result<Self, RecordError> {
        let expires = Self::read_expires(stored)?;
        Ok(Self { value: Bytes::copy_from_slice(stored.get(HEADER..).unwrap_or_default()), expires })
    }

    /// Reads only when a stored record expires.
    pub(super) fn read_expires(stored: &[u8]) -> Result<Option<Millis>, RecordError> {
        match stored {
            [VERSION, rest @ ..] => match rest.first_chunk() {
                Some(&expires) => Ok(Some(u64::from_be_bytes(expires)).filter(|&at| at != 0)),
                None => Err(RecordError::Short(stored.len())),
            },
            [other, ..] => Err(RecordError::Version(*other)),
            [] => Err(RecordError::Short(0)),
        }
    }
}

/// Whether what expires then is invisible at that moment.
pub(super) fn expired(expires: Option<Millis>, now: Millis) -> bool {
    expires.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        for (value, expires) in [(&b""[..], None), (b"value", Some(1)), (b"\0\xff", Some(u64::MAX))] {
            let record = Record { value: Bytes::from_static(value), expires };
            assert_eq!(Record::read(&record.write()).unwrap(), record);
        }
    }

    #[test]
    fn refuses_what_is_no_record() {
        assert_eq!(Record::read(b""), Err(RecordError::Short(0)));
        assert_eq!(Record::read(b"\x01short"), Err(RecordError::Short(6)));
        assert_eq!(Record::read(b"\x02\0\0\0\0\0\0\0\0value"), Err(RecordError::Version(2)));
    }

    #[test]
    fn expires_at_its_moment_and_not_before() {
        assert!(!expired(None, u64::MAX));
        assert!(!expired(Some(10), 9));
        assert!(expired(Some(10), 10));
    }
}

//! What a guest is told where an operation is refused, in the same words by every backend.

use super::key::Key;
use crate::host::{HostCallError, HostErrorKind};

/// What is wrong with a value that cannot be incremented.
pub(super) const NO_NUMBER: &str = "is no decimal number of 64 bits";

/// What is wrong with a number that is too near to its bound.
pub(super) const OVERFLOW: &str = "would leave the range of 64 bits";

/// The value under the key is not what the request demands.
pub(super) fn conflict(key: &Key, why: &str) -> HostCallError {
    HostCallError::new(HostErrorKind::Conflict, format!("the value under key `{}` {why}", key.shown()))
}

/// There is nothing to get.
pub(super) fn not_found(key: &Key) -> HostCallError {
    HostCallError::new(HostErrorKind::NotFound, format!("no value under key `{}`", key.shown()))
}

/// There is a value where there should be none.
pub(super) fn taken(key: &Key) -> HostCallError {
    HostCallError::new(HostErrorKind::Conflict, format!("there is a value under key `{}`", key.shown()))
}

/// The value is not what `compare_and_set` expected.
pub(super) fn unexpected(key: &Key, found: bool) -> HostCallError {
    conflict(key, if found { "is not what was expected" } else { "is absent" })
}

/// The values under the keys of one request are too large for one answer.
pub(super) fn too_many_bytes(max_bytes: u64) -> HostCallError {
    let why = format!("the values under these keys are over the limit of {max_bytes} bytes: ask for fewer at once");
    HostCallError::new(HostErrorKind::TooLarge, why)
}

//! Whose names a call sees.
//!
//! | link | objects under |
//! |---|---|
//! | neither `shared` nor `prefix` | `modules/NAME/`, the module's name |
//! | `shared = true` | `shared/` |
//! | `prefix = "NAME"` | `spaces/NAME/` |
//!
//! `NAME` is one part of a path: letters, digits, `-`, `_` and `.` as they are, other bytes as `%` and two digits, a `.` at its
//! start as well. So no choice of names lets one module reach another's objects, nor leave its place.

use std::{fmt::Write, sync::Arc};

use sha2::{Digest, Sha256};

use crate::{
    bindings::BindingCall,
    config::{Rules, Space},
};

/// Bytes of a written name at most, half of what file systems take; a longer one is cut, and its hash told.
const LONGEST: usize = 128;

/// The space of a host call, as the path under which its objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope(Arc<str>);

impl Scope {
    /// The scope of a host call, by its link.
    pub(super) fn of(call: &BindingCall) -> Self {
        match &call.link.rules {
            Rules::Space(Space::Shared) => Self("shared".into()),
            Rules::Space(Space::Named(name)) => Self(format!("spaces/{}", part(name)).into()),
            _ => Self(format!("modules/{}", part(&call.caller.module)).into()),
        }
    }

    /// The path, without `/` at its ends.
    pub(super) fn path(&self) -> &str {
        &self.0
    }
}

/// A name as one part of a path, different for every name.
fn part(name: &str) -> String {
    let mut written = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && at > 0);
        if plain {
            written.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            write!(written, "%{byte:02X}").unwrap_or_default();
        }
    }
    if written.len() > LONGEST {
        let hash = Sha256::digest(name.as_bytes());
        written.truncate(LONGEST - 65);
        // Nothing else writes `~`.
        write!(written, "~{hash:x}").unwrap_or_default();
    }
    written
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::HashSet;

    use super::*;
    use crate::{bindings::testing, config::Link};

    fn scope(module: &str, space: Space) -> String {
        let mut call = testing::call("get", "");
        call.caller.module = module.into();
        call.link = Arc::new(Link { rules: Rules::Space(space), ..(*call.link).clone() });
        Scope::of(&call).path().to_owned()
    }

    #[test]
    fn spaces_are_told_apart_and_readable() {
        assert_eq!(scope("orders", Space::Own), "modules/orders");
        assert_eq!(scope("orders", Space::Shared), "shared");
        assert_eq!(scope("orders", Space::Named("eu.west".to_owned())), "spaces/eu.west");
        assert_eq!(scope("a/../b", Space::Own), "modules/a%2F..%2Fb");
        assert_eq!(scope("..", Space::Own), "modules/%2E.");
    }

    #[test]
    fn no_two_names_have_one_space() {
        let long = "x".repeat(300);
        let longer = "x".repeat(301);
        let names = ["a", "a/", "a%2F", "a/b", ".", "..", "%2E.", "ä", "A", "a+", "", &long, &longer];
        let parts: HashSet<String> = names.iter().map(|name| part(name)).collect();
        assert_eq!(parts.len(), names.len());
        assert!(parts.iter().all(|part| part.len() <= LONGEST && !part.contains('/') && !part.starts_with('.')));
    }
}

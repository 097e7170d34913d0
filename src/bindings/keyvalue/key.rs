//! Keys as they are stored: whose they are, then what the guest calls them.
//!
//! A scope is `s` for the common space, or `m` for a module or `p` for a space that links name, the length of that name in
//! four bytes, and the name. No scope is the start of another, so no choice of names lets one module reach another's keys,
//! and the keys of one scope lie together, in the order of their bytes.

use std::borrow::Cow;

use crate::{
    bindings::{BindingCall, payload::cut},
    config::{Rules, Space},
};

/// Whose keys a call sees, as the start of a stored key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope(Vec<u8>);

impl Scope {
    /// The scope of a host call, by its link.
    pub(super) fn of(call: &BindingCall) -> Self {
        match &call.link.rules {
            Rules::Space(Space::Shared) => Self(vec![b's']),
            Rules::Space(Space::Named(name)) => Self::named(b'p', name),
            _ => Self::named(b'm', &call.caller.module),
        }
    }

    fn named(kind: u8, name: &str) -> Self {
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let mut scope = Vec::with_capacity(5 + name.len());
        scope.push(kind);
        scope.extend_from_slice(&length.to_be_bytes());
        scope.extend_from_slice(name.as_bytes());
        Self(scope)
    }

    /// The stored form of a guest's key.
    pub(super) fn key(&self, name: &str) -> Key {
        let mut bytes = Vec::with_capacity(self.0.len() + name.len());
        bytes.extend_from_slice(&self.0);
        bytes.extend_from_slice(name.as_bytes());
        Key { scope: self.0.len(), bytes }
    }
}

/// Whose a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// Everybody's with `shared`.
    Shared,
    /// The module's of this name.
    Module(&'a [u8]),
    /// The space's of this name.
    Space(&'a [u8]),
}

/// A stored key, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    bytes: Vec<u8>,
    scope: usize,
}

impl Key {
    /// The key in the store.
    pub(super) fn stored(&self) -> &[u8] {
        &self.bytes
    }

    /// Whose it is.
    pub(super) fn owner(&self) -> Owner<'_> {
        // Behind the kind and the length.
        let name = self.bytes.get(5..self.scope).unwrap_or_default();
        match self.bytes.first() {
            Some(b'm') => Owner::Module(name),
            Some(b'p') => Owner::Space(name),
            _ => Owner::Shared,
        }
    }

    /// The guest's name for the key, as its bytes.
    pub(super) fn name_bytes(&self) -> &[u8] {
        self.bytes.get(self.scope..).unwrap_or_default()
    }

    /// The guest's name for the key.
    pub(super) fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.name_bytes())
    }

    /// The guest's part of another stored key of the same scope.
    pub(super) fn name_of(&self, stored: &[u8]) -> String {
        String::from_utf8_lossy(stored.get(self.scope..).unwrap_or_default()).into_owned()
    }

    /// The guest's name for the key, for messages.
    pub(super) fn shown(&self) -> String {
        cut(&self.name()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_scope_is_the_start_of_another() {
        let names = ["", "a", "ab", "abc", "s", "m", "\0", "a\0\0\0\u{1}b"];
        let mut scopes: Vec<Scope> = names.iter().map(|name| Scope::named(b'm', name)).collect();
        scopes.push(Scope(vec![b's']));
        for (i, one) in scopes.iter().enumerate() {
            for (j, other) in scopes.iter().enumerate() {
                assert!(i == j || !one.0.starts_with(&other.0), "{other:?} starts {one:?}");
            }
        }
    }

    #[test]
    fn a_key_gives_back_the_name_that_it_was_made_of() {
        let key = Scope::named(b'm', "orders").key("müller/1");
        assert_eq!(key.name_of(key.stored()), "müller/1");
        assert_eq!(key.shown(), "müller/1");
    }
}

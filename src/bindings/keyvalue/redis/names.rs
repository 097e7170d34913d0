//! What entries are called in the server, so that an operator can read it.
//!
//! `PREFIX` + `module:NAME:KEY`, `space:NAME:KEY` or `shared:KEY`, with the prefix and the key as they are. In the name of a
//! module or space `%` and `:` are written `%25` and `%3A`: so the name ends at the first colon, and no choice of names lets one
//! module reach another's keys.

use crate::bindings::keyvalue::key::{Key, Owner};

/// Makes the names.
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The name of an entry.
    pub(super) fn of(&self, key: &Key) -> Vec<u8> {
        let mut name = self.space(key);
        name.extend_from_slice(key.name_bytes());
        name
    }

    /// What all names of the key's space begin with.
    pub(super) fn space(&self, key: &Key) -> Vec<u8> {
        let mut name = Vec::with_capacity(self.prefix.len() + key.stored().len() + 16);
        name.extend_from_slice(self.prefix.as_bytes());
        let (kind, owner) = match key.owner() {
            Owner::Shared => return [name.as_slice(), b"shared:"].concat(),
            Owner::Module(module) => ("module:", module),
            Owner::Space(space) => ("space:", space),
        };
        name.extend_from_slice(kind.as_bytes());
        for &byte in owner {
            match byte {
                b'%' => name.extend_from_slice(b"%25"),
                b':' => name.extend_from_slice(b"%3A"),
                other => name.push(other),
            }
        }
        name.push(b':');
        name
    }
}

/// A pattern of Redis that matches what begins with that.
pub(super) fn beginning_with(start: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(start.len() + 1);
    for &byte in start {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^' | b'-') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use super::*;
    use crate::{
        bindings::{keyvalue::key::Scope, testing::call},
        config::{Link, Rules, Space},
    };

    fn name(rules: Rules, module: &str, key: &str) -> String {
        let mut call = call("get", b"");
        call.caller.module = module.into();
        call.link = Arc::new(Link { rules, ..(*call.link).clone() });
        String::from_utf8(Names::new("app:").of(&Scope::of(&call).key(key))).unwrap()
    }

    #[test]
    fn a_name_tells_whose_it_is_and_cannot_be_another_ones() {
        let own = || Rules::Space(Space::Own);
        assert_eq!(name(own(), "orders", "a:b/ü"), "app:module:orders:a:b/ü");
        assert_eq!(name(Rules::Space(Space::Shared), "orders", "k"), "app:shared:k");
        assert_eq!(name(Rules::Space(Space::Named("a:b%".to_owned())), "orders", "k"), "app:space:a%3Ab%25:k");
        assert_ne!(name(own(), "a:b", "c"), name(own(), "a", "b:c"));
        assert_ne!(name(own(), "a%3Ab", "c"), name(own(), "a:b", "c"));
    }

    #[test]
    fn a_pattern_matches_nothing_but_its_start() {
        assert_eq!(beginning_with(b"a*b?[c]\\"), b"a\\*b\\?\\[c\\]\\\\*");
    }
}

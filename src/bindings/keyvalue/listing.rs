//! A page of `keys` out of a server that gives its names in no order.

use std::collections::BTreeSet;

use super::{
    command::KeysPage,
    operations::{Outcome, page_of},
};

/// The first names of a page among those that were offered.
pub(super) struct Listing<'p> {
    prefix: &'p [u8],
    after: Option<&'p [u8]>,
    limit: usize,
    found: BTreeSet<String>,
}

impl<'p> Listing<'p> {
    pub(super) fn new(page: &'p KeysPage) -> Self {
        let after = page.after.as_ref().map(|after| after.name_bytes());
        Self { prefix: page.prefix.name_bytes(), after, limit: page.limit, found: BTreeSet::new() }
    }

    /// Takes a guest's name of a key, if it belongs to the page as far as is known. The same may come twice.
    pub(super) fn offer(&mut self, name: &str) {
        let bytes = name.as_bytes();
        if !bytes.starts_with(self.prefix) || self.after.is_some_and(|after| bytes <= after) {
            return;
        }
        // One more than the page has tells that there is a next one.
        if self.found.len() <= self.limit {
            self.found.insert(name.to_owned());
        } else if self.found.last().is_some_and(|last| name < last.as_str()) && self.found.insert(name.to_owned()) {
            self.found.pop_last();
        }
    }

    /// The page.
    pub(super) fn outcome(self) -> Outcome {
        page_of(self.found, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::{keyvalue::key::Scope, testing::call};

    #[test]
    fn the_first_names_behind_the_last_page_are_kept_in_order() {
        let scope = Scope::of(&call("keys", b""));
        let page = KeysPage { prefix: scope.key("a"), after: Some(scope.key("a1")), limit: 2 };
        let mut listing = Listing::new(&page);
        for name in ["a9", "b", "a1", "a5", "a2", "a5", "a2", "a3", "a", "a9"] {
            listing.offer(name);
        }
        let keys = vec!["a2".to_owned(), "a3".to_owned()];
        assert_eq!(listing.outcome(), Outcome::Keys { keys, next: Some("a3".to_owned()) });
    }
}

//! Who listens to what: a tree with one level for each part of a topic, so that a message meets only those whose patterns
//! agree with it so far, however many others there are.

use std::{
    collections::{HashMap, hash_map},
    str::Split,
    sync::Arc,
};

use crate::bindings::messaging::queue::Queue;

/// All patterns that somebody listens to.
#[derive(Default)]
pub(super) struct Trie {
    root: Node,
    last: u64,
}

#[derive(Default)]
struct Node {
    /// By the next part.
    parts: HashMap<Box<str>, Node>,
    /// Behind a `*`.
    any: Option<Box<Node>>,
    /// Patterns that end here.
    here: Vec<Listener>,
    /// Patterns that end here with a `>`.
    rest: Vec<Listener>,
}

/// One subscription.
pub(super) struct Listener {
    id: u64,
    pub(super) group: Option<Arc<str>>,
    pub(super) queue: Arc<Queue>,
}

impl Trie {
    /// Enters a subscription, and returns the number by which it is removed.
    pub(super) fn insert(&mut self, pattern: &str, group: Option<Arc<str>>, queue: Arc<Queue>) -> u64 {
        self.last += 1;
        let listener = Listener { id: self.last, group, queue };
        let mut node = &mut self.root;
        for part in pattern.split('.') {
            node = match part {
                ">" => {
                    node.rest.push(listener);
                    return self.last;
                }
                "*" => node.any.get_or_insert_default(),
                part => node.parts.entry(part.into()).or_default(),
            };
        }
        node.here.push(listener);
        self.last
    }

    /// Removes a subscription with everything that only it needed.
    pub(super) fn remove(&mut self, pattern: &str, id: u64) {
        self.root.remove(pattern.split('.'), id);
    }

    /// Finds all whose patterns include that topic.
    pub(super) fn matching<'t>(&'t self, topic: &str, found: &mut impl FnMut(&'t Listener)) {
        self.root.matching(topic.split('.'), found);
    }

    /// Takes everybody out.
    pub(super) fn clear(&mut self, gone: &mut impl FnMut(Listener)) {
        std::mem::take(&mut self.root).clear(gone);
    }
}

impl Node {
    fn matching<'t>(&'t self, mut parts: Split<'_, char>, found: &mut impl FnMut(&'t Listener)) {
        let Some(part) = parts.next() else {
            self.here.iter().for_each(found);
            return;
        };
        self.rest.iter().for_each(&mut *found);
        if let Some(node) = self.parts.get(part) {
            node.matching(parts.clone(), found);
        }
        if let Some(node) = &self.any {
            node.matching(parts, found);
        }
    }

    fn remove(&mut self, mut parts: Split<'_, char>, id: u64) {
        match parts.next() {
            None => self.here.retain(|listener| listener.id != id),
            Some(">") => self.rest.retain(|listener| listener.id != id),
            Some("*") => {
                if let Some(node) = &mut self.any {
                    node.remove(parts, id);
                    self.any.take_if(|node| node.is_empty());
                }
            }
            Some(part) => {
                if let hash_map::Entry::Occupied(mut node) = self.parts.entry(part.into()) {
                    node.get_mut().remove(parts, id);
                    if node.get().is_empty() {
                        node.remove();
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.any.is_none() && self.here.is_empty() && self.rest.is_empty()
    }

    fn clear(self, gone: &mut impl FnMut(Listener)) {
        self.here.into_iter().chain(self.rest).for_each(&mut *gone);
        for node in self.parts.into_values().chain(self.any.map(|node| *node)) {
            node.clear(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;
    use crate::{bindings::messaging::queue::Room, config::Topic};

    fn queue() -> Arc<Queue> {
        Arc::new(Queue::new("b".into(), String::new(), Room { messages: 1, bytes: 1 }))
    }

    fn matching(trie: &Trie, topic: &str) -> Vec<u64> {
        let mut found = Vec::new();
        trie.matching(topic, &mut |listener| found.push(listener.id));
        found.sort_unstable();
        found
    }

    /// Topics or patterns of few parts, so that many agree.
    fn parts(of: &'static [&'static str]) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(of), 1..5).prop_map(|parts| parts.join("."))
    }

    proptest! {
        #[test]
        fn finds_those_whose_patterns_include_the_topic(
            patterns in prop::collection::vec(parts(&["a", "b", "*", "c"]), 0..30),
            open in prop::collection::vec(any::<bool>(), 30),
            removed in prop::collection::vec(any::<bool>(), 30),
            topics in prop::collection::vec(parts(&["a", "b", "c", "d"]), 20),
        ) {
            let mut trie = Trie::default();
            let mut listeners = Vec::new();
            for (pattern, open) in patterns.iter().zip(open) {
                let pattern = if open { format!("{pattern}.>") } else { pattern.clone() };
                let id = trie.insert(&pattern, None, queue());
                listeners.push((id, pattern.parse::<Topic>().unwrap()));
            }
            for removed in [vec![false; 30], removed, vec![true; 30]] {
                let mut kept = Vec::new();
                for ((id, pattern), removed) in listeners.iter().zip(removed) {
                    if removed { trie.remove(pattern.as_str(), *id) } else { kept.push((*id, pattern)) }
                }
                for topic in &topics {
                    let expected: Vec<u64> =
                        kept.iter().filter(|(_, pattern)| pattern.includes(topic)).map(|(id, _)| *id).collect();
                    prop_assert_eq!(matching(&trie, topic), expected);
                }
            }
            prop_assert!(trie.root.is_empty());
        }
    }
}

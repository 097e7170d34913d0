//! The children of one kind: found by an id that is never used again, or by the name of those that are configured.
//!
//! A child that was taken out of the configuration keeps its id until it has ended, and its name may be another's by then.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Children by id. Ids are given out in order and never again, so that what comes late for one that is gone finds nobody.
#[derive(Debug)]
pub(super) struct Children<T> {
    children: BTreeMap<usize, T>,
    names: HashMap<Arc<str>, usize>,
    next: usize,
}

impl<T> Default for Children<T> {
    fn default() -> Self {
        Self { children: BTreeMap::new(), names: HashMap::new(), next: 0 }
    }
}

impl<T> Children<T> {
    /// The id that the next child gets.
    pub(super) fn next_id(&self) -> usize {
        self.next
    }

    /// Adds a child, which takes the name from any that had it.
    pub(super) fn insert(&mut self, name: Arc<str>, child: T) -> usize {
        let id = self.next;
        self.next += 1;
        self.names.insert(name, id);
        self.children.insert(id, child);
        id
    }

    /// Gives up a name: the child is not configured any more.
    pub(super) fn unname(&mut self, name: &str) -> Option<usize> {
        self.names.remove(name)
    }

    /// Takes a child out.
    pub(super) fn remove(&mut self, id: usize) -> Option<T> {
        let child = self.children.remove(&id)?;
        self.names.retain(|_, named| *named != id);
        Some(child)
    }

    pub(super) fn get(&self, id: usize) -> Option<&T> {
        self.children.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: usize) -> Option<&mut T> {
        self.children.get_mut(&id)
    }

    /// Id of the configured child of a name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// Ids of all children, those that are ending included.
    pub(super) fn ids(&self) -> Vec<usize> {
        self.children.keys().copied().collect()
    }

    /// All children, those that are ending included.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.children.iter().map(|(id, child)| (*id, child))
    }

    /// All children without their ids.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.children.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_gone_leaves_neither_its_id_nor_its_name_to_another() {
        let mut children = Children::default();
        let first = children.insert("a".into(), 1);
        assert_eq!(children.unname("a"), Some(first));
        let second = children.insert("a".into(), 2);
        assert_eq!(children.remove(first), Some(1));
        assert_eq!((children.find("a"), children.get(second), children.get(first)), (Some(second), Some(&2), None));
        children.remove(second);
        assert_eq!((children.find("a"), children.next_id()), (None, 2));
    }
}

//! The backend in the daemon's memory: an ordered map under one lock, shared by all workers, gone at a stop.
//!
//! A store of its own rather than that of `object_store`, which knows no bound. The lock is held for one change or one page,
//! never while bytes are copied.

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::SystemTime};

use bytes::Bytes;
use parking_lot::RwLock;

use super::store::{Command, Entry, Facts, Listed, Outcome, Outcomes, Page, Place, Span, Store, Submitted, millis};
use crate::host::{HostCallError, HostErrorKind};

/// Bytes that an object is charged besides its name and content, for what the map needs: without it, `max_bytes` of empty
/// objects would be a hundred times as much memory.
const ENTRY: u64 = 192;

/// Objects in memory.
pub(super) struct MemoryStore {
    max_object: u64,
    objects: RwLock<Objects>,
}

struct Objects {
    name: Arc<str>,
    max_bytes: u64,
    /// What the objects are charged together.
    used: u64,
    /// Writes so far, counted from a random number, so that an etag of an earlier start means nothing now.
    writes: u64,
    by_key: BTreeMap<Box<str>, Object>,
}

#[derive(Clone)]
struct Object {
    data: Bytes,
    facts: Facts,
}

impl MemoryStore {
    pub(super) fn new(name: Arc<str>, max_bytes: u64, max_object: u64) -> Self {
        let objects = Objects { name, max_bytes, used: 0, writes: rand::random(), by_key: BTreeMap::new() };
        Self { max_object, objects: RwLock::new(objects) }
    }

    fn run(&self, command: Command) -> Outcomes {
        match command {
            Command::Put { place, data, only_if_absent, content_type } => {
                // A copy: what came in is a part of a payload, which would stay as a whole.
                let data = Bytes::copy_from_slice(&data);
                let etag = self.objects.write().put(&place, data, only_if_absent, content_type)?;
                Ok(Outcome::Put { etag: Some(etag) })
            }
            Command::Get { place, span } => self.get(&place, span),
            Command::Head(place) => Ok(Outcome::Head(self.object(&place)?.facts)),
            Command::List(page) => Ok(Outcome::Listed(list(&self.objects.read().by_key, &page))),
            Command::Delete(place) => Ok(Outcome::Deleted(self.objects.write().remove(&place.key()))),
            Command::Copy { from, to, only_if_absent } => {
                let mut objects = self.objects.write();
                let Object { data, facts } = objects.get(&from)?.clone();
                objects.put(&to, data, only_if_absent, facts.content_type)?;
                Ok(Outcome::Copied)
            }
        }
    }

    fn object(&self, place: &Place) -> Result<Object, HostCallError> {
        self.objects.read().get(place).cloned()
    }

    fn get(&self, place: &Place, span: Span) -> Outcomes {
        let Object { data, facts } = self.object(place)?;
        let range = span.within(facts.size);
        place.check_size(range.end - range.start, self.max_object)?;
        let index = |at| usize::try_from(at).unwrap_or(usize::MAX);
        Ok(Outcome::Got { data: data.slice(index(range.start)..index(range.end)), facts })
    }
}

impl Store for MemoryStore {
    fn submit(&self, command: Command) -> Submitted {
        Submitted::Done(self.run(command))
    }

    fn answers_at_once(&self) -> bool {
        true
    }
}

impl Objects {
    fn get(&self, place: &Place) -> Result<&Object, HostCallError> {
        self.by_key.get(&*place.key()).ok_or_else(|| place.not_found())
    }

    /// Stores an object in place of what was there, and says its etag.
    fn put(
        &mut self,
        place: &Place,
        data: Bytes,
        only_if_absent: bool,
        content_type: Option<String>,
    ) -> Result<String, HostCallError> {
        let key = place.key();
        let old = self.by_key.get(&*key);
        if only_if_absent && old.is_some() {
            return Err(place.conflict());
        }
        let freed = old.map_or(0, |old| charge(&key, old));
        let etag = format!("{:016x}", self.writes.wrapping_add(1));
        let facts = Facts {
            size: data.len() as u64,
            modified: millis(SystemTime::now()),
            etag: Some(etag.clone()),
            content_type,
        };
        let object = Object { data, facts };
        let needed = charge(&key, &object);
        self.check_room(needed, freed)?;
        self.used = self.used - freed + needed;
        self.writes = self.writes.wrapping_add(1);
        self.by_key.insert(key.into(), object);
        Ok(etag)
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some(object) = self.by_key.remove(key) else { return false };
        self.used -= charge(key, &object);
        true
    }

    /// Whether that many bytes fit in beside the rest.
    fn check_room(&self, needed: u64, freed: u64) -> Result<(), HostCallError> {
        let (name, limit) = (&self.name, self.max_bytes);
        if needed > limit {
            let why = format!("an object of {needed} bytes is over the `max_bytes` of binding `{name}`, {limit}");
            return Err(HostCallError::new(HostErrorKind::TooLarge, why));
        }
        if self.used - freed + needed > limit {
            let why = format!("binding `{name}` is full: {} of its `max_bytes`, {limit}, are used", self.used);
            return Err(HostCallError::new(HostErrorKind::Unavailable, why));
        }
        Ok(())
    }
}

/// Every object is charged in full, also where a copy shares its bytes: what it costs must not depend on another.
fn charge(key: &str, object: &Object) -> u64 {
    let content_type = object.facts.content_type.as_ref().map_or(0, String::len);
    (key.len() + object.data.len() + content_type) as u64 + ENTRY
}

fn list(by_key: &BTreeMap<Box<str>, Object>, page: &Page) -> Listed {
    let scope = format!("{}/", page.scope.path());
    let (first, after) = (format!("{scope}{}", page.prefix), format!("{scope}{}", page.after));
    let from = match page.after.is_empty() || after < first {
        true => Bound::Included(&*first),
        false => Bound::Excluded(&*after),
    };
    let mut listed = Listed::default();
    for (key, object) in by_key.range::<str, _>((from, Bound::Unbounded)) {
        if !key.starts_with(&first) {
            break;
        }
        if listed.objects.len() == page.limit {
            listed.next = listed.objects.last().map(|last: &Entry| last.name.clone());
            break;
        }
        let name = key.get(scope.len()..).unwrap_or_default().to_owned();
        listed.objects.push(Entry { name, size: object.facts.size, modified: object.facts.modified });
    }
    listed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::bindings::{
        blob::{name::Name, space::Scope},
        testing,
    };

    fn place(name: &str) -> Place {
        Place { scope: Scope::of(&testing::call("put", "")), name: Name::parse("name", name).unwrap() }
    }

    fn put(store: &MemoryStore, name: &str, size: usize) -> Result<(), String> {
        let data = Bytes::from(vec![7; size]);
        let command = Command::Put { place: place(name), data, only_if_absent: false, content_type: None };
        store.run(command).map(|_| ()).map_err(|error| error.to_string())
    }

    fn copy(store: &MemoryStore, from: &str, to: &str) -> Result<(), String> {
        let command = Command::Copy { from: place(from), to: place(to), only_if_absent: false };
        store.run(command).map(|_| ()).map_err(|error| error.to_string())
    }

    fn used(store: &MemoryStore) -> u64 {
        store.objects.read().used
    }

    #[test]
    fn what_is_used_is_known_to_the_byte() {
        let store = MemoryStore::new("it".into(), 2000, 1000);
        let key = place("a").key().len() as u64;
        put(&store, "a", 100).unwrap();
        assert_eq!(used(&store), key + 100 + ENTRY);
        put(&store, "a", 50).unwrap();
        assert_eq!(used(&store), key + 50 + ENTRY);
        copy(&store, "a", "b").unwrap();
        assert_eq!(used(&store), 2 * (key + 50 + ENTRY));
        copy(&store, "a", "b").unwrap();
        assert_eq!(used(&store), 2 * (key + 50 + ENTRY));
        store.run(Command::Delete(place("a"))).unwrap();
        store.run(Command::Delete(place("a"))).unwrap();
        assert_eq!(used(&store), key + 50 + ENTRY);
        store.run(Command::Delete(place("b"))).unwrap();
        assert_eq!(used(&store), 0);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let store = MemoryStore::new("it".into(), 1000, 1000);
        put(&store, "a", 500).unwrap();
        let before = used(&store);
        assert!(put(&store, "b", 500).unwrap_err().starts_with("unavailable: binding `it` is full: "));
        assert!(put(&store, "a", 900).unwrap_err().starts_with("too_large: an object of "));
        assert!(copy(&store, "a", "b").unwrap_err().starts_with("unavailable: binding `it` is full: "));
        assert_eq!(used(&store), before);
        put(&store, "a", 600).unwrap();
    }
}

//! The cache over a database: it never tells another story than the file.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    tests::{CACHE, Disk, get, key, run, set, soon},
    *,
};
use crate::{
    bindings::keyvalue::{
        command::{Entry, KeysPage},
        operations::Outcome,
        store::Outcomes,
    },
    host::HostErrorKind,
};

/// Threads that read and write.
const THREADS: usize = 4;
/// Times that all of them meet, and the clock goes on.
const ROUNDS: usize = 12;
/// What each of them does in between.
const STEPS: usize = 150;
/// Keys of each thread.
const KEYS: usize = 12;

fn number(n: u64) -> Bytes {
    n.to_string().into()
}

fn parsed(value: &Bytes) -> u64 {
    str::from_utf8(value).unwrap().parse().unwrap()
}

/// What one thread did to its keys, and has to find: values, each with when it expires.
struct Model {
    thread: usize,
    random: StdRng,
    entries: BTreeMap<usize, (Bytes, Option<u64>)>,
    /// The greatest that it has seen of what only grows.
    seen: [u64; 2],
}

impl Model {
    fn name(&self, n: usize) -> String {
        format!("t{}/{n:02}", self.thread)
    }

    fn live(&self, n: usize, now: u64) -> Option<&Bytes> {
        self.entries.get(&n).filter(|(_, expires)| expires.is_none_or(|at| at > now)).map(|(value, _)| value)
    }

    fn ttl(&mut self) -> Option<Duration> {
        self.random.random_bool(0.3).then(|| Duration::from_millis(self.random.random_range(1..5)))
    }

    fn note(&mut self, n: usize, value: &Bytes, ttl: Option<Duration>, now: u64) {
        self.entries.insert(n, (value.clone(), ttl.map(|ttl| now + ttl.as_millis() as u64)));
    }

    /// One step on a key of its own, whose outcome is known.
    fn own(&mut self, store: &RedbStore, now: u64) {
        let n = self.random.random_range(0..KEYS);
        let (name, found) = (self.name(n), self.live(n, now).cloned());
        let value = number(self.random.random_range(0..1 << 40));
        let missing = || Err(HostErrorKind::NotFound);
        let (command, expected): (Command, Result<Outcome, HostErrorKind>) = match self.random.random_range(0..12) {
            0..4 => (get(&name), found.map_or_else(missing, |value| Ok(Outcome::Value(value)))),
            4 => (Read::Exists(key(&name)).into(), Ok(Outcome::Exists(found.is_some()))),
            5 => {
                let keys = (0..KEYS).map(|n| key(&self.name(n))).collect();
                let values = (0..KEYS).map(|n| (self.name(n), self.live(n, now).cloned())).collect();
                (Read::GetMany { keys, max_bytes: 1 << 20 }.into(), Ok(Outcome::Values(values)))
            }
            6 => {
                let prefix = key(&format!("t{}/", self.thread));
                let keys = (0..KEYS).filter(|&n| self.live(n, now).is_some()).map(|n| self.name(n)).collect();
                (
                    Read::Keys(KeysPage { prefix, after: None, limit: 100 }).into(),
                    Ok(Outcome::Keys { keys, next: None }),
                )
            }
            7 => {
                let (ttl, only_if_absent) = (self.ttl(), self.random.random_bool(0.3));
                let taken = only_if_absent && found.is_some();
                if !taken {
                    self.note(n, &value, ttl, now);
                }
                let set = Write::Set { key: key(&name), value, ttl, only_if_absent };
                (set.into(), if taken { Err(HostErrorKind::Conflict) } else { Ok(Outcome::Done) })
            }
            8 => {
                self.entries.remove(&n);
                (Write::Delete(key(&name)).into(), Ok(Outcome::Deleted(found.is_some())))
            }
            9 => {
                let sum = found.as_ref().map_or(0, parsed) + 3;
                // The time to live stays as it is, and goes with an entry that has expired.
                let expires = found.and_then(|_| self.entries[&n].1);
                self.entries.insert(n, (number(sum), expires));
                (Write::Increment { key: key(&name), by: 3 }.into(), Ok(Outcome::Integer(sum as i64)))
            }
            10 => {
                let (ttl, matches) = (self.ttl(), self.random.random_bool(0.7));
                let expected = if matches { found } else { Some(Bytes::from_static(b"another")) };
                if matches {
                    self.note(n, &value, ttl, now);
                }
                let set = Write::CompareAndSet { key: key(&name), expected, value, ttl };
                (set.into(), if matches { Ok(Outcome::Done) } else { Err(HostErrorKind::Conflict) })
            }
            _ => {
                let entries = (0..3).map(|more| {
                    let (n, ttl) = ((n + more) % KEYS, self.ttl());
                    self.note(n, &value, ttl, now);
                    Entry { key: key(&self.name(n)), value: value.clone(), ttl }
                });
                (Write::SetMany(entries.collect()).into(), Ok(Outcome::Done))
            }
        };
        let asked = format!("{command:?}");
        assert_eq!(run(store, command).map_err(|error| error.kind), expected, "{asked} at {now}");
    }

    /// One step on keys that all threads write: they only grow, and the two are always written together.
    fn shared(&mut self, store: &RedbStore) {
        let number_of = |outcome: Outcomes| match outcome {
            Ok(Outcome::Value(value)) => parsed(&value),
            Ok(Outcome::Integer(number)) => number as u64,
            other => panic!("{other:?}"),
        };
        if self.random.random_bool(0.3) {
            let count = number_of(run(store, Write::Increment { key: key("count"), by: 1 }.into()));
            assert!(count > self.seen[0], "{count} after {}", self.seen[0]);
            self.seen[0] = count;
        }
        let count = number_of(run(store, get("count")));
        assert!(count >= self.seen[0], "{count} after {}", self.seen[0]);
        self.seen[0] = count;
        if self.thread == 0 {
            let value = number(self.seen[1] + 1);
            let entry = |name| Entry { key: key(name), value: value.clone(), ttl: None };
            run(store, Write::SetMany(vec![entry("left"), entry("right")]).into()).unwrap();
        }
        let (one, other) = if self.random.random() { ("left", "right") } else { ("right", "left") };
        for name in [one, other] {
            let found = number_of(run(store, get(name)));
            assert!(found >= self.seen[1], "{name}: {found} after {}", self.seen[1]);
            self.seen[1] = found;
        }
        let both = Read::GetMany { keys: vec![key("left"), key("right")], max_bytes: 100 };
        let Outcome::Values(both) = run(store, both.into()).unwrap() else { panic!("it has values") };
        assert_eq!(both[0].1, both[1].1);
    }
}

/// Lets threads do what they like, each of which knows what it must find.
fn follow(durability: Durability, cache: u64, seed: u64) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.redb");
    let now = Arc::new(AtomicU64::new(1000));
    let clock = || -> Clock {
        let now = Arc::clone(&now);
        Arc::new(move || now.load(SeqCst))
    };
    let store = RedbStore::open_with_clock("cache".into(), &path, durability, cache, clock()).unwrap();
    for name in ["count", "left", "right"] {
        run(&store, set(name, b"0", None)).unwrap();
    }
    let met = Barrier::new(THREADS);
    let models: Vec<Model> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let random = StdRng::seed_from_u64(seed * 100 + thread as u64);
                let mut model = Model { thread, random, entries: BTreeMap::new(), seen: [0; 2] };
                let (store, met, now) = (&store, &met, &now);
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        let moment = now.load(SeqCst);
                        for _ in 0..STEPS {
                            model.own(store, moment);
                            if model.random.random_bool(0.2) {
                                model.shared(store);
                            }
                        }
                        if met.wait().is_leader() {
                            now.fetch_add(1, SeqCst);
                        }
                        met.wait();
                    }
                    model
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    if cache > 0 {
        let status = store.cache().unwrap();
        assert!(status.hits > 100 && status.misses > 100 && status.bytes <= cache, "{status:?}");
    }
    // What the cache has told is what is in the file.
    let moment = now.load(SeqCst);
    store.stop();
    let store = RedbStore::open_with_clock("cache".into(), &path, durability, 0, clock()).unwrap();
    for model in models {
        for n in 0..KEYS {
            let found = run(&store, get(&model.name(n))).ok();
            assert_eq!(found, model.live(n, moment).cloned().map(Outcome::Value));
        }
    }
}

#[test]
fn every_thread_finds_what_it_left_and_nothing_goes_back_with_room_for_all() {
    for seed in 0..3 {
        follow(Durability::Eventual, CACHE, seed);
    }
}

#[test]
fn every_thread_finds_what_it_left_and_nothing_goes_back_with_room_for_some() {
    for seed in 0..3 {
        follow(Durability::Eventual, 6000, 10 + seed);
    }
}

#[test]
fn every_thread_finds_what_it_left_and_nothing_goes_back_without_a_cache() {
    follow(Durability::Eventual, 0, 20);
}

/// What is answered without any thread.
fn at_once(store: &RedbStore, command: Command) -> Option<Outcomes> {
    match store.submit(command, soon()) {
        Submitted::Done(outcome) => Some(outcome),
        Submitted::Waiting(outcome) => outcome.blocking_recv().map(|_| None).unwrap(),
        Submitted::Later(_) => panic!("it has no server"),
    }
}

#[test]
fn what_was_read_or_written_is_answered_at_once() {
    let store = Disk::default().store();
    assert!(at_once(&store, get("a")).is_none());
    assert_eq!(at_once(&store, get("a")).unwrap().unwrap_err().kind, HostErrorKind::NotFound);
    run(&store, set("a", b"1", None)).unwrap();
    assert_eq!(at_once(&store, get("a")).unwrap().unwrap(), Outcome::Value(Bytes::from_static(b"1")));
    run(&store, Write::Increment { key: key("a"), by: 1 }.into()).unwrap();
    assert_eq!(at_once(&store, get("a")).unwrap().unwrap(), Outcome::Value(Bytes::from_static(b"2")));
    run(&store, Write::Delete(key("a")).into()).unwrap();
    assert!(at_once(&store, get("a")).is_none());
    assert!(at_once(&store, get("a")).is_some());
    store.stop();
    assert_eq!(at_once(&store, get("a")).unwrap().unwrap_err().kind, HostErrorKind::Unavailable);
}

#[test]
fn a_read_that_the_disk_held_up_does_not_bring_back_what_was_written_meanwhile() {
    let disk = Disk::default();
    // Pages of the file come from the disk every time.
    let store = disk.store_without_pages();
    run(&store, set("a", b"old", None)).unwrap();
    // Forgets the value, which a write has put into the cache.
    run(&store, set("b", b"", None)).unwrap();
    store.database.cache().clear();
    let held_up = disk.reads_stopped.lock();
    let Submitted::Waiting(slow) = store.submit(get("a"), soon()) else { panic!("it is not in the cache") };
    let deadline = soon();
    while disk.reads_waiting.load(SeqCst) == 0 {
        assert!(Instant::now() < deadline, "nobody reads");
        thread::yield_now();
    }
    run(&store, set("a", b"new", None)).unwrap();
    drop(held_up);
    // It may tell either, for it was asked before the write.
    assert_eq!(slow.blocking_recv().unwrap().unwrap(), Outcome::Value(Bytes::from_static(b"old")));
    for _ in 0..3 {
        assert_eq!(run(&store, get("a")).unwrap(), Outcome::Value(Bytes::from_static(b"new")));
    }
}

#[test]
fn what_was_lost_with_a_failed_disk_is_forgotten() {
    let disk = Disk::default();
    let store = disk.store_with(Durability::Eventual);
    run(&store, set("a", b"kept", None)).unwrap();
    let (syncs, deadline) = (disk.syncs.load(SeqCst), soon());
    while disk.syncs.load(SeqCst) == syncs {
        assert!(Instant::now() < deadline, "it is never synced");
        thread::yield_now();
    }
    disk.fails.store(true, SeqCst);
    // Answered or not, it does not get to the disk.
    run(&store, set("a", b"lost", None)).ok();
    let deadline = soon();
    while run(&store, get("a")).is_ok() {
        assert!(Instant::now() < deadline, "the cache answers for a database that is gone");
        thread::yield_now();
    }
    disk.fails.store(false, SeqCst);
    let deadline = soon();
    let found = loop {
        match run(&store, get("a")) {
            Ok(found) => break found,
            Err(error) => assert!(Instant::now() < deadline, "still {}", chain(&error)),
        }
        thread::yield_now();
    };
    assert_eq!(found, run(&disk.copy().store(), get("a")).unwrap());
    assert_eq!(at_once(&store, get("a")).unwrap().unwrap(), found);
}

#[test]
fn a_write_that_panics_in_its_commit_leaves_no_trace_in_the_cache() {
    let disk = Disk::default();
    let store = disk.store();
    run(&store, set("a", b"1", None)).unwrap();
    disk.panics.store(true, SeqCst);
    run(&store, set("a", b"2", None)).unwrap_err();
    assert_eq!(run(&store, get("a")).unwrap(), Outcome::Value(Bytes::from_static(b"1")));
    assert_eq!(at_once(&store, get("a")).unwrap().unwrap(), Outcome::Value(Bytes::from_static(b"1")));
    run(&store, set("a", b"3", None)).unwrap();
    assert_eq!(at_once(&store, get("a")).unwrap().unwrap(), Outcome::Value(Bytes::from_static(b"3")));
}

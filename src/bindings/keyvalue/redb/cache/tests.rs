//! The rule of the cache: what is in it is what the database holds, within its bytes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    bindings::{
        keyvalue::{
            key::{Key, Scope},
            operations::Outcome,
        },
        testing::call,
    },
    host::HostErrorKind,
};

fn key(name: &str) -> Key {
    Scope::of(&call("get", b"")).key(name)
}

fn record(value: &[u8]) -> Held {
    Some(Record { value: Bytes::copy_from_slice(value), expires: None })
}

fn clock(now: u64) -> Clock {
    Arc::new(move || now)
}

/// What a `get` at that moment finds here.
fn get_at(cache: &Cache, name: &str, now: u64) -> Option<Result<Outcome, HostErrorKind>> {
    let outcome = cache.answer(&Read::Get(key(name)), &clock(now))?;
    Some(outcome.map_err(|error| error.kind))
}

fn get(cache: &Cache, name: &str) -> Option<Result<Outcome, HostErrorKind>> {
    get_at(cache, name, 1000)
}

fn value(value: &[u8]) -> Option<Result<Outcome, HostErrorKind>> {
    Some(Ok(Outcome::Value(Bytes::copy_from_slice(value))))
}

fn fill(cache: &Cache, name: &str, held: &Held) {
    cache.fill(key(name).stored(), held, cache.seen());
}

/// A transaction that leaves this under these keys.
fn begin(cache: &Cache, written: &[(&str, Held)]) -> Begun {
    let mut changes = cache.changes();
    for (name, held) in written {
        match held {
            Some(record) => changes.put(key(name).stored(), record),
            None => changes.remove(key(name).stored()),
        }
    }
    cache.begin(changes)
}

const ABSENT: Option<Result<Outcome, HostErrorKind>> = Some(Err(HostErrorKind::NotFound));

#[test]
fn values_and_their_absence_are_answered_once_they_are_here() {
    let cache = Cache::new(1 << 20);
    assert_eq!(get(&cache, "a"), None);
    fill(&cache, "a", &record(b"1"));
    fill(&cache, "b", &None);
    assert_eq!((get(&cache, "a"), get(&cache, "b")), (value(b"1"), ABSENT));
    let exists = |name| cache.answer(&Read::Exists(key(name)), &clock(1)).unwrap().unwrap();
    assert_eq!((exists("a"), exists("b")), (Outcome::Exists(true), Outcome::Exists(false)));
    let many = |names: &[&str]| {
        let keys = names.iter().map(|name| key(name)).collect();
        cache.answer(&Read::GetMany { keys, max_bytes: 10 }, &clock(1))
    };
    let values = vec![("b".to_owned(), None), ("a".to_owned(), Some(Bytes::from_static(b"1")))];
    assert_eq!(many(&["b", "a"]).unwrap().unwrap(), Outcome::Values(values));
    assert!(many(&["b", "c", "a"]).is_none());
    assert!(cache.answer(&Read::Probe, &clock(1)).is_none());
    let CacheStatus { hits, misses, entries, .. } = cache.status().unwrap();
    assert_eq!((hits, misses, entries), (5, 2, 2));
    cache.end();
    assert_eq!(get(&cache, "a"), None);
}

#[test]
fn an_entry_expires_here_at_its_moment() {
    let cache = Cache::new(1 << 20);
    fill(&cache, "a", &Some(Record { value: Bytes::from_static(b"1"), expires: Some(1000) }));
    assert_eq!((get_at(&cache, "a", 999), get_at(&cache, "a", 1000)), (value(b"1"), ABSENT));
}

#[test]
fn a_read_that_was_under_way_when_its_key_was_written_fills_nothing() {
    let cache = Cache::new(1 << 20);
    fill(&cache, "a", &record(b"old"));
    let before = cache.seen();
    let begun = begin(&cache, &[("a", record(b"new")), ("gone", None)]);
    let during = cache.seen();
    // Nobody knows now whether it is committed.
    assert_eq!(get(&cache, "a"), None);
    for seen in [before, during] {
        cache.fill(key("a").stored(), &record(b"old"), seen);
        cache.fill(key("gone").stored(), &record(b"old"), seen);
        assert_eq!((get(&cache, "a"), get(&cache, "gone")), (None, None));
    }
    cache.publish(begun);
    for seen in [before, during] {
        cache.fill(key("a").stored(), &record(b"old"), seen);
        cache.fill(key("gone").stored(), &record(b"old"), seen);
        assert_eq!((get(&cache, "a"), get(&cache, "gone")), (value(b"new"), None));
    }
    fill(&cache, "gone", &None);
    assert_eq!(get(&cache, "gone"), ABSENT);
}

#[test]
fn several_values_are_of_one_moment() {
    let cache = Cache::new(1 << 20);
    for name in ["a", "b"] {
        fill(&cache, name, &record(b"1"));
    }
    let both = || cache.answer(&Read::GetMany { keys: vec![key("a"), key("b")], max_bytes: 10 }, &clock(1)).is_some();
    assert!(both());
    // What it changes is not asked for, yet what is asked for could be of before and of after it.
    let begun = begin(&cache, &[("c", record(b"2"))]);
    assert!(!both());
    assert_eq!(get(&cache, "a"), value(b"1"));
    cache.publish(begun);
    assert!(both());
}

#[test]
fn what_is_opened_anew_begins_without_entries_and_fills_again() {
    let cache = Cache::new(1 << 20);
    fill(&cache, "a", &record(b"1"));
    // A commit that failed.
    drop(begin(&cache, &[("b", record(b"2"))]));
    fill(&cache, "b", &record(b"1"));
    assert_eq!(get(&cache, "b"), None);
    cache.clear();
    assert_eq!((get(&cache, "a"), cache.status().unwrap().bytes), (None, 0));
    fill(&cache, "b", &record(b"1"));
    assert_eq!(get(&cache, "b"), value(b"1"));
    cache.publish(begin(&cache, &[("b", record(b"3"))]));
    assert_eq!(get(&cache, "b"), value(b"3"));
}

#[test]
fn without_bytes_it_is_off_and_with_few_it_holds_what_fits() {
    let off = Cache::new(0);
    fill(&off, "a", &record(b"1"));
    off.publish(begin(&off, &[("a", record(b"2"))]));
    assert_eq!((get(&off, "a"), off.status()), (None, None));
    for bytes in [1, 100, 1000, 2000, 70_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 15] {
        let cache = Cache::new(bytes);
        for size in [0, 100, 10_000, 100_000] {
            let held = record(&vec![7; size]);
            fill(&cache, "filled", &held);
            cache.publish(begin(&cache, &[("written", held.clone())]));
            let fits = weight(key("written").stored(), &held) <= cache.largest;
            assert_eq!(get(&cache, "written").is_some(), fits, "{size} in {bytes}");
            assert!(cache.status().unwrap().bytes <= bytes);
        }
    }
}

#[test]
fn bytes_are_bounded_and_counted_whatever_comes_and_goes() {
    let mut random = StdRng::seed_from_u64(7);
    for bytes in [5_000, 100_000, 1 << 20] {
        let cache = Cache::new(bytes);
        for _ in 0..20_000 {
            let name = format!("k{}", random.random_range(0..5000));
            let size = if random.random_ratio(1, 50) { 5000 } else { random.random_range(0..200) };
            let held = random.random_bool(0.8).then(|| record(&vec![1; size])).flatten();
            match random.random_range(0..4) {
                0 => cache.publish(begin(&cache, &[(&name, held)])),
                1 => drop(get(&cache, &name)),
                _ => fill(&cache, &name, &held),
            }
            assert!(cache.status().unwrap().bytes <= bytes);
        }
        let CacheStatus { bytes: held, entries, .. } = cache.status().unwrap();
        assert!(held > bytes / 2 && entries > 0, "{held} of {bytes} bytes in {entries} entries");
        for n in 0..5000 {
            cache.publish(begin(&cache, &[(&format!("k{n}"), None)]));
        }
        let CacheStatus { bytes: held, entries, .. } = cache.status().unwrap();
        assert_eq!((held, entries), (0, 0));
    }
}

#[test]
fn what_is_asked_for_stays_while_others_come_by_once() {
    let cache = Cache::new(1 << 20);
    for n in 0..100 {
        fill(&cache, &format!("hot{n}"), &record(&[1; 100]));
    }
    for n in 0..50_000 {
        fill(&cache, &format!("cold{n}"), &record(&[1; 100]));
        get(&cache, &format!("hot{}", n % 100));
    }
    let stayed = (0..100).filter(|n| get(&cache, &format!("hot{n}")).is_some()).count();
    assert!(stayed > 95, "{stayed} of 100");
}

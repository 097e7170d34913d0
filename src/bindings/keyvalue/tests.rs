//! One suite for memory, and redb with and without its cache: what guests see of the operations.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use serde_json::{Value, json};

use super::{actor::KeyValueFactory, memory::MemoryStore, redb::RedbStore, store::Store};
use crate::{
    bindings::{
        Answer, Binding, BindingCall, BindingFactory, BindingReply,
        testing::{call, link},
    },
    config::{Durability, KeyValueBackend, KeyValueSettings},
    host::HostErrorKind,
};

/// A binding with a clock that the test sets.
struct Fixture {
    factory: KeyValueFactory,
    binding: Box<dyn Binding>,
    clock: Arc<AtomicU64>,
    _directory: Option<tempfile::TempDir>,
}

impl Fixture {
    fn new(store: Arc<dyn Store>, clock: Arc<AtomicU64>, directory: Option<tempfile::TempDir>) -> Self {
        let backend = KeyValueBackend::Memory { max_bytes: 0 };
        let settings = KeyValueSettings { backend, max_key: 64, max_value: 1024 };
        let factory = KeyValueFactory::new("cache".into(), &settings, store);
        Self { binding: factory.make(0), factory, clock, _directory: directory }
    }

    fn memory(max_bytes: u64) -> Self {
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let at = Arc::clone(&clock);
        let store = MemoryStore::with_clock("cache".into(), max_bytes, Arc::new(move || at.load(SeqCst)));
        Self::new(Arc::new(store), clock, None)
    }

    /// One with a cache of so many bytes.
    fn redb(bytes: u64) -> Self {
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let at = Arc::clone(&clock);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/down/cache.redb");
        let clock_of_store = Arc::new(move || at.load(SeqCst));
        let store =
            RedbStore::open_with_clock("cache".into(), &path, Durability::Immediate, bytes, clock_of_store).unwrap();
        Self::new(Arc::new(store), clock, Some(directory))
    }

    fn each() -> [Self; 3] {
        [Self::memory(1024 * 1024), Self::redb(0), Self::redb(1024 * 1024)]
    }

    fn send(&self, call: BindingCall) -> BindingReply {
        wait(self.binding.call(call))
    }

    /// Calls with JSON, and gives the error as its text.
    fn json(&self, operation: &str, request: Value) -> Result<Value, String> {
        self.json_as("tester", false, operation, request)
    }

    fn json_as(&self, module: &str, shared: bool, operation: &str, request: Value) -> Result<Value, String> {
        let mut call = call(operation, request.to_string());
        call.caller.module = module.into();
        call.link = link(shared);
        self.send(call).map(|reply| serde_json::from_slice(&reply).unwrap()).map_err(|error| error.to_string())
    }

    fn refuses(&self, operation: &str, request: Value, expected: &str) {
        let error = self.json(operation, request.clone()).unwrap_err();
        assert!(error.contains(expected), "{error} for {operation} {request}");
    }

    fn pass(&self, milliseconds: u64) {
        self.clock.fetch_add(milliseconds, SeqCst);
    }
}

fn wait(answer: Answer) -> BindingReply {
    match answer {
        Answer::Now(reply) => reply,
        Answer::Later(reply) => {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, reply)
        }
    }
}

#[test]
fn reads_back_what_was_set_until_it_is_deleted() {
    for cache in Fixture::each() {
        cache.refuses("get", json!({"key": "a"}), "not_found: no value under key `a`");
        assert_eq!(cache.json("exists", json!({"key": "a"})), Ok(json!({"exists": false})));
        assert_eq!(cache.json("set", json!({"key": "a", "value": "AAEC/w=="})), Ok(json!({})));
        assert_eq!(cache.json("get", json!({"key": "a"})), Ok(json!({"value": "AAEC/w=="})));
        assert_eq!(cache.json("exists", json!({"key": "a"})), Ok(json!({"exists": true})));
        assert_eq!(cache.json("set", json!({"key": "a", "value": ""})), Ok(json!({})));
        assert_eq!(cache.json("get", json!({"key": "a"})), Ok(json!({"value": ""})));
        assert_eq!(cache.json("delete", json!({"key": "a"})), Ok(json!({"deleted": true})));
        assert_eq!(cache.json("delete", json!({"key": "a"})), Ok(json!({"deleted": false})));
        cache.refuses("get", json!({"key": "a"}), "not_found");
    }
}

#[test]
fn answers_messagepack_with_messagepack() {
    for cache in Fixture::each() {
        let set = cache.send(call("set", b"\x82\xa3key\xa1k\xa5value\xc4\x02hi")).unwrap();
        assert_eq!(&*set, b"\x80");
        let get = cache.send(call("get", b"\x81\xa3key\xa1k")).unwrap();
        assert_eq!(&*get, b"\x81\xa5value\xc4\x02hi");
        let keys = cache.send(call("keys", b"")).unwrap();
        assert_eq!(&*keys, b"\x81\xa4keys\x91\xa1k");
        let number = cache.send(call("increment", b"\x82\xa3key\xa1n\xa2by\xd1\xfe\xff")).unwrap();
        assert_eq!(&*number, b"\x81\xa5value\xd1\xfe\xff");
    }
}

#[test]
fn keeps_the_keys_of_modules_apart_unless_the_link_shares_them() {
    for cache in Fixture::each() {
        for (module, shared, value) in [("a", false, "YQ=="), ("b", false, "Yg=="), ("a", true, "cw==")] {
            cache.json_as(module, shared, "set", json!({"key": "k", "value": value})).unwrap();
        }
        let get = |module, shared| cache.json_as(module, shared, "get", json!({"key": "k"})).unwrap()["value"].clone();
        assert_eq!((get("a", false), get("b", false)), (json!("YQ=="), json!("Yg==")));
        assert_eq!((get("a", true), get("b", true)), (json!("cw=="), json!("cw==")));
        let keys = cache.json_as("a", false, "keys", json!({})).unwrap();
        assert_eq!(keys, json!({"keys": ["k"]}));
        cache.json_as("a", false, "delete", json!({"key": "k"})).unwrap();
        assert_eq!(get("b", false), json!("Yg=="));
    }
}

#[test]
fn set_only_if_absent_and_compare_and_set_refuse_with_conflict() {
    for cache in Fixture::each() {
        let first = json!({"key": "a", "value": "MQ==", "only_if_absent": true});
        cache.json("set", first.clone()).unwrap();
        cache.refuses("set", first, "conflict: there is a value under key `a`");

        let swap = |expected: Value, value: &str| json!({"key": "a", "expected": expected, "value": value});
        cache.refuses("compare_and_set", swap(json!("Mg=="), "Mw=="), "conflict");
        cache.refuses("compare_and_set", swap(json!(null), "Mw=="), "conflict");
        cache.json("compare_and_set", swap(json!("MQ=="), "Mw==")).unwrap();
        assert_eq!(cache.json("get", json!({"key": "a"})), Ok(json!({"value": "Mw=="})));
        cache.json("delete", json!({"key": "a"})).unwrap();
        cache.refuses("compare_and_set", swap(json!("Mw=="), "NA=="), "conflict: the value under key `a` is absent");
        cache.json("compare_and_set", swap(json!(null), "NA==")).unwrap();
        cache.refuses("compare_and_set", json!({"key": "a", "value": ""}), "missing field `expected`");
    }
}

#[test]
fn increments_from_zero_as_decimal_text_and_refuses_overflow() {
    for cache in Fixture::each() {
        assert_eq!(cache.json("increment", json!({"key": "n"})), Ok(json!({"value": 1})));
        assert_eq!(cache.json("increment", json!({"key": "n", "by": -42})), Ok(json!({"value": -41})));
        assert_eq!(cache.json("get", json!({"key": "n"})), Ok(json!({"value": "LTQx"})));
        cache.json("increment", json!({"key": "max", "by": i64::MAX})).unwrap();
        cache.refuses("increment", json!({"key": "max"}), "conflict: the value under key `max` would leave");
        cache.json("set", json!({"key": "text", "value": "eA=="})).unwrap();
        cache.refuses("increment", json!({"key": "text"}), "conflict: the value under key `text` is no decimal");
        assert_eq!(cache.json("get", json!({"key": "text"})), Ok(json!({"value": "eA=="})));
        for text in ["KzE=", "MDE=", "IDE=", "LTA=", "", "MTAwMDAwMDAwMDAwMDAwMDAwMDAw"] {
            cache.json("set", json!({"key": "text", "value": text})).unwrap();
            cache.refuses("increment", json!({"key": "text"}), "is no decimal");
        }
    }
}

#[test]
fn pages_through_keys_in_the_order_of_their_bytes() {
    for cache in Fixture::each() {
        for key in ["b/2", "a", "b/10", "b/1", "c", "b/ü"] {
            cache.json("set", json!({"key": key, "value": ""})).unwrap();
        }
        let keys = |request| cache.json("keys", request).unwrap();
        assert_eq!(keys(json!({})), json!({"keys": ["a", "b/1", "b/10", "b/2", "b/ü", "c"]}));
        assert_eq!(keys(json!({"prefix": "b/", "limit": 2})), json!({"keys": ["b/1", "b/10"], "next": "b/10"}));
        let rest = json!({"prefix": "b/", "limit": 2, "after": "b/10"});
        assert_eq!(keys(rest), json!({"keys": ["b/2", "b/ü"]}));
        assert_eq!(keys(json!({"prefix": "b/", "after": "a"}))["keys"][0], json!("b/1"));
        assert_eq!(keys(json!({"prefix": "b/", "after": "zzz"})), json!({"keys": []}));
        assert_eq!(keys(json!({"prefix": "none"})), json!({"keys": []}));
        for limit in [0, 1001] {
            cache.refuses("keys", json!({"limit": limit}), "bad_request: field `limit`");
        }
    }
}

#[test]
fn a_page_over_many_expired_entries_ends_early_and_says_where_to_go_on() {
    let cache = Fixture::memory(1024 * 1024 * 1024);
    for n in 0..5000 {
        cache.json("set", json!({"key": format!("k{n:04}"), "value": "", "ttl": "1s"})).unwrap();
    }
    cache.json("set", json!({"key": "z", "value": ""})).unwrap();
    cache.pass(1000);
    let first = cache.json("keys", json!({})).unwrap();
    assert_eq!(first, json!({"keys": [], "next": "k4095"}));
    assert_eq!(cache.json("keys", json!({"after": "k4095"})), Ok(json!({"keys": ["z"]})));
}

#[test]
fn an_entry_is_invisible_from_the_moment_it_expires() {
    for cache in Fixture::each() {
        cache.json("set", json!({"key": "a", "value": "MQ==", "ttl": "2s"})).unwrap();
        cache.json("set", json!({"key": "b", "value": "MQ==", "ttl": "1d"})).unwrap();
        cache.pass(1_999);
        assert_eq!(cache.json("increment", json!({"key": "a"})), Ok(json!({"value": 2})));
        assert_eq!(cache.json("exists", json!({"key": "a"})), Ok(json!({"exists": true})));
        cache.pass(1);
        cache.refuses("get", json!({"key": "a"}), "not_found");
        assert_eq!(cache.json("exists", json!({"key": "a"})), Ok(json!({"exists": false})));
        assert_eq!(cache.json("keys", json!({})), Ok(json!({"keys": ["b"]})));
        assert_eq!(cache.json("delete", json!({"key": "a"})), Ok(json!({"deleted": false})));
        cache.json("set", json!({"key": "a", "value": "", "only_if_absent": true})).unwrap();
        cache.json("set", json!({"key": "b", "value": ""})).unwrap();
        cache.pass(10 * 86_400_000);
        assert_eq!(cache.json("keys", json!({})), Ok(json!({"keys": ["a", "b"]})));
    }
}

#[test]
fn gets_and_sets_many_at_once_in_their_order() {
    for cache in Fixture::each() {
        let entries = json!([{"key": "a", "value": "MQ=="}, {"key": "b", "value": "", "ttl": "1s"}]);
        assert_eq!(cache.json("set_many", json!({"entries": entries})), Ok(json!({})));
        let all = cache.json("get_many", json!({"keys": ["b", "none", "a", "a"]})).unwrap();
        let one = json!({"key": "a", "value": "MQ=="});
        let expected = json!({"values": [{"key": "b", "value": ""}, {"key": "none", "value": null}, one, one]});
        assert_eq!(all, expected);
        cache.pass(1000);
        let later = cache.json("get_many", json!({"keys": ["b"]})).unwrap();
        assert_eq!(later, json!({"values": [{"key": "b", "value": null}]}));
        assert_eq!(cache.json("get_many", json!({"keys": []})), Ok(json!({"values": []})));
        assert_eq!(cache.json("set_many", json!({"entries": []})), Ok(json!({})));
    }
}

#[test]
fn one_entry_that_is_wrong_sets_none_of_many() {
    for cache in Fixture::each() {
        let good = json!({"key": "a", "value": "MQ=="});
        for (bad, expected) in [
            (json!({"key": "", "value": ""}), "bad_request: field `key`: empty"),
            (json!({"key": "a", "value": ""}), "bad_request: field `entries`: key `a` is there twice"),
            (json!({"key": "b", "value": "A".repeat(1368)}), "too_large: field `value`"),
            (json!({"key": "b", "value": "", "ttl": "0s"}), "bad_request: field `ttl`: zero"),
            (json!({"key": "b"}), "bad_request: field `entries[1]`: missing field `value`"),
        ] {
            cache.refuses("set_many", json!({"entries": [good, bad]}), expected);
        }
        let keys: Vec<String> = (0..1001).map(|n| format!("k{n}")).collect();
        cache.refuses(
            "get_many",
            json!({"keys": keys}),
            "bad_request: field `keys`: 1001 of them, expected at most 1000",
        );
        assert_eq!(cache.json("keys", json!({})), Ok(json!({"keys": []})));
    }
}

#[test]
fn many_that_find_no_room_in_memory_change_nothing() {
    let cache = Fixture::memory(2 * (96 + 13 + 100));
    let value = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, vec![0; 100]);
    let entry = |key: &str| json!({"key": key, "value": value});
    cache.json("set_many", json!({"entries": [entry("a")]})).unwrap();
    cache.refuses("set_many", json!({"entries": [entry("a"), entry("b"), entry("c")]}), "too_large");
    cache.refuses("set_many", json!({"entries": [entry("b"), entry("c")]}), "unavailable: binding `cache` is full");
    assert_eq!(cache.json("keys", json!({})), Ok(json!({"keys": ["a"]})));
    cache.json("set_many", json!({"entries": [entry("a"), entry("b")]})).unwrap();
}

#[test]
fn every_mistake_of_a_guest_is_named() {
    for cache in Fixture::each() {
        let long = "k".repeat(65);
        let large = "A".repeat(1368);
        for (operation, request, expected) in [
            ("get", json!({"key": ""}), "bad_request: field `key`: empty"),
            ("get", json!({"key": long}), "too_large: field `key`: 65 bytes are over the limit of 64 bytes"),
            ("keys", json!({"after": long}), "too_large: field `after`"),
            ("set", json!({"key": "k", "value": large}), "too_large: field `value`: 1026 bytes"),
            (
                "set",
                json!({"key": "k", "value": "", "ttl": "5"}),
                "bad_request: field `ttl`: found `5`: a time needs its unit",
            ),
            ("set", json!({"key": "k", "value": "", "ttl": "0s"}), "bad_request: field `ttl`: zero"),
            ("set", json!({"key": "k", "value": "", "TTL": "1s"}), "unknown field `TTL`"),
            ("increment", json!({"key": "k", "by": 1.5}), "bad_request: field `by`"),
            ("flush", json!({}), "no_such_operation: binding `cache` has no operation `flush`: get, set"),
        ] {
            cache.refuses(operation, request, expected);
        }
    }
}

#[test]
fn garbage_is_answered_and_harms_nothing() {
    let operations =
        ["get", "set", "delete", "exists", "keys", "increment", "compare_and_set", "get_many", "set_many", "\u{0}"];
    let mut runner = TestRunner::deterministic();
    let payloads = proptest::collection::vec(proptest::num::u8::ANY, 0..64);
    for cache in Fixture::each() {
        for round in 0..300 {
            let payload = payloads.new_tree(&mut runner).unwrap().current();
            let start: &[u8] = [&b""[..], b"{\"key\":", b"\x81\xa3key", b"\x82\xa3key\xa1k\xa5value"][round % 4];
            let reply = cache.send(call(operations[round % operations.len()], [start, &payload].concat()));
            assert!(!matches!(reply, Err(error) if error.kind == HostErrorKind::Internal));
        }
        cache.json("set", json!({"key": "after", "value": ""})).unwrap();
    }
}

#[test]
fn increments_from_many_threads_are_exact() {
    for cache in Fixture::each() {
        let factory = &cache.factory;
        std::thread::scope(|scope| {
            for worker in 0..8 {
                scope.spawn(move || {
                    let binding = factory.make(worker);
                    for _ in 0..50 {
                        wait(binding.call(call("increment", b"\x81\xa3key\xa1n"))).unwrap();
                    }
                });
            }
        });
        assert_eq!(cache.json("increment", json!({"key": "n", "by": 0})), Ok(json!({"value": 400})));
    }
}

#[test]
fn memory_is_bounded_and_room_comes_back() {
    let cache = Fixture::memory(2 * (96 + 6 + 4 + 100));
    let set = |key: &str, size: usize, ttl: Option<&str>| {
        let value = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, vec![0; size]);
        cache.json("set", json!({"key": key, "value": value, "ttl": ttl}))
    };
    assert!(set("big", 1000, None).unwrap_err().starts_with("too_large: "));
    set("one", 90, None).unwrap();
    set("two", 90, Some("1s")).unwrap();
    assert!(set("six", 90, None).unwrap_err().starts_with("unavailable: binding `cache` is full"));
    set("one", 91, None).unwrap();
    cache.pass(1000);
    set("six", 90, None).unwrap();
    cache.json("delete", json!({"key": "one"})).unwrap();
    set("ten", 90, None).unwrap();
    assert_eq!(cache.json("keys", json!({})), Ok(json!({"keys": ["six", "ten"]})));
}

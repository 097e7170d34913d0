//! What guests see of the operations, which is the same whatever the backend.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use wapcd::config::{Durability, Rules, Space};

use super::{Fixture, MAX_VALUE};
use crate::harness::{Bin, Format, Opened, SOON};

#[actix::test]
async fn memory_conforms() {
    conforms(&Fixture::memory().opened).await;
}

#[actix::test]
async fn redb_conforms() {
    conforms(&Fixture::redb(Durability::Immediate).opened).await;
}

#[actix::test]
async fn redb_that_answers_before_the_disk_conforms() {
    conforms(&Fixture::redb(Durability::Eventual).opened).await;
}

#[actix::test]
async fn redis_conforms() {
    conforms(&Fixture::redis().opened).await;
}

#[actix::test]
async fn nats_conforms() {
    conforms(&Fixture::nats().opened).await;
}

/// The suite. Each part uses a module of its own, so that none sees the keys of another.
async fn conforms(opened: &Opened) {
    reads_back_what_was_set_until_it_is_deleted(opened).await;
    sets_only_what_is_absent_or_expected(opened).await;
    increments_decimal_text_within_64_bits(opened).await;
    lists_in_order_and_in_pages(opened).await;
    lets_entries_expire(opened).await;
    takes_and_gives_many(opened).await;
    keeps_spaces_apart(opened).await;
    takes_keys_and_values_of_every_kind(opened).await;
    takes_the_longest_key_and_the_largest_value(opened).await;
    names_every_mistake(opened).await;
}

struct Guest<'o> {
    opened: &'o Opened,
    module: &'static str,
}

impl Guest<'_> {
    async fn ok(&self, operation: &str, request: Value) -> Value {
        let answer = self.opened.call(self.module, operation, request.clone()).await;
        answer.unwrap_or_else(|error| panic!("{error} for {operation} {request}"))
    }

    async fn refused(&self, operation: &str, request: Value, expected: &str) {
        match self.opened.call(self.module, operation, request.clone()).await {
            Ok(answer) => panic!("{answer} for {operation} {request}"),
            Err(error) => assert!(error.starts_with(expected), "{error} for {operation} {request}"),
        }
    }

    async fn get(&self, key: &str) -> Value {
        self.ok("get", json!({"key": key})).await["value"].clone()
    }
}

fn guest<'o>(opened: &'o Opened, module: &'static str) -> Guest<'o> {
    Guest { opened, module }
}

async fn reads_back_what_was_set_until_it_is_deleted(opened: &Opened) {
    let guest = guest(opened, "basic");
    guest.refused("get", json!({"key": "a"}), "not_found: no value under key `a`").await;
    assert_eq!(guest.ok("exists", json!({"key": "a"})).await, json!({"exists": false}));
    assert_eq!(guest.ok("set", json!({"key": "a", "value": "AAEC/w=="})).await, json!({}));
    assert_eq!(guest.get("a").await, "AAEC/w==");
    assert_eq!(guest.ok("exists", json!({"key": "a"})).await, json!({"exists": true}));
    guest.ok("set", json!({"key": "a", "value": ""})).await;
    assert_eq!(guest.get("a").await, "");
    assert_eq!(guest.ok("exists", json!({"key": "a"})).await, json!({"exists": true}));
    assert_eq!(guest.ok("delete", json!({"key": "a"})).await, json!({"deleted": true}));
    assert_eq!(guest.ok("delete", json!({"key": "a"})).await, json!({"deleted": false}));
    guest.refused("get", json!({"key": "a"}), "not_found").await;
    guest.ok("set", json!({"key": "a", "value": "MQ=="})).await;
    assert_eq!(guest.get("a").await, "MQ==");
}

async fn sets_only_what_is_absent_or_expected(opened: &Opened) {
    let guest = guest(opened, "conditional");
    let absent = json!({"key": "a", "value": "MQ==", "only_if_absent": true});
    guest.ok("set", absent.clone()).await;
    guest.refused("set", absent.clone(), "conflict: there is a value under key `a`").await;
    guest.ok("delete", json!({"key": "a"})).await;
    guest.ok("set", absent).await;

    let swap = |expected: Value, value: &str| json!({"key": "a", "expected": expected, "value": value});
    let other = "conflict: the value under key `a` is not what was expected";
    guest.refused("compare_and_set", swap(json!("Mg=="), "Mw=="), other).await;
    guest.refused("compare_and_set", swap(json!(null), "Mw=="), other).await;
    guest.refused("compare_and_set", swap(json!(""), "Mw=="), other).await;
    guest.ok("compare_and_set", swap(json!("MQ=="), "")).await;
    assert_eq!(guest.get("a").await, "");
    guest.refused("compare_and_set", swap(json!(null), "Mw=="), other).await;
    guest.ok("compare_and_set", swap(json!(""), "Mw==")).await;
    guest.ok("delete", json!({"key": "a"})).await;
    let gone = "conflict: the value under key `a` is absent";
    guest.refused("compare_and_set", swap(json!("Mw=="), "NA=="), gone).await;
    guest.refused("compare_and_set", swap(json!(""), "NA=="), gone).await;
    guest.ok("compare_and_set", swap(json!(null), "NA==")).await;
    assert_eq!(guest.get("a").await, "NA==");
}

async fn increments_decimal_text_within_64_bits(opened: &Opened) {
    let guest = guest(opened, "numbers");
    assert_eq!(guest.ok("increment", json!({"key": "n"})).await, json!({"value": 1}));
    assert_eq!(guest.ok("increment", json!({"key": "n", "by": -42})).await, json!({"value": -41}));
    assert_eq!(guest.get("n").await, "LTQx");
    assert_eq!(guest.ok("increment", json!({"key": "n", "by": 0})).await, json!({"value": -41}));
    for bound in [i64::MAX, i64::MIN] {
        let key = bound.to_string();
        assert_eq!(guest.ok("increment", json!({"key": key, "by": bound})).await, json!({"value": bound}));
        let expected = format!("conflict: the value under key `{key}` would leave the range of 64 bits");
        guest.refused("increment", json!({"key": key, "by": bound.signum()}), &expected).await;
        assert_eq!(guest.ok("increment", json!({"key": key, "by": 0})).await, json!({"value": bound}));
    }
    for text in ["eA==", "", "KzE=", "MDE=", "IDE=", "MSA=", "LTA=", "MTAwMDAwMDAwMDAwMDAwMDAwMDAw", "AA=="] {
        guest.ok("set", json!({"key": "text", "value": text})).await;
        let expected = "conflict: the value under key `text` is no decimal number of 64 bits";
        guest.refused("increment", json!({"key": "text"}), expected).await;
        assert_eq!(guest.get("text").await, text);
    }
    guest.ok("set", json!({"key": "text", "value": "Nw=="})).await;
    assert_eq!(guest.ok("increment", json!({"key": "text"})).await, json!({"value": 8}));
}

async fn lists_in_order_and_in_pages(opened: &Opened) {
    let guest = guest(opened, "lists");
    assert_eq!(guest.ok("keys", json!({})).await, json!({"keys": []}));
    for key in ["b/2", "a", "b/10", "b/1", "c", "b/ü", "B", "b*"] {
        guest.ok("set", json!({"key": key, "value": ""})).await;
    }
    let all = json!({"keys": ["B", "a", "b*", "b/1", "b/10", "b/2", "b/ü", "c"]});
    assert_eq!(guest.ok("keys", json!({})).await, all);
    let first = guest.ok("keys", json!({"prefix": "b/", "limit": 2})).await;
    assert_eq!(first, json!({"keys": ["b/1", "b/10"], "next": "b/10"}));
    let rest = guest.ok("keys", json!({"prefix": "b/", "limit": 2, "after": "b/10"})).await;
    assert_eq!(rest, json!({"keys": ["b/2", "b/ü"]}));
    assert_eq!(guest.ok("keys", json!({"prefix": "b*"})).await, json!({"keys": ["b*"]}));
    assert_eq!(guest.ok("keys", json!({"prefix": "b/", "after": "zzz"})).await, json!({"keys": []}));
    assert_eq!(guest.ok("keys", json!({"prefix": "b/", "after": "a", "limit": 1})).await["keys"], json!(["b/1"]));
    assert_eq!(guest.ok("keys", json!({"prefix": "none"})).await, json!({"keys": []}));
    guest.ok("delete", json!({"key": "b/1"})).await;
    assert_eq!(guest.ok("keys", json!({"prefix": "b/1"})).await, json!({"keys": ["b/10"]}));

    let entries: Vec<Value> = (0..250).map(|n| json!({"key": format!("many/{n:03}"), "value": ""})).collect();
    guest.ok("set_many", json!({"entries": entries})).await;
    let (mut seen, mut after) = (Vec::new(), json!(null));
    while let Some(page) = Some(guest.ok("keys", json!({"prefix": "many/", "limit": 100, "after": after})).await) {
        seen.extend(page["keys"].as_array().unwrap().clone());
        after = page["next"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(seen, (0..250).map(|n| json!(format!("many/{n:03}"))).collect::<Vec<_>>());
}

async fn lets_entries_expire(opened: &Opened) {
    let guest = guest(opened, "times");
    guest.ok("set", json!({"key": "stays", "value": "", "ttl": "1h"})).await;
    guest.ok("set", json!({"key": "ever", "value": "", "ttl": "500000d"})).await;
    guest.ok("set", json!({"key": "goes", "value": "MQ==", "ttl": "700ms"})).await;
    guest.ok("set", json!({"key": "kept", "value": "MQ==", "ttl": "700ms"})).await;
    guest.ok("set", json!({"key": "kept", "value": "MQ=="})).await;
    guest.ok("compare_and_set", json!({"key": "swapped", "expected": null, "value": "", "ttl": "700ms"})).await;
    // Its time to live is not begun anew.
    assert_eq!(guest.ok("increment", json!({"key": "goes"})).await, json!({"value": 2}));
    until_gone(&guest, "goes").await;
    until_gone(&guest, "swapped").await;
    assert_eq!(guest.ok("keys", json!({})).await, json!({"keys": ["ever", "kept", "stays"]}));
    guest.refused("get", json!({"key": "goes"}), "not_found").await;
    assert_eq!(guest.ok("delete", json!({"key": "goes"})).await, json!({"deleted": false}));
    let gone = "conflict: the value under key `swapped` is absent";
    guest.refused("compare_and_set", json!({"key": "swapped", "expected": "", "value": ""}), gone).await;
    guest.ok("set", json!({"key": "goes", "value": "", "only_if_absent": true})).await;
    assert_eq!(guest.ok("increment", json!({"key": "swapped"})).await, json!({"value": 1}));
    let all = json!({"keys": ["ever", "goes", "kept", "stays", "swapped"]});
    assert_eq!(guest.ok("keys", json!({})).await, all);
}

async fn until_gone(guest: &Guest<'_>, key: &str) {
    let start = std::time::Instant::now();
    while guest.ok("exists", json!({"key": key})).await == json!({"exists": true}) {
        assert!(start.elapsed() < SOON, "`{key}` does not expire");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn takes_and_gives_many(opened: &Opened) {
    let guest = guest(opened, "many");
    assert_eq!(guest.ok("get_many", json!({"keys": []})).await, json!({"values": []}));
    assert_eq!(guest.ok("set_many", json!({"entries": []})).await, json!({}));
    let entries =
        json!([{"key": "a", "value": "MQ=="}, {"key": "b.b", "value": ""}, {"key": "t", "value": "", "ttl": "1h"}]);
    assert_eq!(guest.ok("set_many", json!({"entries": entries})).await, json!({}));
    let one = json!({"key": "a", "value": "MQ=="});
    let values = guest.ok("get_many", json!({"keys": ["b.b", "none", "a", "a", "t"]})).await;
    let expected = [json!({"key": "b.b", "value": ""}), json!({"key": "none", "value": null}), one.clone(), one];
    assert_eq!(values["values"].as_array().unwrap()[..4], expected);
    let keys: Vec<String> = (0..1000).map(|n| format!("k{n}")).collect();
    let entries: Vec<Value> = keys.iter().map(|key| json!({"key": key, "value": "MQ=="})).collect();
    guest.ok("set_many", json!({"entries": entries})).await;
    let values = guest.ok("get_many", json!({"keys": keys})).await;
    let expected: Vec<Value> = keys.iter().map(|key| json!({"key": key, "value": "MQ=="})).collect();
    assert_eq!(values["values"], json!(expected));
    // Together they are more than one answer may have.
    let large = "A".repeat(usize::try_from(MAX_VALUE).unwrap() / 3 * 4);
    guest.ok("set", json!({"key": "large", "value": large})).await;
    guest.refused("get_many", json!({"keys": vec!["large"; 40]}), "too_large: the values under these keys").await;
}

async fn keeps_spaces_apart(opened: &Opened) {
    let shared = opened.with_rules(Rules::Space(Space::Shared));
    let named = opened.with_rules(Rules::Space(Space::Named("x:y.z".to_owned())));
    let other = opened.with_rules(Rules::Space(Space::Named("x".to_owned())));
    let spaces = [
        (guest(opened, "space"), "MQ=="),
        (guest(opened, "space2"), "Mg=="),
        (guest(&shared, "space"), "Mw=="),
        (guest(&named, "space"), "NA=="),
        (guest(&other, "space"), "NQ=="),
    ];
    for (guest, value) in &spaces {
        guest.ok("set", json!({"key": "y.z:k", "value": value})).await;
    }
    for (guest, value) in &spaces {
        assert_eq!(guest.get("y.z:k").await, *value);
        assert_eq!(guest.ok("keys", json!({})).await, json!({"keys": ["y.z:k"]}));
    }
    assert_eq!(guest(&shared, "other").get("y.z:k").await, "Mw==");
    assert_eq!(guest(&named, "other").get("y.z:k").await, "NA==");
    spaces[0].0.ok("delete", json!({"key": "y.z:k"})).await;
    assert_eq!(spaces[1].0.get("y.z:k").await, "Mg==");
}

#[derive(Debug, PartialEq, Deserialize)]
struct Got {
    value: Bin,
}

async fn takes_keys_and_values_of_every_kind(opened: &Opened) {
    let guest = guest(opened, "strange.module name");
    let keys = [
        "*",
        ">",
        "a.b",
        "..",
        ".",
        "/",
        "//a",
        " ",
        "a b",
        "\u{0}",
        "\n",
        "ü",
        "日本",
        "🦀",
        "a*b?[c]\\",
        "=",
        "=2E",
        "%",
        "%25",
        ":",
        "a:b",
        "'\"",
        "$KV.x",
        "-",
        "_",
        "{a}",
        "null",
        "\u{7f}",
        "\u{202e}",
    ];
    for (number, key) in keys.iter().enumerate() {
        let value = Bin(vec![u8::try_from(number).unwrap(), 0, 255]);
        for format in Format::ALL {
            #[derive(serde::Serialize)]
            struct Set<'a> {
                key: &'a str,
                value: &'a Bin,
            }
            let _: Value = opened.ask(format, guest.module, "set", &Set { key, value: &value }).await.unwrap();
        }
    }
    for (number, key) in keys.iter().enumerate() {
        for format in Format::ALL {
            let got: Got = opened.ask(format, guest.module, "get", &json!({"key": key})).await.unwrap();
            assert_eq!(got.value.0, [u8::try_from(number).unwrap(), 0, 255], "{key:?}");
        }
        let listed = guest.ok("keys", json!({"prefix": key, "limit": 1})).await;
        assert_eq!(listed["keys"], json!([key]));
    }
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    assert_eq!(guest.ok("keys", json!({})).await, json!({"keys": sorted}));
}

async fn takes_the_longest_key_and_the_largest_value(opened: &Opened) {
    let guest = guest(opened, "large");
    let long = "k".repeat(1024);
    let large: Vec<u8> = (0..MAX_VALUE).map(|n| u8::try_from(n * 7 % 256).unwrap()).collect();
    let value = serde_json::to_value(Bin(large)).unwrap();
    guest.ok("set", json!({"key": long, "value": value})).await;
    assert_eq!(guest.get(&long).await, value);
}

async fn names_every_mistake(opened: &Opened) {
    let guest = guest(opened, "mistakes");
    let (long, large) = ("k".repeat(1025), serde_json::to_value(Bin(vec![0; 512 * 1024 + 1])).unwrap());
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    for (operation, request, expected) in [
        ("get", json!({"key": ""}), "bad_request: field `key`: empty"),
        ("get", json!({}), "bad_request: missing field `key`"),
        ("get", json!({"key": long}), "too_large: field `key`: 1025 bytes are over the limit of 1024 bytes"),
        ("set", json!({"key": "k", "value": large}), "too_large: field `value`: 524289 bytes"),
        ("set", json!({"key": "k", "value": "", "ttl": "0s"}), "bad_request: field `ttl`: zero"),
        ("set", json!({"key": "k", "value": "", "TTL": "1s"}), "bad_request: field `TTL`: unknown field"),
        ("increment", json!({"key": "k", "by": 1.5}), "bad_request: field `by`"),
        ("keys", json!({"limit": 1001}), "bad_request: field `limit`"),
        ("get_many", json!({"keys": many}), "bad_request: field `keys`: 1001 of them, expected at most 1000"),
        ("get_many", json!({"keys": ["a", ""]}), "bad_request: field `key`: empty"),
        (
            "set_many",
            json!({"entries": [{"key": "a", "value": ""}, {"key": "a", "value": ""}]}),
            "bad_request: field `entries`: key `a` is there twice",
        ),
        ("flush", json!({}), "no_such_operation: binding `cache` has no operation `flush`: get, set"),
    ] {
        guest.refused(operation, request, expected).await;
    }
    assert_eq!(guest.ok("keys", json!({})).await, json!({"keys": []}));
}

//! What every backend of a `blob` binding promises.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use serde_json::{Value, json};
use wapcd::config::{Rules, Space};

use super::{Got, MAX_OBJECT, get, names, put};
use crate::harness::{Format, Opened, SOON};

/// Asks a backend that is empty for everything that it promises.
pub(super) async fn all(opened: &Opened) {
    objects_are_kept_with_what_is_known_of_them(opened).await;
    ranges_are_the_bytes_that_were_asked_for(opened).await;
    what_is_absent_is_said_to_be(opened).await;
    only_if_absent_keeps_what_is_there(opened).await;
    copies_stand_alone(opened).await;
    every_name_is_its_own(opened).await;
    what_is_no_name_is_refused(opened).await;
    requests_are_read_strictly(opened).await;
    pages_are_exact(opened).await;
    spaces_are_apart(opened).await;
    what_is_too_large_is_refused(opened).await;
    nobody_sees_half_an_object(opened).await;
    one_of_many_is_first(opened).await;
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

async fn objects_are_kept_with_what_is_known_of_them(opened: &Opened) {
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    for format in Format::ALL {
        let data = base64(&[0, 255, 13, 10]);
        let request = json!({"name": "kept/one", "data": data, "content_type": "text/plain; charset=utf-8"});
        let answer = opened.call("kept", "put", request).await.unwrap();
        let found: Got = opened.ask(format, "kept", "get", &json!({"name": "kept/one"})).await.unwrap();
        let head: Got = opened.ask(format, "kept", "head", &json!({"name": "kept/one"})).await.unwrap();
        assert!(head.data.is_none());
        for known in [&found, &head] {
            assert_eq!((known.size, known.content_type.as_deref()), (4, Some("text/plain; charset=utf-8")));
            assert_eq!(known.etag.as_deref(), answer["etag"].as_str());
            assert!(known.etag.as_ref().is_some_and(|etag| !etag.is_empty()));
            // S3 knows seconds.
            assert!((before - 1000..before + 60_000).contains(&known.modified), "{before} {known:?}");
        }
        assert_eq!(found.bytes(), [0, 255, 13, 10]);
    }
    let first = opened.call("kept", "head", json!({"name": "kept/one"})).await.unwrap();
    put(opened, "kept", "kept/one", b"").await.unwrap();
    let second = opened.call("kept", "get", json!({"name": "kept/one"})).await.unwrap();
    assert_eq!((&second["size"], &second["data"], second.get("content_type")), (&json!(0), &json!(""), None));
    assert_ne!(first["etag"], second["etag"]);
    let page = opened.call("kept", "list", json!({})).await.unwrap();
    assert_eq!(page["objects"].as_array().unwrap().len(), 1);
    assert_eq!((&page["objects"][0]["size"], &page["objects"][0]["name"]), (&json!(0), &json!("kept/one")));
    assert!(page["objects"][0]["modified"].as_i64().unwrap() >= before - 1000);
}

async fn ranges_are_the_bytes_that_were_asked_for(opened: &Opened) {
    let data: Vec<u8> = (0..=255).collect();
    put(opened, "ranges", "bytes", &data).await.unwrap();
    put(opened, "ranges", "empty", b"").await.unwrap();
    let cases: [(&str, Value, &[u8]); 11] = [
        ("bytes", json!({"offset": 0}), &data),
        ("bytes", json!({"length": 3}), &data[..3]),
        ("bytes", json!({"offset": 250}), &data[250..]),
        ("bytes", json!({"offset": 250, "length": 2}), &data[250..252]),
        ("bytes", json!({"offset": 250, "length": 6}), &data[250..]),
        ("bytes", json!({"offset": 250, "length": 1000}), &data[250..]),
        ("bytes", json!({"offset": 1, "length": u64::MAX}), &data[1..]),
        ("bytes", json!({"offset": 256}), &[]),
        ("bytes", json!({"offset": 1000, "length": 1}), &[]),
        ("bytes", json!({"length": 0}), &[]),
        ("empty", json!({"offset": 0, "length": 1}), &[]),
    ];
    for (name, mut request, expected) in cases {
        request["name"] = name.into();
        let found = opened.call("ranges", "get", request.clone()).await.unwrap();
        assert_eq!(found["data"], json!(base64(expected)), "{request}");
        assert_eq!(found["size"], json!(if name == "empty" { 0 } else { 256 }), "{request}");
    }
}

async fn what_is_absent_is_said_to_be(opened: &Opened) {
    let absent = json!({"name": "not/there"});
    for (operation, request) in [
        ("get", absent.clone()),
        ("get", json!({"name": "not/there", "length": 0})),
        ("get", json!({"name": "not/there", "offset": 5})),
        ("head", absent.clone()),
        ("copy", json!({"from": "not/there", "to": "x"})),
        ("copy", json!({"from": "not/there", "to": "x", "only_if_absent": true})),
    ] {
        let error = opened.call("absent", operation, request).await.unwrap_err();
        assert_eq!(error, "not_found: no object `not/there`", "{operation}");
    }
    assert_eq!(opened.call("absent", "delete", absent.clone()).await, Ok(json!({"deleted": false})));
    put(opened, "absent", "not/there", b"x").await.unwrap();
    // Neither a part of its name nor what would be below it is an object.
    for name in ["not", "not/there/x"] {
        assert!(get(opened, "absent", name).await.unwrap_err().starts_with("not_found: "), "{name}");
        assert_eq!(opened.call("absent", "delete", json!({"name": name})).await, Ok(json!({"deleted": false})));
    }
    assert_eq!(opened.call("absent", "delete", absent.clone()).await, Ok(json!({"deleted": true})));
    assert_eq!(opened.call("absent", "delete", absent).await, Ok(json!({"deleted": false})));
    assert_eq!(opened.call("absent", "list", json!({})).await, Ok(json!({"objects": []})));
}

async fn only_if_absent_keeps_what_is_there(opened: &Opened) {
    let request = json!({"name": "first", "data": base64(b"one"), "only_if_absent": true});
    opened.call("first", "put", request.clone()).await.unwrap();
    let again = json!({"name": "first", "data": base64(b"two"), "only_if_absent": true});
    assert_eq!(opened.call("first", "put", again).await.unwrap_err(), "conflict: there is an object `first`");
    put(opened, "first", "other", b"other").await.unwrap();
    let copy = json!({"from": "other", "to": "first", "only_if_absent": true});
    assert_eq!(opened.call("first", "copy", copy).await.unwrap_err(), "conflict: there is an object `first`");
    assert_eq!(get(opened, "first", "first").await.unwrap(), b"one");
    opened.call("first", "delete", json!({"name": "first"})).await.unwrap();
    opened.call("first", "put", request).await.unwrap();
}

async fn copies_stand_alone(opened: &Opened) {
    let typed = json!({"name": "a", "data": base64(b"content"), "content_type": "image/png"});
    opened.call("copies", "put", typed).await.unwrap();
    put(opened, "copies", "deep/b", b"before").await.unwrap();
    for (to, only_if_absent) in [("deep/b", false), ("deep/c/d", false), ("e/f", true)] {
        let copy = json!({"from": "a", "to": to, "only_if_absent": only_if_absent});
        assert_eq!(opened.call("copies", "copy", copy).await, Ok(json!({})));
        let head = opened.call("copies", "head", json!({"name": to})).await.unwrap();
        assert_eq!((&head["size"], &head["content_type"]), (&json!(7), &json!("image/png")), "{to}");
    }
    put(opened, "copies", "a", b"changed").await.unwrap();
    assert_eq!(opened.call("copies", "delete", json!({"name": "a"})).await, Ok(json!({"deleted": true})));
    for name in ["deep/b", "deep/c/d", "e/f"] {
        assert_eq!(get(opened, "copies", name).await.unwrap(), b"content", "{name}");
    }
    let error = opened.call("copies", "copy", json!({"from": "e/f", "to": "e/f"})).await.unwrap_err();
    assert!(error.starts_with("bad_request: field `to`: the same as `from`"), "{error}");
}

/// Names of which each means itself alone, and which stand beside each other, with line breaks between them.
const STRANGE: &str = concat!(
    "a\na/b\na/b/c\na+\na+/b\na++\na%\na%%\na%/b\na-b\na.b\na b\n a\na \nA\na0\n#1\nx#1\nx#\n...\n..a\na..\n.hidden/.file\n",
    "%2e%2e\n%2F\na%2Fb\na?b=c&d\na:b\na;b\na=b\na@b\na,b\n~\n!\n*\n'q'\n\"q\"\n<x>\na\\b\n|\n{}\n[]\n^`\n-rf\n$HOME\n",
    "ä/ö\na\u{308}\nä\n日本\n😀\n\u{fffd}\nincoming\nmodules/x\nshared/x",
);

fn strange_names() -> Vec<String> {
    let mut names: Vec<String> = STRANGE.split('\n').map(str::to_owned).collect();
    names.push("p".repeat(254));
    names.push(vec!["d"; 32].join("/"));
    names.push([&"q".repeat(254), &*"r".repeat(254), &"s".repeat(254)].join("/"));
    names
}

async fn every_name_is_its_own(opened: &Opened) {
    let all = strange_names();
    for name in &all {
        put(opened, "names", name, name.as_bytes()).await.unwrap_or_else(|why| panic!("{name:?}: {why}"));
    }
    for name in &all {
        assert_eq!(get(opened, "names", name).await.unwrap_or_else(|why| panic!("{name:?}: {why}")), name.as_bytes());
    }
    let sorted: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!(names(opened, "names", &json!({}), 1000).await, sorted.iter().cloned().collect::<Vec<_>>());
    for name in &all {
        let deleted = opened.call("names", "delete", json!({"name": name})).await;
        assert_eq!(deleted, Ok(json!({"deleted": true})), "{name:?}");
    }
    assert_eq!(opened.call("names", "list", json!({})).await, Ok(json!({"objects": []})));
}

async fn what_is_no_name_is_refused(opened: &Opened) {
    let long = "x/".repeat(512) + "x";
    let wrong =
        ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/.", "a\0b", "a\nb", &"x".repeat(255), &long];
    for name in wrong {
        for (operation, request) in [
            ("put", json!({"name": name, "data": ""})),
            ("get", json!({"name": name})),
            ("head", json!({"name": name})),
            ("delete", json!({"name": name})),
            ("copy", json!({"from": name, "to": "x"})),
            ("copy", json!({"from": "x", "to": name})),
        ] {
            let error = opened.call("wrong", operation, request).await.unwrap_err();
            assert!(error.starts_with("bad_request: field `"), "{operation} {name:?}: {error}");
            assert!(error.contains("a name has 1 to 1024 bytes"), "{operation} {name:?}: {error}");
        }
    }
    for prefix in ["../", "/", "a//", "..", "./"] {
        let listed = opened.call("wrong", "list", json!({"prefix": prefix})).await;
        assert_eq!(listed, Ok(json!({"objects": []})), "{prefix}");
    }
}

async fn requests_are_read_strictly(opened: &Opened) {
    for (operation, request, said) in [
        ("put", json!({"name": "x"}), "missing field `data`"),
        ("put", json!({"name": "x", "data": "", "ttl": 1}), "unknown field `ttl`"),
        ("put", json!({"name": "x", "data": "", "content_type": "a\nb"}), "field `content_type`: "),
        ("put", json!({"name": "x", "data": "", "content_type": ""}), "field `content_type`: "),
        ("get", json!({"name": "x", "offset": -1}), "field `offset`: "),
        ("list", json!({"limit": 0}), "field `limit`: 0, expected 1 to 1000"),
        ("list", json!({"limit": 1001}), "field `limit`: 1001, expected 1 to 1000"),
        ("list", json!({"prefix": "a\0"}), "field `prefix`: it has the control character"),
        ("list", json!({"after": "x".repeat(1025)}), "field `after`: it has 1025 bytes"),
    ] {
        let error = opened.call("strict", operation, request).await.unwrap_err();
        assert!(error.starts_with("bad_request: ") && error.contains(said), "{error}");
    }
    let error = opened.call("strict", "rename", json!({})).await.unwrap_err();
    assert_eq!(
        error,
        "no_such_operation: binding `files` has no operation `rename`: put, get, head, list, delete, copy"
    );
}

async fn pages_are_exact(opened: &Opened) {
    let mut all = BTreeSet::new();
    for outer in ["", "a", "a-", "a/b", "b/c/d", "m"] {
        for inner in ["1", "2/x", "2/y", "2", "20", "z/z/z/z"] {
            all.insert(if outer.is_empty() { inner.to_owned() } else { format!("{outer}/{inner}") });
        }
    }
    for name in &all {
        put(opened, "pages", name, b"").await.unwrap();
    }
    for prefix in ["", "a", "a/", "a/b/", "a/b/2", "b/c/d/z/z", "m/20", "nothing", "a/b/2/x/"] {
        for after in ["", "a", "a/b", "a/b/2/", "a/b/2/x", "a/b0", "m/20", "zz", "\u{10ffff}"] {
            let expected: Vec<&String> =
                all.iter().filter(|name| name.starts_with(prefix) && &***name > after).collect();
            let request = json!({"prefix": prefix, "after": after});
            for limit in if prefix.len() + after.len() < 4 { &[1, 7, 36, 37, 1000][..] } else { &[5][..] } {
                let found = names(opened, "pages", &request, *limit).await;
                assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{request} {limit}");
            }
        }
    }
}

async fn spaces_are_apart(opened: &Opened) {
    let named = |name: &str| opened.with_rules(Rules::Space(Space::Named(name.to_owned())));
    let shared = opened.with_rules(Rules::Space(Space::Shared));
    let all = [
        (opened.clone(), "one"),
        (opened.clone(), "two"),
        (opened.clone(), "one/x"),
        (opened.clone(), ".."),
        (shared.clone(), "one"),
        (named("one"), "one"),
        (named("two"), "one"),
        (named("../modules/one"), "one"),
    ];
    for (number, (link, module)) in all.iter().enumerate() {
        put(link, module, "x", number.to_string().as_bytes()).await.unwrap();
        put(link, module, &format!("only/{number}"), b"").await.unwrap();
    }
    for (number, (link, module)) in all.iter().enumerate() {
        assert_eq!(get(link, module, "x").await.unwrap(), number.to_string().as_bytes());
        assert_eq!(names(link, module, &json!({}), 10).await, [format!("only/{number}"), "x".to_owned()]);
    }
    assert_eq!(get(&shared, "two", "x").await.unwrap(), b"4");
    assert_eq!(get(&named("two"), "two", "x").await.unwrap(), b"6");
}

async fn what_is_too_large_is_refused(opened: &Opened) {
    let size = usize::try_from(MAX_OBJECT).unwrap();
    put(opened, "large", "x", &vec![1; size]).await.unwrap();
    let error = put(opened, "large", "x", &vec![2; size + 1]).await.unwrap_err();
    assert_eq!(error, "too_large: 65537 bytes of object `x` are over `max_object`, 65536 bytes");
    assert_eq!(get(opened, "large", "x").await.unwrap(), vec![1; size]);
}

async fn nobody_sees_half_an_object(opened: &Opened) {
    const WRITES: u8 = 30;
    let size = |number: u8| 20_000 + usize::from(number) * 100;
    put(opened, "whole", "x/y", &vec![0; size(0)]).await.unwrap();
    let writes = async {
        for number in 1..=WRITES {
            let data = vec![number; size(number)];
            answered(|| put(opened, "whole", "x/y", &data)).await;
        }
    };
    let reads = || async {
        loop {
            let found = answered(|| get(opened, "whole", "x/y")).await;
            let number = found[0];
            assert!(found == vec![number; size(number)], "{} bytes that begin with {number}", found.len());
            if number == WRITES {
                return;
            }
        }
    };
    futures_util::join!(writes, reads(), reads());
}

/// The first answer that is not `unavailable`: the store of these tests fails now and then where an object is replaced while it
/// is read.
async fn answered<T, F: Future<Output = Result<T, String>>>(mut ask: impl FnMut() -> F) -> T {
    let start = Instant::now();
    loop {
        match ask().await {
            Err(error) if error.starts_with("unavailable: ") && start.elapsed() < SOON => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            outcome => return outcome.unwrap(),
        }
    }
}

async fn one_of_many_is_first(opened: &Opened) {
    let request = |number: usize| json!({"name": "race/x", "data": base64(&[number as u8]), "only_if_absent": true});
    let all = join_all((0..10).map(|number| opened.call("race", "put", request(number)))).await;
    let winners: Vec<usize> = (0..10).filter(|number| all[*number].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{all:?}");
    assert!(
        all.iter().flat_map(|outcome| outcome.as_ref().err()).all(|error| error.starts_with("conflict: ")),
        "{all:?}"
    );
    assert_eq!(get(opened, "race", "race/x").await.unwrap(), [winners[0] as u8]);
}

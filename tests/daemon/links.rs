//! What a guest reaches: only what its links name, under the names that they give.

use crate::harness::{Daemon, module};

const CACHE: &str = "[bindings.cache]\ntype = \"keyvalue\"\nbackend = \"memory\"\n";

fn set(key: &str, value: &str) -> Vec<u8> {
    // Base64 of a short text, by the crate that the daemon uses.
    use base64::Engine as _;
    let value = base64::engine::general_purpose::STANDARD.encode(value);
    format!(r#"{{"key":"{key}","value":"{value}"}}"#).into_bytes()
}

// protocol: hostcall.not-granted
#[test]
fn a_guest_without_a_link_is_told_not_granted_whether_the_binding_exists_or_not() {
    let toml = module("none", "") + &module("other", "links = [\"log\"]");
    let daemon = Daemon::start(&format!("{CACHE}{toml}"));
    for name in ["none", "other"] {
        for binding in ["cache", "nothing"] {
            let (status, text) = daemon.call(name, &format!("host/{binding}/ns/get"), b"{}").outcome();
            assert_eq!(status, 422);
            assert!(text.starts_with("not_granted: ") && text.contains(binding), "{text}");
            assert_eq!(
                text.replace(binding, "X"),
                "not_granted: the module has no link to binding `X`, namespace `ns`"
            );
        }
    }
    assert!(daemon.call("none", "host/log//info", b"x").detail().starts_with("not_granted: "));
    assert!(daemon.call("none", "host/module/other/echo", b"x").detail().starts_with("not_granted: "));
    assert_eq!(daemon.call("other", "host/log//info", b"x").status, 200);
}

// protocol: hostcall.not-allowed
#[test]
fn a_link_with_operations_allows_only_those() {
    let links = "links = [{ binding = \"cache\", operations = [\"get\", \"exists\"] }]";
    let daemon = Daemon::start(&format!("{CACHE}{}", module("reader", links)));
    let (_, text) = daemon.call("reader", "host/cache//set", &set("k", "v")).outcome();
    assert!(text.starts_with("not_allowed: ") && text.contains("`set`") && text.contains("`cache`"), "{text}");
    assert_eq!(daemon.call("reader", "host/cache//exists", br#"{"key":"k"}"#).text(), r#"{"exists":false}"#);
}

#[test]
fn a_link_renames_binding_namespace_and_operations() {
    let links = r#"links = [{ binding = "default", namespace = "wascc:keyvalue", to = "cache", operations = { Get = "get", Set = "set" } }]"#;
    let daemon = Daemon::start(&format!("{CACHE}{}", module("orders", links)));
    let call = |operation: &str, payload: &[u8]| daemon.call("orders", operation, payload);
    assert_eq!(call("host/default/wascc:keyvalue/Set", &set("k", "hi")).text(), "{}");
    assert_eq!(call("host/default/wascc:keyvalue/Get", br#"{"key":"k"}"#).text(), r#"{"value":"aGk="}"#);
    assert!(call("host/default/wascc:keyvalue/get", b"{}").detail().starts_with("not_allowed: "));
    assert!(call("host/default/other/Get", b"{}").detail().starts_with("not_granted: "));
    assert!(call("host/cache/wascc:keyvalue/Get", b"{}").detail().starts_with("not_granted: "));
}

#[test]
fn keys_are_a_modules_own_unless_its_link_shares_them() {
    let own = "links = [\"cache\"]";
    let shared = "links = [{ binding = \"cache\", shared = true }]";
    let toml = module("a", own) + &module("b", own) + &module("c", shared) + &module("d", shared);
    let daemon = Daemon::start(&format!("{CACHE}{toml}"));
    let write = |name: &str, value: &str| daemon.call(name, "host/cache//set", &set("k", value)).status;
    let read = |name: &str| daemon.call(name, "host/cache//get", br#"{"key":"k"}"#).outcome().1;
    assert_eq!((write("a", "aaa"), write("c", "ccc")), (200, 200));
    assert_eq!(read("a"), r#"{"value":"YWFh"}"#);
    assert!(read("b").starts_with("not_found"), "{}", read("b"));
    assert_eq!(read("c"), r#"{"value":"Y2Nj"}"#);
    assert_eq!(read("d"), read("c"));
}

#[test]
fn what_a_guest_logs_by_the_binding_names_module_instance_call_and_namespace() {
    let daemon = Daemon::start(&module("menu", "links = [\"log\"]"));
    let logged = daemon.call("menu", "host/log/billing/warn", b"overdue");
    assert_eq!((logged.status, logged.body.len()), (200, 0));
    let line = daemon.log_line(&["overdue"]);
    assert_eq!((line["level"].as_str(), line["module"].as_str()), (Some("WARN"), Some("menu")));
    assert_eq!((line["binding"].as_str(), line["namespace"].as_str()), (Some("log"), Some("billing")));
    assert_eq!(line["call"].to_string(), logged.header("wapcd-call-id").unwrap());
    assert_eq!(line["instance"], logged.instance().unwrap());
    let unknown = daemon.call("menu", "host/log//shout", b"x");
    assert!(unknown.detail().starts_with("no_such_operation: "), "{}", unknown.detail());
}

#[test]
fn a_bad_request_names_the_field_and_the_guest_lives_on() {
    let daemon = Daemon::start(&format!("{CACHE}{}", module("menu", "links = [\"cache\"]")));
    for (payload, what) in [
        (&br#"{"key":5,"value":""}"#[..], "key"),
        (br#"{"key":"k","value":"?"}"#, "value"),
        (br#"{"key":"k","value":"","tll":"5s"}"#, "tll"),
        (b"\xff\xff", "bad_request"),
        (b"", "key"),
    ] {
        let text = daemon.call("menu", "host/cache//set", payload).detail();
        assert!(text.starts_with("bad_request: ") && text.contains(what), "{text}");
    }
    assert_eq!(daemon.call("menu", "number", b"").text(), "6");
    let bindings = daemon.status().bindings;
    let cache = bindings.iter().find(|binding| binding.name == "cache").unwrap();
    assert_eq!((cache.calls_ok, cache.calls_failed, cache.restarts), (0, 5, 0));
}

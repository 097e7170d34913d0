//! The bindings without a server behind them, as guests of a running daemon meet them: configuration, secrets, metrics.

use std::fs;

use serde_json::{Value, json};
use wapcd::supervisor::events::{Subject, What};

use crate::harness::{Daemon, Home, eventually, module};

fn ask(daemon: &Daemon, name: &str, call: &str, payload: &str) -> (u16, String) {
    daemon.call(name, &format!("host/{call}"), payload.as_bytes()).outcome()
}

fn page(daemon: &Daemon) -> Vec<String> {
    let page = daemon.request("GET", "/metrics", "", b"").unwrap().text();
    page.lines().filter(|line| line.starts_with("guest_")).map(str::to_owned).collect()
}

#[test]
fn a_module_reads_its_own_configuration_and_a_reload_changes_it_while_it_runs() {
    let toml = |greeting: &str| {
        format!(
            "[bindings.config]\ntype = \"config\"\n{}[modules.a.config]\ngreeting = \"{greeting}\"\nlist = [1, 2.0]\n{}",
            module("a", "links = [\"config\"]"),
            module("b", "links = [{ binding = \"settings\", to = \"config\" }]")
        )
    };
    let daemon = Daemon::start(&toml("hello"));
    let greeting = || ask(&daemon, "a", "config//get", r#"{"key":"greeting"}"#);
    assert_eq!(greeting(), (200, r#"{"value":"hello"}"#.to_owned()));
    let (_, all) = ask(&daemon, "a", "config//all", "{}");
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all, json!({"config": {"greeting": "hello", "list": [1, 2.0]}}));
    assert_eq!(ask(&daemon, "b", "settings//all", "{}"), (200, r#"{"config":{}}"#.to_owned()));
    let instance = daemon.call("a", "echo", b"").instance();
    daemon.home().configure(&toml("good day"));
    daemon.ctl(&["reload"]);
    assert_eq!(greeting(), (200, r#"{"value":"good day"}"#.to_owned()));
    assert_eq!(daemon.call("a", "echo", b"").instance(), instance);
    daemon.stop();
}

#[test]
fn secrets_are_read_by_whom_the_links_name_and_shown_nowhere() {
    let home = Home::new(&format!(
        "[bindings.vault]\ntype = \"secret\"\nsecrets = {{ api = {{ file = \"api.key\" }}, db = {{ credential = \"db\" }} }}\n{}",
        module("a", "links = [{ to = \"vault\", secrets = [\"api\", \"db\"] }]")
            + &module("b", "links = [{ to = \"vault\", secrets = [\"api\"] }]")
    ));
    fs::create_dir(home.path().join("credentials")).unwrap();
    home.write("api.key", "hunter-one\n");
    home.write("credentials/db", "hunter-two");
    let credentials = home.path().join("credentials");
    let mut daemon = home.spawn_with("log", &[("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())]);
    daemon.wait_until_ready();
    let get = |module: &str, name: &str| ask(&daemon, module, "vault//get", &format!("{{\"name\":\"{name}\"}}"));
    assert_eq!(get("a", "api"), (200, r#"{"value":"aHVudGVyLW9uZQ=="}"#.to_owned()));
    assert_eq!(get("a", "db"), (200, r#"{"value":"aHVudGVyLXR3bw=="}"#.to_owned()));
    let refused = "not_allowed: secret `db` is not among the `secrets` of the link";
    assert_eq!(get("b", "db"), (422, refused.to_owned()));
    daemon.home().write("api.key", "hunter-new");
    assert_eq!(get("b", "api"), (200, r#"{"value":"aHVudGVyLW5ldw=="}"#.to_owned()));
    let events = daemon.events_of(&Subject::Module("b".into()));
    let told = |what: &What| matches!(what, What::Denied { binding, operation, why, .. } if (&**binding, &**operation, &**why) == ("vault", "get", refused));
    assert!(events.iter().any(|event| told(&event.what)), "{events:?}");
    let status = ["/v1/status", "/v1/bindings", "/v1/modules/a"]
        .map(|path| daemon.request("GET", path, "", b"").unwrap().text());
    let everything = format!("{}{}{:?}", status.concat(), daemon.log(), events);
    assert!(!everything.contains("hunter"), "{everything}");
    daemon.stop();
}

#[test]
fn what_guests_count_survives_swaps_and_ends_with_the_module() {
    let toml = |modules: &[&str]| {
        let modules = modules.iter().map(|name| module(name, "links = [\"metrics\", \"system\"]"));
        format!(
            "[bindings.metrics]\ntype = \"metrics\"\nmax_series = 3\n[bindings.system]\ntype = \"system\"\n{}",
            modules.collect::<String>()
        )
    };
    let daemon = Daemon::start(&toml(&["a", "b"]));
    let count = |module: &str, payload: &str| ask(&daemon, module, "metrics//counter", payload);
    assert_eq!(count("a", r#"{"name":"jobs","labels":{"of":"x \"y\"\n"},"by":2}"#), (200, "{}".to_owned()));
    assert_eq!(count("b", r#"{"name":"jobs"}"#).0, 200);
    assert!(ask(&daemon, "b", "metrics//gauge", r#"{"name":"jobs","set":1}"#).1.starts_with("conflict: "));
    let labelled = "guest_jobs_total{module=\"a\",of=\"x \\\"y\\\"\\n\"} ";
    assert_eq!(page(&daemon), [format!("{labelled}2.0"), "guest_jobs_total{module=\"b\"} 1.0".to_owned()]);
    daemon.ctl(&["restart", "a"]);
    daemon.home().write("other.wasm", crate::harness::menu());
    daemon.ctl(&["swap", "a", daemon.home().path().join("other.wasm").to_str().unwrap()]);
    assert_eq!(count("a", r#"{"name":"jobs","labels":{"of":"x \"y\"\n"}}"#).0, 200);
    assert_eq!(page(&daemon)[0], format!("{labelled}3.0"));
    let identity: Value = serde_json::from_str(&ask(&daemon, "a", "system//identity", "{}").1).unwrap();
    assert_eq!(identity["module"], "a");
    daemon.home().configure(&toml(&["b"]));
    daemon.ctl(&["reload"]);
    eventually("the series of the removed module are gone", || page(&daemon) == ["guest_jobs_total{module=\"b\"} 1.0"]);
    daemon.stop();
}

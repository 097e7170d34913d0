//! Every kind of fault of a binding, named from its status alone; events, log and metrics say the same.

use std::time::Duration;

use serde_json::Value;
use wapcd::supervisor::{
    events::{Event, Subject, What},
    status::BindingStatus,
};

use crate::{
    facts::{Metrics, restarts_in},
    harness::{Daemon, Home, eventually, module, panic_in, pause_for},
    told::{assert_exit, assert_told},
};

fn start() -> Daemon {
    let health = "health = { interval = \"1s\", timeout = \"1s\", failures = 2 }";
    let quick = "restart = { backoff = { initial = \"1ms\", max = \"1ms\" } }";
    let mut daemon = Daemon::start(&format!(
        "[bindings.later]\ntype = \"faulty\"\n{quick}\n\
         [bindings.ailing]\ntype = \"faulty\"\n{health}\n{quick}\n\
         [bindings.broken]\ntype = \"faulty\"\n{health}\n{quick}\n{}",
        module("meddler", "links = [\"later\", \"ailing\", \"broken\"]"),
    ));
    daemon.expect_panics(&["ouch later"]);
    daemon
}

fn binding(daemon: &Daemon, name: &str) -> BindingStatus {
    let response = daemon.request("GET", "/v1/bindings", "", b"").unwrap();
    let bindings: Vec<BindingStatus> = serde_json::from_slice(&response.body).unwrap();
    bindings.into_iter().find(|binding| binding.name == name).unwrap()
}

#[test]
fn every_fault_of_a_binding_is_named_in_its_status_and_told_alike_everywhere() {
    let daemon = start();
    let ask = |binding: &str, operation: &str, payload: &str| {
        daemon.call("meddler", &format!("host/{binding}//{operation}"), payload.as_bytes())
    };
    let panicked = ask("later", "panic_later", "ouch later");
    let call = panicked.header("wapcd-call-id").unwrap().parse().ok();
    assert!(panicked.kind() == "guest-error" && panicked.detail().starts_with("internal: "), "{}", panicked.detail());
    assert_eq!(ask("ailing", "sick", "").status, 200);
    assert_eq!((ask("broken", "broken_start", "").status, ask("broken", "sick", "").status), (200, 200));
    for (name, reason, cause, restarts, operation) in [
        ("later", "panicked", "ouch later", &[("panicked", 1)][..], Some("panic_later")),
        ("ailing", "unhealthy", "was told to be sick", &[("unhealthy", 1)], None),
        ("broken", "start_failed", "told not to start", &[("start_failed", 2), ("unhealthy", 1)], None),
    ] {
        let all: u64 = restarts.iter().map(|(_, count)| count).sum();
        eventually(&format!("binding {name} is restarted"), || {
            let status = binding(&daemon, name);
            (status.state.as_str(), status.restarts) == ("running", all)
        });
        let (status, subject) = (binding(&daemon, name), Subject::Binding(name.into()));
        let exit = status.last_exit.as_ref().unwrap();
        assert_exit(exit, reason, cause, &[]);
        assert_eq!(exit.operation.as_deref(), operation, "{exit:?}");
        assert_eq!(exit.origin.as_deref(), operation.map(|_| "module meddler"), "{exit:?}");
        assert_eq!(exit.call, operation.and(call), "{exit:?}");
        let expected = restarts.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
        assert_eq!(status.restarts_by_reason, expected);
        assert_eq!(restarts_in(&daemon.events_of(&subject)), expected);
        assert_told(&daemon, &subject, exit);
        let metrics = Metrics::of(&daemon);
        assert_eq!(metrics.by("wapcd_binding_restarts_total", &[("binding", name)], "reason"), expected);
        assert_eq!(metrics.value("wapcd_binding_state", &[("binding", name), ("state", "running")]), 1.0);
        for counted in &status.host_calls {
            let labels = [("binding", name), ("operation", &*counted.operation), ("outcome", &*counted.outcome)];
            assert_eq!(metrics.value("wapcd_host_calls_total", &labels) as u64, counted.count);
        }
        assert_eq!(ask(name, "echo", "well").text(), "well", "{name}");
    }
    let failed = binding(&daemon, "later").host_calls;
    assert!(
        failed.iter().any(|it| (&*it.operation, &*it.outcome, it.count) == ("panic_later", "internal", 1)),
        "{failed:?}"
    );
    let checks = daemon.events_of(&Subject::Binding("ailing".into()));
    let failed: Vec<&Event> = checks.iter().filter(|event| matches!(event.what, What::HealthFailed { .. })).collect();
    assert_eq!(failed.len(), 2, "{checks:?}");
    let lines: Vec<Value> = failed.iter().map(|event| daemon.line_of(event)).collect();
    assert!(lines.iter().all(|line| line["message"] == "health check failed" && line["of"] == 2), "{lines:?}");
    pause_for(Duration::from_millis(1_500));
    assert_eq!(binding(&daemon, "ailing").restarts, 1, "it is well again");
}

#[test]
fn a_panic_is_one_line_of_the_log_with_its_backtrace_where_the_environment_asks_for_one() {
    for (asked, with) in [("0", false), ("1", true)] {
        let toml = "[bindings.faulty]\ntype = \"faulty\"\n".to_owned()
            + &module("meddler", "links = [\"faulty\"]\nlimits = { call_timeout = \"1m\" }");
        let mut daemon = Home::new(&toml).spawn_with("log", &[("RUST_BACKTRACE", asked)]);
        daemon.wait_until_ready();
        daemon.expect_panics(&["ouch\nin two lines"]);
        let refused = daemon.call("meddler", "host/faulty//panic", b"ouch\nin two lines");
        assert_eq!(refused.kind(), "guest-error");
        let expected = daemon.log_line(&["binding panicked"]);
        assert_eq!(expected["panic"], "ouch\nin two lines");
        let log = daemon.log();
        let no_json = |line: &&str| serde_json::from_str::<Value>(line).is_err();
        assert_eq!(log.lines().filter(no_json).collect::<Vec<_>>(), [""; 0]);
        let panics: Vec<Value> = log.lines().filter_map(panic_in).collect();
        let [panic] = &panics[..] else { panic!("{} lines of one panic: {log}", panics.len()) };
        assert_eq!((&panic["level"], &panic["panic"]), (&"ERROR".into(), &"ouch\nin two lines".into()), "{panic}");
        assert!(panic["location"].as_str().unwrap().starts_with("src/bindings/faulty/"), "{panic}");
        assert!(panic["thread"].as_str().is_some_and(|name| !name.is_empty()), "{panic}");
        let frames = panic.get("backtrace").map(|frames| frames.as_str().unwrap());
        assert_eq!(frames.is_some_and(|frames| frames.contains("wapcd::bindings::faulty")), with, "{panic}");
        assert_eq!(frames.is_some(), with, "{panic}");
        daemon.stop();
    }
}

#[test]
fn a_panic_that_the_log_keeps_out_is_told_on_standard_error() {
    let toml = "[bindings.faulty]\ntype = \"faulty\"\n".to_owned()
        + &module("meddler", "links = [\"faulty\"]\nlimits = { call_timeout = \"1m\" }");
    let mut daemon = Home::new(&toml).spawn_with("log", &[("WAPCD_LOG", "off")]);
    daemon.wait_until_ready();
    daemon.expect_panics(&["ouch unlogged"]);
    assert_eq!(daemon.call("meddler", "host/faulty//panic", b"ouch unlogged").kind(), "guest-error");
    let log = daemon.log();
    assert!(log.contains("panicked at src/bindings/faulty/") && log.contains("\nouch unlogged"), "{log}");
    daemon.stop();
}

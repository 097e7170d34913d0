//! Every kind of fault, injected one by one and named from the status alone; events, log and metrics say the same.

use std::{thread, time::Duration};

use serde_json::Value;
use wapcd::supervisor::{
    events::{Event, Subject, What},
    status::{BindingStatus, ExitStatus, GroupState, ModuleState},
};

use crate::{
    facts::{Metrics, assert_metrics_of, counted, last_exit_in, outcome, restarts_in},
    harness::{Daemon, Home, eventually, module},
};

/// A fault of one module and what the status must say of it.
struct Fault {
    /// The module, which nothing else uses.
    name: &'static str,
    /// Its keys in the configuration.
    keys: &'static str,
    /// What is called, with which payload, and the outcome.
    calls: &'static [(&'static str, &'static str, &'static str)],
    /// The outcomes of calls that it makes to itself meanwhile.
    inner: &'static [&'static str],
    /// The state that it comes to.
    state: ModuleState,
    /// Reason of the last exit, a part of its causes, and the frames of its backtrace, innermost first.
    exit: Option<(&'static str, &'static str, &'static [&'static str])>,
    /// The operation and the origin of the call that ended it.
    call: Option<(&'static str, &'static str)>,
    /// Restarts by the exit's reason.
    restarts: u64,
}

/// A fault that ends no instance.
const HARMLESS: Fault = Fault {
    name: "",
    keys: "",
    calls: &[],
    inner: &[],
    state: ModuleState::Running,
    exit: None,
    call: None,
    restarts: 0,
};

const SLOW: &str = "links = [\"faulty\"]\nlimits = { call_timeout = \"150ms\" }";

const FAULTS: &[Fault] = &[
    Fault {
        name: "trap",
        calls: &[("trap", "", "trapped")],
        exit: Some(("trapped", "unreachable", &["inner_trap", "outer_trap", "menu"])),
        call: Some(("trap", "control")),
        restarts: 1,
        ..HARMLESS
    },
    Fault {
        name: "computes",
        keys: "limits = { call_timeout = \"150ms\" }",
        calls: &[("spin", "", "deadline_exceeded")],
        exit: Some(("deadline_exceeded", "deadline of 150 ms exceeded after", &[])),
        call: Some(("spin", "control")),
        restarts: 1,
        ..HARMLESS
    },
    Fault {
        name: "waits",
        keys: SLOW,
        calls: &[("host/faulty//slow", "9000", "deadline_exceeded")],
        exit: Some(("deadline_exceeded", "in a host call", &[])),
        call: Some(("host/faulty//slow", "control")),
        restarts: 1,
        ..HARMLESS
    },
    Fault {
        name: "grows",
        keys: "limits = { memory = \"12 MiB\" }",
        calls: &[("grow", "", "limit_exceeded")],
        exit: Some(("limit_exceeded", "memory limit of 12582912 bytes exceeded", &["menu"])),
        call: Some(("grow", "control")),
        restarts: 1,
        ..HARMLESS
    },
    Fault {
        name: "exits",
        calls: &[("quit", "7", "exited")],
        exit: Some(("exited", "exited with code 7", &[])),
        call: Some(("quit", "control")),
        restarts: 1,
        ..HARMLESS
    },
    Fault {
        name: "gives-up",
        keys: "restart = { intensity = 1, retry_failed = \"never\" }",
        calls: &[("trap", "", "trapped"), ("trap", "", "trapped"), ("echo", "", "failed")],
        state: ModuleState::Failed,
        exit: Some(("trapped", "unreachable", &["inner_trap"])),
        call: Some(("trap", "control")),
        restarts: 1,
        ..HARMLESS
    },
    Fault {
        name: "backs-off",
        keys: "restart = { backoff = { initial = \"1h\", max = \"1h\" } }",
        calls: &[("trap", "", "trapped"), ("trap", "", "trapped")],
        state: ModuleState::Backoff,
        exit: Some(("trapped", "unreachable", &["inner_trap"])),
        call: Some(("trap", "control")),
        restarts: 2,
        ..HARMLESS
    },
    Fault {
        name: "ends",
        keys: "restart = { type = \"transient\" }",
        calls: &[("quit", "0", "exited"), ("echo", "", "stopped")],
        state: ModuleState::Stopped,
        exit: Some(("exited", "exited with code 0", &[])),
        call: Some(("quit", "control")),
        ..HARMLESS
    },
    Fault {
        name: "sick",
        keys: "health = { operation = \"fail\", interval = \"50ms\", timeout = \"50ms\", failures = 2 }\n\
               restart = { intensity = 1, reset_on_success = false, backoff = { initial = \"1ms\", max = \"1ms\" } }",
        state: ModuleState::Failed,
        exit: Some(("unhealthy", "2 health checks in a row failed", &[])),
        restarts: 1,
        ..HARMLESS
    },
    Fault { name: "traps-in-its-check", keys: "health = { operation = \"trap\", interval = \"1h\" }", ..HARMLESS },
    Fault { name: "errs", calls: &[("fail", "no", "guest_error")], ..HARMLESS },
    Fault { name: "mumbles", calls: &[("mute", "", "guest_error")], ..HARMLESS },
    Fault {
        name: "limited",
        keys: "rate_limit = { calls = 2, per = \"1h\" }",
        calls: &[("echo", "", "ok"), ("echo", "", "rate_limited")],
        ..HARMLESS
    },
    Fault {
        name: "sips",
        keys: "limits = { payload = \"4 B\", response = \"4 B\" }",
        calls: &[("echo", "12345", "too_large"), ("answer", "5", "too_large")],
        ..HARMLESS
    },
    Fault {
        name: "loops",
        keys: "links = [{ binding = \"module\", namespace = \"loops\" }]",
        calls: &[("host/module/loops/echo", "", "guest_error")],
        inner: &["cycle"],
        ..HARMLESS
    },
    Fault {
        name: "asks",
        keys: "links = [\"faulty\"]",
        calls: &[("host/faulty//panic", "ouch now", "guest_error"), ("host/faulty//echo", "", "ok")],
        ..HARMLESS
    },
];

fn toml() -> String {
    let modules: String = FAULTS.iter().map(|fault| module(fault.name, fault.keys)).collect();
    let failing = "restart = { intensity = 0, retry_failed = \"never\" }";
    let health = "health = { interval = \"30ms\", timeout = \"30ms\", failures = 2 }";
    let quick = "restart = { backoff = { initial = \"1ms\", max = \"1ms\" } }";
    format!(
        "[bindings.faulty]\ntype = \"faulty\"\n[bindings.later]\ntype = \"faulty\"\n{quick}\n\
         [bindings.ailing]\ntype = \"faulty\"\n{health}\n{quick}\n\
         [bindings.broken]\ntype = \"faulty\"\n{health}\n{quick}\n\
         [groups.team]\nmembers = [\"lead\", \"mate\"]\nintensity = 0\nretry_failed = \"never\"\n\
         [modules.unloadable]\npath = \"nonsense.wasm\"\n{failing}\n\
         [modules.unstartable]\npath = \"unstartable.wasm\"\n{failing}\n\
         {modules}{}{}{}{}",
        module("lead", ""),
        module("mate", ""),
        module("full", "queue = 1\nqueue_timeout = \"2s\""),
        module("meddler", "links = [\"later\", \"ailing\", \"broken\"]"),
    )
}

const UNSTARTABLE: &str = r#"(module
  (memory (export "memory") 1)
  (func $deep unreachable)
  (func $begin (export "_start") (call $deep))
  (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1)))"#;

fn start() -> Daemon {
    let home = Home::new(&toml());
    home.write("nonsense.wasm", b"this is no wasm");
    home.write("unstartable.wasm", wat::parse_str(UNSTARTABLE).unwrap());
    let mut daemon = home.start();
    daemon.expect_panics(&["ouch now", "ouch later"]);
    daemon
}

/// What every exit must say, wherever it is told.
fn assert_exit(exit: &ExitStatus, reason: &str, cause: &str, frames: &[&str]) {
    assert_eq!(exit.reason, reason, "{exit:?}");
    assert!(exit.causes.join(": ").contains(cause), "{cause}: {exit:?}");
    for (at, frame) in frames.iter().enumerate() {
        assert!(exit.backtrace.get(at).is_some_and(|line| line.contains(frame)), "{frame}: {exit:?}");
    }
}

/// The event and the log line of the last exit say what the status says.
fn assert_told(daemon: &Daemon, subject: &Subject, exit: &ExitStatus) {
    let events = daemon.events_of(subject);
    let Some((event, told)) = last_exit_in(&events) else { panic!("no exit among {events:?}") };
    assert_eq!(told, exit, "{subject}");
    let line = daemon.line_of(event);
    assert_eq!((&line["message"], &line["level"]), (&"child ended".into(), &"WARN".into()), "{line}");
    assert_eq!(
        (line["exit_reason"].as_str(), line["error"].as_str()),
        (Some(&*exit.reason), Some(&*exit.causes.join(": ")))
    );
    assert_eq!(
        (line["operation"].as_str(), line["origin"].as_str()),
        (exit.operation.as_deref(), exit.origin.as_deref())
    );
    assert_eq!((line["call"].as_u64(), line.get("call").is_some()), (exit.call, exit.call.is_some()), "{line}");
}

/// The last change of state among the events leads to this one, and so does its line in the log.
fn assert_state_told(daemon: &Daemon, subject: &Subject, state: &str) {
    let events = daemon.events_of(subject);
    let change = |event: &&Event| matches!(event.what, What::StateChanged { .. });
    let Some(event) = events.iter().rfind(change) else { panic!("no change of state among {events:?}") };
    assert!(matches!(&event.what, What::StateChanged { to, .. } if to == state), "{state}: {event:?}");
    assert_eq!(daemon.line_of(event)["to"], state);
}

fn check(daemon: &Daemon, fault: &Fault) {
    let subject = Subject::Module(fault.name.into());
    let mut calls = fault.inner.to_vec();
    if !fault.calls.is_empty() {
        assert_eq!(daemon.call(fault.name, "echo", b"").status, 200, "{}", fault.name);
        calls.push("ok");
    }
    let mut ids = Vec::new();
    for (operation, payload, expected) in fault.calls {
        let response = daemon.call(fault.name, operation, payload.as_bytes());
        assert_eq!(outcome(&response), *expected, "{} {operation}: {}", fault.name, response.text());
        ids.push((*operation, response.header("wapcd-call-id").unwrap().parse::<u64>().unwrap()));
        calls.push(expected);
    }
    eventually(&format!("module {} is {:?}", fault.name, fault.state), || {
        let module = daemon.module(fault.name);
        // An exit follows the answer of its call.
        module.state == fault.state && module.last_exit.is_some() == fault.exit.is_some()
    });
    let status = daemon.module(fault.name);
    for (kind, count) in counted(&status.calls) {
        assert_eq!(calls.iter().filter(|call| **call == kind).count() as u64, count, "{kind}: {status:?}");
    }
    assert_eq!(status.calls.values().sum::<u64>(), calls.len() as u64, "{status:?}");
    assert_eq!(status.next_try.is_some(), fault.state == ModuleState::Backoff || fault.name == "sick", "{status:?}");
    assert_state_told(daemon, &subject, fault.state.as_str());
    if let Some((reason, cause, frames)) = fault.exit {
        let exit = status.last_exit.as_ref().unwrap();
        assert_exit(exit, reason, cause, frames);
        let call = exit.operation.as_deref().zip(exit.origin.as_deref());
        assert_eq!(call, fault.call, "{exit:?}");
        let id = fault.call.and_then(|(operation, _)| ids.iter().rfind(|(called, _)| *called == operation));
        assert_eq!(exit.call, id.map(|(_, id)| *id), "{exit:?}");
        assert_eq!(status.restarts_by_reason.get(reason).copied().unwrap_or_default(), fault.restarts, "{status:?}");
        assert_told(daemon, &subject, exit);
    }
    assert_eq!(status.restarts, fault.restarts, "{status:?}");
    assert_eq!(restarts_in(&daemon.events_of(&subject)), status.restarts_by_reason, "{}", fault.name);
    assert_metrics_of(&status, &Metrics::of(daemon));
}

#[test]
fn every_fault_of_a_module_is_named_in_its_status_and_told_alike_everywhere() {
    let daemon = start();
    FAULTS.iter().for_each(|fault| check(&daemon, fault));
    // A deadline that passes in a host call is not the module's fault; one that passes while it computes is.
    assert_eq!(daemon.module("waits").restarts_in_window, 0);
    assert_eq!(daemon.module("computes").restarts_in_window, 1);
}

#[test]
fn what_cannot_be_loaded_or_started_says_why() {
    let daemon = start();
    for (name, reason, cause, frames) in [
        ("unloadable", "load_failed", "not a WebAssembly module", &[][..]),
        ("unstartable", "start_failed", "start function `_start` failed", &["deep", "begin"]),
    ] {
        eventually("it fails", || daemon.module(name).state == ModuleState::Failed);
        assert_eq!(daemon.call(name, "echo", b"").kind(), "failed");
        let (status, subject) = (daemon.module(name), Subject::Module(name.into()));
        let exit = status.last_exit.as_ref().unwrap();
        assert_exit(exit, reason, cause, frames);
        assert_eq!((exit.call, exit.operation.as_deref(), status.restarts), (None, None, 0));
        assert_told(&daemon, &subject, exit);
        assert_state_told(&daemon, &subject, "failed");
        assert_metrics_of(&status, &Metrics::of(&daemon));
    }
}

#[test]
fn a_full_queue_and_a_wait_that_is_too_long_are_counted() {
    let daemon = start();
    let client = daemon.client();
    let running = thread::spawn(move || outcome(&client.call("full", "wait/3000/echo", b"")));
    eventually("the call runs", || daemon.module("full").in_flight == 1);
    let client = daemon.client();
    let waiting = thread::spawn(move || outcome(&client.call("full", "echo", b"")));
    eventually("the queue is full", || daemon.module("full").queued == 1);
    assert_metrics_of(&daemon.module("full"), &Metrics::of(&daemon));
    assert_eq!(outcome(&daemon.call("full", "echo", b"")), "busy");
    assert_eq!((waiting.join().unwrap().as_str(), running.join().unwrap().as_str()), ("expired", "ok"));
    let status = daemon.module("full");
    assert_eq!(
        counted(&status.calls),
        [("busy", 1), ("expired", 1), ("ok", 1)].map(|(key, n)| (key.to_owned(), n)).into()
    );
    assert_eq!((status.calls_ok, status.calls_failed, status.calls_refused), (1, 0, 2));
    assert_metrics_of(&status, &Metrics::of(&daemon));
}

#[test]
fn a_group_that_gives_up_is_named_by_all_of_its_members() {
    let daemon = start();
    assert_eq!(daemon.call("lead", "trap", b"").kind(), "trapped");
    eventually("the members fail", || {
        ["lead", "mate"].iter().all(|name| daemon.module(name).state == ModuleState::Failed)
    });
    let group = daemon.status().groups.into_iter().find(|group| group.name == "team").unwrap();
    assert_eq!((group.state, group.restarts, group.next_try), (GroupState::Failed, 0, None));
    let (lead, mate) = (daemon.module("lead").last_exit.unwrap(), daemon.module("mate").last_exit.unwrap());
    assert_exit(&lead, "trapped", "unreachable", &["inner_trap"]);
    assert_eq!(lead.operation.as_deref(), Some("trap"));
    assert_eq!(mate.causes[0], "its group `team` gave up after module lead ended");
    assert_eq!((&*mate.reason, mate.call, &mate.causes[1..]), ("trapped", None, &lead.causes[..]));
    assert!(daemon.call("mate", "echo", b"").detail().contains("group `team` gave up"));
    let events = daemon.events_of(&Subject::Group("team".into()));
    let gave_up = |event: &&Event| matches!(&event.what, What::GroupGaveUp { because, decision } if because == "module lead" && decision == "fail");
    let event = events.iter().find(gave_up).unwrap();
    let line = daemon.line_of(event);
    assert_eq!(
        (&line["message"], &line["level"], &line["group"]),
        (&"group gave up".into(), &"ERROR".into(), &"team".into())
    );
    let metrics = Metrics::of(&daemon);
    assert_eq!(metrics.value("wapcd_group_state", &[("group", "team"), ("state", "failed")]), 1.0);
    for name in ["lead", "mate"] {
        assert_state_told(&daemon, &Subject::Module(name.into()), "failed");
        assert_metrics_of(&daemon.module(name), &metrics);
    }
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
    crate::harness::pause_for(Duration::from_millis(100));
    assert_eq!(binding(&daemon, "ailing").restarts, 1, "it is well again");
}

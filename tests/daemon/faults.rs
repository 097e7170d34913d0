//! Every kind of fault of a module, injected one by one and named from the status alone; events, log and metrics say the
//! same.

use wapcd::supervisor::{events::Subject, status::ModuleState};

use crate::{
    facts::{Metrics, assert_metrics_of, counted, outcome, restarts_in},
    harness::{Daemon, eventually, module},
    told::{assert_exit, assert_state_told, assert_told},
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
    /// The operation and the origin of the call that ended it: one of `calls`, or a health check.
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

const SLOW: &str = "links = [\"faulty\"]\nlimits = { call_timeout = \"2s\" }";

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
        keys: "limits = { call_timeout = \"2s\" }",
        calls: &[("spin", "", "deadline_exceeded")],
        exit: Some(("deadline_exceeded", "deadline of 2000 ms exceeded after", &[])),
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
        keys: "health = { operation = \"fail\", interval = \"1s\", timeout = \"1s\", failures = 2 }\n\
               restart = { intensity = 1, reset_on_success = false, backoff = { initial = \"1ms\", max = \"1ms\" } }",
        state: ModuleState::Failed,
        exit: Some(("unhealthy", "2 health checks in a row failed", &[])),
        restarts: 1,
        ..HARMLESS
    },
    Fault {
        name: "traps-in-its-check",
        keys: "health = { operation = \"trap\", interval = \"1s\", timeout = \"1s\" }\n\
               restart = { intensity = 1, retry_failed = \"never\", backoff = { initial = \"1ms\", max = \"1ms\" } }",
        state: ModuleState::Failed,
        exit: Some(("trapped", "unreachable", &["inner_trap", "outer_trap", "menu"])),
        call: Some(("trap", "health check")),
        restarts: 1,
        ..HARMLESS
    },
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

fn start() -> Daemon {
    let modules: String = FAULTS.iter().map(|fault| module(fault.name, fault.keys)).collect();
    let mut daemon = Daemon::start(&format!("[bindings.faulty]\ntype = \"faulty\"\n{modules}"));
    daemon.expect_panics(&["ouch now"]);
    daemon
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
        if fault.call.is_some_and(|(_, origin)| origin == "health check") {
            assert!(exit.call.is_some_and(|call| ids.iter().all(|(_, id)| *id != call)), "{exit:?}");
        } else {
            let id = fault.call.and_then(|(operation, _)| ids.iter().rfind(|(called, _)| *called == operation));
            assert_eq!(exit.call, id.map(|(_, id)| *id), "{exit:?}");
        }
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

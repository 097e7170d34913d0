//! `on_start` and `on_stop`: what modules are called with when they start, are swapped and stop. The guest of these tests
//! notes in a binding what happened to it.

mod start;
mod stop;
mod swap;
mod waits;

use std::thread::{self, JoinHandle};

use wapcd::supervisor::{
    events::{Event, Subject, What},
    status::{ModuleState, ModuleStatus},
};

use crate::{
    client::Response,
    harness::{Daemon, Home, eventually},
};

/// The binding in which guests note what happened to them.
const STORE: &str = "[bindings.store]\ntype = \"keyvalue\"\nbackend = \"memory\"\n";

/// An `on_start` that fails until the gate is open, and is called again all the time.
const GATED: &str = "on_start = { operation = \"open\", payload = \"g\", attempts = 1000, retry_delay = \"10ms\" }\n";

/// Names of operations in the guest's source.
const OPERATIONS: [&str; 9] = ["open", "close", "ready", "build", "export", "import", "wait", "trap", "incr"];

/// A guest of that build which does this first in `open`.
fn guest_that(build: char, open: &str) -> Vec<u8> {
    let mut text = include_str!("hooks.wat").replace(";;BUILD;;", &build.to_string()).replace(";;OPEN;;", open);
    for operation in OPERATIONS {
        let mut word = [0; 8];
        word[..operation.len()].copy_from_slice(operation.as_bytes());
        text = text.replace(&format!("@{operation}@"), &u64::from_le_bytes(word).to_string());
    }
    wat::parse_str(text).unwrap()
}

fn guest(build: char) -> Vec<u8> {
    guest_that(build, "")
}

/// A module of the guest with further keys, which come before any table.
fn hooked(name: &str, keys: &str) -> String {
    format!("[modules.{name}]\npath = \"hooks.wasm\"\nlinks = [{{ to = \"store\", shared = true }}]\n{keys}\n")
}

/// A directory with these modules and the module `clerk`, which reads and writes what they note.
fn home(modules: &str) -> Home {
    home_with(STORE, modules)
}

fn home_with(bindings: &str, modules: &str) -> Home {
    let home = Home::new(&text(bindings, modules));
    home.write("hooks.wasm", guest('a'));
    home
}

fn text(bindings: &str, modules: &str) -> String {
    format!("{bindings}{}{modules}", hooked("clerk", ""))
}

/// Starts a daemon whose module `m` may not run yet.
fn spawn(home: Home) -> Daemon {
    let daemon = home.spawn("log");
    eventually("the clerk works", || {
        daemon.try_status().is_some_and(|status| {
            status.modules.iter().any(|it| it.name == "clerk" && it.state == ModuleState::Running)
        })
    });
    daemon
}

/// The number under a key of the binding.
fn count(daemon: &Daemon, key: &str) -> u64 {
    increment(daemon, key, 0)
}

/// Opens the gate.
fn open_gate(daemon: &Daemon) {
    increment(daemon, "gate", 1);
}

fn increment(daemon: &Daemon, key: &str, by: u64) -> u64 {
    let answer = daemon.call("clerk", "incr", format!("{{\"key\":\"{key}\",\"by\":{by}}}").as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    value["value"].as_u64().unwrap()
}

/// What an operator does; returns the module's state as the answer tells it.
fn act(daemon: &Daemon, module: &str, action: &str) -> ModuleStatus {
    let answer = daemon.request("POST", &format!("/v1/modules/{module}/{action}"), "", b"").unwrap();
    assert_eq!(answer.status, 200, "{action}: {}", answer.text());
    daemon.module(module)
}

/// A call that another thread waits for.
fn call_beside(daemon: &Daemon, module: &'static str, operation: &'static str) -> JoinHandle<Response> {
    let client = daemon.client();
    thread::spawn(move || client.call(module, operation, b""))
}

fn wait_for(daemon: &Daemon, module: &str, state: ModuleState) {
    eventually(&format!("`{module}` is {}", state.as_str()), || daemon.module(module).state == state);
}

fn events(daemon: &Daemon) -> Vec<Event> {
    let response = daemon.request("GET", "/v1/events", "", b"").unwrap();
    serde_json::from_slice(&response.body).unwrap()
}

/// What was told of attempts of `on_start` that failed: number of the attempt, and why.
fn failed_starts(daemon: &Daemon) -> Vec<(u32, String)> {
    let failed = |event: Event| match event.what {
        What::OnStartFailed { attempt, why, operation, call, .. } => {
            assert!(operation == "open" && call > 0, "{operation} {call}");
            Some((attempt, why))
        }
        _ => None,
    };
    events(daemon).into_iter().filter_map(failed).collect()
}

/// What was told of calls of `on_stop` that failed.
fn failed_stops(daemon: &Daemon) -> Vec<String> {
    let failed = |event: Event| match event.what {
        What::OnStopFailed { why, .. } => Some(why),
        _ => None,
    };
    events(daemon).into_iter().filter_map(failed).collect()
}

/// The states in which a module was, as its events tell.
fn states(daemon: &Daemon, module: &str) -> Vec<String> {
    let state = |event: Event| match (event.subject, event.what) {
        (Subject::Module(name), What::StateChanged { to, .. }) if &*name == module => Some(to),
        _ => None,
    };
    events(daemon).into_iter().filter_map(state).collect()
}

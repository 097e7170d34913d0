//! What a daemon tells about itself in its events, as lines that tests can compare.

use wapcd::supervisor::{
    events::{Event, Subject, What},
    status::{BindingStatus, GroupStatus, ModuleState},
};

use crate::harness::{Daemon, eventually, module};

/// A group with further keys.
pub(crate) fn group(name: &str, strategy: &str, members: &[&str], keys: &str) -> String {
    format!("[groups.{name}]\nstrategy = \"{strategy}\"\nmembers = {members:?}\n{keys}\n")
}

/// Modules of the menu, each with these keys.
pub(crate) fn modules(names: &[&str], keys: &str) -> String {
    names.iter().map(|name| module(name, keys)).collect()
}

/// Every event so far.
pub(crate) fn events(daemon: &Daemon) -> Vec<Event> {
    let response = daemon.request("GET", "/v1/events", "", b"").unwrap();
    serde_json::from_slice(&response.body).unwrap()
}

/// Number of the last event.
pub(crate) fn last(daemon: &Daemon) -> u64 {
    events(daemon).last().unwrap().seq
}

/// The events after this number, a line each.
pub(crate) fn story(daemon: &Daemon, after: u64) -> Vec<String> {
    events(daemon).iter().filter(|event| event.seq > after).map(line).collect()
}

fn line(event: &Event) -> String {
    let what = match &event.what {
        What::StateChanged { to, .. } => to.clone(),
        What::InstanceStarted { .. } => "started".to_owned(),
        What::Exited { exit, decision, .. } => format!("exited {} {decision}", exit.reason),
        What::GroupRestarts { because, members } => format!("restarts {} after {because}", members.join(", ")),
        What::GroupGaveUp { because, decision } => format!("gave up after {because}: {decision}"),
        other => serde_json::to_value(other).unwrap()["event"].as_str().unwrap().to_owned(),
    };
    format!("{}: {what}", event.subject)
}

/// Waits until the story has these lines, in this order, whatever else is between them.
pub(crate) fn tells(daemon: &Daemon, after: u64, expected: &[&str]) {
    let mut missing = None;
    let look = |missing: &mut Option<String>| {
        let told = story(daemon, after);
        let mut lines = told.iter();
        let absent = expected.iter().find(|line| !lines.any(|told| told == *line));
        *missing = absent.map(|line| format!("{line:?} in {told:#?}"));
        missing.is_none()
    };
    // The message of a failure needs the last look.
    let told =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eventually("the story", || look(&mut missing))));
    assert!(told.is_ok(), "not told in this order: {}", missing.unwrap_or_default());
}

/// The exits of a module or binding, with when they were told, and how long each restart waits.
pub(crate) fn exits(daemon: &Daemon, name: &str) -> Vec<(f64, String, Option<f64>)> {
    let exit = |event: Event| match event.what {
        What::Exited { exit, backoff_s, .. } if is(&event.subject, name) => Some((event.at, exit.reason, backoff_s)),
        _ => None,
    };
    events(daemon).into_iter().filter_map(exit).collect()
}

/// When instances of a module were started.
pub(crate) fn starts(daemon: &Daemon, name: &str) -> Vec<f64> {
    let started = |event: &Event| matches!(event.what, What::InstanceStarted { .. }) && is(&event.subject, name);
    events(daemon).iter().filter(|event| started(event)).map(|event| event.at).collect()
}

fn is(subject: &Subject, wanted: &str) -> bool {
    matches!(subject, Subject::Module(name) | Subject::Binding(name) if &**name == wanted)
}

/// Ids of the only instances of these modules; 0 where there is none.
pub(crate) fn ids<const N: usize>(daemon: &Daemon, names: [&str; N]) -> [u64; N] {
    let modules = daemon.status().modules;
    names.map(|name| {
        let module = modules.iter().find(|module| module.name == name).unwrap();
        module.instances.first().map_or(0, |instance| instance.id)
    })
}

pub(crate) fn wait_for(daemon: &Daemon, name: &str, state: ModuleState) {
    eventually(&format!("`{name}` is {}", state.as_str()), || daemon.module(name).state == state);
}

pub(crate) fn binding(daemon: &Daemon, name: &str) -> BindingStatus {
    daemon.status().bindings.into_iter().find(|binding| binding.name == name).unwrap()
}

pub(crate) fn group_status(daemon: &Daemon, name: &str) -> GroupStatus {
    daemon.status().groups.into_iter().find(|group| group.name == name).unwrap()
}

/// A guest whose health is told to it. `set` with a digit: 0 well, 1 answers `health` with an error, 2 traps in it, 3
/// spins in it; `trap` traps; anything else is answered with nothing.
pub(crate) fn patient() -> Vec<u8> {
    wat::parse_str(
        r#"(module
            (import "wapc" "__guest_request" (func $request (param i32 i32)))
            (import "wapc" "__guest_response" (func $response (param i32 i32)))
            (import "wapc" "__guest_error" (func $error (param i32 i32)))
            (memory (export "memory") 2)
            (data (i32.const 16) "I feel sick")
            (global $mode (mut i32) (i32.const 0))
            (func $fall_over unreachable)
            (func (export "__guest_call") (param i32 i32) (result i32)
              (local $letter i32)
              (call $request (i32.const 1024) (i32.const 65536))
              (local.set $letter (i32.load8_u (i32.const 1024)))
              (if (i32.eq (local.get $letter) (i32.const 116)) (then (unreachable)))
              (if (i32.eq (local.get $letter) (i32.const 115))
                (then (global.set $mode (i32.sub (i32.load8_u (i32.const 65536)) (i32.const 48)))))
              (if (i32.eq (local.get $letter) (i32.const 104))
                (then
                  (if (i32.eq (global.get $mode) (i32.const 1))
                    (then (call $error (i32.const 16) (i32.const 11)) (return (i32.const 0))))
                  (if (i32.eq (global.get $mode) (i32.const 2)) (then (call $fall_over)))
                  (if (i32.eq (global.get $mode) (i32.const 3)) (then (loop $for_ever (br $for_ever))))))
              (call $response (i32.const 0) (i32.const 0))
              (i32.const 1)))"#,
    )
    .unwrap()
}

/// Ends a daemon in order in which a binding was told to panic, which its log says.
pub(crate) fn end_after_panics(mut daemon: Daemon) {
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
}

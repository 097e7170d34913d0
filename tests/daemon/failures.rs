//! Modules that cannot be started, are full, or fall with their group: named from the status alone, and told alike
//! everywhere.

use std::thread;

use wapcd::supervisor::{
    events::{Event, Subject, What},
    status::{GroupState, ModuleState},
};

use crate::{
    facts::{Metrics, assert_metrics_of, counted, outcome},
    harness::{Daemon, Home, eventually, module},
    told::{assert_exit, assert_state_told, assert_told},
};

const UNSTARTABLE: &str = r#"(module
  (memory (export "memory") 1)
  (func $deep unreachable)
  (func $begin (export "_start") (call $deep))
  (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1)))"#;

#[test]
fn what_cannot_be_loaded_or_started_says_why() {
    let failing = "restart = { intensity = 0, retry_failed = \"never\" }";
    let home = Home::new(&format!(
        "[modules.unloadable]\npath = \"nonsense.wasm\"\n{failing}\n\
         [modules.unstartable]\npath = \"unstartable.wasm\"\n{failing}\n"
    ));
    home.write("nonsense.wasm", b"this is no wasm");
    home.write("unstartable.wasm", wat::parse_str(UNSTARTABLE).unwrap());
    let daemon = home.start();
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
    let daemon =
        Daemon::start(&module("full", "queue = 1\nqueue_timeout = \"4s\"\nlimits = { call_timeout = \"1m\" }"));
    let client = daemon.client();
    let running = thread::spawn(move || outcome(&client.call("full", "wait/9000/echo", b"")));
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
    let team = "[groups.team]\nmembers = [\"lead\", \"mate\"]\nintensity = 0\nretry_failed = \"never\"\n";
    let daemon = Daemon::start(&format!("{team}{}{}", module("lead", ""), module("mate", "")));
    assert_eq!(daemon.call("lead", "trap", b"").kind(), "trapped");
    eventually("the members fail", || {
        ["lead", "mate"].iter().all(|name| daemon.module(name).state == ModuleState::Failed)
    });
    let group = daemon.status().groups.into_iter().find(|group| group.name == "team").unwrap();
    assert_eq!((group.state, group.restarts, group.next_try), (GroupState::Failed, 0, None));
    let (lead, mate) = (daemon.module("lead").last_exit.unwrap(), daemon.module("mate").last_exit.unwrap());
    assert_exit(&lead, "trapped", "unreachable", &["inner_trap"]);
    assert_eq!(lead.operation.as_deref(), Some("trap"));
    let why = format!("its group `team` gave up after module lead ended: trapped: {}", lead.causes.join(": "));
    assert_eq!((&*mate.reason, mate.call, mate.causes), ("stopped", None, vec![why]));
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
